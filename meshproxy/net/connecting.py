"""Connecting with lean transports."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IConnector, IReactorFDSet
from twisted.internet.protocol import ClientFactory

from meshproxy.model import UNIX_MARKS
from meshproxy.net.transports import LeanClient, LeanUnixClient


class _LeanConnector(tcp.Connector):
    def _makeTransport(self) -> LeanClient:
        return LeanClient(  # type: ignore[no-untyped-call]
            self.host, self.port, self.bindAddress, self, self.reactor
        )


class _LeanUnixConnector(unix.Connector):
    def _makeTransport(self) -> Any:
        return LeanUnixClient(self.address, self, self.reactor)  # type: ignore[no-untyped-call]


def connect(reactor: Any, address: str, port: int, factory: ClientFactory, timeout: float) -> IConnector:
    """Connect to an ``Endpoint``'s address and port; ``timeout`` is in seconds.

    As ``IReactorTCP.connectTCP``: the factory builds the protocol or hears ``clientConnectionFailed``. A reactor
    without file descriptors, as tests use, connects in its own way.
    """
    lean = IReactorFDSet.providedBy(reactor)
    connector: IConnector
    if address.startswith(UNIX_MARKS):
        path = "\0" + address[1:] if address.startswith("@") else address
        if not lean:
            connector = reactor.connectUNIX(path, factory, timeout=timeout)
            return connector
        connector = _LeanUnixConnector(path, factory, timeout, reactor, False)  # type: ignore[no-untyped-call]
    elif not lean:
        connector = reactor.connectTCP(address, port, factory, timeout=timeout)
        return connector
    else:
        connector = _LeanConnector(address, port, factory, timeout, None, reactor)
    connector.connect()
    return connector
