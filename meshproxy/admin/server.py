"""The admin server: listens where it is told and stays until the process has drained."""

from __future__ import annotations

import re
import socket
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy.admin.pages import AdminSite, is_loopback_name
from meshproxy.admin.served import Served
from meshproxy.admin.token import TokenFile
from meshproxy.errors import ConfigError
from meshproxy.net.addresses import probe, reason, shown

_HINT = "--admin ENDPOINT takes another place, --admin off none"
_UNIX, _MODE = "unix:", ":mode="
_TCP = re.compile(r"tcp6?:(?:port=)?(\d+)((?::(?:[^:\\]|\\.)*)*)")
_INTERFACE = re.compile(r":interface=((?:[^:\\]|\\.)*)")

_log = Logger()


class AdminServer(Service):
    """Serves the admin pages of ``service`` at a Twisted endpoint description, whose syntax was checked before.

    A UNIX socket is for its owner alone unless the description has a ``mode``. ``token_file`` has the token that
    changes need over TCP. ``listening`` is a socket to use instead, the first time.
    """

    name = "admin"

    def __init__(
        self,
        service: Served,
        endpoint: str,
        reactor: Any,
        token_file: TokenFile | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        self._description = endpoint
        private = endpoint.startswith(_UNIX) and _MODE not in endpoint
        self._endpoint = serverFromString(reactor, endpoint + f"{_MODE}600" if private else endpoint)
        self._token_file = token_file
        self.site = AdminSite(service, reactor, token_file)
        self.port: IListeningPort | None = None
        self._reactor = reactor
        self._inherited = listening

    def check(self) -> None:
        """Raise ``ConfigError`` if it is plain that the endpoint cannot be listened on now, or the token is no good."""
        self._check_token()
        match = _TCP.fullmatch(self._description)
        if match is None or self._inherited is not None:
            return
        interface = _INTERFACE.search(match[2])
        address = re.sub(r"\\(.)", r"\1", interface[1]) if interface else ""
        if address and not re.fullmatch(r"[0-9a-fA-F.:]+", address):
            return
        try:
            probe(address, int(match[1]))
        except OSError as error:
            raise self._failed(shown(address, int(match[1])), error) from error

    def _check_token(self) -> None:
        if self._token_file is None:
            return
        try:
            self._token_file.read()
        except ValueError as error:
            raise ConfigError.at(None, f"--admin-token-file: {error}") from error
        if self._token_file.is_for_group():
            _log.warn("The group of the token file {path} may read it", path=self._token_file.path)

    def privilegedStartService(self) -> None:
        """Listen. Raises ``ConfigError`` when the endpoint says at once that it cannot."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        listening, self._inherited = self._inherited, None
        if listening is not None:
            with listening:
                port = self._reactor.adoptStreamPort(listening.fileno(), listening.family, self.site)
            self._listening(port)
            return
        failures: list[Failure] = []
        listening = self._endpoint.listen(self.site)
        listening.addCallbacks(self._listening, failures.append)
        if failures:
            raise self._failed(self._description, failures[0].value)

    def startService(self) -> None:
        """Listen, unless that was done with privileges."""
        super().startService()  # type: ignore[no-untyped-call]
        if self.port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Stop listening."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self.port = self.port, None
        stopped = None if port is None else port.stopListening()
        return succeed(None) if stopped is None else stopped

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        address = port.getHost()
        if isinstance(address, IPv4Address | IPv6Address):
            where = shown(address.host, address.port)
            self.site.loopback = is_loopback_name(address.host)
            _log.info("Admin server on http://{where}/", where=where)
            if not self.site.loopback:
                _log.warn("Others can reach the admin server on {where} and read all that it tells", where=where)
        else:
            # A UNIX socket has permissions, and no browser gets there.
            self.site.loopback = self.site.needs_token = False
            if self._token_file is not None:
                _log.warn("--admin-token-file has no effect: who may use a UNIX socket needs no token")
            _log.info("Admin server on {where}", where=self._description)

    def _failed(self, where: str, error: object) -> ConfigError:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        return ConfigError.at(None, f"the admin server cannot listen on {where}: {reason(cause)}", _HINT)
