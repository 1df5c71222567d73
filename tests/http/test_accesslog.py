"""The access log: the default format field by field, what cannot be injected, and when it is written."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.accesslog import AccessLog
from meshproxy.http.counters import Counters
from meshproxy.model import ISTIO_JSON_FORMAT, ISTIO_TEXT_FORMAT
from tests.fakes import AtOnce, Wire, snapshot
from tests.properties import steady

# Few random bytes make a request that is accepted, so some texts are made of pieces that are.
_PIECES = (b'"', b"\\", b"\xe9", b"\t", b"x", b"%0a", b"[", b"'")
_TEXT = st.one_of(st.binary(max_size=20), st.lists(st.sampled_from(_PIECES), max_size=8).map(b"".join))


def exchange(**changes: Any) -> Any:
    """A finished exchange: that of the example in Envoy's documentation style."""
    fields: dict[str, Any] = {
        "started_at": 1795406664.296,
        "done": True,
        "attempt": 0,
        "method": b"GET",
        "protocol": b"HTTP/1.1",
        "path": b"/any/thing?x=1",
        "original_path": b"",
        "status": 200,
        "flags": b"",
        "details": b"via_upstream",
        "transport_failure": b"",
        "bytes_received": 3,
        "bytes_sent": 459,
        "duration_ms": 12,
        "service_ms": 11,
        "forwarded_for": b"192.0.2.2",
        "user_agent": b"probe/1",
        "request_id": b"16ae421e-0000-4000-8000-000000000000",
        "authority": b"h.test",
        "upstream_host": b"127.0.0.1:50481",
        "upstream_cluster": b"outbound|80||a.example",
        "upstream_local": b"127.0.0.1:37394",
        "local": b"127.0.0.1:55351",
        "logged_remote": b"127.0.0.1:45012",
        "route_name": b"main",
        "trace_id": b"",
    }
    return SimpleNamespace(**{**fields, **changes})


