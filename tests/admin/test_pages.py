from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshproxy import __version__
from meshproxy.admin.pages import AdminSite, is_loopback_name
from meshproxy.admin.token import TokenFile
from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError, Location
from meshproxy.http.counters import Counters
from meshproxy.model import Snapshot
from meshproxy.net.sockets import Sockets
from meshproxy.service import MeshService, Settings
from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.outliers import Reason
from tests.serving import FakeReactor, snapshot

TOKEN = "abcdefghijklmnop-._~+/0="


class PagesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.next: Snapshot | ConfigError = snapshot(80)
        self.run_in_thread: Any = maybeDeferred
        self.service = MeshService(
            self.reactor,
            snapshot(80),
            Settings(access_log="off"),
            [],
            lambda: Sources((), getattr(self.next, "digest", "wrong")),
            self.load,
            lambda *args: self.run_in_thread(*args),  # noqa: PLW0108 - a test may replace it
            notify=lambda state: None,
            sockets=Sockets(bind=self.reactor.bind),
        )
        self.service.startService()
        self.addCleanup(lambda: self.service.running and self.service.stopService())
        self.token = Path(self.mktemp())
        self.token.write_text(f"{TOKEN}\n")
        self.token.chmod(0o600)
        self.site = AdminSite(self.service, self.reactor, TokenFile(str(self.token)))

    def load(self, sources: Sources, previous: Snapshot | None) -> Snapshot:
        if isinstance(self.next, ConfigError):
            raise self.next
        return self.next

    def ask(self, method: str, path: str, host: str = "localhost:15000", **headers: str) -> StringTransport:
        """A connection that has sent a request, by default with the token; the answer is in ``value()``."""
        protocol = self.site.buildProtocol(None)  # type: ignore[arg-type]
        transport = StringTransport()
        protocol.makeConnection(transport)
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in {"authorization": f"Bearer {TOKEN}", **headers}.items()]
        protocol.dataReceived("\r\n".join([*lines, "content-length: 0", "", ""]).encode())
        self.addCleanup(protocol.connectionLost, Failure(ConnectionDone()))
        return transport

    def answer(self, *args: str, **headers: str) -> tuple[int, str]:
        """Status and body."""
        head, _, body = self.ask(*args, **headers).value().decode().partition("\r\n\r\n")
        return int(head.split()[1]), body


class ReadyTests(PagesTestCase):
    def test_life(self) -> None:
        """Ready while requests are served; not before, and no more when the process drains."""
        self.assertEqual(self.answer("GET", "/ready"), (200, "ready\n"))
        self.patch(self.service.gateway, "drain", lambda timeout: Deferred())
        self.service.stopService()
        self.assertEqual(self.answer("GET", "/ready"), (503, "not ready\n"))

    def test_before_start(self) -> None:
        """An admin server that is reached before the service has started says so."""
        self.service.ready = False
        self.assertEqual(self.answer("GET", "/ready")[0], 503)


