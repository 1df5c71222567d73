"""Listening with lean transports."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory

from meshproxy.net.transports import LeanServer


class _LeanPort(tcp.Port):
    transport = LeanServer


def listen(reactor: Any, port: int, factory: Factory, interface: str = "", backlog: int = 4096) -> IListeningPort:
    """Listen on a TCP port; 0 takes a free one.

    ``interface`` is an IP, or empty for all IPv4 addresses. Raises ``twisted.internet.error.CannotListenError``. A
    reactor without real sockets, as tests use, listens in its own way.
    """
    if not isinstance(reactor, PosixReactorBase):
        in_its_own_way: IListeningPort = reactor.listenTCP(port, factory, backlog=backlog, interface=interface)
        return in_its_own_way
    listening = _LeanPort(port, factory, backlog, interface, reactor)
    listening.startListening()
    return listening
