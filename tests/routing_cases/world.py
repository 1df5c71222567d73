"""A gateway in memory with an echo backend behind every port of a case's configuration.

Time is the clock's: what would take a second takes no time here, and takes a second all the same.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from hashlib import sha1
from typing import Any

from attrs import define, field

from meshproxy import config
from meshproxy.config.sources import Source, Sources
from meshproxy.model import ProxyIdentity
from meshproxy.net.transports import address_text
from meshproxy.registry import Registry
from meshproxy.testing.messages import read_request
from tests.fakes import Peer, Response, Wire, read_responses

_REGISTRY = Registry.discover()
_PLACEHOLDER = re.compile(r"\{\{port:([^}]+)\}\}")
_CLOSED = "closed"
_STEP, _LONGEST = 0.005, 20.0
_SWITCH = b"HTTP/1.1 101 Whatever\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"


@define(eq=False)
class Answer:
    """What a client got: a response (None: the connection was refused or cut) and what is known beside it."""

    response: Response | None
    seconds: float
    logged: Any = None
    refused: bool = False
    echo: dict[str, Any] = field(factory=dict)

    @property
    def backend(self) -> str | None:
        """The backend whose answer this is."""
        found = self.response.values(b"x-backend") if self.response is not None else []
        return found[0].decode() if found else None

    @property
    def outcome(self) -> str:
        """The backend that answered 200, else the status."""
        status = self.response.status if self.response is not None else 0
        return self.backend if self.backend and status == 200 else str(status)


class Echo:
    """One connection of an echo backend: answers with JSON about each request, as its ``x-test-`` headers ask."""

    def __init__(self, world: World, name: str, peer: Peer) -> None:
        self._world, self._name, self._peer = world, name, peer
        self._data = b""

    def turn(self) -> bool:
        """Take what has come; False if there was nothing to do."""
        data = self._peer.take()
        self._data += data
        while b"\r\n\r\n" in self._data and self._answer():
            pass
        return bool(data)

    def _answer(self) -> bool:
        request, self._data = read_request(self._data)
        if request is None:
            return False
        method, path = request.method.decode("latin-1"), request.target.decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        lower = dict(headers)
        body = request.body
        world = self._world
        world.seen.append([self._name, method, path, lower["host"]])
        if lower.get("upgrade", "").lower() == "websocket":
            self._peer.send(_SWITCH % _accept_key(lower["sec-websocket-key"]))
            return False
        if "x-test-no-response" in lower:
            self._peer.close()
            return False
        status = int(lower.get("x-test-status", "200"))
        if "x-test-fail-times" in lower:
            times, failure, key = lower["x-test-fail-times"].split(",")
            world.tries[key] += 1
            if world.tries[key] <= int(times):
                status = int(failure)
        found = {"backend": self._name, "proto": "HTTP/1.1", "method": method, "path": path, "host": lower["host"]}
        text = json.dumps({**found, "headers": headers, "body": body.decode("latin-1")}).encode()
        extra = [(name[12:], value) for name, value in headers if name.startswith("x-test-resp-")]
        fields = [("x-backend", self._name), ("server", "backend"), *extra, ("content-length", str(len(text)))]
        written = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
        answer = b"HTTP/1.1 %d Whatever\r\n%b\r\n%b" % (status, written, b"" if method == "HEAD" else text)
        delay = float(lower.get("x-test-delay-ms", "0")) / 1000
        world.wire.reactor.callLater(delay, self._send, answer)
        return True

    def _send(self, answer: bytes) -> None:
        if not self._peer.lost and not self._peer.closing:
            self._peer.send(answer)


def _accept_key(key: str) -> bytes:
    """RFC 6455, 4.2.2."""
    return b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


class World:
    """The gateway of one case. Raises ``ConfigError`` where its configuration does not load."""

    def __init__(self, text: str, options: dict[str, Any]) -> None:
        names = sorted({*_PLACEHOLDER.findall(text)})
        self._ports = {20000 + number: name for number, name in enumerate(names)}
        numbers = {name: port for port, name in self._ports.items()}
        text = _PLACEHOLDER.sub(lambda match: str(numbers[match[1]]), text)
        sources = Sources((Source("mesh.yaml", text + _mesh(options)),), "digest")
        self.snapshot = config.load(sources, _REGISTRY, ProxyIdentity())
        self.wire = Wire(self.snapshot)
        self.seen: list[list[str]] = []
        self.tries: Counter[str] = Counter()
        self._echoes: list[Echo] = []

    def ask(self, port: int, *requests: bytes) -> list[Answer]:
        """Send each request on a connection of its own, all at once, and wait for all answers."""
        listener = next((found for found in self.snapshot.listeners if found.port == port), None)
        if listener is None:
            return [Answer(None, 0.0, refused=True) for _ in requests]
        clock = self.wire.reactor
        begun, logged = clock.seconds(), len(self.wire.log.exchanges)
        clients = [self.wire.client(listener.key, "127.0.0.1") for _ in requests]
        answers: list[Answer | None] = [None] * len(requests)
        for client, request in zip(clients, requests, strict=True):
            client.send(request)
        received = [b""] * len(requests)
        while None in answers and clock.seconds() - begun < _LONGEST:
            if not self._turn():
                clock.advance(_STEP)
            for at, client in enumerate(clients):
                received[at] += client.take()
                if answers[at] is None:
                    response = _response(received[at], requests[at].startswith(b"HEAD "))
                    if response is not None or client.closing:
                        answers[at] = Answer(response, clock.seconds() - begun)
        while self._turn():
            pass  # mirrored requests may still be on their way
        found = [answer if answer is not None else Answer(None, _LONGEST) for answer in answers]
        by_remote = {exchange.remote: exchange for exchange in self.wire.log.exchanges[logged:]}
        for answer, client in zip(found, clients, strict=True):
            answer.logged = by_remote.get(address_text(client.transport.getPeer())[1])
            if answer.backend and answer.response is not None and answer.response.body:
                answer.echo = json.loads(answer.response.body)
            client.close()
        return found

    def _turn(self) -> bool:
        busy = False
        while self.wire.attempts:
            busy = True
            name = self._ports.get(int(self.wire.attempts[0].rpartition(":")[2]), _CLOSED)
            if name == _CLOSED:
                self.wire.refuse()
            else:
                self._echoes.append(Echo(self, name, self.wire.accept()))
        for echo in self._echoes:
            busy = echo.turn() or busy
            echo._peer.settle()
        self._echoes = [echo for echo in self._echoes if not echo._peer.lost]
        return busy


def _response(data: bytes, is_head: bool) -> Response | None:
    """The final response in what has come, once it is complete; 101 is one, too."""
    try:
        responses = read_responses(data, lambda _: is_head)
    except (ValueError, IndexError):
        return None
    final = [response for response in responses if response.status >= 101]
    return final[0] if final and final[0].complete else None


def _mesh(options: dict[str, Any]) -> str:
    spec: dict[str, Any] = {}
    if "numTrustedProxies" in options:
        spec["defaultConfig"] = {"gatewayTopology": {"numTrustedProxies": options["numTrustedProxies"]}}
    if "pathNormalization" in options:
        spec["pathNormalization"] = {"normalization": options["pathNormalization"]}
    document = {"apiVersion": "meshproxy.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"}, "spec": spec}
    return f"\n---\n{json.dumps(document)}\n" if spec else ""
