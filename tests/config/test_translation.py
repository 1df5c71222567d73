"""DestinationRules and what istiod makes of them: the cases of ``vectors/istio-translation.json`` that are served."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.availability import AvailableBuilder
from meshproxy.model import Cluster, Snapshot
from meshproxy.policies import Warmup
from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.random_choice import RandomChoiceBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.strategies.use_source_ip import SourceIpKey
from tests import vectors
from tests.config.loading import GATEWAY, compiled, errors, istio, routes

NOT_SERVED = {"passthrough"}
# The webhook refuses it, as the case itself says.
REFUSED = {"maglev empty"}
BUILDERS: dict[str, type] = {
    "LEAST_REQUEST": LeastRequestBuilder,
    "MAGLEV": MaglevBuilder,
    "RANDOM": RandomChoiceBuilder,
    "RING_HASH": RingHashBuilder,
    "ROUND_ROBIN": RoundRobinBuilder,
}
# Envoy's names of limits, and ours.
LIMITS = {
    "max_connections": "max_connections",
    "max_pending_requests": "max_pending",
    "max_requests": "max_requests",
    "max_retries": "max_retries",
    "max_requests_per_connection": "max_requests_per_connection",
}


def documents(case: dict[str, Any], rule: Any) -> str:
    """A gateway, a route to a service and the case's rule for it; JSON is YAML."""
    port = case.get("port", 80)
    number = case.get("destination_port", port)
    destinations = []
    for entry in case.get("route") or [{"subset": case.get("subset"), "weight": 0}]:
        destination: dict[str, Any] = {"host": "app.test"}
        if number is not None:
            destination["port"] = {"number": number}
        if entry["subset"]:
            destination["subset"] = entry["subset"]
        destinations.append({"destination": destination, "weight": entry["weight"]})
    labels = [{"v": str(n)} for n in (1, 2, 3, 4)]
    entry = {
        "hosts": ["app.test"],
        "resolution": "STATIC",
        "ports": [{"number": port, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": f"10.0.0.{n}", "labels": label} for n, label in enumerate(labels)],
    }
    texts = [
        GATEWAY,
        istio("ServiceEntry", "app", json.dumps(entry)),
        istio(
            "VirtualService", "vs", json.dumps({"hosts": ["*"], "gateways": ["gw"], "http": [{"route": destinations}]})
        ),
    ]
    if rule is not None:
        texts.append(istio("DestinationRule", "dr", json.dumps({"host": "app.test", **rule})))
    return "".join(texts)


def key(entry: dict[str, Any]) -> object:
    """The hash key for an entry of Envoy's hash policy; None for one that adds nothing."""
    if "header" in entry:
        return HeaderKey(entry["header"]["header_name"])
    if "query_parameter" in entry:
        return QueryParameterKey(entry["query_parameter"]["name"])
    if "connection_properties" in entry:
        return SourceIpKey() if entry["connection_properties"]["source_ip"] else None
    return entry["cookie"]["name"]


class TranslationTests(SynchronousTestCase):
    def test_cases(self) -> None:
        """Load balancer, ring or table size, hash keys, the rule for retries and limits are those of istiod."""
        done = []
        for case in vectors.load("istio-translation")["cases"]:
            if case["name"] in NOT_SERVED | REFUSED:
                continue
            snapshot = compiled(documents(case, case["destinationRule"]))
            self._check_route(case, snapshot)
            if "cluster" in case:
                (cluster,) = snapshot.clusters.values()
                self._check_cluster(case, cluster)
            done.append(case["name"])
        self.assertEqual(len(done), 33, done)

    def _check_route(self, case: dict[str, Any], snapshot: Snapshot) -> None:
        (route,) = routes(snapshot, "*")
        policy = [it.name if isinstance(it, CookieKey) else it for it in route.action.hash_policy]
        expected = [key(entry) for entry in case.get("route_hash_policy", ())]
        self.assertEqual(policy, [it for it in expected if it is not None], case["name"])
        if "retry_host_predicate" in case:
            self.assertEqual(
                route.action.retries.avoid_previous_hosts, bool(case["retry_host_predicate"]), case["name"]
            )
        for entry, found in zip(case.get("route_hash_policy", ()), route.action.hash_policy, strict=False):
            if "cookie" in entry:
                self._check_cookie(entry["cookie"], found, case["name"])

    def _check_cookie(self, cookie: dict[str, Any], found: Any, name: str) -> None:
        seconds = None if found.ttl is None else f"{found.ttl.total_seconds():.0f}s"
        attributes = tuple((it["name"], it["value"]) for it in cookie.get("attributes", ()))
        self.assertEqual(
            (found.name, seconds, found.path, found.attributes),
            (cookie["name"], cookie.get("ttl"), cookie.get("path", ""), attributes),
            name,
        )

    def _check_cluster(self, case: dict[str, Any], cluster: Cluster) -> None:
        expected, name, builder = case["cluster"], case["name"], cluster.builder
        if isinstance(builder, AvailableBuilder):
            builder = builder.inner
        if "lb_policy" in expected:
            self.assertIsInstance(builder, BUILDERS[expected["lb_policy"]], name)
        if isinstance(builder, RingHashBuilder):
            size = expected.get("ring_hash_lb_config", {}).get("minimum_ring_size", 1024)
            self.assertEqual(builder.minimum_size, size, name)
        if isinstance(builder, MaglevBuilder):
            self.assertEqual(builder.table_size, expected["maglev_lb_config"]["table_size"], name)
        if "connect_timeout" in expected:
            self.assertEqual(f"{cluster.connect_timeout:.0f}s", expected["connect_timeout"], name)
        limits = {limit: expected[limit] for limit in LIMITS if limit in expected} | expected.get("thresholds", {})
        for limit, value in limits.items():
            self.assertEqual(getattr(cluster.pool, LIMITS[limit]), value, (name, limit))
        if "idle_timeout" in expected:
            self.assertEqual(f"{cluster.pool.idle_timeout:.0f}s", expected["idle_timeout"], name)

        if "outlier_detection" in expected:
            self._check_outliers(expected, cluster, name)
        if "slow_start_config" in expected:
            self._check_warmup(expected["slow_start_config"], cluster.warmup, name)

    def _check_outliers(self, expected: dict[str, Any], cluster: Cluster, name: str) -> None:
        envoy, ours = expected["outlier_detection"], cluster.outliers
        if envoy is None:
            self.assertIsNone(ours, name)
            return
        assert ours is not None, name
        self.assertEqual(ours.consecutive_5xx, envoy.get("consecutive_5xx", 5), name)
        # Envoy's default of 5 is only counted, not enforced, where nothing is said.
        self.assertEqual(ours.consecutive_gateway_errors, envoy.get("consecutive_gateway_failure", 0), name)
        self.assertEqual(ours.split_local_origin, envoy.get("split_external_local_origin_errors", False), name)
        self.assertEqual(ours.consecutive_local_origin_failures, envoy.get("consecutive_local_origin_failure", 5), name)
        self.assertEqual(ours.max_ejection_percent, envoy.get("max_ejection_percent", 10), name)
        self.assertEqual((ours.interval, ours.base_ejection_time), (10, 30), name)
        if "healthy_panic_threshold" in expected:
            assert isinstance(cluster.builder, AvailableBuilder), name
            self.assertEqual(cluster.builder.panic_threshold, expected["healthy_panic_threshold"], name)

    def _check_warmup(self, envoy: dict[str, Any], ours: Warmup | None, name: str) -> None:
        assert ours is not None, name
        self.assertEqual(f"{ours.seconds:.0f}s", envoy["slow_start_window"], name)
        self.assertEqual(ours.aggression, envoy.get("aggression", 1.0), name)
        self.assertEqual(ours.minimum_percent, envoy.get("min_weight_percent", 10), name)

    def test_the_others(self) -> None:
        """What is left out above is refused: it is not served yet, or the webhook refuses it too."""
        cases = {case["name"]: case for case in vectors.load("istio-translation")["cases"]}
        for name in NOT_SERVED:
            found = errors(documents(cases[name], cases[name]["destinationRule"]))
            self.assertTrue(found, name)
            self.assertEqual([it for it in found if "is not served yet" not in it], [], name)
        for name in REFUSED:
            self.assertIn("tableSize", " ".join(errors(documents(cases[name], cases[name]["destinationRule"]))))
