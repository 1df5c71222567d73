"""Answers that the gateway makes itself."""

from __future__ import annotations

from meshproxy.http.statuses import status_line


def local_reply(status: int, body: bytes, date: bytes, close: bool, with_body: bool) -> bytes:
    """Head and body of an answer as Istio's gateway makes it.

    ``close``: the connection ends with it. ``with_body`` is false for an answer to HEAD, which keeps the length of the
    body that it leaves out.
    """
    return b"".join(
        (
            status_line(status),
            b"content-length: %d\r\n" % len(body) if status != 204 else b"",
            b"content-type: text/plain\r\n" if body else b"",
            b"date: %b\r\nserver: istio-envoy\r\n" % date,
            b"connection: close\r\n\r\n" if close else b"\r\n",
            body if with_body else b"",
        )
    )