class LogCase(SynchronousTestCase):
    """A log in a file."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()
        self.counters = Counters()
        self.log = self.open(self.path)

    def open(self, path: str) -> AccessLog:
        return AccessLog.open(path, self.clock, self.counters, AtOnce())

    def written(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()

    def line(self, **changes: Any) -> bytes:
        """The line of one exchange."""
        self.log.exchange(exchange(**changes))
        self.log.flush()
        return self.written().splitlines(keepends=True)[-1]


class Format(LogCase):
    """Lines."""

    def test_every_field(self) -> None:
        """All fields of the default format, in order."""
        self.assertEqual(
            self.line(),
            b'[2026-11-23T04:04:24.296Z] "GET /any/thing?x=1 HTTP/1.1" 200 - via_upstream - "-" 3 459 12 11 '
            b'"192.0.2.2" "probe/1" "16ae421e-0000-4000-8000-000000000000" "h.test" "127.0.0.1:50481" '
            b"outbound|80||a.example 127.0.0.1:37394 127.0.0.1:55351 127.0.0.1:45012 - main\n",
        )

    def test_missing(self) -> None:
        """What there is none of is a dash."""
        line = self.line(
            status=0,
            flags=b"DC",
            details=b"",
            transport_failure=b"delayed_connect_error:_Connection_refused",
            service_ms=None,
            forwarded_for=b"",
            user_agent=b"",
            request_id=b"",
            authority=b"",
            upstream_host=b"",
            upstream_cluster=b"",
            upstream_local=b"",
            route_name=b"",
        )
        self.assertTrue(
            line.endswith(
                b'HTTP/1.1" 0 DC - - "delayed_connect_error:_Connection_refused" 3 459 12 - "-" "-" "-" "-" "-" - - '
                b"127.0.0.1:55351 127.0.0.1:45012 - -\n"
            ),
            line,
        )

    def test_unreadable_request(self) -> None:
        """A message that could not be read has no request."""
        self.assertIn(b'Z] "- - HTTP/1.1" 400 DPE ', self.line(method=b"", path=b"", status=400, flags=b"DPE"))

    def test_stamp(self) -> None:
        """Milliseconds have three digits and never round up to a second."""
        self.assertIn(b"T04:04:25.000Z]", self.line(started_at=1795406665.0))
        self.assertIn(b"T04:04:25.999Z]", self.line(started_at=1795406665.99999))

    def test_escaping(self) -> None:
        """Quotes, backslashes and what is not ASCII come out as ``\\xXX``."""
        line = self.line(user_agent=b'a"b\\\xe9', path=b'/"', forwarded_for=b'"')
        self.assertIn(rb'"a\x22b\x5c\xe9"', line)
        self.assertIn(rb'"GET /\x22 HTTP/1.1"', line)
        self.assertIn(rb' "\x22" "a', line)

    @steady
    @given(st.sampled_from((ISTIO_TEXT_FORMAT, ISTIO_JSON_FORMAT)), _TEXT, _TEXT, _TEXT, _TEXT)
    def test_no_injection(
        self, format: str | dict[str, object], path: bytes, agent: bytes, forwarded: bytes, authority: bytes
    ) -> None:
        """Whatever a client says, it makes one line with as many quoted fields as any other, or the same keys."""
        wire = Wire(snapshot(routes=[]))
        log = AccessLog(os.open(os.devnull, os.O_WRONLY), Clock(), os.devnull, Counters(), AtOnce())
        log.use(format)
        wire.gateway.access_log = log
        wire.client().send(
            b"GET /%b HTTP/1.1\r\nHost: %b\r\nUser-Agent: %b\r\nX-Forwarded-For: %b\r\n\r\n"
            % (path, authority, agent, forwarded)
        )
        lines = log._lines
        self.assertLessEqual(len(lines), 3)
        for line in lines:
            self.assertEqual((line.count(b"\n"), line[-1:]), (1, b"\n"))
            self.assertTrue(all(32 <= byte < 127 for byte in line[:-1]), line)
            if isinstance(format, str):
                self.assertEqual(line.count(b'"'), 14)
            else:
                self.assertEqual(list(json.loads(line)), list(ISTIO_JSON_FORMAT))
        log.close()


class Writing(LogCase):
    """When and where lines are written."""

    def test_within_a_second(self) -> None:
        """A line is written a second later at the latest, and only one timer runs."""
        self.log.exchange(exchange())
        self.log.exchange(exchange())
        self.assertEqual((self.written(), len(self.clock.getDelayedCalls())), (b"", 1))
        self.clock.advance(1)
        self.assertEqual(self.written().count(b"\n"), 2)
        self.log.exchange(exchange())
        self.clock.advance(1)
        self.assertEqual(self.written().count(b"\n"), 3)

    def test_full_block(self) -> None:
        """Many lines are written at once, before their second is over."""
        for _ in range(300):
            self.log.exchange(exchange())
        self.assertGreater(len(self.written()), 64 * 1024)

    def test_close(self) -> None:
        """Closing writes what waits and leaves no timer."""
        self.log.exchange(exchange())
        self.log.close()
        self.assertEqual(self.written().count(b"\n"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reopen(self) -> None:
        """After a rotation old lines are in the old file, new ones in a new file."""
        self.log.exchange(exchange())
        os.rename(self.path, self.path + ".1")
        self.log.reopen()
        self.log.exchange(exchange(path=b"/new"))
        self.log.flush()
        self.assertIn(b"/new", self.written())
        with open(self.path + ".1", "rb") as old:
            self.assertEqual(old.read().count(b"\n"), 1)

    def test_reopen_fails(self) -> None:
        """Where the path cannot be opened any more, the old file is kept."""
        folder = self.mktemp()
        os.mkdir(folder)
        log = self.open(os.path.join(folder, "log"))
        moved = self.mktemp()
        os.rename(folder, moved)
        with capturedLogs() as events:
            log.reopen()
        self.assertIn("written on: No such file or directory", str(formatEvent(events[-1])))
        log.exchange(exchange())
        log.flush()
        with open(os.path.join(moved, "log"), "rb") as file:
            self.assertEqual(file.read().count(b"\n"), 1)
