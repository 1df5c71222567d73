"""Decisions recorded on a running Envoy are ours too: each request's hash, priority, endpoint and cookies.

Which text is hashed and what then follows is all that is decided here; what needs a connection is not. Observations of
that kind are named in ``NOT_DECIDED_HERE`` and counted, so that none goes by unseen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.availability import AvailableBuilder, Health
from meshproxy.duration import parse
from meshproxy.hashing import chain, xxh64
from meshproxy.policies import Localities
from meshproxy.selection import after, choose, evaluate
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.least_request import LeastRequest
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.strategies.round_robin import RoundRobin, RoundRobinBuilder
from meshproxy.strategies.use_source_ip import SourceIpKey
from meshproxy.testing import FakeRequest
from tests.recorded import cluster, hosts_of
from tests.strategies.scenarios import Host, latin1, policy
from tests.vectors import load

NOT_DECIDED_HERE = re.compile(
    r"reply/.*"  # local replies belong to the data path
    r"|outlier/.*"  # see test_recorded_ejections
    r"|split/.*"  # a summary of requests that are not listed
    r"|cookie/upstream 500"  # the data path sends the cookie whatever the status
)


def _idle(host: Host) -> int:
    return 0


def _builder(lb: dict[str, Any]) -> Any:
    known = {"policy", "minimum_ring_size", "maximum_ring_size", "hash_function", "table_size", "panic_threshold"}
    assert not set(lb) - known, lb
    if lb["policy"] == "MAGLEV":
        return MaglevBuilder(lb.get("table_size", 65537))
    function = "murmur2" if lb.get("hash_function") == "MURMUR_HASH_2" else "xxhash64"
    return RingHashBuilder(lb.get("minimum_ring_size", 1024), lb.get("maximum_ring_size", 8388608), function)


# Where an endpoint of each priority is, as seen from the first of these places.
_PLACES = ("r/z/s", "r/z", "r", "")


def _by_priority(builder: Any, threshold: int = 50) -> AvailableBuilder:
    return AvailableBuilder(builder, Localities(_PLACES[0], by_distance=True), threshold)


def _balancer_of(scenario: dict[str, Any]) -> Any:
    """The balancer of a scenario's hosts with their priorities and health."""
    hosts = {
        Host(host["address"], host.get("weight", 1), _PLACES[host.get("priority", 0)]): host
        for host in scenario["hosts"]
    }
    health = {host: Health[found.get("health", "HEALTHY")] for host, found in hosts.items()}
    builder = _by_priority(_builder(scenario["lb"]), scenario["lb"].get("panic_threshold", 50))
    return builder.build_for(list(hosts), health)


def _picked(balancer: Any, number: int) -> str | None:
    host = balancer.pick(number, 0)
    return host and host.key


class RequestTests(SynchronousTestCase):
    def check(self, file: str, requests: int) -> None:
        checked = 0
        for scenario in load(file)["scenarios"]:
            keys, balancer = policy(scenario["hash_policy"]), _balancer_of(scenario)
            for sent in scenario["requests"]:
                request = FakeRequest(
                    latin1(sent.get("headers", ())),
                    sent.get("path", "/").encode("latin-1"),
                    scenario["name"].encode(),
                    sent.get("source", "127.0.0.1").encode(),
                )
                number, cookies = evaluate(keys, request)
                expected = None if sent["hash"] is None else int(sent["hash"])
                self.assertEqual((number, list(cookies)), (expected, []), (scenario["name"], sent))
                if number is not None:
                    self.assertEqual(_picked(balancer, number), sent["backend"], (scenario["name"], sent))
                checked += 1
            self.check_gauges(scenario, balancer)
        self.assertEqual(checked, requests)

    def check_gauges(self, scenario: dict[str, Any], balancer: Any) -> None:
        gauges = {name.partition(".")[2]: value for name, value in scenario["gauges"].items()}
        described = [
            {name: value for name, value in found.describe().items() if name in gauges}
            for found in getattr(balancer, "balancers", [balancer])
        ]
        self.assertIn(gauges, described, scenario["name"])

    def test_rings(self) -> None:
        """Every recorded request on nine rings has the recorded hash and endpoint, each ring the recorded gauges."""
        self.check("live-ring", 1705)

    def test_tables(self) -> None:
        """Every recorded request on four tables has the recorded hash and endpoint, each the recorded gauges."""
        self.check("live-maglev", 900)

    def test_inputs(self) -> None:
        """Every kind of hash key finds the recorded hash in each recorded request."""
        self.check("live-input", 377)

    def test_combinations(self) -> None:
        """Several keys, with and without a terminal one, make the recorded hash."""
        self.check("live-combine", 120)


