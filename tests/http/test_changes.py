"""What routes change: headers in both directions, paths and authorities, and what sees the changes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import (
    ALWAYS,
    CorsPolicy,
    Fault,
    Forward,
    HeaderOperations,
    Rewrite,
    Route,
    RouteMatch,
    TextMatch,
    WeightedDestination,
)
from tests.fakes import CountedCookie, FixedBalancer, Response, Wire, cluster, endpoints, route, snapshot

HEAD = b"GET /x/y?q=1 HTTP/1.1\r\nHost: h.test:80\r\n"


def levels(*operations: dict[str, Any]) -> tuple[HeaderOperations, ...]:
    """Levels of operations; values are given as mappings."""
    found = []
    for level in operations:
        given = {name: value if name == "remove" else tuple(value.items()) for name, value in level.items()}
        found.append(HeaderOperations(**given))
    return tuple(found)


class RequestCase(SynchronousTestCase):
    """A request through a route that changes it."""

    def sent(self, *operations: dict[str, Any], head: bytes = b"", rewrite: Rewrite | None = None) -> list[bytes]:
        """The lines of the head that the endpoint gets."""
        destination = {"request_headers": levels(*operations), "rewrite": rewrite}
        self.wire = Wire(snapshot(routes=[route(destination=destination, name="main")]))
        self.wire.client().send(HEAD + head + b"\r\n")
        return self.wire.accept().take().partition(b"\r\n\r\n")[0].split(b"\r\n")

    def values(self, lines: list[bytes], name: bytes) -> list[bytes]:
        return [line[len(name) + 2 :] for line in lines if line.startswith(name + b": ")]


class RequestHeaders(RequestCase):
    """``headers.request``."""

    def test_order(self) -> None:
        """Removing comes first, then setting, then adding; setting replaces all lines, adding adds one."""
        lines = self.sent(
            {"remove": (b"x-r", b"x-ra"), "set": {b"x-s": "S"}, "add": {b"x-a": "A", b"x-ra": "new", b"x-s": "more"}},
            head=b"X-S: 1\r\nX-s: 2\r\nX-A: old\r\nX-R: 1\r\nX-RA: old\r\n",
        )
        for name, values in (
            (b"x-s", [b"S", b"more"]),
            (b"x-a", [b"old", b"A"]),
            (b"x-r", []),
            (b"x-ra", [b"new"]),
        ):
            self.assertEqual(self.values(lines, name), values, name)

    def test_levels(self) -> None:
        """Levels are applied one after the other."""
        lines = self.sent({"set": {b"x-o": "1"}, "add": {b"x-a": "1"}}, {"set": {b"x-o": "2"}, "add": {b"x-a": "2"}})
        self.assertEqual((self.values(lines, b"x-o"), self.values(lines, b"x-a")), ([b"2"], [b"1", b"2"]))

    def test_joined(self) -> None:
        """Adding to a header that is one value joins it."""
        lines = self.sent({"add": {b"accept": "b", b"x-forwarded-for": "9.9.9.9"}}, head=b"Accept: a\r\n")
        self.assertEqual(self.values(lines, b"accept"), [b"a,b"])
        self.assertEqual(self.values(lines, b"x-forwarded-for"), [b"198.51.100.1,9.9.9.9"])
        lines = self.sent({"add": {b"accept": "b"}}, head=b"Accept:\r\n")
        self.assertEqual(self.values(lines, b"accept"), [b"b"])

    def test_values(self) -> None:
        """Values are templates over the request as it was; an empty outcome neither adds nor clears."""
        lines = self.sent(
            {
                "remove": (b"x-gone",),
                "set": {b"x-p": "%REQ(:PATH)%|%REQ(X-IN)%|%REQ(x-gone)%|%ROUTE_NAME%", b"x-keep": "%REQ(none)%"},
                "add": {b"x-none": "%REQ(none)%"},
            },
            head=b"X-In: in\r\nX-Gone: g\r\nX-Keep: kept\r\n",
            rewrite=Rewrite("/new", whole=True),
        )
        self.assertEqual(self.values(lines, b"x-p"), [b"/x/y?q=1|in||main"])
        self.assertEqual(self.values(lines, b"x-keep"), [b"kept"])
        self.assertEqual(self.values(lines, b"x-none"), [])

    def test_headers_of_the_gateway(self) -> None:
        """The gateway's own headers can be changed too, and the log tells what became of them."""
        lines = self.sent(
            {"remove": (b"x-forwarded-for",), "set": {b"x-request-id": "mine", b"user-agent": "ua"}},
        )
        self.assertEqual(self.values(lines, b"x-forwarded-for"), [])
        self.assertEqual(self.values(lines, b"x-request-id"), [b"mine"])
        self.assertEqual(self.values(lines, b"x-envoy-attempt-count"), [b"1"])
        self.wire.gateway.drain(0)
        next(iter(self.wire.gateway.factory(("", 80)).connections)).connectionLost()
        (exchange,) = self.wire.log.exchanges
        self.assertEqual((exchange.forwarded_for, exchange.request_id, exchange.user_agent), (b"", b"mine", b"ua"))

    def test_count_of_tries(self) -> None:
        """Operations on the number of the try apply; another try has its number whatever they say."""
        name = b"x-envoy-attempt-count"
        self.assertEqual(self.values(self.sent({"remove": (name,)}), name), [])
        self.assertEqual(self.values(self.sent({"add": {name: "A"}}), name), [b"1,A"])
        destination = {"request_headers": levels({"set": {name: "mine"}})}
        wire = Wire(snapshot(cluster(2), routes=[route(destination=destination)]))
        wire.client().send(HEAD + b"\r\n")
        wire.refuse()
        wire.reactor.advance(0.025)
        lines = wire.accept().take().partition(b"\r\n\r\n")[0].split(b"\r\n")
        self.assertEqual(self.values(lines, name), [b"2"])

    def test_framing_stays(self) -> None:
        """What frames the message is not changed, whatever the operations say."""
        changes = {"remove": (b"content-length", b"host"), "set": {b"transfer-encoding": "chunked", b":path": "/"}}
        lines = self.sent(changes, head=b"Content-Length: 3\r\n")
        self.assertEqual(lines[:2], [b"GET /x/y?q=1 HTTP/1.1", b"host: h.test:80"])
        self.assertEqual(self.values(lines, b"content-length"), [b"3"])
        self.assertEqual(self.values(lines, b"transfer-encoding"), [])

    def test_hash_keys_see_the_changes(self) -> None:
        """A strategy sees headers, path and authority as the endpoint will."""
        key = CountedCookie()
        destination = {
            "request_headers": levels({"remove": (b"x-gone",), "set": {b"x-user": "changed"}}),
            "rewrite": Rewrite("/new", whole=True, authority="new.test"),
        }
        balancer = FixedBalancer(endpoints(), uses_hash=True)
        routes = [route(destination=destination, hash_policy=(key,))]
        Wire(snapshot(cluster(balancer=balancer), routes=routes)).client().send(
            HEAD + b"X-User: 1\r\nX-Gone: 1\r\n\r\n"
        )
        (request,) = key.requests
        for name, values in (
            (b"x-user", [b"changed"]),
            (b"x-gone", []),
            (b":path", [b"/new?q=1"]),
            (b"host", [b"new.test"]),
            (b"x-envoy-original-path", [b"/x/y?q=1"]),
            (b"x-forwarded-for", [b"198.51.100.1"]),
        ):
            self.assertEqual(list(request.header_values(name)), values, name)

    def test_chunked_body(self) -> None:
        """A changed request's body is framed as any other."""
        destination = {"request_headers": levels({"set": {b"x-s": "1"}})}
        wire = Wire(snapshot(routes=[route(destination=destination)]))
        wire.client().send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        head, _, body = wire.accept().take().partition(b"\r\n\r\n")
        self.assertEqual(head.count(b"transfer-encoding: chunked"), 1)
        self.assertEqual(body, b"1\r\nx\r\n0\r\n\r\n")