class RequestTests(PagesTestCase):
    def test_list_of_pages(self) -> None:
        """The root names every page."""
        status, body = self.answer("GET", "/")
        self.assertEqual(status, 200)
        for page in ("/ready", "/metrics", "/reload"):
            self.assertIn(page, body)

    def test_head(self) -> None:
        """HEAD has the length of what GET would bring, and no body."""
        _, body = self.answer("GET", "/")
        response = self.ask("HEAD", "/").value().decode()
        self.assertIn(f"content-length: {len(body)}\r\n", response.lower())
        self.assertTrue(response.endswith("\r\n\r\n"))

    def test_unknown_pages(self) -> None:
        """Other paths, also below a page, are 404."""
        for path in ("/nope", "/ready/x", "//", "/metrics/"):
            self.assertEqual(self.answer("GET", path)[0], 404, path)

    def test_methods(self) -> None:
        """A page answers its own methods only, and names them; nothing changes by GET."""
        self.next = snapshot(81)
        for method, path in (("POST", "/ready"), ("GET", "/reload"), ("PUT", "/reload"), ("OPTIONS", "/metrics")):
            self.assertEqual(self.answer(method, path)[0], 405, (method, path))
        self.assertIn("allow: post\r\n", self.ask("GET", "/reload").value().decode().lower())
        self.assertEqual(self.service.reload.generation, 1)

    def test_foreign_host(self) -> None:
        """On loopback, a request under another name (DNS rebinding) is refused on every page."""
        self.next = snapshot(81)
        for method, path in (("GET", "/metrics"), ("POST", "/reload"), ("GET", "/nope")):
            self.assertEqual(self.answer(method, path, "evil.example:15000")[0], 403)
        self.assertEqual(self.service.reload.generation, 1)
        for host in ("127.0.0.1:15000", "[::1]:15000", "localhost", "LOCALHOST:1"):
            self.assertEqual(self.answer("GET", "/ready", host)[0], 200, host)

    def test_foreign_host_elsewhere(self) -> None:
        """On another address the server has whatever names others give it."""
        self.site.loopback = False
        self.assertEqual(self.answer("GET", "/ready", "gateway.internal:15000")[0], 200)

    def test_cross_site_post(self) -> None:
        """A page of another site cannot make a browser ask for a reload."""
        self.next = snapshot(81)
        self.assertEqual(self.answer("POST", "/reload", origin="http://evil.example")[0], 403)
        self.assertEqual(self.service.reload.generation, 1)
        self.assertEqual(self.answer("POST", "/reload", origin="http://localhost:15000")[0], 200)

    def test_token(self) -> None:
        """Changes need the token, which is read each time; what only tells needs none."""
        self.next = snapshot(81)
        for given in ("", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", "Bearer \xff"):
            for path in ("/reload", "/drain?address=10.0.0.1"):
                self.assertEqual(self.answer("POST", path, authorization=given)[0], 401, given)
        head = self.ask("POST", "/reload", authorization="").value().decode()
        self.assertIn('Bearer realm="meshproxy"', head)
        self.assertNotIn(TOKEN, head)
        for path in ("/drain", "/ready", "/metrics", "/status", "/"):
            self.assertEqual(self.answer("GET", path, authorization="")[0], 200)
        self.assertEqual(self.service.reload.generation, 1)
        self.token.write_text("another-token-of-now")
        self.assertEqual(self.answer("POST", "/reload")[0], 401)
        self.assertEqual(self.answer("POST", "/reload", authorization="bearer  another-token-of-now")[0], 200)

    def test_token_that_is_no_good(self) -> None:
        """A token file that others can read by now admits nobody; the log says why, and the answer does not."""
        self.token.chmod(0o644)
        status, body = self.answer("POST", "/reload")
        self.assertEqual(status, 403)
        self.assertNotIn(str(self.token), body)

    def test_no_token(self) -> None:
        """Where there is none, nothing changes over TCP, and the answer says what to do; a UNIX socket needs none."""
        self.site = AdminSite(self.service, self.reactor)
        status, body = self.answer("POST", "/reload")
        self.assertEqual(status, 403)
        self.assertIn("--admin-token-file PATH", body)
        self.site.needs_token = False
        self.assertEqual(self.answer("POST", "/reload", authorization="")[0], 200)

    def test_tells_no_version(self) -> None:
        """Neither Twisted's name nor a version is in a response's head."""
        self.assertNotIn(b"twisted", self.ask("GET", "/ready").value().lower())

    def test_loopback_names(self) -> None:
        """What counts as this machine."""
        for host in ("localhost", "localhost.", "127.0.0.1", "127.8.8.8", "::1", "[::1]"):
            self.assertTrue(is_loopback_name(host), host)
        for host in ("", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1", "2130706433"):
            self.assertFalse(is_loopback_name(host), host)


class ReloadTests(PagesTestCase):
    def test_installed(self) -> None:
        """A reload that installs something is told with its generation."""
        self.next = snapshot(81)
        status, body = self.answer("POST", "/reload")
        self.assertEqual((status, json.loads(body)), (200, {"result": "installed", "generation": 2}))

    def test_failed(self) -> None:
        """One that fails is told with everything that is wrong."""
        self.next = ConfigError.at(Location("mesh.yaml", 3, 5), "no such field")
        status, body = self.answer("POST", "/reload")
        self.assertEqual(status, 422)
        self.assertIn("mesh.yaml:3:5: no such field", body)

    def test_client_that_leaves(self) -> None:
        """A client that does not wait for the end of its reload costs nothing."""
        waiting: Deferred[None] = Deferred()
        self.run_in_thread = lambda f, *args: waiting.addCallback(lambda _: f(*args))
        transport = self.ask("POST", "/reload")
        self.doCleanups()
        waiting.callback(None)
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])


