"""Formats of access logs: each operator, texts and JSON, escapes."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http import operators
from meshproxy.http.logformats import LineFormat
from meshproxy.model import ISTIO_JSON_FORMAT, ISTIO_TEXT_FORMAT
from meshproxy.operators import IN_LOGS, NEEDS_ARGUMENTS, NEVER_KNOWN
from tests.fakes import Wire, route, snapshot
from tests.http.test_accesslog import exchange
from tests.packaging.checkout import ROOT
from tests.properties import steady

_HEADERS = {b"x-a": [b"one", b"two"], b"x-path": [b"/p?q"], b"referer": [b'"']}


def described(**changes: Any) -> Any:
    """A finished exchange with request and response headers."""
    other: dict[str, Any] = {
        "header_values": lambda name: _HEADERS.get(name, []),
        "response_fields": [(b"content-type", b"text/html"), (b"x-b", b"1"), (b"x-b", b"2")],
        "remote": b"192.0.2.9:99",
        "source_ip": b"198.51.100.7",
        "request_ms": 4,
        "duration_ms": 20,
        "scheme": b"http",
    }
    return exchange(**{**other, **changes})


def text(format: str, **changes: Any) -> bytes:
    """A line in a text format, without its end."""
    line = LineFormat(format).line(described(**changes))
    assert line.endswith(b"\n"), line
    return line[:-1]


def record(format: Mapping[str, object], **changes: Any) -> Any:
    """A line in JSON, read."""
    line = LineFormat(format).line(described(**changes))
    assert line.endswith(b"\n"), line
    assert line.count(b"\n") == 1, line
    return json.loads(line)


class OperatorTests(SynchronousTestCase):
    def test_each(self) -> None:
        """What each operator shows of an exchange."""
        self.patch(os, "environ", {"POD": "a\nb"})
        for operator, expected in (
            ("ACCESS_LOG_TYPE", b"DownstreamEnd"),
            ("BYTES_RECEIVED", b"3"),
            ("BYTES_SENT", b"459"),
            ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", b"192.0.2.9:99"),
            ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", b"192.0.2.9"),
            ("DOWNSTREAM_LOCAL_ADDRESS", b"127.0.0.1:55351"),
            ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", b"127.0.0.1"),
            ("DOWNSTREAM_LOCAL_PORT", b"55351"),
            ("DOWNSTREAM_REMOTE_ADDRESS", b"127.0.0.1:45012"),
            ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", b"198.51.100.7"),
            ("DOWNSTREAM_REMOTE_PORT", b"45012"),
            ("DURATION", b"20"),
            ("ENVIRONMENT(POD)", rb"a\x0ab"),
            ("ENVIRONMENT(POD):1", b"a"),
            ("ENVIRONMENT(NONE)", b"-"),
            ("HOSTNAME", socket.gethostname().encode()),
            ("PROTOCOL", b"HTTP/1.1"),
            ("REQ(:AUTHORITY)", b"h.test"),
            ("REQ(:PATH):4", b"/any"),
            ("REQ(:SCHEME)", b"http"),
            ("REQ(X-A)", b"one"),
            ("REQ(none?X-A):2", b"on"),
            ("REQ(x-a?user-agent)", b"one"),
            ("REQ(none?user-agent)", b"probe/1"),
            ("REQ(none)", b"-"),
            ("REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)", b"/any/thing"),
            ("REQ_WITHOUT_QUERY(x-path)", b"/p"),
            ("REQUEST_DURATION", b"4"),
            ("RESP(Content-Type)", b"text/html"),
            ("RESP(X-B)", b"1"),
            ("RESP(none?x-b)", b"1"),
            ("RESP(:STATUS)", b"200"),
            ("RESP(SERVER)", b"istio-envoy"),
            ("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", b"11"),
            ("RESPONSE_CODE", b"200"),
            ("RESPONSE_CODE_DETAILS", b"via_upstream"),
            ("RESPONSE_DURATION", b"15"),
            ("RESPONSE_FLAGS", b"-"),
            ("RESPONSE_FLAGS_LONG", b"-"),
            ("RESPONSE_TX_DURATION", b"5"),
            ("ROUTE_NAME", b"main"),
            ("START_TIME", b"2026-11-23T04:04:24.296Z"),
            ("START_TIME(%Y/%m/%dT%H:%M:%S%z %s)", b"2026/11/23T04:04:24+0000 1795406664"),
            ("START_TIME(%s.%3f %1f %6f)", b"1795406664.296 2 296000"),
            ("STREAM_ID", b"16ae421e-0000-4000-8000-000000000000"),
            ("TRACE_ID", b"-"),
            ("UPSTREAM_CLUSTER", b"outbound|80||a.example"),
            ("UPSTREAM_CLUSTER_RAW", b"outbound|80||a.example"),
            ("UPSTREAM_HOST", b"127.0.0.1:50481"),
            ("UPSTREAM_HOST_NAME", b"127.0.0.1:50481"),
            ("UPSTREAM_LOCAL_ADDRESS", b"127.0.0.1:37394"),
            ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", b"127.0.0.1"),
            ("UPSTREAM_PROTOCOL", b"HTTP/1.1"),
            ("UPSTREAM_REMOTE_ADDRESS", b"127.0.0.1:50481"),
            ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", b"127.0.0.1"),
            ("UPSTREAM_REMOTE_PORT", b"50481"),
            ("UPSTREAM_REQUEST_ATTEMPT_COUNT", b"1"),
            ("UPSTREAM_TRANSPORT_FAILURE_REASON", b"-"),
        ):
            self.assertEqual(text(f"<%{operator}%>"), b"<%b>" % expected, operator)

    def test_nothing_was_reached(self) -> None:
        """Of an exchange without an endpoint there is less to tell."""
        nothing = {"upstream_host": b"", "upstream_local": b"", "service_ms": None, "status": 0, "flags": b"URX,UF"}
        for operator, expected in (
            ("RESP(SERVER)", b"-"),
            ("RESPONSE_CODE", b"0"),
            ("RESPONSE_DURATION", b"-"),
            ("RESPONSE_FLAGS", b"URX,UF"),
            ("RESPONSE_FLAGS_LONG", b"UpstreamRetryLimitExceeded,UpstreamConnectionFailure"),
            ("RESPONSE_TX_DURATION", b"-"),
            ("UPSTREAM_PROTOCOL", b"-"),
            ("UPSTREAM_REMOTE_PORT", b"-"),
            ("UPSTREAM_REQUEST_ATTEMPT_COUNT", b"1"),
        ):
            self.assertEqual(text(f"%{operator}%", **nothing), expected, operator)
        self.assertEqual(text("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", **nothing, upstream_cluster=b""), b"0")

    def test_time_of_writing(self) -> None:
        """EMIT_TIME is when the line is made."""
        self.patch(operators.time, "time", lambda: 1795406670.5)
        self.assertEqual(text("%EMIT_TIME% %EMIT_TIME(%s)%"), b"2026-11-23T04:04:30.500Z 1795406670")

    def test_every_known_operator_has_an_expression(self) -> None:
        """What the configuration takes without a warning is there, and nothing else."""
        known = set(operators._EXPRESSIONS) | (NEEDS_ARGUMENTS - NEVER_KNOWN) | {"START_TIME", "EMIT_TIME"}
        self.assertEqual(known, IN_LOGS)

    def test_documented(self) -> None:
        """The page for users names each operator."""
        page = (ROOT / "docs" / "observability.md").read_text()
        shown = set(re.findall(r"[A-Z_]{4,}|REQ", page))
        self.assertEqual({name.removesuffix("_WITHOUT_PORT") for name in IN_LOGS} - shown, set())

    def test_never_known(self) -> None:
        """What Envoy has and meshproxy has no value for is missing."""
        for name in NEVER_KNOWN:
            self.assertEqual(text(f"%{name}% %{name}(x:y):5%"), b"- -", name)
            self.assertEqual(record({"a": f"%{name}(x)%"}), {"a": None}, name)


class TextTests(SynchronousTestCase):
    def test_line_end(self) -> None:
        """A format that does not end a line is followed by a line end, as Istio does it."""
        self.assertEqual(LineFormat("x").line(described()), b"x\n")
        self.assertEqual(LineFormat("x\n").line(described()), b"x\n")

    def test_literals(self) -> None:
        """Literal text comes out as it is, whatever it is."""
        for source, expected in (
            ("100%% of %%d %RESPONSE_CODE%", b"100% of %d 200"),
            ('é \\ "%REQ(:METHOD)%"\t', 'é \\ "GET"\t'.encode()),
            ("a\n%REQ(:METHOD)%\nb", b"a\nGET\nb"),
        ):
            self.assertEqual(text(source), expected)

    def test_escapes(self) -> None:
        """A value that could end its field or line, or act on a terminal, is escaped, also beside such literals."""
        for value, expected in (
            (b'a"b', rb"a\x22b"),
            (b"a\\b", rb"a\x5cb"),
            (b"a\tb", rb"a\x09b"),
            (b"a\nb", rb"a\x0ab"),
            (b"\xe9", rb"\xe9"),
        ):
            self.assertEqual(text("%REQ(USER-AGENT)% é\\", user_agent=value), expected + " é\\".encode())
            self.assertEqual(text('"%ROUTE_NAME%"\t', route_name=value), b'"%b"\t' % expected)

    @steady
    @given(st.binary(max_size=12), st.binary(max_size=12))
    def test_any_value(self, agent: bytes, name: bytes) -> None:
        """The escaped form of each value stands alone between its quotes."""
        line = text('"%REQ(USER-AGENT)%" "%ROUTE_NAME%"', user_agent=agent, route_name=name)
        self.assertEqual(line.count(b'"'), 4)
        self.assertNotIn(b"\n", line)
        self.assertNotIn(b"\t", line)


class JsonTests(SynchronousTestCase):
    def test_istio(self) -> None:
        """Istio's keys, sorted; numbers are numbers, what is missing is null, no flag is a dash."""
        line = LineFormat(ISTIO_JSON_FORMAT).line(described(route_name=b""))
        self.assertEqual(
            line.decode(),
            '{"authority":"h.test","bytes_received":3,"bytes_sent":459,"connection_termination_details":null,'
            '"downstream_local_address":"127.0.0.1:55351","downstream_remote_address":"127.0.0.1:45012","duration":20,'
            '"method":"GET","path":"/any/thing?x=1","protocol":"HTTP/1.1",'
            '"request_id":"16ae421e-0000-4000-8000-000000000000","requested_server_name":null,"response_code":200,'
            '"response_code_details":"via_upstream","response_flags":"-","route_name":null,'
            '"start_time":"2026-11-23T04:04:24.296Z","upstream_cluster":"outbound|80||a.example",'
            '"upstream_host":"127.0.0.1:50481","upstream_local_address":"127.0.0.1:37394",'
            '"upstream_service_time":"11","upstream_transport_failure_reason":null,"user_agent":"probe/1",'
            '"x_forwarded_for":"192.0.2.2"}\n',
        )

    def test_values(self) -> None:
        """Any JSON is kept; operators are filled in in texts at whatever depth, and keep their type when alone."""
        source: dict[str, object] = {
            "z": {"code": "%RESPONSE_CODE%", "list": ["%REQ(x-a)%", 1.5, True, None, {}, []]},
            'é"': "100%% é",
            "a": "%REQ(:METHOD)% %RESPONSE_CODE% %REQ(none)% %RESPONSE_DURATION%",
            "empty": "",
            "none": "%REQ(none)%",
            "ms": "%RESPONSE_DURATION%",
        }
        expected = {
            "z": {"code": 200, "list": ["one", 1.5, True, None, {}, []]},
            'é"': "100% é",
            "a": "GET 200 - 15",
            "empty": "",
            "none": None,
            "ms": 15,
        }
        self.assertEqual(record(source), expected)
        self.assertEqual(record({"ms": "%RESPONSE_DURATION%"}, service_ms=None), {"ms": None})

    @steady
    @given(
        st.lists(st.sampled_from([b'"', b"null", b":null", b"\\", b"\t", b"\n", b"a", b"\xe9"])).map(b"".join),
        st.sampled_from([b"", b"null", b'"x"']),
        st.sampled_from([None, 5]),
    )
    def test_escapes(self, agent: bytes, name: bytes, service: int | None) -> None:
        """A value comes back as it was, whatever it is; bytes that are no UTF-8 as ``\\xXX``."""
        source = {"null": "null", "a": "%REQ(USER-AGENT)%", "b": "%ROUTE_NAME%", "c": "<%REQ(USER-AGENT)%>"}
        found = record({**source, "d": "%RESPONSE_DURATION%"}, user_agent=agent, route_name=name, service_ms=service)
        shown = agent.decode("utf-8", "backslashreplace")
        self.assertEqual(found["a"], shown or None)
        self.assertEqual(found["b"], name.decode() or None)
        self.assertEqual(found["c"], f"<{shown or '-'}>")
        self.assertEqual(found["null"], "null")