class Rewrites(RequestCase):
    """``rewrite``."""

    def test_path(self) -> None:
        """The path changes, the query stays, and the endpoint hears of both."""
        lines = self.sent(rewrite=Rewrite("/n", prefix_length=2))
        self.assertEqual(lines[0], b"GET /n/y?q=1 HTTP/1.1")
        self.assertEqual(self.values(lines, b"x-envoy-original-path"), [b"/x/y?q=1"])
        self.assertEqual(self.values(lines, b"x-envoy-original-host"), [])

    def test_regex_without_a_match(self) -> None:
        """The original path is told also where the expression changed nothing."""
        lines = self.sent(rewrite=Rewrite(regex="zzz", substitution=""))
        self.assertEqual(lines[0], b"GET /x/y?q=1 HTTP/1.1")
        self.assertEqual(self.values(lines, b"x-envoy-original-path"), [b"/x/y?q=1"])

    def test_authority(self) -> None:
        """The authority is replaced, and the old one told."""
        lines = self.sent(rewrite=Rewrite(authority="new.test"))
        self.assertEqual(lines[1], b"host: new.test")
        self.assertEqual(self.values(lines, b"x-envoy-original-host"), [b"h.test:80"])

    def test_log(self) -> None:
        """The log has the path as it was and the authority as it became."""
        destination = {"rewrite": Rewrite("/new", whole=True, authority="new.test")}
        wire = Wire(snapshot(routes=[route(destination=destination)]))
        _, endpoint = wire.pair(HEAD + b"\r\n")
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        (exchange,) = wire.log.exchanges
        self.assertEqual((exchange.original_path, exchange.authority), (b"/x/y?q=1", b"new.test"))


