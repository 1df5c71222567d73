"""The listening sockets of the gateway: which address a listener of the configuration means, bound, kept and closed.

Rules. What a new configuration adds is bound before it takes effect, all of it or nothing; what it removes is closed
afterwards; what stays is not touched. An address that cannot be had is a finding with the listener's place in the
configuration. Nothing is accepted here: that is done from ``ports``, by this process or by others.

Where several processes accept, each address has a socket for each of them (``SO_REUSEPORT``), and the kernel spreads
connections over these by a hash of both ends. With one socket for all, whoever wakes first takes what there is, and
long-lived connections gather in one process. The first socket is bound without the option, so that an address which
another program has is an error: the option would let a second gateway of the same user take half of the connections.

Same port, other address: the kernel lets 127.0.0.1:80 and 0.0.0.0:80 both listen only if all their sockets have
``SO_REUSEPORT``, and gives a connection to the more exact one. So where this process has the port already, its sockets
get the option. When a listener goes whose address another listener covers, its sockets stay and serve that one: to
close them would reset what waits in their queues.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL

from twisted.logger import Logger

from meshproxy.errors import ConfigError, Diagnostic
from meshproxy.model import Listener
from meshproxy.net.addresses import reason, shown

ListenerKey = tuple[str, int]
Address = tuple[str, int]
"""IP and port; ``0.0.0.0`` for all of IPv4, ``::`` for all of both."""

_BACKLOG = 4096

_log = Logger()


def bind(ip: str, port: int, count: int, shared: bool) -> tuple[socket.socket, ...]:
    """``count`` sockets that listen on one address; port 0 is a free one. Raises ``OSError``.

    ``shared``: this process has other sockets on the port, all of them with ``SO_REUSEPORT``.
    """
    with ExitStack() as undo:
        first = undo.enter_context(_bound(ip, port, shared))
        if count > 1:
            share((first,))
        port = first.getsockname()[1]
        others = [undo.enter_context(_bound(ip, port, True)) for _ in range(count - 1)]
        for listening in (first, *others):
            listening.listen(_BACKLOG)
        undo.pop_all()
    return (first, *others)


def share(sockets: Iterable[socket.socket]) -> None:
    """Let further sockets of this user be bound to the ports of these."""
    for listening in sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _bound(ip: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with ExitStack() as undo:
        bound = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if shared:
            share((bound,))
        bound.bind((ip, port))
        undo.pop_all()
    return bound


class Sockets:
    """The open sockets by address.

    ``mapped`` gives the port to listen on for a port of the configuration (0: a free one) and ``ip`` the address of
    listeners that name none, empty for all of IPv4. ``count`` is the number of sockets for each address; ``bind`` makes
    them. ``inherited`` are sockets that exist already, with names: one whose name is that of a listener (``80``, or
    ``10.0.0.1:80`` where it has a ``bind``) or whose address is the listener's is used instead of a new one.
    """

    def __init__(
        self,
        mapped: Mapping[int, int] | None = None,
        ip: str = "",
        count: int = 1,
        bind: Callable[[str, int, int, bool], Sequence[socket.socket]] = bind,
        inherited: Iterable[tuple[str, socket.socket]] = (),
    ) -> None:
        self._mapped = dict(mapped or {})
        self._ip = ip
        self._count = count
        self._bind = bind
        self.by_address: dict[Address, Sequence[socket.socket]] = {}
        self._inherited = list(inherited)
        self._names: dict[Address, str] = {}
        # Where listeners are whose address was chosen by somebody else.
        self._chosen: dict[ListenerKey, Address] = {}

    def address(self, listener: Listener) -> Address:
        """The address that a listener is to have; its port is 0 while any will do and none is chosen."""
        chosen = self._chosen.get(listener.key)
        if chosen is not None:
            return chosen
        return listener.bind or self._ip or "0.0.0.0", self._mapped.get(listener.port, listener.port)

    def configured_port(self, port: int, listeners: Iterable[Listener]) -> int:
        """The port of the configuration whose listener is at a real port; the port itself where none is."""
        return next((listener.port for listener in listeners if self.address(listener)[1] == port), port)

    def unused_mappings(self, listeners: Iterable[Listener]) -> list[int]:
        """Ports that are mapped although no listener has them."""
        return sorted(self._mapped.keys() - {listener.port for listener in listeners})

    def open(self, listeners: Iterable[Listener]) -> list[Address]:
        """Bind what is not open yet; all of it, or nothing and ``ConfigError`` with a finding for each.

        Returns the addresses that were opened.
        """
        listeners = tuple(listeners)
        opened: list[Address] = []
        findings: list[Diagnostic] = []
        taken: dict[Address, Listener] = {}
        for listener in listeners:
            ip, port = address = self.address(listener)
            other = taken.setdefault(address, listener)
            if port and other is not listener:
                findings.append(_same_address(listener, other, shown(ip, port)))
            elif address not in self.by_address:
                try:
                    opened.append(self._open(listener.key, ip, port))
                except OSError as error:
                    findings.append(self._finding(listener, listeners, error))
        if findings:
            self.close(opened)
            raise ConfigError(findings)
        opened += self._take_rest(listeners)
        for listener in listeners:
            if self.address(listener) in opened:
                place = listener.location or listener.port
                _log.info("Listening on {where} for {place}", where=shown(*self.address(listener)), place=place)
        return opened

    def serving(self, listeners: Iterable[Listener]) -> dict[ListenerKey, list[socket.socket]]:
        """The sockets whose connections each of these listeners serves; all of them are open."""
        at = {self.address(listener): listener.key for listener in listeners}
        found: dict[ListenerKey, list[socket.socket]] = {key: [] for key in at.values()}
        for address, sockets in self.by_address.items():
            owner = next((at[it] for it in _covering(address) if it in at), None)
            if owner is not None:
                found[owner] += sockets
        return found

    def keep(self, listeners: Iterable[Listener]) -> None:
        """Close the sockets that serve none of these."""
        at = {self.address(listener) for listener in listeners}
        self.close([address for address in self.by_address if at.isdisjoint(_covering(address))])

    def close(self, addresses: Iterable[Address]) -> None:
        """Close the sockets at these addresses, where there are any."""
        for address in addresses:
            for listening in self.by_address.pop(address, ()):
                listening.close()
            self._names.pop(address, None)
        self._chosen = {key: address for key, address in self._chosen.items() if address in self.by_address}

    def _open(self, key: ListenerKey, ip: str, port: int) -> Address:
        own = [it for address, sockets in self.by_address.items() if address[1] == port for it in sockets]
        name = _name(key)
        sockets: Sequence[socket.socket] = self._take(name, (ip, port))
        if not sockets:
            share(own)
            sockets = self._bind(ip, port, self._count, bool(own))
        address = _address(sockets[0])
        if address != (ip, port):
            self._chosen[key] = address
        self.by_address[address] = sockets
        self._names[address] = name
        return address

    def _take(self, name: str, address: Address) -> list[socket.socket]:
        """The inherited sockets with a name, or else at an address."""
        found = [it for its_name, it in self._inherited if its_name == name]
        found = [it for it in found if _address(it) == _address(found[0])]
        found = found or [it for _, it in self._inherited if _address(it) == address]
        self._inherited = [(its_name, it) for its_name, it in self._inherited if it not in found]
        return found

    def _take_rest(self, listeners: Iterable[Listener]) -> list[Address]:
        """Go on with inherited sockets whose address a listener covers, and close the others."""
        rest, self._inherited = self._inherited, []
        at = {self.address(listener) for listener in listeners}
        opened = []
        for name, listening in rest:
            address = _address(listening)
            if at.isdisjoint(_covering(address)):
                _log.warn("The inherited socket at {where} is closed: no server has it", where=shown(*address))
                listening.close()
            else:
                self.by_address[address] = [*self.by_address.get(address, ()), listening]
                self._names[address] = name
                opened.append(address)
        return opened

    def named(self) -> list[tuple[str, socket.socket]]:
        """All sockets, with the names by which another process knows what they are for."""
        return [(self._names[address], it) for address, sockets in self.by_address.items() for it in sockets]

    def _finding(self, listener: Listener, listeners: Sequence[Listener], error: OSError) -> Diagnostic:
        ip, port = self.address(listener)
        hint = {
            EADDRINUSE: f"something else listens there; --map-port {listener.port}=PORT takes another port",
            EACCES: f"--map-port {listener.port}=PORT takes a port that needs no privileges",
            EADDRNOTAVAIL: "no network interface of this machine has the address",
        }.get(error.errno or 0, "")
        if error.errno == EADDRINUSE and any(address[1] == port for address in self.by_address):
            # The kernel lets only sockets of one user share a port.
            hint = "this process listens on the port already, as the user that it was started by: a restart moves it"
        return Diagnostic(f"cannot listen on {shown(ip, port)}: {reason(error)}", listener.location, hint)


def _name(key: ListenerKey) -> str:
    bind, port = key
    return shown(bind, port) if bind else str(port)


def _address(listening: socket.socket) -> Address:
    ip, port = listening.getsockname()[:2]
    return ip, port


def _covering(address: Address) -> Iterator[Address]:
    """The addresses whose sockets get a connection to this one, the most exact first."""
    ip, port = address
    yield address
    if ":" not in ip:
        yield "0.0.0.0", port
    yield "::", port


def _same_address(listener: Listener, other: Listener, where: str) -> Diagnostic:
    if listener.port != other.port:
        message = f"--map-port puts ports {other.port} and {listener.port} both on {where}"
    else:
        message = f"this server and the one at {other.location} both listen on {where}"
    return Diagnostic(message, listener.location)


__all__ = ["Address", "ListenerKey", "Sockets", "bind", "share"]
