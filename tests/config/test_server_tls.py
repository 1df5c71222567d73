"""Tests for the ``tls`` block of a gateway's server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import errors, istio, warnings

FILES = "serverCertificate: /c, privateKey: /k"


def server(protocol: str, tls: str) -> str:
    port = f"{{number: 443, name: a, protocol: {protocol}}}"
    return istio("Gateway", "gw", f"servers:\n- {{hosts: [a.com], port: {port}, tls: {{{tls}}}}}")


def refused(protocol: str, tls: str) -> list[str]:
    """The errors but for the one that such servers are not served."""
    return [it for it in errors(server(protocol, tls)) if "is not served yet" not in it]


class TlsTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        """What Istio accepts has no error but that it is not served."""
        for protocol, tls in (
            ("HTTP", "httpsRedirect: true, mode: PASSTHROUGH"),
            ("HTTPS", ""),
            ("HTTPS", f"mode: SIMPLE, {FILES}"),
            ("HTTPS", "mode: MUTUAL, credentialName: c"),
            ("HTTPS", "mode: OPTIONAL_MUTUAL, credentialNames: [a, b]"),
            ("TLS", f"mode: MUTUAL, {FILES}, caCertificates: /a, caCrl: /r"),
            ("HTTPS", f"mode: SIMPLE, tlsCertificates: [{{{FILES}}}]"),
            ("HTTPS", "mode: ISTIO_MUTUAL"),
            ("HTTPS", "mode: SIMPLE, credentialName: c, cipherSuites: [ECDHE-RSA-AES128-SHA, ALL, '-X']"),
        ):
            self.assertEqual(refused(protocol, tls), [], (protocol, tls))
            self.assertNotIn("IST0133", " ".join(warnings(server(protocol, tls))), (protocol, tls))

    def test_refused(self) -> None:
        """What Istio refuses is refused."""
        for protocol, tls, parts in (
            ("HTTP", "mode: SIMPLE, credentialName: c", ["protocol HTTP is plain text"]),
            ("HTTP", "credentialName: c", ["protocol HTTP is plain text"]),
            ("TCP", "mode: SIMPLE, credentialName: c", ["tls is not for protocol TCP"]),
            ("HTTPS", "mode: TLS", ["tls.mode must not be 'TLS'"]),
            ("HTTPS", "mode: SIMPLE", ["serverCertificate is required", "privateKey is required"]),
            ("HTTPS", "mode: SIMPLE, serverCertificate: /c", ["privateKey is required"]),
            ("HTTPS", f"mode: MUTUAL, {FILES}", ["caCertificates is required"]),
            ("HTTPS", f"mode: OPTIONAL_MUTUAL, {FILES}", ["caCertificates is required"]),
            ("HTTPS", f"mode: SIMPLE, credentialName: c, {FILES}", ["only one source of certificates"]),
            ("HTTPS", "mode: SIMPLE, credentialName: c, credentialNames: [d]", ["only one source of certificates"]),
            ("HTTPS", f"mode: SIMPLE, tlsCertificates: [{{{FILES}}}], {FILES}", ["only one source of certificates"]),
            ("HTTPS", "mode: SIMPLE, credentialNames: [a, b, c]", ["must have one or two entries"]),
            ("HTTPS", "mode: SIMPLE, tlsCertificates: [{serverCertificate: /c}]", ["privateKey is required"]),
            ("HTTPS", "mode: ISTIO_MUTUAL, serverCertificate: /c", ["has certificates of its own"]),
            ("HTTPS", f"mode: SIMPLE, {FILES}, caCrl: /r", ["caCrl is not for mode SIMPLE"]),
            ("HTTPS", "mode: MUTUAL, credentialName: c, caCrl: /r", ["caCrl is not for credentialName"]),
            ("HTTPS", "minProtocolVersion: TLS1", ["minProtocolVersion must not be 'TLS1'"]),
            ("HTTPS", "cipherSuites: [1]", ["must be a string"]),
            ("HTTPS", "colour: red", ["has no field 'colour'"]),
        ):
            found = refused(protocol, tls)
            self.assertEqual(len(found), len(parts), (tls, found))
            for part, text in zip(parts, found, strict=True):
                self.assertIn(part, text)

    def test_warned_about(self) -> None:
        """What Istio warns about is a warning with its code."""
        for tls, part in (
            ("mode: SIMPLE, credentialName: c, httpsRedirect: true", "httpsRedirect has no effect"),
            ("mode: PASSTHROUGH, credentialName: c", "mode PASSTHROUGH uses no certificates"),
            ("mode: SIMPLE, credentialName: c, cipherSuites: [nope]", "is no cipher suite"),
            ("mode: SIMPLE, credentialName: c, cipherSuites: [AES128-SHA, AES128-SHA]", "is there twice"),
            ("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_1", "no effect without cipherSuites"),
        ):
            found = [it for it in warnings(server("HTTPS", tls)) if "[IST0133]" in it]
            self.assertEqual(len(found), 1, (tls, found))
            self.assertIn(part, found[0])

    def test_wrong_port(self) -> None:
        """A protocol that is wrong itself is all that is said."""
        self.assertEqual(len(refused("KAFKA", "mode: SIMPLE")), 1)