class ResponseHeaders(SynchronousTestCase):
    """``headers.response``."""

    def got(self, *operations: dict[str, Any], head: bytes = b"", **forward: Any) -> Response:
        destination = {"response_headers": levels(*operations)}
        wire = Wire(snapshot(routes=[route(destination=destination, **forward)]))
        client, endpoint = wire.pair(HEAD + b"X-In: in\r\n\r\n")
        endpoint.send(b"HTTP/1.1 201 OK\r\nContent-Length: 2\r\n" + head + b"\r\nok")
        (response,) = client.responses()
        self.assertEqual((response.status, response.body), (201, b"ok"))
        return response

    def test_operations(self) -> None:
        """Removing, setting and adding, in that order, over the endpoint's headers and the gateway's."""
        response = self.got(
            {
                "remove": (b"x-r", b"x-envoy-upstream-service-time"),
                "set": {b"x-s": "%REQ(x-in)%-%RESP(x-old)%-%RESPONSE_CODE%", b"content-type": "text/x"},
                "add": {b"set-cookie": "n=1", b"x-none": "%REQ(none)%"},
            },
            head=b"X-R: 1\r\nX-Old: o\r\nContent-Type: text/html\r\nSet-Cookie: o=1\r\nX-S: 1\r\n",
        )
        for name, values in (
            (b"x-s", [b"in-o-201"]),
            (b"content-type", [b"text/x"]),
            (b"set-cookie", [b"o=1", b"n=1"]),
            (b"x-r", []),
            (b"x-none", []),
            (b"x-envoy-upstream-service-time", []),
            (b"content-length", [b"2"]),
        ):
            self.assertEqual(response.values(name), values, name)

    def test_server_and_date(self) -> None:
        """Both are written last: a server cannot be set, a removed date comes back."""
        response = self.got(
            {"remove": (b"date", b"content-length"), "set": {b"server": "mine"}},
            head=b"Date: then\r\nServer: theirs\r\n",
        )
        self.assertEqual(response[b"server"], b"istio-envoy")
        self.assertNotEqual(response[b"date"], b"then")

    def test_server_of_the_endpoint(self) -> None:
        """Other headers may tell what the endpoint's server is."""
        response = self.got({"set": {b"x-s": "%RESP(SERVER)%"}}, head=b"Server: theirs\r\n")
        self.assertEqual((response[b"x-s"], response.values(b"server")), (b"theirs", [b"istio-envoy"]))

    def test_joined(self) -> None:
        """Adding to a header that is one value joins it."""
        response = self.got({"add": {b"location": "/b"}}, head=b"Location: /a\r\n")
        self.assertEqual(response.values(b"location"), [b"/a,/b"])

    def test_date_of_the_endpoint(self) -> None:
        """A date that is not removed stays."""
        self.assertEqual(self.got({"set": {b"x": "1"}}, head=b"Date: then\r\n").values(b"date"), [b"then"])

    def test_other_framing(self) -> None:
        """Chunked and empty responses are framed as without changes."""
        destination = {"response_headers": levels({"set": {b"x-s": "1"}})}
        wire = Wire(snapshot(routes=[route(destination=destination)]))
        client, endpoint = wire.pair(HEAD + b"\r\n")
        endpoint.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        (response,) = client.responses()
        self.assertEqual((response.body, response.complete, response[b"x-s"]), (b"ok", True, b"1"))
        client.send(HEAD + b"\r\n")
        endpoint.send(b"HTTP/1.1 204 No\r\n\r\n")
        (response,) = client.responses()
        self.assertEqual((response.status, response.values(b"content-length")), (204, []))

    def test_details(self) -> None:
        """An endpoint's response says that it is one."""
        self.assertEqual(
            self.got({"set": {b"x-s": "%RESP(:status)% %RESPONSE_CODE_DETAILS%"}})[b"x-s"], b"201 via_upstream"
        )


