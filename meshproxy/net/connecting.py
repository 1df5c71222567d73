"""Connecting with lean transports."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory

from meshproxy.net.transports import LeanClient


class _LeanConnector(tcp.Connector):
    def _makeTransport(self) -> LeanClient:
        return LeanClient(  # type: ignore[no-untyped-call]
            self.host, self.port, self.bindAddress, self, self.reactor
        )


def connect(reactor: Any, address: str, port: int, factory: ClientFactory, timeout: float) -> IConnector:
    """Connect to an IP; ``timeout`` is in seconds.

    As ``IReactorTCP.connectTCP``: the factory builds the protocol or hears ``clientConnectionFailed``. A reactor
    without real sockets, as tests use, connects in its own way.
    """
    if not isinstance(reactor, PosixReactorBase):
        in_its_own_way: IConnector = reactor.connectTCP(address, port, factory, timeout=timeout)
        return in_its_own_way
    connector = _LeanConnector(address, port, factory, timeout, None, reactor)
    connector.connect()
    return connector
