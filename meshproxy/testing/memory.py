"""A whole gateway in memory: give it YAML, ask it something, and see the answer and which endpoint gave it.

It is the gateway that serves, from the bytes of a request to those of a response. Only sockets and time are not real,
so a test neither waits nor depends on the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from meshproxy import config
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import Diagnostic
from meshproxy.http.mirroring import Mirrored
from meshproxy.interfaces import IHashKeyFactory, ILoadBalancerFactory
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.testing.messages import ReceivedRequest, Response, read_request, read_responses
from meshproxy.testing.wire import Peer, Wire

SHOWN_AS = "mesh.yaml"
"""The name of the file in the places of errors."""

_BACK_OFF_SECONDS = 1.0
_MOST_TURNS = 100
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@define(eq=False)
class Answer:
    """What a client got.

    ``endpoint`` is the one that answered, as ``ip:port``; None where the gateway itself did. ``tried`` are all that
    were tried, in order. ``request`` is what the endpoint received.
    """

    response: Response
    endpoint: str | None = None
    tried: tuple[str, ...] = ()
    request: ReceivedRequest | None = None

    @property
    def status(self) -> int:
        """The status code."""
        return self.response.status

    @property
    def body(self) -> bytes:
        """The body."""
        return self.response.body

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name; None if it is absent."""
        return next(iter(self.response.values(name)), None)

    @property
    def cookies(self) -> dict[bytes, bytes]:
        """The cookies that the client got, by name, as it sends them back."""
        pairs = (value.partition(b";")[0].partition(b"=") for value in self.response.values(b"set-cookie"))
        return {name: value for name, _, value in pairs}


@define(eq=False)
class Pending:
    """A request that its endpoint has received and not answered. ``endpoint`` is None if the gateway has answered."""

    _gateway: MemoryGateway
    _client: Peer
    _is_head: bool
    tried: list[str] = field(factory=list)
    endpoint: str | None = None
    request: ReceivedRequest | None = None
    _peer: Peer | None = None

    def finish(self, response: bytes = _OK) -> Answer:
        """Let the endpoint answer; ``response`` are the bytes that it sends."""
        if self._peer is not None:
            self._gateway._release(self)
            self._peer.send(response)
        (read,) = read_responses(self._client.take(), lambda _: self._is_head)
        self._client.close()
        return Answer(read, self.endpoint, tuple(self.tried), self.request)


class MemoryGateway:
    """Serves ``text``, the YAML of a configuration; raises ``errors.ConfigError`` if it does not load.

    ``strategies`` are factories that are used beside the installed ones, and instead of those with the same name.
    Endpoints are those of the configuration, by address: host names are not looked up. An endpoint whose ``ip:port`` is
    in ``down`` refuses connections.
    """

    def __init__(self, text: str, strategies: Iterable[IHashKeyFactory | ILoadBalancerFactory] = ()) -> None:
        self._registry = _registry(strategies)
        self.down: set[str] = set()
        self._idle: list[tuple[str, Peer]] = []
        self.snapshot = self._load(text, None)
        self._wire = Wire(self.snapshot)

    def install(self, text: str) -> None:
        """Serve another configuration, as a reload does; nothing changes where it does not load."""
        self.snapshot = self._load(text, self.snapshot)
        self._wire.gateway.install(self.snapshot)

    @property
    def warnings(self) -> Sequence[Diagnostic]:
        """What loading the configuration found that is no error."""
        return self.snapshot.warnings

    @property
    def strategy_errors(self) -> int:
        """How many requests failed because a strategy raised an error or returned nonsense."""
        return self._wire.gateway.counters.strategy_errors_total

    def ask(self, path: str = "/", headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), **more: Any) -> Answer:
        """Send a request and let its endpoint answer 200; ``more`` is as for ``begin``."""
        return self.begin(path, headers, **more).finish()

    def begin(
        self,
        path: str = "/",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        method: str = "GET",
        host: str = "test.com",
        body: bytes = b"",
        source: str = "198.51.100.1",
        port: int | None = None,
    ) -> Pending:
        """Send a request from a new client at ``source``, and let its endpoint wait with the answer.

        ``port`` is that of a server in the configuration, by default the first one's. Retries happen at once.
        """
        for key, peer in [it for it in self._idle if it[0] in self.down]:
            self._idle.remove((key, peer))
            peer.reset()
        listener = next(it for it in self.snapshot.listeners if port in (None, it.port))
        client = self._wire.client(listener.key, source)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in pairs)]
        if body:
            lines.append(f"content-length: {len(body)}")
        client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        pending = Pending(self, client, method == "HEAD")
        for _ in range(_MOST_TURNS):
            self._connect(pending)
            if self._received(pending) or client.has_data:
                return pending
            self._wire.reactor.advance(_BACK_OFF_SECONDS)
        raise AssertionError("the gateway neither answered nor sent the request to an endpoint")

    def _load(self, text: str, previous: Snapshot | None) -> Snapshot:
        sources = Sources((Source(SHOWN_AS, text),), text)
        return config.load(sources, self._registry, ProxyIdentity(), previous)

    def _connect(self, pending: Pending) -> None:
        while self._wire.attempts:
            key = self._wire.attempts[0]
            dropped = self._wire.gateway.counters.mirrors_dropped_total
            if key in self.down:
                self._wire.refuse()
                is_copy = self._wire.gateway.counters.mirrors_dropped_total > dropped
            else:
                peer = self._wire.accept()
                is_copy = isinstance(peer.protocol.exchange, Mirrored)
                self._idle.append((key, peer))
            if not is_copy:
                pending.tried.append(key)

    def _received(self, pending: Pending) -> bool:
        """Whether an endpoint has got the request; a copy of it is answered at once."""
        for key, peer in self._idle:
            is_copy = isinstance(peer.protocol.exchange, Mirrored)
            data = peer.take()
            if is_copy:
                peer.send(_OK)
            elif data:
                pending.request, _ = read_request(data)
                pending.endpoint, pending._peer = key, peer
                if pending.tried[-1:] != [key]:
                    pending.tried.append(key)
                self._idle.remove((key, peer))
                return True
        return False

    def _release(self, pending: Pending) -> None:
        assert pending.endpoint is not None
        assert pending._peer is not None
        self._idle.append((pending.endpoint, pending._peer))


def _registry(strategies: Iterable[IHashKeyFactory | ILoadBalancerFactory]) -> Registry:
    found = Registry.discover()
    keys, balancers = dict(found.hash_keys), dict(found.load_balancers)
    for factory in strategies:
        if IHashKeyFactory.providedBy(factory):
            keys[factory.name] = factory
        else:
            balancers[factory.name] = factory
    return Registry(keys.values(), balancers.values(), found.problems)
