"""Documents that can have no effect here: what is not served in them stops no load."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, warnings
from tests.config.routing import TO_APP, virtual_service

HTTPS = "{hosts: [a.com], port: {number: 443, name: a, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}}"
TLS = "tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: app.test}}]}]"
HOSTS = "hosts: [a.com]"


class NoEffectTests(SynchronousTestCase):
    def test_gateways_for_other_proxies(self) -> None:
        """A gateway whose selector does not match may have any server; that it is not opened is said."""
        text = istio("Gateway", "other", f"selector: {{istio: egress}}\nservers: [{HTTPS}]")
        self.assertEqual([listener.port for listener in compiled(GATEWAY, SERVICE, ROUTE, text).listeners], [80])
        self.assertIn("Gateway default/other is not opened", " ".join(warnings(GATEWAY, text)))
        own = istio("Gateway", "other", f"selector: {{istio: ingressgateway}}\nservers: [{HTTPS}]")
        self.assertIn("protocol HTTPS of a gateway's port is not served yet", " ".join(errors(GATEWAY, own)))

    def test_virtual_services_for_others(self) -> None:
        """So may a virtual service for the mesh, for unknown gateways, or hidden from here; each is warned about."""
        other = istio("Gateway", "other", f"selector: {{istio: egress}}\nservers: [{HTTPS}]")
        for spec, part in (
            (f"{HOSTS}\n{TLS}", "is for sidecars only"),
            (f"{HOSTS}\ngateways: [mesh]\n{TLS}", "is for sidecars only"),
            (f"{HOSTS}\ngateways: [nobody]\n{TLS}", "there is no Gateway default/nobody"),
            (f"{HOSTS}\ngateways: [other]\n{TLS}", "Gateway default/other is not opened"),
            (f"{HOSTS}\ngateways: [gw]\nexportTo: [.]\n{TLS}", "its exportTo hides it"),
        ):
            text = virtual_service(spec)
            self.assertEqual(errors(GATEWAY, SERVICE, other, text), [], spec)
            self.assertIn(part, " ".join(warnings(GATEWAY, SERVICE, other, text)))

    def test_virtual_services_for_this_proxy(self) -> None:
        """One that this proxy may use has to be served whole."""
        text = virtual_service(f"{HOSTS}\ngateways: [mesh, gw]\n{TLS}\nhttp: [{{{TO_APP}}}]")
        (found,) = errors(GATEWAY, SERVICE, text)
        self.assertIn("spec.tls is not served yet", found)

    def test_what_is_wrong_counts(self) -> None:
        """What Istio refuses is an error, whether the document has an effect or not."""
        wrong = istio("Gateway", "other", f"selector: {{istio: egress}}\nservers: [{HTTPS.replace('SIMPLE', 'NONE')}]")
        self.assertEqual(len(errors(GATEWAY, wrong)), 1)
        text = virtual_service(f"{HOSTS}\n{TLS.replace('sniHosts', 'hosts')}")
        self.assertTrue(errors(GATEWAY, text))