class MetricsTests(PagesTestCase):
    def samples(self) -> dict[str, float]:
        """The values by name, with labels as ``name{value}``."""
        status, body = self.answer("GET", "/metrics")
        self.assertEqual(status, 200)
        found = {}
        for family in text_string_to_metric_families(body):
            self.assertTrue(family.documentation, family.name)
            for sample in family.samples:
                labels = ",".join(sample.labels.values())
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def test_counters(self) -> None:
        """Everything that the data path counts is there under its own name, classes of status as a label."""
        counters = self.service.gateway.counters
        for number, name in enumerate(Counters.__slots__, 1):
            setattr(counters, name, number)
        samples = self.samples()
        for number, name in enumerate(Counters.__slots__, 1):
            if name.startswith("responses_"):
                expected = f"meshproxy_responses_total{{{name.removeprefix('responses_')}}}"
            else:
                expected = "meshproxy_" + name
            self.assertEqual(samples.get(expected), number, name)

    def test_configuration(self) -> None:
        """A failed reload shows, and what is served with its time and digest; a later success ends it."""
        before = self.samples()
        self.assertEqual(before["meshproxy_config_last_reload_successful"], 1)
        self.assertEqual(before["meshproxy_listeners"], 1)
        self.assertEqual(before["meshproxy_ready"], 1)
        self.next = ConfigError.at(None, "wrong")
        self.answer("POST", "/reload")
        after = self.samples()
        self.assertEqual(after["meshproxy_config_last_reload_successful"], 0)
        self.assertEqual(after["meshproxy_config_reloads_total{failed}"], 1)
        for name in ("meshproxy_config_generation", "meshproxy_config_last_reload_success_timestamp_seconds"):
            self.assertEqual(after[name], before[name])
        self.next = snapshot(81, 82, digest="d2")
        self.answer("POST", "/reload")
        last = self.samples()
        self.assertEqual(last["meshproxy_config_last_reload_successful"], 1)
        self.assertEqual(last["meshproxy_config_generation"], 2)
        self.assertEqual(last["meshproxy_config_info{d2}"], 1)
        self.assertEqual(last["meshproxy_listeners"], 2)

    def test_ejections(self) -> None:
        """Ejections are there by reason, those that a limit prevented, and how many endpoints are ejected."""
        ejections = self.service.gateway.upstreams.ejections
        for _ in range(3):
            ejections.ejected(Ejection("c", "10.0.0.1:80", Reason.CONSECUTIVE_GATEWAY_ERRORS), 30)
        ejections.returned("c", "10.0.0.1:80", 30)
        ejections.spared = 4
        samples = self.samples()
        self.assertEqual(samples["meshproxy_ejections_total{consecutive_gateway_errors}"], 3)
        self.assertEqual(samples["meshproxy_ejections_total{consecutive_5xx}"], 0)
        self.assertEqual(samples["meshproxy_ejections_prevented_total"], 4)
        self.assertEqual(samples["meshproxy_ejections_active"], 2)

    def test_process(self) -> None:
        """What is running, and what it costs, is there."""
        samples = self.samples()
        self.assertTrue(any(name.startswith("meshproxy_build_info{") and __version__ in name for name in samples))
        self.assertGreater(samples["process_resident_memory_bytes"], 0)
