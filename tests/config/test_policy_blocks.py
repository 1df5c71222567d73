"""Tests for the blocks of a traffic policy that are not served yet: their content is checked all the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, errors, istio, warnings


def rule(policy: str) -> tuple[str, ...]:
    return GATEWAY, SERVICE, ROUTE, istio("DestinationRule", "dr", f"host: app.test\ntrafficPolicy: {{{policy}}}")


def refusals(policy: str) -> list[str]:
    """The errors but for those that something is not served yet, of which there has to be one."""
    found = errors(*rule(policy))
    refused = [it for it in found if "is not served yet" not in it]
    assert len(refused) < len(found), found
    return refused


class BlockTests(SynchronousTestCase):
    def test_right(self) -> None:
        """Blocks with all of their fields are refused for nothing but that they are not served."""
        for policy in (
            "tls: {mode: MUTUAL, clientCertificate: /a, privateKey: /b, caCertificates: /c, sni: a,"
            " subjectAltNames: [b]}",
            "tls: {mode: SIMPLE, credentialName: a, sni: b, subjectAltNames: [c]}",
            "tls: {mode: MUTUAL, credentialName: a, insecureSkipVerify: true}",
            "tls: {mode: DISABLE}",
            "tunnel: {protocol: POST, targetHost: a.b, targetPort: 1}",
            "proxyProtocol: {version: V2}",
            "loadBalancer: {zoneAwareLbSetting: {enabled: true, minClusterSize: 1, failoverPriority: [a]}}",
            "loadBalancer: {backendUtilization: {errorUtilizationPenaltyPercent: 1, weightUpdatePeriod: 1s}}",
            "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]",
        ):
            self.assertEqual(refusals(policy), [], policy)

    def test_wrong(self) -> None:
        """What Istio refuses about them is an error of its own, at each level."""
        for policy, part in (
            ("tls: {mode: MUTUAL, privateKey: /b}", "clientCertificate is required with mode MUTUAL"),
            ("tls: {mode: SIMPLE, credentialName: a, caCertificates: /c}", "caCertificates may not stand beside"),
            ("tls: {mode: SIMPLE, insecureSkipVerify: true, credentialName: a}", "beside insecureSkipVerify"),
            ("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}", "beside insecureSkipVerify"),
            ("tls: {mode: simple}", "did you mean 'SIMPLE'?"),
            ("tunnel: {targetHost: a.b}", "targetPort is required"),
            ("tunnel: {protocol: GET, targetHost: a.b, targetPort: 1}", "protocol must not be 'GET'"),
            ("tunnel: {targetHost: '*.b', targetPort: 1}", "must be a host name or an IP address"),
            ("tunnel: {targetHost: a.b, targetPort: 1}, proxyProtocol: {}", "only one of tunnel and proxyProtocol"),
            ("proxyProtocol: {version: V3}", "version must not be 'V3'"),
            ("loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}", "only one of localityLbSetting and"),
            ("portLevelSettings: [{port: {number: 80}, tls: {mode: MUTUAL, privateKey: a}}]", "clientCertificate is"),
        ):
            found = refusals(policy)
            self.assertEqual(len(found), 1, (policy, found))
            self.assertIn(part, found[0])

    def test_unverified(self) -> None:
        """TLS that does not say who vouches for servers, at both levels; a credential does for selected proxies."""
        port = "portLevelSettings: [{port: {number: 80}, tls: {%s}}]"
        for policy, code in (
            ("tls: {mode: SIMPLE}", "IST0128"),
            ("tls: {mode: SIMPLE, credentialName: a}", "IST0128"),
            ("tls: {mode: MUTUAL, clientCertificate: /a, privateKey: /b, caCertificates: ''}", "IST0128"),
            (port % "mode: SIMPLE", "IST0129"),
        ):
            (found,) = [it for it in warnings(*rule(policy)) if "IST012" in it]
            self.assertIn(f"tls names no caCertificates to verify servers with [{code}]", found)
        selecting = "\n  workloadSelector: {matchLabels: {istio: ingressgateway}}"
        for policy in ("tls: {mode: SIMPLE, caCertificates: /a}", "tls: {mode: DISABLE}", port % "mode: ISTIO_MUTUAL"):
            self.assertNotIn("IST012", " ".join(warnings(*rule(policy))))
        *others, text = rule("tls: {mode: SIMPLE, credentialName: a}")
        self.assertNotIn("IST012", " ".join(warnings(*others, text.replace("\n---", f"{selecting}\n---"))))
