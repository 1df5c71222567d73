"""The ports of the process: which address a listener of the configuration means, opened, kept and closed.

Rules: what a new configuration adds is opened before it takes effect, all of it or nothing; what it removes is closed
afterwards; what stays is not touched. A port that cannot be opened is a finding with the listener's place in the
configuration.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from meshproxy.errors import ConfigError, Diagnostic
from meshproxy.model import Listener
from meshproxy.net.listening import listen

ListenerKey = tuple[str, int]

_log = Logger()


class Ports:
    """The open ports by ``Listener.key``.

    ``mapped`` gives the port to listen on for a port of the configuration (0: a free one) and ``address`` the IP for
    listeners that name none, empty for all IPv4 addresses. ``reactor`` provides ``IReactorTCP``.
    """

    def __init__(self, reactor: Any, mapped: Mapping[int, int] | None = None, address: str = "") -> None:
        self._reactor = reactor
        self._mapped = dict(mapped or {})
        self._address = address
        self.open_ports: dict[ListenerKey, IListeningPort] = {}

    def address(self, listener: Listener) -> tuple[str, int]:
        """IP (empty: all IPv4 addresses) and port that a listener is to have in this process."""
        return listener.bind or self._address, self._mapped.get(listener.port, listener.port)

    def unused_mappings(self, listeners: Iterable[Listener]) -> list[int]:
        """Ports that are mapped although no listener has them."""
        return sorted(self._mapped.keys() - {listener.port for listener in listeners})

    def check(self, listeners: Iterable[Listener]) -> None:
        """Find out whether all these ports could be opened now, without keeping them.

        Raises ``ConfigError`` as ``open`` does. It needs no running reactor, so a process can still say what is wrong
        where the user sees it.
        """

        with ExitStack() as trials:  # all at once, for they may be in each other's way
            self._each(listeners, lambda _, address, port: trials.enter_context(trial_socket(address, port)))

    def open(
        self, listeners: Iterable[Listener], factory: Callable[[ListenerKey], Factory]
    ) -> dict[ListenerKey, IListeningPort]:
        """Open what is not open yet; all of it, or nothing and ``ConfigError`` with a finding for each.

        Returns the ports that were opened. ``factory`` gives a listener's protocol factory by ``Listener.key``.
        """
        opened: dict[ListenerKey, IListeningPort] = {}

        def open_one(listener: Listener, address: str, port: int) -> None:
            if listener.key not in self.open_ports:
                opened[listener.key] = listen(self._reactor, port, factory(listener.key), address)

        try:
            self._each(listeners, open_one)
        except ConfigError:
            for port in opened.values():
                port.stopListening()
            raise
        for listener in listeners:
            if listener.key in opened:
                host = opened[listener.key].getHost()
                where = shown(getattr(host, "host", ""), getattr(host, "port", 0))
                _log.info("Listening on {where} for {place}", where=where, place=listener.location or listener.port)
        self.open_ports.update(opened)
        return opened

    def keep(self, keys: Iterable[ListenerKey]) -> Deferred[None]:
        """Close all ports but these; fires when they are closed. Nothing is accepted there from the call on."""
        kept = set(keys)
        gone = [key for key in self.open_ports if key not in kept]
        closing = [maybeDeferred(self.open_ports.pop(key).stopListening) for key in gone]
        done: Deferred[None] = DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)
        return done

    def _each(self, listeners: Iterable[Listener], act: Callable[[Listener, str, int], object]) -> None:
        """Call ``act`` with each listener and its address; all failures become one ``ConfigError``."""
        listeners = tuple(listeners)
        findings = []
        by_address: dict[tuple[str, int], Listener] = {}
        for listener in listeners:
            address, port = self.address(listener)
            other = by_address.setdefault((address, port), listener)
            if port and other is not listener:
                findings.append(_same_address(listener, other, shown(address, port)))
                continue
            try:
                act(listener, address, port)
            except CannotListenError as error:
                findings.append(self._finding(listener, listeners, error.socketError))
            except OSError as error:
                findings.append(self._finding(listener, listeners, error))
        if findings:
            raise ConfigError(findings)

    def _finding(self, listener: Listener, listeners: Sequence[Listener], error: object) -> Diagnostic:
        address, port = self.address(listener)
        number = getattr(error, "errno", None) or 0
        hint = {
            EADDRINUSE: f"something else listens there; --map-port {listener.port}=PORT takes another port",
            EACCES: f"--map-port {listener.port}=PORT takes a port that needs no privileges",
            EADDRNOTAVAIL: "no network interface of this machine has the address",
        }.get(number, "")
        if number == EADDRINUSE:
            same_port = [other for other in listeners if other is not listener and self.address(other)[1] == port]
            leaving = self.open_ports.keys() - {other.key for other in listeners}
            if same_port:
                hint = (
                    f"the server at {same_port[0].location} listens on the same port, and one of both on all addresses"
                )
            elif any(self._mapped.get(key[1], key[1]) == port for key in leaving):
                hint = "this process still listens there for the present configuration: a restart moves it"
        return Diagnostic(f"cannot listen on {shown(address, port)}: {reason(error)}", listener.location, hint)


@contextmanager
def trial_socket(address: str, port: int) -> Iterator[None]:
    """Listen on a TCP port for a moment. Raises ``OSError``. ``address`` is an IP, or empty for all of IPv4."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((address, port))
        trial.listen(1)
        yield


def probe(address: str, port: int) -> None:
    """Raise ``OSError`` if this TCP port cannot be listened on now."""
    with trial_socket(address, port):
        pass


def shown(address: str, port: int) -> str:
    """``ip:port`` for people; the empty address is ``0.0.0.0``."""
    return f"[{address}]:{port}" if ":" in address else f"{address or '0.0.0.0'}:{port}"


def reason(error: object) -> str:
    """What an error of the socket says, without its number."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)


def _same_address(listener: Listener, other: Listener, where: str) -> Diagnostic:
    if listener.port != other.port:
        message = f"--map-port puts ports {other.port} and {listener.port} both on {where}"
    else:
        message = f"this server and the one at {other.location} both listen on {where}"
    return Diagnostic(message, listener.location)
