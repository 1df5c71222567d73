"""Routes that answer themselves: redirects and direct responses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import DirectResponse, HeaderOperations, Redirect, Route
from tests.fakes import Response, Wire, answer, read_responses, snapshot

GET = b"GET /foo/bar?z=1 HTTP/1.1\r\nHost: h:80\r\n\r\n"


class AnswerTests(SynchronousTestCase):
    def asked(self, route: Route, request: bytes = GET, trusted_proxies: int = 0) -> Response:
        self.wire = Wire(snapshot(routes=[route], trusted_proxies=trusted_proxies))
        self.client = self.wire.client()
        self.client.send(request)
        (response,) = read_responses(self.client.take(), lambda _: request.startswith(b"HEAD"))
        (exchange,) = self.wire.log.exchanges
        self.assertEqual((exchange.flags, exchange.details), (b"", b"direct_response"))
        return response

    def test_redirect(self) -> None:
        """A redirect has a place, no body, and leaves the connection open."""
        response = self.asked(answer(Redirect(302, path="/new/", prefix_length=5)))
        self.assertEqual((response.status, response[b"location"]), (302, b"http://h:80/new/bar?z=1"))
        self.assertEqual((response[b"content-length"], response.values(b"content-type")), (b"0", []))
        self.assertFalse(self.client.closing)

    def test_to_https(self) -> None:
        """The redirect of a whole host to https keeps the port, for every method."""
        to_https = answer(Redirect(scheme="https", keep_port=True))
        self.assertEqual(self.asked(to_https)[b"location"], b"https://h:80/foo/bar?z=1")
        post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
        self.assertEqual(self.asked(to_https, post)[b"location"], b"https://h/")

    def test_scheme_of_a_trusted_proxy(self) -> None:
        """A redirect that names no scheme keeps the one that a trusted proxy told of."""
        for spelled in (b"HTTPS", b"https"):
            request = GET[:-2] + b"X-Forwarded-Proto: " + spelled + b"\r\n\r\n"
            self.assertEqual(self.asked(answer(Redirect(path="/n")), request, 1)[b"location"], b"https://h:80/n?z=1")
        self.assertEqual(self.asked(answer(Redirect(path="/n")), request)[b"location"], b"http://h:80/n?z=1")

    def test_direct_response(self) -> None:
        """Status and body as configured; text/plain."""
        response = self.asked(answer(DirectResponse(418, b"teapot")))
        self.assertEqual((response.status, response.body, response[b"content-type"]), (418, b"teapot", b"text/plain"))

    def test_without_body(self) -> None:
        """Without a body there is no type; 204 and 304 have no length either, nor a body that is configured."""
        response = self.asked(answer(DirectResponse(200)))
        self.assertEqual((response[b"content-length"], response.values(b"content-type")), (b"0", []))
        for action in (DirectResponse(204), DirectResponse(304, b"x")):
            response = self.asked(answer(action))
            self.assertEqual((response.values(b"content-length"), response.values(b"content-type")), ([], []))

    def test_place(self) -> None:
        """A direct response that creates or redirects has the place of the request, unless an operation sets one."""
        for status in (201, 302, 304):
            response = self.asked(answer(DirectResponse(status)))
            self.assertEqual(response.values(b"location"), [b"http://h:80/foo/bar?z=1"])
        self.assertEqual(self.asked(answer(DirectResponse(200))).values(b"location"), [])
        elsewhere = HeaderOperations(set=((b"location", "/else"),))
        response = self.asked(answer(DirectResponse(302), response_headers=(elsewhere,)))
        self.assertEqual(response.values(b"location"), [b"/else"])

    def test_type(self) -> None:
        """The type of a body is text where operations leave it without one; without a body there is none."""
        removing = HeaderOperations(remove=(b"content-type",))
        adding = HeaderOperations(add=((b"content-type", "text/x"), (b"x-d", "%RESPONSE_CODE_DETAILS%")))
        response = self.asked(answer(DirectResponse(200, b"hi"), response_headers=(removing,)))
        self.assertEqual(response.values(b"content-type"), [b"text/plain"])
        response = self.asked(answer(DirectResponse(200, b"hi"), response_headers=(adding,)))
        self.assertEqual((response.values(b"content-type"), response[b"x-d"]), ([b"text/x"], b"direct_response"))
        for action in (DirectResponse(200), DirectResponse(204), Redirect(path="/")):
            response = self.asked(answer(action, response_headers=(adding,)))
            self.assertEqual(response.values(b"content-type"), [])

    def test_head(self) -> None:
        """An answer to HEAD has the length of the body that it leaves out."""
        response = self.asked(answer(DirectResponse(200, b"hello")), GET.replace(b"GET", b"HEAD"))
        self.assertEqual((response[b"content-length"], self.wire.log.exchanges[0].bytes_sent), (b"5", 0))

    def test_header_operations(self) -> None:
        """The route's operations on response headers apply; the status is not known to them yet."""
        operations = HeaderOperations(
            set=((b"content-type", "text/html"), (b"x-d", "%RESPONSE_CODE%"), (b"server", "mine")),
            remove=(b"location",),
        )
        response = self.asked(answer(DirectResponse(200, b"hi"), response_headers=(operations,)))
        self.assertEqual((response[b"content-type"], response[b"x-d"]), (b"text/html", b"0"))
        self.assertEqual(response[b"server"], b"istio-envoy")
        response = self.asked(answer(Redirect(path="/"), response_headers=(operations,)))
        self.assertEqual(response.values(b"location"), [])