def _inner(lb_policy: str) -> Any:
    """The builder for a policy of Envoy, with Envoy's defaults."""
    if lb_policy == "ROUND_ROBIN":
        return RoundRobinBuilder(Random(1).getrandbits)
    return MaglevBuilder() if lb_policy == "MAGLEV" else RingHashBuilder()


@cache
def _balancer(name: str) -> Any:
    settings = cluster(name)
    builder = _inner(settings["lb_policy"])
    bounded = settings.get("common_lb_config", {}).get("consistent_hashing_lb_config")
    if bounded:
        builder = BoundedLoadBuilder(builder, bounded["hash_balance_factor"])
    return builder.build(hosts_of(name))


def _route(observation: dict[str, Any]) -> Any:
    hosts = load("live-behaviour")["virtual_hosts"]
    (virtual_host,) = [host for host in hosts if host["name"] == observation["virtual_host"]]
    return virtual_host["routes"][0]


def _keys(observation: dict[str, Any]) -> list[Any]:
    """The hash keys of the route that an observation went by."""
    keys: list[Any] = []
    for entry in _route(observation)["route"].get("hash_policy", ()):
        terminal = entry.get("terminal", False)
        if "header" in entry:
            keys.append(HeaderKey(entry["header"]["header_name"], terminal))
        elif "query_parameter" in entry:
            keys.append(QueryParameterKey(entry["query_parameter"]["name"], terminal))
        elif "connection_properties" in entry:
            keys.append(SourceIpKey(terminal))
        else:
            cookie = entry["cookie"]
            ttl = parse(cookie["ttl"]) if "ttl" in cookie else None
            attributes = tuple((each["name"], each["value"]) for each in cookie.get("attributes", ()))
            keys.append(CookieKey(cookie["name"], ttl, cookie.get("path", ""), attributes, terminal))
    return keys


def _pick(observation: dict[str, Any], number: int) -> str | None:
    host = _balancer(_route(observation)["route"]["cluster"]).pick(number, 0)
    return host and host.key


