from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin.server import AdminServer
from meshproxy.admin.token import TokenFile
from meshproxy.errors import ConfigError
from meshproxy.service import MeshService, Settings
from tests.serving import FakeReactor, snapshot


class Port:
    def __init__(self, address: object) -> None:
        self.address = address
        self.closed = False

    def getHost(self) -> object:
        return self.address

    def stopListening(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class Endpoint:
    """An endpoint whose answer is decided beforehand."""

    def __init__(self, answer: Deferred[Any]) -> None:
        self.answer = answer

    def listen(self, factory: object) -> Deferred[Any]:
        return self.answer


class AdminServerTests(SynchronousTestCase):
    def server(
        self, answer: Deferred[Any] | None = None, endpoint: str = "tcp:0", token_file: TokenFile | None = None
    ) -> AdminServer:
        reactor = FakeReactor()
        service = MeshService(reactor, snapshot(80), Settings(), [], lambda: None, lambda *a: snapshot(), lambda: None)
        server = AdminServer(service, endpoint, reactor, token_file)
        if answer is not None:
            server._endpoint = Endpoint(answer)
        return server

    def warnings_at(self, address: object) -> list[str]:
        self.last = self.server(succeed(Port(address)))
        return self.logged(self.last.startService)

    def logged(self, call: Callable[[], object]) -> list[str]:
        """The warnings that come of a call."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
        try:
            call()
        finally:
            globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
        return [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]

    def test_loopback(self) -> None:
        """On loopback the Host header is checked, changes need a token, and there is nothing to warn about."""
        self.assertEqual(self.warnings_at(IPv4Address("TCP", "127.0.0.1", 15000)), [])
        self.assertTrue(self.last.site.loopback)
        self.assertTrue(self.last.site.needs_token)

    def test_other_address(self) -> None:
        """Where others can reach it, that is a warning with the address."""
        (warning,) = self.warnings_at(IPv4Address("TCP", "0.0.0.0", 15000))
        self.assertIn("0.0.0.0:15000", warning)
        self.assertFalse(self.last.site.loopback)

    def test_unix_socket(self) -> None:
        """A UNIX socket has no names to check, asks for no token, and is its owner's unless somebody says otherwise."""
        self.assertEqual(self.warnings_at(UNIXAddress(b"/run/admin")), [])
        self.assertFalse(self.last.site.loopback)
        self.assertFalse(self.last.site.needs_token)
        for endpoint, mode in (("unix:/run/admin", 0o600), ("unix:/run/admin:mode=660", 0o660)):
            self.assertEqual(self.server(endpoint=endpoint)._endpoint._mode, mode)

    def test_token(self) -> None:
        """A token file that is no good fails the start, without telling what is in it."""
        path = Path(self.mktemp())
        path.write_text("a-secret-that-is-readable")
        path.chmod(0o644)
        with self.assertRaises(ConfigError) as caught:
            self.server(token_file=TokenFile(str(path))).check()
        self.assertIn(f"--admin-token-file: the token file {path} is not safe", str(caught.exception))
        path.chmod(0o640)
        self.assertEqual(
            self.logged(self.server(token_file=TokenFile(str(path))).check),
            [f"The group of the token file {path} may read it"],
        )
        unix = self.server(succeed(Port(UNIXAddress(b"/run/admin"))), token_file=TokenFile(str(path)))
        (warning,) = self.logged(unix.startService)
        self.assertIn("--admin-token-file has no effect", warning)

    def test_stop(self) -> None:
        """The port closes when the service stops."""
        port = Port(IPv4Address("TCP", "127.0.0.1", 15000))
        server = self.server(succeed(port))
        server.startService()
        server.stopService()
        self.assertTrue(port.closed)

    def test_cannot_listen(self) -> None:
        """A port in use fails the start with one finding that names the endpoint."""
        error = CannotListenError("", 15000, OSError(98, "Address already in use"))
        with self.assertRaises(ConfigError) as caught:
            self.server(fail(error), "tcp:15000:interface=127.0.0.1").privilegedStartService()
        text = str(caught.exception)
        self.assertIn("tcp:15000:interface=127.0.0.1: Address already in use", text)

    def test_check(self) -> None:
        """A TCP port in use is found before anything is opened, however the endpoint is written."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            for endpoint in (f"tcp:{port}:interface=127.0.0.1", f"tcp:port={port}:backlog=5:interface=127.0.0.1"):
                with self.assertRaises(ConfigError) as caught:
                    self.server(endpoint=endpoint).check()
                self.assertIn(f"127.0.0.1:{port}: Address already in use", str(caught.exception))
        self.server(endpoint=f"tcp:{port}:interface=127.0.0.1").check()
        self.server(endpoint="unix:/nowhere/at/all").check()
