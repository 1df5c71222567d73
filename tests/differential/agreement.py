"""What the gateway makes of a message, beside what h11 makes of it.

h11 is a reader of HTTP/1.1 that shares no code with the one of the gateway. Whatever the gateway passes on, h11 has to
read as one message, and as the same one that it reads in what the gateway received. The gateway may refuse more. Each
check raises ``AssertionError`` with the bytes that it failed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import h11
from attrs import define, field

from tests.fakes import Peer, Wire

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_MOST_HEAD = 1 << 20
# What llhttp overlooks and h11 does not, none of which is passed on: line ends of any kind in front of a message, more
# than one blank in a request line, and whatever stands in a reason phrase.
_REQUEST_LINE = re.compile(rb"\r*([A-Z]+) +([^\r\n ]+) +(?=HTTP/)")
_RESPONSE_HEAD = re.compile(rb"[\r\n]*(HTTP/1\.[01] (\d)\d\d)[^\r\n]*(\r\n.*?\r\n\r\n|\r\n\r\n)", re.DOTALL)

# Fields of a request or a response that are not passed on as they came, for reasons of their own.
_CHANGED = frozenset(
    b"connection date expect host http2-settings keep-alive proxy-connection server te trailer transfer-encoding "
    b"content-length upgrade x-forwarded-for x-forwarded-proto x-forwarded-client-cert x-request-id".split()
)
_JOINED = frozenset((b"accept", b"content-type", b"user-agent"))


@define
class Message:
    """One message as h11 reads it; ``first`` is method and target, or the status."""

    first: tuple[bytes, ...]
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    complete: bool = False

    def passed_on(self) -> list[tuple[bytes, bytes]]:
        """The fields that have to be the same on both sides, in order of their names."""
        named = {name.strip() for key, value in self.headers if key == b"connection" for name in value.split(b",")}
        dropped = _CHANGED | {name.lower() for name in named}
        joined = {name: b",".join(v for n, v in self.headers if n == name and v) for name in _JOINED}
        found = {
            (name, joined.get(name, value))
            for name, value in self.headers
            if name not in dropped and not name.startswith(b"x-envoy-")
        }
        return sorted(found)


@define
class Reading:
    """The messages of a stream of bytes. ``refused``: what follows them is none."""

    messages: list[Message] = field(factory=list)
    refused: str = ""

    @property
    def complete(self) -> list[Message]:
        return [message for message in self.messages if message.complete]


def read_requests(data: bytes) -> Reading:
    """What h11 reads as a server."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)
    connection.receive_data(data)
    reading = Reading()
    try:
        for event in _events(connection):
            if isinstance(event, h11.Request):
                reading.messages.append(Message((event.method, event.target), list(event.headers)))
            _read_on(reading, event)
            if isinstance(event, h11.EndOfMessage):
                if connection.our_state is not h11.SEND_RESPONSE:
                    break  # an upgrade or CONNECT
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    break
                connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        reading.refused = str(error)
    return reading


def read_responses(data: bytes, closed: bool, method: str = "GET") -> Reading:
    """What h11 reads as a client that has sent one request; ``closed``: then the connection ends."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if closed and data:
        connection.receive_data(b"")
    reading = Reading()
    try:
        for event in _events(connection):
            if isinstance(event, h11.Response):
                reading.messages.append(Message((b"%d" % event.status_code,), list(event.headers)))
            _read_on(reading, event)
            if isinstance(event, h11.EndOfMessage):
                break
    except h11.RemoteProtocolError as error:
        reading.refused = str(error)
    return reading


def _events(connection: h11.Connection) -> Iterator[object]:
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.ConnectionClosed):
            return
        yield event


def _read_on(reading: Reading, event: object) -> None:
    if isinstance(event, h11.Data):
        reading.messages[-1].body += event.data
    elif isinstance(event, h11.EndOfMessage):
        reading.messages[-1].complete = True


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """``data`` cut at these places."""
    places = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)] if data else [0]
    return [data[a:b] for a, b in pairwise(places)]


def check_requests(data: bytes, cuts: Sequence[int] = ()) -> None:
    """Send a gateway what may be requests, and compare what comes out at the endpoint."""
    wire = Wire()
    client = wire.client()
    for piece in pieces(data, cuts):
        if not client.closing:
            client.send(piece)
    sent = _at_the_endpoint(wire)
    theirs, ours = read_requests(data), read_requests(sent)
    if len(ours.complete) > len(theirs.complete):
        theirs = read_requests(_REQUEST_LINE.sub(rb"\1 \2 ", data))
    context = f"{data!r} came out as {sent!r}"
    assert not ours.refused, f"{ours.refused}: {context}"
    assert len(ours.complete) <= len(theirs.complete), f"h11 sees fewer requests ({theirs.refused}): {context}"
    for before, after in zip(theirs.complete, ours.complete, strict=False):
        assert (before.first[0], before.body) == (after.first[0], after.body), context
        fields, passed = before.passed_on(), after.passed_on()
        assert fields == passed, f"{fields} became {passed}: {context}"


def _without_reasons(data: bytes) -> bytes:
    """A response and the interim ones before it without what llhttp overlooks in front of their fields."""
    heads = []
    while match := _RESPONSE_HEAD.match(data):
        heads.append(match[1] + match[3])
        data = data[match.end() :]
        if match[2] != b"1":
            break
    return b"".join((*heads, data))


def _at_the_endpoint(wire: Wire) -> bytes:
    """What the endpoint gets, each request of which it answers."""
    sent = b""
    endpoint: Peer | None = None
    for _ in range(50):
        if endpoint is None or endpoint.closing:
            if not wire.attempts:
                break
            endpoint = wire.accept()
        new = endpoint.take()
        if not new:
            break
        sent += new
        if read_requests(new).complete:
            endpoint.send(_OK)
    return sent


def check_response(data: bytes, cuts: Sequence[int] = (), closed: bool = True, method: str = "GET") -> None:
    """Let an endpoint answer with what may be a response, and compare what comes out at the client."""
    wire = Wire()
    client, endpoint = wire.pair(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode())
    for piece in pieces(data, cuts):
        if not endpoint.closing:
            endpoint.send(piece)
    if closed and not endpoint.closing:
        endpoint.close()
    sent = client.take()
    theirs = read_responses(data, closed, method)
    ours = read_responses(sent, client.closing, method)
    context = f"{data!r} came out as {sent!r}"
    local = any(exchange.details != b"via_upstream" for exchange in wire.log.exchanges)
    if ours.refused:
        assert client.closing, f"{ours.refused}: {context}"  # it was cut, and the client can see that
        assert not ours.complete, context
        return
    if local or not ours.complete:
        return
    if not theirs.complete:
        theirs = read_responses(_without_reasons(data), closed, method)
    assert theirs.complete, f"h11 sees no whole response ({theirs.refused}): {context}"
    (before,), (after,) = theirs.complete, ours.complete
    assert (before.first, before.body) == (after.first, after.body), context
    fields, passed = before.passed_on(), [pair for pair in after.passed_on() if pair[0] != b"set-cookie"]
    assert [pair for pair in fields if pair[0] != b"set-cookie"] == passed, f"{fields} became {passed}: {context}"