class OwnAnswers(SynchronousTestCase):
    """``headers.response`` where the gateway answers, because it cannot forward or must not."""

    SHOWN = "%RESP(:STATUS)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%PROTOCOL%"

    def asked(self, *operations: dict[str, Any], method: bytes = b"GET", fail: bool = True, **fields: Any) -> Response:
        destination = {"response_headers": levels(*operations or ({"set": {b"x-s": self.SHOWN}},))}
        wire = Wire(snapshot(routes=[route(destination=destination, **{"retries": None, **fields})]))
        client = wire.client()
        client.send(HEAD.replace(b"GET", method) + b"\r\n")
        if fail:
            wire.refuse()
        (response,) = client.responses()
        return response

    def test_failure(self) -> None:
        """Operations apply before the status is known; the body's type is text unless they set another one."""
        response = self.asked()
        why = b"remote_connection_failure|delayed_connect_error:_Connection_refused"
        details = b"upstream_reset_before_response_started{" + why + b"}"
        self.assertEqual((response.status, response[b"x-s"]), (503, b"503|0|UF|" + details + b"|HTTP/1.1"))
        self.assertEqual(response.values(b"content-type"), [b"text/plain"])
        response = self.asked({"add": {b"content-type": "text/html"}}, {"remove": (b"content-length",)})
        self.assertEqual(response.values(b"content-type"), [b"text/html"])
        self.assertEqual(response[b"content-length"], b"%d" % len(response.body))

    def test_no_cluster(self) -> None:
        """An answer without a body has no type."""
        response = self.asked({"set": {b"x-s": self.SHOWN, b"content-type": "text/x"}}, fail=False, to="unknown")
        self.assertEqual((response.status, response[b"x-s"]), (503, b"503|0|NC|cluster_not_found|HTTP/1.1"))
        self.assertEqual((response.values(b"content-type"), response[b"content-length"]), ([], b"0"))

    def test_abort(self) -> None:
        """A fault that aborts answers as the destination would have."""
        response = self.asked(fail=False, fault=Fault(abort_status=418, abort_share=ALWAYS))
        self.assertEqual((response.status, response[b"x-s"]), (418, b"418|0|FI|fault_filter_abort|HTTP/1.1"))

    def test_abort_of_several(self) -> None:
        """Among several destinations it is one that gets requests."""
        shown = {"response_headers": levels({"set": {b"x-s": "1"}})}
        several = Forward((WeightedDestination("other", 0), WeightedDestination("cluster", 1, **shown)))
        aborted = Route(RouteMatch(), several, fault=Fault(abort_status=418, abort_share=ALWAYS))
        wire = Wire(snapshot(routes=[aborted]))
        client = wire.client()
        client.send(HEAD + b"\r\n")
        self.assertEqual(client.responses()[0][b"x-s"], b"1")

    def test_overload(self) -> None:
        """What tells of an overload is no field of the route: it cannot be removed."""
        full = cluster(max_pending=0)
        destination = {"response_headers": levels({"remove": (b"x-envoy-overloaded",), "set": {b"x-s": "1"}})}
        wire = Wire(snapshot(full, routes=[route(destination=destination)]))
        client = wire.client()
        client.send(HEAD + b"\r\n")
        (response,) = client.responses()
        self.assertEqual((response.status, response[b"x-s"], response[b"x-envoy-overloaded"]), (503, b"1", b"true"))

    def test_preflight(self) -> None:
        """The answer to a preflight is that of CORS alone."""
        everyone = CorsPolicy((TextMatch(),))
        destination = {"response_headers": levels({"set": {b"x-s": "1"}})}
        wire = Wire(snapshot(routes=[route(destination=destination, cors=everyone)]))
        client = wire.client()
        head = HEAD.replace(b"GET", b"OPTIONS")
        client.send(head + b"Origin: o\r\nAccess-Control-Request-Method: GET\r\n\r\n")
        (response,) = client.responses()
        self.assertEqual((response[b"access-control-allow-origin"], response.values(b"x-s")), (b"o", []))