class BehaviourTests(SynchronousTestCase):
    def of(self, topic: str) -> list[dict[str, Any]]:
        """The observations of a topic that can be decided."""
        observations = load("live-behaviour")["observations"]
        found = [seen for seen in observations if re.split("[/:,]", seen["name"])[0] == topic]
        return [seen for seen in found if not NOT_DECIDED_HERE.fullmatch(seen["name"])]

    def test_all_topics(self) -> None:
        """Every observation belongs to a topic with a test below, or is named as not decided here: 20 are."""
        topics = {
            "cookie": 22,
            "source ip": 23,
            "special header": 27,
            "retry": 120,
            "retry priority": 6,
            "timing": 12,
            "no policy": 1,
            "round robin": 1,
            "edf": 2,
            "least request": 1,
            "only degraded hosts": 1,
            "all unhealthy": 1,
            "bounded": 2,
        }
        self.assertEqual({topic: len(self.of(topic)) for topic in topics}, topics)
        observations = load("live-behaviour")["observations"]
        left = [seen["name"] for seen in observations if NOT_DECIDED_HERE.fullmatch(seen["name"])]
        self.assertEqual(len(left), 20, left)
        self.assertEqual(len(observations), sum(topics.values()) + len(left))

    def test_cookies(self) -> None:
        """Cookies are found, replaced, computed from the connection and written as recorded, and lead to the host."""
        before: dict[str, Any] = {}
        checked = Counter()
        for seen in self.of("cookie"):
            given, observed, keys = seen["given"], seen["observed"], _keys(seen)
            if "remote" in given:
                before = seen
            connection = {end: before["given"][end].encode() for end in ("remote", "local")}
            headers = latin1(given.get("headers", ()))
            if seen["name"].endswith("/returned"):
                headers.append((b"cookie", before["observed"][0][0].partition(";")[0].encode()))
            elif "cookie" in given:
                headers.append((b"cookie", given["cookie"].encode()))
            number, cookies = evaluate(keys, FakeRequest(headers, **connection))
            lines = [cookie.decode() for cookie in cookies]
            if seen["name"] in ("cookie/no ttl", "cookie/after terminal header"):
                checked["none"] += 1
                self.assertEqual(lines, observed, seen)
            elif seen["name"] == "cookie/no host":
                # The cookie is kept back with the data path's reply; here it shows that there is no host.
                checked["no host"] += 1
                self.assertIsNone(choose(_balancer("none"), number, (), _idle))
            elif "remote" in given or seen["name"].endswith(("/same connection", "/returned")):
                checked["computed"] += 1
                self.assertEqual([lines, _pick(seen, number)], observed, seen)
            else:
                checked["text"] += 1
                self.check_unknown_connection(seen, keys, lines)
        self.assertEqual(checked, {"computed": 12, "text": 7, "none": 2, "no host": 1})

    def check_unknown_connection(self, seen: dict[str, Any], keys: Sequence[Any], lines: Sequence[str]) -> None:
        """The value cannot be computed, but a cookie is made, the line around the value fits, and so does the host."""
        observed = seen["observed"]
        (line,) = observed[0] if isinstance(observed[0], list) else observed
        value = re.match('sid="([0-9a-f]{16})"', line)[1].encode()
        self.assertEqual(len(lines), 1, seen)
        self.assertEqual(keys[-1].set_cookie(value).decode(), line, seen)
        if len(observed) == 2:
            returned = FakeRequest([*latin1(seen["given"].get("headers", ())), (b"cookie", b"sid=" + value)])
            self.assertEqual(_pick(seen, evaluate(keys, returned)[0]), observed[1], seen)

    def test_source_addresses(self) -> None:
        """The address that counts leads to the recorded host."""
        for seen in self.of("source ip"):
            number, _ = evaluate(_keys(seen), FakeRequest(source_ip=seen["given"]["hashed"].encode()))
            self.assertEqual(_pick(seen, number), seen["observed"], seen)

    def test_special_headers(self) -> None:
        """Headers are joined or kept apart as recorded, whatever the case of their names."""
        for seen in self.of("special header"):
            given, headers = seen["given"], latin1(seen["given"]["sent"])
            if seen["virtual_host"] == "by-xff" and seen["listener"] == "edge":
                headers.append((b"x-forwarded-for", given["source"].encode()))
            number, _ = evaluate(_keys(seen), FakeRequest(headers))
            self.assertEqual(number, chain(sorted(text.encode() for text in given["hashed"])), seen)
            self.assertEqual(_pick(seen, number), seen["observed"], seen)

    def test_retries(self) -> None:
        """The hosts of each retried request come in the recorded order."""
        for seen in self.of("retry"):
            route = _route(seen)["route"]
            avoid = "retry_host_predicate" in route["retry_policy"]
            number, _ = evaluate(_keys(seen), FakeRequest([(b"x-user", seen["given"]["key"].encode())]))
            hosts: list[Host] = []
            for _ in seen["observed"]:
                hosts.append(choose(_balancer(route["cluster"]), number, hosts if avoid else (), _idle))
            self.assertEqual([host.key for host in hosts], seen["observed"], seen)

    def test_retry_priorities(self) -> None:
        """A hash keeps its priority over retries; others go to a priority that was not tried yet."""
        for seen in self.of("retry priority"):
            name = _route(seen)["route"]["cluster"]
            priorities = {
                f"{address['address']}:{address['port_value']}": locality.get("priority", 0)
                for locality in cluster(name)["load_assignment"]["endpoints"]
                for entry in locality["lb_endpoints"]
                for address in (entry["endpoint"]["address"]["socket_address"],)
            }
            hosts = [Host(key, 1, _PLACES[number]) for key, number in priorities.items()]
            balancer = _by_priority(_inner(cluster(name)["lb_policy"])).build(hosts)
            number, _ = evaluate(_keys(seen), FakeRequest([(b"x-user", seen["given"]["key"].encode())]))
            tried: list[Host] = []
            for _ in seen["observed"]:
                tried.append(choose(after(tried, balancer, 1), number, (), _idle))
            self.assertEqual([priorities[host.key] for host in tried], seen["observed"], seen)

    def test_timing(self) -> None:
        """What the request is after the route's changes is what is hashed."""
        for seen in self.of("timing"):
            hashed = seen["given"].get("hashed", "fixed").encode()
            request = {
                "timing-added": FakeRequest([(b"x-user", hashed)]),
                "timing-rewrite": FakeRequest(path=b"/b?id=" + hashed),
                "timing-path": FakeRequest(path=hashed),
                "timing-host": FakeRequest(authority=hashed),
            }[seen["virtual_host"]]
            number, _ = evaluate(_keys(seen), request)
            self.assertEqual(number, xxh64(hashed), seen)
            self.assertEqual(_pick(seen, number), seen["observed"], seen)

    def test_no_policy(self) -> None:
        """Random numbers in place of hashes reach every host."""
        (seen,) = self.of("no policy")
        self.assertEqual(evaluate(_keys(seen), FakeRequest()), (None, ()))
        source = Random(1)
        self.assertEqual(sorted({_pick(seen, source.getrandbits(64)) for _ in range(80)}), seen["observed"])

    def test_round_robin(self) -> None:
        """The recorded order is ours from one of the starts."""
        (seen,) = self.of("round robin")
        hosts = hosts_of("rr-only")
        orders = [self.order(hosts, seed, len(seen["observed"])) for seed in range(len(hosts))]
        self.assertEqual(orders.count(seen["observed"]), 1)

    def test_weighted_round_robin(self) -> None:
        """Each recorded weighted order is ours from one of the phases."""
        for seen in self.of("edf"):
            hosts = hosts_of(seen["virtual_host"])
            self.assertEqual([host.weight for host in hosts], seen["given"]["weights"])
            recorded = [hosts[index].key for index in seen["given"]["sequence"]]
            phases = range(sum(host.weight for host in hosts))
            self.assertIn(recorded, [self.order(hosts, seed, len(recorded)) for seed in phases], seen["name"])

    def order(self, hosts: Sequence[Host], seed: int, count: int) -> list[str]:
        balancer = RoundRobin(hosts, seed)
        return [balancer.pick(0, 0).key for _ in range(count)]

    def test_least_request(self) -> None:
        """Idle hosts share 800 requests within the recorded bounds."""
        self.assertEqual(len(self.of("least request")), 1)
        source, balancer = Random(1), LeastRequest(hosts_of("lr-idle"), 0)
        picked = Counter(choose(balancer, source.getrandbits(64), (), _idle) for _ in range(800))
        self.assertEqual(len(picked), 4)
        self.assertTrue(all(140 <= count <= 260 for count in picked.values()), picked)

    def test_only_degraded_hosts(self) -> None:
        """A ring has no degraded hosts, and no panic helps, so there is none to pick."""
        self.assertEqual(self.of("only degraded hosts")[0]["observed"], [503, "no healthy upstream"])
        hosts = [{"address": host.key, "health": "DEGRADED"} for host in hosts_of("degraded-RING_HASH")]
        self.assertIsNone(_picked(_balancer_of({"lb": {"policy": "RING_HASH"}, "hosts": hosts}), xxh64(b"u")))

    def test_panic(self) -> None:
        """With all hosts unhealthy the ring has all of them."""
        (seen,) = self.of("all unhealthy")
        hosts = [{"address": host.key, "health": "UNHEALTHY"} for host in hosts_of("unhealthy-panic")]
        balancer = _balancer_of({"lb": {"policy": "RING_HASH"}, "hosts": hosts})
        self.assertEqual([_picked(balancer, xxh64(b"u%d" % number)) for number in range(20)], seen["observed"])

    def test_bounded_load(self) -> None:
        """Requests that stay in flight pile up on the hosts as recorded."""
        for seen in self.of("bounded"):
            balancer = _balancer(seen["virtual_host"])
            self.assertEqual([host.weight for host in hosts_of(seen["virtual_host"])], seen["given"]["weights"])
            active: Counter[Host] = Counter()
            for key, expected in seen["observed"]:
                host = choose(balancer, xxh64(key.encode()), (), active.__getitem__)
                self.assertEqual(host.key, expected, (seen["name"], key, active))
                active[host] += 1
