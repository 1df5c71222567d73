"""A corpus of Istio's own documents, where it lies beside the checkout: what is accepted, what is refused, and why."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load, read
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Diagnostic, Severity
from meshproxy.model import ProxyIdentity
from tests.config.loading import bundled

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
EXAMPLES = "api/networking/v1alpha3/virtual_service.pb.html.examples"
# Istio ignores a field that it does not have, and takes some under a second name. For meshproxy, as for kubectl, both
# are errors.
UNKNOWN_FIELDS = {
    f"{EXAMPLES}/17.yaml": "prefix_rewrite",
    "istio/tests/testdata/config/rule-websocket-route.yaml": "websocketUpgrade",
}
# What no file of the corpus may find missing but these.
NOT_SERVED_YET = (
    r"protocol (HTTPS|TLS|TCP) of a gateway's port",
    r"spec\.(tls|tcp)",
    r"spec\.(subsets\.)?trafficPolicy\.(portLevelSettings\.)?(tls|outlierDetection)",
    r"spec\.(subsets\.)?trafficPolicy\.(portLevelSettings\.)?connectionPool\.http\.h2UpgradePolicy UPGRADE",
    r"spec\.(subsets\.)?trafficPolicy\.loadBalancer\.(simple: PASSTHROUGH|warmup|zoneAwareLbSetting)",
)
# Why the files are wrong, by name. Files with ``_err`` say it themselves, in the words below.
REASONS = {
    "specific-analyzer.yaml": ["spec.servers[0].port is required"] * 2,
    "authorizationpolicies.yaml": ["'*.kiali.io' cannot be looked up"],
    "condition-analyzer.yaml": ["spec is required"],
    "conflicting-gateways-invalid-port.yaml": ["spec.servers[0].port is required"] * 2,
    "conflicting-gateways-multiple-ports.yaml": ["spec.servers[1].port.name"] * 2,
    "deprecation.yaml": ["spec.http[0] needs route, redirect or directResponse"],
    "gateway-no-workload.yaml": ["spec.servers needs at least one server"],
    "virtualservice_destinationhosts.yaml": ["spec.hosts[0] may not be '*'", "destination is required"],
    "virtualservice_gateways.yaml": [
        *["spec.servers needs at least one server"] * 2,
        *["spec needs http, tcp or tls"] * 4,
        "host '*' is not allowed where a VirtualService is for the mesh",
    ],
    "virtualservice_host_not_found_gateway.yaml": ["spec.servers[1].port.name 'http' is there twice"],
    "virtualservice_host_not_found_gateway_beta.yaml": ["spec.servers[1].port.name 'http' is there twice"],
    "virtualservice_internal_gateway_ref.yaml": ["spec.gateways[0] must be NAME or NAMESPACE/NAME"],
    "missing-gateway.yaml": ["spec needs http, tcp or tls"],
}
STATED = {
    "spec.trafficPolicy.loadBalancer.warmup.minimumPercent: Invalid value": "warmup.minimumPercent must be between",
    "spec.trafficPolicy.loadBalancer.warmup.duration: Required value": "warmup.duration is required",
    "spec.trafficPolicy.loadBalancer.warmup.aggression: Invalid value": "warmup.aggression must be at least",
    "spec: Required value": "spec is required",
    "spec.hosts: Required value": "spec.hosts needs at least one host",
    "wildcard is not supported in selector": "spec.workloadSelector.labels.val may not have '*' in it",
    "only one of WorkloadSelector or Endpoints can be set": "spec may have only one of endpoints and workloadSelector",
    "hostname cannot be wildcard": "spec.hosts[0] may not be '*'",
    "CIDR addresses are allowed only for NONE/STATIC resolution types": "spec.addresses[0] may be a range only with",
    "Duplicate value": "spec.ports[1].name 'a' is there twice",
    "port number cannot be duplicated": "spec.ports[1].number 1 is there twice",
    "port must be between 1-65535": "65535, not 99999",
    "NONE mode cannot set endpoints": "resolution NONE has no endpoints",
    "DNS_ROUND_ROBIN mode cannot have multiple endpoints": "resolution DNS_ROUND_ROBIN has at most one endpoint",
    "Address is required": "spec.address is required",
    "UDS may not be a dir": "spec.address must be unix://",
    "UDS must be an absolute path or abstract socket": "spec.address must be unix://",
    "UDS may not include ports": "spec.ports: a unix socket has no ports",
    "spec.ports: Invalid value": "'@' in spec.ports is no name of a port",
}
# The codes of what Istio's validation warns about; all others are about how documents fit together.
VALIDATION = {"IST0002", "IST0130", "IST0131", "IST0133", "IST0134"}
# Rules of which the error does not name the field, since it is about a value that speaks for itself.
WITHOUT_FIELD = {
    *("gw-tls-simple-nocert", "dr-tls-mutual", "vs-star-mesh", "vs-star-gw-mesh", "vs-jwt-mesh"),
    *("se-dns-wild", "se-dnsrr-two", "se-multi-tcp"),
}


def found_in(sources: Sources) -> tuple[Diagnostic, ...]:
    """Everything that a load says."""
    try:
        return load(sources, bundled(), ProxyIdentity()).warnings
    except ConfigError as error:
        return error.diagnostics


def errors(found: tuple[Diagnostic, ...]) -> list[str]:
    """What is wrong with documents themselves: not that they serve nothing, nor what meshproxy lacks."""
    messages = [it.message for it in found if it.severity is Severity.ERROR]
    return [it for it in messages if not it.startswith("nothing to serve") and not it.endswith("is not served yet")]


def text_of(document: dict[str, Any]) -> Sources:
    return Sources((Source("document.yaml", yaml.safe_dump(document)),), "digest")


class CorpusTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not CORPUS.is_dir():
            raise SkipTest(f"there is no corpus at {CORPUS}")

    def test_valid_files(self) -> None:
        """What Istio accepts loads, or fails only because of the few things that are not served yet."""
        files = sorted(CORPUS.glob("valid/**/*.yaml"))
        self.assertEqual(len(files), 214)
        later = 0
        for file in files:
            found = found_in(read([file]))
            unknown = UNKNOWN_FIELDS.get(file.relative_to(CORPUS / "valid").as_posix())
            if unknown is None:
                self.assertEqual(errors(found), [], file)
            else:
                self.assertTrue(errors(found), file)
                self.assertEqual([it for it in errors(found) if not it.endswith(f"has no field {unknown!r}")], [], file)
            lacking = {it.message.removesuffix(" is not served yet") for it in found if "not served yet" in it.message}
            for what in {re.sub(r"\[\d+\]", "", it) for it in lacking}:
                self.assertTrue(any(re.fullmatch(known, what) for known in NOT_SERVED_YET), f"{what} of {file}")
            later += bool(lacking)
        self.assertLessEqual(later, 53)

    def test_invalid_files(self) -> None:
        """What Istio refuses is refused for its reason, and for no other one."""
        files = sorted(CORPUS.glob("invalid/**/*.yaml"))
        self.assertEqual(len(files), 19)
        for file in files:
            if file.name not in REASONS:
                continue
            found, reasons = errors(found_in(read([file]))), REASONS[file.name]
            self.assertEqual(len(found), len(reasons), (file, found))
            for reason, times in Counter(reasons).items():
                self.assertEqual(sum(reason in it for it in found), times, (file, reason, found))

    def test_stated_reasons(self) -> None:
        """Documents that say themselves why they are wrong are refused for that."""
        checked = 0
        for file in sorted(CORPUS.glob("invalid/**/*.yaml")):
            if file.name in REASONS:
                continue
            for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                if document is not None:
                    reason = STATED[document.pop("_err")]
                    found = errors(found_in(text_of(document)))
                    self.assertTrue(any(reason in it for it in found), (file, reason, found))
                    checked += 1
        self.assertEqual(checked, 44)

    def test_rules(self) -> None:
        """Row by row, a document for each rule of validation: an error, a warning, or neither."""
        with open(CORPUS / "rules.yaml", encoding="utf-8") as file:
            rules: list[dict[str, Any]] = yaml.load(file, Loader=yaml.CSafeLoader)
        verdicts: Counter[str] = Counter()
        for rule in rules:
            found = found_in(text_of(rule["document"]))
            warned = [str(it) for it in found if it.severity is Severity.WARNING and it.code in VALIDATION]
            verdict = "error" if errors(found) else "warning" if warned else "ok"
            self.assertEqual(verdict, rule["verdict"], (rule["id"], errors(found), warned))
            if verdict == "error" and rule["id"] not in WITHOUT_FIELD:
                field = rule["field"].rpartition(".")[2]
                self.assertEqual([it for it in errors(found) if field not in it], [], rule["id"])
            verdicts[verdict] += 1
        self.assertEqual(verdicts, {"ok": 40, "error": 178, "warning": 21})