class ResponseHeaderTests(SynchronousTestCase):
    def fields(self, wire: Wire) -> dict[bytes, bytes]:
        return dict(wire.log.exchanges[-1].response_fields)

    def test_who_reads_them(self) -> None:
        """Only a format that reads other response headers than those at hand has them kept."""
        for source, reads in (
            (ISTIO_TEXT_FORMAT, False),
            (ISTIO_JSON_FORMAT, False),
            ("%RESP(:STATUS)% %REQ(x)%", False),
            ("%RESP(content-type)%", True),
            ({"a": {"b": "%RESP(server?x-b)%"}}, True),
        ):
            self.assertEqual(LineFormat(source).reads_response, reads, source)

    def test_kept(self) -> None:
        """They are those that the client gets: of an endpoint's response, and of the gateway's own."""
        wire = Wire()
        wire.log.reads_response = True
        wire.gateway.install(snapshot(routes=[route("/a")]))
        client, endpoint = wire.pair(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-B: c\r\nServer: secret\r\n\r\nx")
        (response,) = client.responses()
        self.assertEqual((response.status, response[b"x-b"], response.body), (200, b"c", b"x"))
        self.assertEqual(self.fields(wire)[b"x-b"], b"c")
        self.assertNotIn(b"server", self.fields(wire))
        client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.responses()[0].status, 404)
        self.assertEqual(self.fields(wire), {b"content-length": b"0"})
