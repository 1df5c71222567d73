"""The reference of fields has all fields that the decoders know, and no others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.fieldnames import known_fields
from tests.docs.tables import tables
from tests.packaging.checkout import ROOT

ISTIO = "networking.istio.io/v1"
CLOSED = {
    "Gateway": ISTIO,
    "VirtualService": ISTIO,
    "DestinationRule": ISTIO,
    "ServiceEntry": ISTIO,
    "WorkloadEntry": ISTIO,
    "Mesh": "meshproxy.dev/v1alpha1",
    "BackendPolicy": "meshproxy.dev/v1alpha1",
}
"""Kinds in which an unknown field is an error."""
KUBERNETES = {"Service": "v1", "EndpointSlice": "discovery.k8s.io/v1", "Endpoints": "v1", "Pod": "v1", "Secret": "v1"}
SAMPLES = {
    "Service": """
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: elsewhere.test}
""",
    "EndpointSlice": """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-x, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 9080}]
endpoints:
- addresses: [10.0.0.1]
  conditions: {ready: false, serving: true, terminating: true}
  targetRef: {kind: Pod, name: reviews-0, namespace: default}
""",
    "Endpoints": """
apiVersion: v1
kind: Endpoints
metadata: {name: reviews}
subsets:
- addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: reviews-0, namespace: default}}]
  ports: [{name: http, port: 9080}]
""",
}
UNSERVED_IN_USE = ("spec.tls", "spec.tcp")
"""Fields that are said not to be served only where a gateway would use them."""
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))


class ReferenceTests(SynchronousTestCase):
    def compare(self, kind: str, api_version: str, is_open: bool) -> None:
        """The page and the decoder say the same."""
        written = tables(PAGES)[kind]
        known = {
            path: served
            for path, served in known_fields(api_version, kind, is_open, SAMPLES.get(kind, "")).items()
            if path not in ("spec", "status", "items") and not (is_open and path.startswith("spec") and kind == "Pod")
        }
        # What is below a field that is not served is of no use to anybody yet.
        unserved = tuple(f"{path}{mark}" for path, status in written.items() if status == "not yet" for mark in ".[")
        shallow = {path for path in known if not path.startswith(unserved)}
        # Tables begin at a block, which the table before names.
        missing = sorted(path for path in shallow - set(written) if not _is_beginning(path, written))
        self.assertEqual(missing, [], "fields of the decoder that the page has not")
        self.assertEqual(sorted(set(written) - set(known)), [], "fields of the page that the decoder has not")
        for path, status in written.items():
            if kind == "VirtualService" and path in UNSERVED_IN_USE:
                continue
            self.assertEqual(status == "not yet", not known[path], f"{kind} {path} is {status} in the page")

    def test_istio(self) -> None:
        """Kinds of Istio, and meshproxy's own."""
        for kind, api_version in CLOSED.items():
            self.compare(kind, api_version, is_open=False)

    def test_kubernetes(self) -> None:
        """Kinds of Kubernetes."""
        for kind, api_version in KUBERNETES.items():
            self.compare(kind, api_version, is_open=True)


def _is_beginning(path: str, written: dict[str, str]) -> bool:
    return path.endswith(".any-key") and any(it.startswith(f"{path}.") for it in written)
