"""Requests as people write them, and the heads that the gateway reads of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain import Asked, parse_asked


class ParsingTests(SynchronousTestCase):
    def test_url(self) -> None:
        """A method and a URL; the method is GET and the scheme http where they are left out."""
        for written, expected in (
            ("http://a.test/x?b=1", Asked("GET", "a.test", "/x?b=1", gateway_port=80)),
            ("POST https://a.test", Asked("POST", "a.test", "/", scheme="https", gateway_port=443)),
            ("a.test:8080/x?", Asked("GET", "a.test:8080", "/x?", gateway_port=8080)),
            ("a.test/x?to=http://b.test/", Asked("GET", "a.test", "/x?to=http://b.test/", gateway_port=80)),
            ("http://a.test:0/", Asked("GET", "a.test:0", "/", gateway_port=0)),
            ("http://[::1]:81/", Asked("GET", "[::1]:81", "/", gateway_port=81)),
        ):
            self.assertEqual(parse_asked(written), expected)

    def test_host_line(self) -> None:
        """A Host line names the host, as with curl, and the port stays that of the URL."""
        asked = parse_asked("http://127.0.0.1:8080/", ["Host: test.com", "X-A:b"])
        self.assertEqual(asked, Asked("GET", "test.com", "/", (("X-A", "b"),), gateway_port=8080))
        self.assertEqual(parse_asked("/x", ["host: test.com"]), Asked("GET", "test.com", "/x"))
        self.assertEqual(parse_asked("//x/y?z", ["host: test.com"]), Asked("GET", "test.com", "//x/y?z"))
        self.assertEqual(parse_asked("/x", ["host: a"], gateway_port=7).gateway_port, 7)

    def test_client(self) -> None:
        """The client is an address, with or without a port."""
        for written, address, peer in (
            ("10.0.0.7", "10.0.0.7", b"10.0.0.7:40000"),
            ("10.0.0.7:5", "10.0.0.7", b"10.0.0.7:5"),
            ("::1", "::1", b"[::1]:40000"),
            ("[FE80::1]:99", "fe80::1", b"[fe80::1]:99"),
        ):
            asked = parse_asked("http://a/", client=written)
            self.assertEqual((asked.address, asked.peer), (address, peer))

    def test_refused(self) -> None:
        """What is no request is told in a sentence."""
        for request, headers, client, message in (
            ("get http://a/", (), "", "no method"),
            ("GET http://a/b c", (), "", "percent-encoded"),
            ("GET http://a/\xe9", (), "", "percent-encoded"),
            ("ftp://a/", (), "", "no http://"),
            ("/x", (), "", "no host"),
            ("http://a/", ("nonsense",), "", "no header"),
            ("http://a/", ("a: b\r\nc: d",), "", "no header"),
            ("http://a/", ("bad name: b",), "", "no header"),
            ("http://a/", (), "here", "no address"),
            ("http://a/", (), "1.2.3.4:99999", "no address"),
            ("http://a:99999/", (), "", "out of range"),
        ):
            error = self.assertRaises(ValueError, parse_asked, request, headers, client)
            self.assertIn(message, str(error))
