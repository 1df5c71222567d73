"""HTTP/1.1 messages as the other side of a gateway reads them: by their framing, and nothing is forgiven."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen


@frozen
class ReceivedRequest:
    """A request as an endpoint reads it. Names of headers are as they were sent."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header; ``name`` is lower-case."""
        return [value for header, value in self.headers if header.lower() == name]


def read_request(data: bytes) -> tuple[ReceivedRequest | None, bytes]:
    """The first request in ``data`` and what follows it; None and all of ``data`` while it is not complete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.split(b" ")
    fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    request = ReceivedRequest(method, target, tuple(fields))
    if request.values(b"transfer-encoding") == [b"chunked"]:
        body, complete, rest = _read_chunks(rest)
    else:
        length = int(next(iter(request.values(b"content-length")), b"0"))
        body, complete, rest = rest[:length], len(rest) >= length, rest[length:]
    return (ReceivedRequest(method, target, tuple(fields), body), rest) if complete else (None, data)


@define
class Response:
    """A response as a client reads it. ``complete``: its end was seen."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(factory=list)
    body: bytes = b""
    complete: bool = True
    reason: bytes = b""

    def __getitem__(self, name: bytes) -> bytes:
        """The only value of a header."""
        (value,) = self.values(name)
        return value

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for header, value in self.headers if header == name]


def read_responses(data: bytes, is_head: Callable[[int], bool] = lambda _: False) -> list[Response]:
    """Read responses by their framing alone; ``is_head`` tells which of them (by number) answer HEAD.

    Raises ``ValueError`` for anything that is not framed.
    """
    found: list[Response] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        if not end:
            raise ValueError(f"no end of a head in {head!r}")
        first, *lines = head.split(b"\r\n")
        version, code, reason = first.split(b" ", 2)
        if version != b"HTTP/1.1":
            raise ValueError(f"not a response: {first!r}")
        fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        response = Response(int(code), fields, reason=reason)
        if is_head(len(found)) or response.status in (204, 304) or response.status < 200:
            pass
        elif response.values(b"transfer-encoding") == [b"chunked"]:
            response.body, response.complete, data = _read_chunks(data)
        else:
            length = int(response[b"content-length"])
            response.body, data = data[:length], data[length:]
            response.complete = len(response.body) == length
        found.append(response)
    return found


def _read_chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    """A body, whether it is complete, and what follows it."""
    body = b""
    while b"\r\n" in data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body, data = body + data[:length], data[length:]
        if data[:2] != b"\r\n":
            break
        data = data[2:]
        if not length:
            return body, True, data
    return body, False, data
