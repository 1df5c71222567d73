"""Asking the DNS as this machine is set up to: ``/etc/hosts`` first, then the servers of ``/etc/resolv.conf``.

Twisted's resolver does the work, in the reactor and not in threads. Two things differ: each query has a connected
socket of its own, also over TCP, so that a server that is not there is noticed at once and nobody else can answer; and
no line is logged for each of them. Over a TCP connection that is kept, dnsmasq answers with what it knew when that
connection began.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.names import client, dns, hosts
from twisted.names.common import EMPTY_RESULT
from twisted.names.error import DNSQueryTimeoutError, DomainError
from twisted.python.failure import Failure
from zope.interface import implementer

HOSTS = "/etc/hosts"
RESOLV_CONF = "/etc/resolv.conf"
_HOSTS_TTL = 60
_LARGEST_DATAGRAM = 65535

Records = tuple[Any, Any, Any]
"""Answers, authority, additional: what Twisted's resolvers give."""


@implementer(IReadDescriptor)
class _Conversation:
    """A socket that talks to one server, as a transport for ``dns.DNSDatagramProtocol``. Raises ``OSError``."""

    def __init__(self, reactor: Any, server: tuple[str, int], protocol: dns.DNSDatagramProtocol) -> None:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self._reactor, self._server, self._protocol = reactor, server, protocol
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(server)
        except OSError:
            self._socket.close()
            raise
        protocol.noisy = False
        protocol.makeConnection(cast(Any, self))
        reactor.addReader(self)

    def write(self, datagram: bytes, address: tuple[str, int]) -> None:
        """See ``IUDPTransport``."""
        self._socket.send(datagram)

    def doRead(self) -> None:
        """See ``IReadDescriptor``."""
        try:
            datagram = self._socket.recv(_LARGEST_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._break()
            return
        self._protocol.datagramReceived(datagram, self._server)

    def connectionLost(self, reason: Failure) -> None:
        """See ``IReadDescriptor``: the reactor found the socket broken."""
        self._break()

    def _break(self) -> None:
        _give_up(self._protocol)

    def fileno(self) -> int:
        """See ``IFileDescriptor``."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See ``ILoggingContext``."""
        return "dns"

    def close(self) -> None:
        """Stop listening."""
        self._reactor.removeReader(self)
        self._protocol.doStop()
        self._socket.close()


class _Connection:
    """Who a ``dns.DNSProtocol`` tells what happens to its connection."""

    def connectionMade(self, protocol: dns.DNSProtocol) -> None:
        """Whoever connected goes on."""

    def connectionLost(self, protocol: dns.DNSProtocol) -> None:
        """What was asked will not be answered."""
        _give_up(protocol)

    def messageReceived(self, message: dns.Message, protocol: dns.DNSProtocol) -> None:
        """An answer that nobody asked for."""


def _give_up(protocol: dns.DNSMixin) -> None:
    waiting = protocol.liveMessages
    while waiting:
        number, (answer, timeout) = waiting.popitem()
        timeout.cancel()
        answer.errback(DNSQueryTimeoutError(number))


class _Servers(client.Resolver):
    """See the head of this module."""

    def _query(
        self, server: tuple[str, int], queries: list[dns.Query], timeout: float, id: int | None = None
    ) -> Deferred[dns.Message]:
        protocol = dns.DNSDatagramProtocol(self, self._reactor)
        try:
            conversation = _Conversation(self._reactor, server, protocol)
        except OSError:
            return fail(_no_answer(id))
        answer = protocol.query(server, queries, timeout, id)

        def ended(result: Any) -> Any:
            conversation.close()
            # What could not be sent: a time-out is what makes Twisted's resolver go on to the next server.
            return Failure(_no_answer(id)) if isinstance(result, Failure) and result.check(OSError) else result

        return answer.addBoth(ended)

    def queryTCP(self, queries: list[dns.Query], timeout: float = 10) -> Deferred[dns.Message]:
        """See ``client.Resolver``."""
        server: tuple[str, int] | None = self.pickServer()  # type: ignore[no-untyped-call]
        if server is None:
            return fail(_no_answer(None))
        return Deferred.fromCoroutine(self._ask_over_tcp(server, queries, timeout))

    async def _ask_over_tcp(self, server: tuple[str, int], queries: list[dns.Query], timeout: float) -> dns.Message:
        kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        factory = Factory.forProtocol(partial(dns.DNSProtocol, _Connection()))
        factory.noisy = False
        try:
            protocol: Any = await kind(self._reactor, *server, timeout).connect(factory)
        except ConnectError as error:
            raise _no_answer(None) from error
        try:
            message: dns.Message = await protocol.query(queries, timeout)
            return message
        finally:
            protocol.transport.abortConnection()


def _no_answer(id: int | None) -> DNSQueryTimeoutError:
    return DNSQueryTimeoutError(dns.randomSource() if id is None else id)


class SystemResolver:
    """The lookups of ``IResolver`` that a gateway needs. Nothing is read before the first one."""

    def __init__(self, reactor: Any, hosts_file: str = HOSTS, resolv_conf: str = RESOLV_CONF) -> None:
        self._reactor = reactor
        self._resolv_conf = resolv_conf
        self._file = hosts.Resolver(hosts_file.encode(), _HOSTS_TTL)
        self._servers: _Servers | None = None

    def lookupAddress(self, name: str, timeout: Any = None) -> Deferred[Records]:
        """The IPv4 addresses of a name."""
        return Deferred.fromCoroutine(self._look_up("lookupAddress", name, timeout))

    def lookupIPV6Address(self, name: str, timeout: Any = None) -> Deferred[Records]:
        """The IPv6 addresses of a name."""
        return Deferred.fromCoroutine(self._look_up("lookupIPV6Address", name, timeout))

    async def _look_up(self, method: str, name: str, timeout: Any) -> Records:
        listed = {}
        for each in ("lookupAddress", "lookupIPV6Address"):
            try:
                listed[each] = await getattr(self._file, each)(name)
            except DomainError:
                pass
        if listed:
            # A name that the file has is not asked for elsewhere, not even for the other kind of address.
            found: Records = listed.get(method, EMPTY_RESULT)
            return found
        if self._servers is None:
            self._servers = _Servers(self._resolv_conf, reactor=self._reactor)  # type: ignore[no-untyped-call]
        records: Records = await getattr(self._servers, method)(name, timeout)
        return records

    def close(self) -> None:
        """Look at ``/etc/resolv.conf`` no more."""
        if self._servers is not None:
            call = self._servers._parseCall
            if call.active():
                call.cancel()
            self._servers = None
