"""Value templates: commands, their arguments, and what is not known."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.templates import Subject, compile_template

HEADERS = {b"x-a": [b"first", b"second"], b"x-empty": [b""], b":path": [b"/p?q"]}
EXCHANGE: Any = SimpleNamespace(
    started_at=1795406664.296,
    protocol=b"HTTP/1.1",
    done=False,
    duration_ms=12,
    status=0,
    flags=b"",
    details=b"",
    route_name=b"main",
    remote=b"192.0.2.9:99",
    local=b"[2001:db8::1]:80",
    source_ip=b"198.51.100.7",
    logged_remote=b"198.51.100.7:0",
    upstream_host=b"",
)


def rendered(text: str, missing: bytes = b"") -> bytes:
    """What comes of a template."""
    subject = Subject(EXCHANGE, lambda name: HEADERS.get(name, []), lambda name: [b"r"] if name == b"x-r" else [])
    return compile_template(text).render(subject, missing)


class TemplateTests(SynchronousTestCase):
    def test_literals(self) -> None:
        """A text without commands is itself; two percent signs are one."""
        self.assertEqual(rendered("plain é"), "plain é".encode())
        self.assertEqual(rendered("100%% of %%PROTOCOL%%"), b"100% of %PROTOCOL%")
        self.assertEqual(compile_template("100%%").constant, b"100%")

    def test_headers(self) -> None:
        """REQ and RESP take the first value of the first header that is there, whatever its letter case."""
        for text, value in (
            ("%REQ(X-A)%", b"first"),
            ("<%REQ(none?x-a)%>", b"<first>"),
            ("<%REQ(x-empty?x-a)%>", b"<>"),
            ("%REQ(:PATH)%", b"/p?q"),
            ("%REQ(x-a):3%", b"fir"),
            ("%RESP(X-R)%%RESP(x-a)%", b"r"),
        ):
            self.assertEqual(rendered(text), value, text)

    def test_connection(self) -> None:
        """Addresses with and without port: the client's as it is trusted, the peer's, our own."""
        for text, value in (
            ("%DOWNSTREAM_REMOTE_ADDRESS%", b"198.51.100.7:0"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", b"198.51.100.7"),
            ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", b"192.0.2.9:99"),
            ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", b"2001:db8::1"),
            ("%DOWNSTREAM_LOCAL_PORT%", b"80"),
            ("%PROTOCOL%-%ROUTE_NAME%", b"HTTP/1.1-main"),
        ):
            self.assertEqual(rendered(text), value, text)

    def test_start_time(self) -> None:
        """The start is a stamp in UTC, or what a format makes of it."""
        self.assertEqual(rendered("%START_TIME%"), b"2026-11-23T04:04:24.296Z")
        self.assertEqual(rendered("%START_TIME(%Y/%m %s.%3f)%"), b"2026/11 1795406664.296")

    def test_control_characters(self) -> None:
        """A variable of the environment or a pattern of a time cannot end a header and begin another one."""
        self.patch(os, "environ", {"POD": "a\r\nx-more: 1\t"})
        for text, value in (
            ("%ENVIRONMENT(POD)%", b"a__x-more: 1\t"),
            ("%START_TIME(%Y%n)%", b"2026_"),
            ("%EMIT_TIME(a%n)%", b"a_"),
        ):
            self.assertEqual(rendered(text), value, text)

    def test_missing(self) -> None:
        """What is not known, a command or a value, is left out, or is what the caller says."""
        self.assertEqual(rendered("<%UPSTREAM_HOST%%NO_SUCH_THING(x):4%%DURATION%>"), b"<>")
        self.assertEqual(rendered("%UPSTREAM_HOST% %REQ(none)%", b"-"), b"- -")
        self.assertEqual(rendered("%RESPONSE_CODE%"), b"0")

    @given(st.text(max_size=40) | st.lists(st.sampled_from(["%", "REQ", "(", ")", ":1", "x-a", "\\"])).map("".join))
    def test_any_text(self, text: str) -> None:
        """No text is a template that fails."""
        rendered(text)
