from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError, Diagnostic, Location, Severity
from meshproxy.model import Snapshot
from meshproxy.reload import Outcome, Reload, Result

LATER = 4_000_000_000.0  # a wall clock for which no file is recent


def snapshot(digest: str, *warnings: Diagnostic) -> Snapshot:
    return Snapshot((), {}, digest=digest, warnings=warnings)


def at_once(f: Callable[..., Any], *args: Any) -> Deferred[Any]:
    return maybeDeferred(f, *args)


class Thread:
    """A thread that runs what it is given when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, f: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, f, args))
        return done

    def step(self) -> None:
        done, f, args = self.waiting.pop(0)
        maybeDeferred(f, *args).chainDeferred(done)


class Files:
    """What ``read`` and ``load`` see: a text, in which ``bad`` does not load."""

    def __init__(self) -> None:
        self.text = "first"
        self.reads = self.loads = 0
        self.previous: list[Snapshot | None] = []

    def read(self) -> Sources:
        self.reads += 1
        if self.text == "missing":
            raise ConfigError.at(Location("mesh.yaml"), "there is no such file")
        return Sources((), self.text)

    def load(self, sources: Sources, previous: Snapshot | None) -> Snapshot:
        self.loads += 1
        self.previous.append(previous)
        if sources.digest.startswith("bad"):
            raise ConfigError([Diagnostic("no such field", Location("mesh.yaml", 3, 5)), Diagnostic("another")])
        if sources.digest == "bug":
            raise RuntimeError("a bug")
        return snapshot(sources.digest)


class ReloadTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.files = Files()
        self.installed: list[str] = []
        self.path = Path(self.mktemp())
        self.path.mkdir(parents=True)
        (self.path / "mesh.yaml").write_text("x")
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def service(self, run: Any = at_once, install: Callable[[Snapshot], None] | None = None, **other: Any) -> Reload:
        reload = Reload(
            [str(self.path)],
            self.files.read,
            other.pop("load", self.files.load),
            install or (lambda snapshot: self.installed.append(snapshot.digest)),
            self.clock,
            run,
            lambda: LATER,
            **other,
        )
        reload.installed(snapshot("first"))
        reload.startService()
        self.addCleanup(lambda: reload.running and reload.stopService())
        self.two_polls()  # the first one that finds the files at rest reads
        return reload

    def two_polls(self) -> None:
        """As long as it takes until a file that changed is seen to be at rest."""
        self.clock.advance(1)
        self.clock.advance(1)

    def change(self, text: str) -> None:
        """Change the content and let polls see it."""
        self.files.text = text
        (self.path / f"{len(self.installed)}-{text}.yaml").write_text(text)
        self.two_polls()

    def logged(self, level: Any, containing: str) -> int:
        from twisted.logger import formatEvent

        return sum(event["log_level"] is level and containing in formatEvent(event) for event in self.events)


class SecretFileTests(ReloadTestCase):
    """Files with secrets, which the configuration names, are looked at with it."""

    def setUp(self) -> None:
        super().setUp()
        self.secret = self.path / "secret"
        self.secret.write_text("first")

    def read_secret(self) -> dict[str, bytes | None]:
        return {str(self.secret): self.secret.read_bytes() if self.secret.exists() else None}

    def load(self, sources: Sources, previous: Snapshot | None) -> Snapshot:
        self.asked = {}
        self.files.load(sources, previous)
        self.asked = self.read_secret()
        if self.asked[str(self.secret)] in (None, b"short"):
            raise ConfigError.at(Location("mesh.yaml"), "the secret is wrong")
        return snapshot(sources.digest)

    def serving(self) -> Reload:
        self.asked = self.read_secret()
        return self.service(load=self.load, secret_files=lambda: self.asked)

    def keep(self, text: str) -> None:
        self.secret.write_text(text)
        self.two_polls()

    def test_change(self) -> None:
        """A secret that changes alone has the configuration loaded; one that is written again as it was has not."""
        self.serving()
        self.keep("second")
        self.assertEqual(self.installed, ["first"])
        self.keep("second")
        self.assertEqual((self.files.loads, self.installed), (1, ["first"]))

    def test_failure(self) -> None:
        """One that is wrong is told once, and is looked at on: a right one is served, as is that from before."""
        reload = self.serving()
        for wrong in ("short", None):
            if wrong is None:
                self.secret.unlink()
                self.two_polls()
            else:
                self.keep(wrong)
            loads = self.files.loads
            self.clock.advance(1)
            self.clock.advance(1)
            self.assertEqual(self.files.loads, loads)
            self.assertIn("the secret is wrong", str(reload.last_error))
        self.assertEqual(self.logged(LogLevel.error, "does not load"), 2)
        self.keep("first")
        self.assertEqual((reload.last_error, self.installed), (None, []))
        self.keep("other")
        self.assertEqual((reload.last_error, self.installed), (None, ["first"]))

    def test_failure_of_another_kind(self) -> None:
        """While files are wrong that do not come to the secret, a secret of what is served is looked at on."""
        reload = self.serving()
        self.files.text = "bad"
        self.keep("second")
        self.assertEqual((self.files.loads, self.asked), (1, {}))
        self.assertIsNotNone(reload.last_error)
        self.change("first")
        self.assertEqual((reload.last_error, self.installed), (None, ["first"]))


class PollTests(ReloadTestCase):
    def test_half_written(self) -> None:
        """A file that is still being written is not loaded, valid as it may be; it is when it has come to rest."""
        self.service()
        for text in ("torn", "torn too", "whole"):
            self.files.text = text
            (self.path / "mesh.yaml").write_text(text)
            self.clock.advance(1)
        self.assertEqual((self.files.loads, self.installed), (0, []))
        self.clock.advance(1)
        self.assertEqual(self.installed, ["whole"])

    def test_change_is_installed(self) -> None:
        """A changed file is served, compiled with regard to what was served before."""
        reload = self.service()
        self.change("second")
        self.assertEqual(self.installed, ["second"])
        self.assertEqual(reload.generation, 2)
        assert self.files.previous[-1] is not None
        self.assertEqual(self.files.previous[-1].digest, "first")

    def test_unchanged_files_are_not_read(self) -> None:
        """A second in which nothing happened costs a stat, not a read."""
        self.service()
        reads = self.files.reads
        for _ in range(10):
            self.two_polls()
        self.assertEqual(self.files.reads, reads)

    def test_change_before_first_poll(self) -> None:
        """What changed between the load at the start and the first poll is not missed."""
        self.files.text = "changed meanwhile"
        self.service()
        self.assertEqual(self.installed, ["changed meanwhile"])

    def test_touched_file_is_no_reload(self) -> None:
        """The same content under another time of change is read, but neither compiled nor counted."""
        reload = self.service()
        os.utime(self.path / "mesh.yaml", (5, 5))
        reads = self.files.reads
        self.two_polls()
        self.assertEqual((self.files.reads, self.files.loads), (reads + 1, 0))
        self.assertEqual(reload.results[Result.UNCHANGED], 0)

    def test_failure_changes_nothing_and_is_visible(self) -> None:
        """A file that does not load leaves all as it was; all findings are logged and kept for the status."""
        reload = self.service()
        before = reload.snapshot, reload.generation, reload.last_success_at
        self.change("bad")
        self.assertEqual((reload.snapshot, reload.generation, reload.last_success_at), before)
        self.assertEqual(self.installed, [])
        for text in ("mesh.yaml:3:5: no such field", "another", "generation 1 is served on"):
            self.assertEqual(self.logged(LogLevel.error, text), 1, text)
        self.assertIn("mesh.yaml:3:5: no such field", reload.last_error or "")
        self.assertEqual(reload.results[Result.FAILED], 1)

    def test_failed_content_is_not_compiled_again(self) -> None:
        """The same wrong content, touched, is neither compiled nor logged again."""
        self.service()
        self.change("bad")
        os.utime(self.path / "mesh.yaml", (7, 7))
        self.two_polls()
        self.assertEqual(self.files.loads, 1)
        self.assertEqual(self.logged(LogLevel.error, "does not load"), 1)

    def test_half_written_file(self) -> None:
        """A file that was caught half-written is read again when its other half is there."""
        reload = self.service()
        self.change("bad half")
        self.change("whole")
        self.assertEqual(self.installed, ["whole"])
        self.assertIsNone(reload.last_error)

    def test_undone_mistake(self) -> None:
        """Going back to the content that is served ends the failure without installing anything."""
        reload = self.service()
        self.change("bad")
        self.change("first")
        self.assertEqual(self.installed, [])
        self.assertIsNone(reload.last_error)
        self.assertEqual(reload.generation, 1)

    def test_missing_file(self) -> None:
        """A file that is gone is a failure like any other, reported once."""
        reload = self.service()
        self.change("missing")
        os.utime(self.path / "mesh.yaml", (7, 7))
        self.two_polls()
        self.assertIn("there is no such file", reload.last_error or "")
        self.assertEqual(self.logged(LogLevel.error, "there is no such file"), 1)

    def test_bug_in_the_compiler(self) -> None:
        """An exception that is no finding is logged with its traceback, and polling goes on."""
        reload = self.service()
        self.change("bug")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIn("a bug", reload.last_error or "")
        self.change("second")
        self.assertEqual(self.installed, ["second"])

    def test_failed_installation(self) -> None:
        """A snapshot that cannot be served, as when a port is in use, is a failed reload; asking tries again."""
        refusing = True

        def install(snapshot: Snapshot) -> None:
            if refusing:
                raise ConfigError.at(None, "cannot listen on 0.0.0.0:81")
            self.installed.append(snapshot.digest)

        reload = self.service(install=install)
        self.change("second")
        self.assertIn("cannot listen", reload.last_error or "")
        self.assertEqual(reload.generation, 1)
        refusing = False
        self.assertEqual(self.successResultOf(reload.ask("SIGHUP")), Outcome(Result.INSTALLED))
        self.assertEqual(self.installed, ["second"])

    def test_warnings_are_logged(self) -> None:
        """The warnings of what is installed are in the log, each load anew."""
        reload = self.service()
        warning = Diagnostic("has no effect", Location("mesh.yaml", 2, 1), severity=Severity.WARNING)
        reload.installed(snapshot("a", warning))
        reload.installed(snapshot("b", warning))
        self.assertEqual(self.logged(LogLevel.warn, "mesh.yaml:2:1: warning: has no effect"), 2)


class AskTests(ReloadTestCase):
    def test_unchanged_is_logged(self) -> None:
        """Whoever asks gets to read in the log that nothing had changed; nothing is compiled."""
        reload = self.service()
        self.assertEqual(self.successResultOf(reload.ask("SIGHUP")), Outcome(Result.UNCHANGED))
        self.assertEqual(self.logged(LogLevel.info, "Reload (SIGHUP): the configuration is unchanged"), 1)
        self.assertEqual(self.files.loads, 0)

    def test_failure_is_answered(self) -> None:
        """Whoever asks gets all findings, also when the same content failed before."""
        reload = self.service()
        self.change("bad")
        outcome = self.successResultOf(reload.ask("admin"))
        self.assertEqual(outcome.result, Result.FAILED)
        self.assertIn("mesh.yaml:3:5: no such field", outcome.error)
        self.assertEqual(self.logged(LogLevel.error, "does not load"), 2)

    def test_one_at_a_time_and_coalesced(self) -> None:
        """Triggers during a reload cost one more reload together, which begins when the first has ended."""
        thread = Thread()
        reload = self.service(thread)
        thread.step()  # the first poll's read
        first = reload.ask("one")
        self.files.text = "second"
        others = [reload.ask("two"), reload.ask("three")]
        self.assertEqual(len(thread.waiting), 1)
        thread.step()  # read
        thread.step()  # load
        self.assertEqual(self.successResultOf(first).result, Result.INSTALLED)
        for other in others:
            self.assertNoResult(other)
        self.assertEqual(len(thread.waiting), 1)
        thread.step()
        self.assertEqual([self.successResultOf(other).result for other in others], [Result.UNCHANGED] * 2)
        self.assertEqual(thread.waiting, [])

    def test_stop_during_load(self) -> None:
        """A load that ends after the stop installs nothing, and the stop waits for it."""
        thread = Thread()
        reload = self.service(thread)
        thread.step()
        self.files.text = "second"
        asked = reload.ask("SIGHUP")
        thread.step()
        stopped = reload.stopService()
        self.assertNoResult(stopped)
        thread.step()
        self.successResultOf(stopped)
        self.assertEqual(self.successResultOf(asked).result, Result.STOPPED)
        self.assertEqual(self.installed, [])


class PrepareTests(ReloadTestCase):
    def test_before_installation(self) -> None:
        """A snapshot is installed when it has been prepared; one that does not load is not prepared at all."""
        prepared: list[tuple[str, Deferred[None]]] = []

        def prepare(it: Snapshot) -> Deferred[None]:
            prepared.append((it.digest, Deferred()))
            return prepared[-1][1]

        reload = self.service(prepare=prepare)
        self.change("bad")
        self.change("second")
        self.assertEqual(([digest for digest, _ in prepared], self.installed), (["second"], []))
        prepared[0][1].callback(None)
        self.assertEqual(self.installed, ["second"])
        self.assertEqual(reload.generation, 2)

    def test_stop_meanwhile(self) -> None:
        """A stop while a snapshot is prepared installs nothing."""
        prepared: Deferred[None] = Deferred()
        reload = self.service(prepare=lambda it: prepared)
        self.change("second")
        stopped = reload.stopService()
        self.assertNoResult(stopped)
        prepared.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.installed, [])


class RecentTests(ReloadTestCase):
    def test_recent_file_is_read_again(self) -> None:
        """A file changed within the last two seconds is read at each poll: ``stat`` may hide a second write."""
        wall = os.stat(self.path / "mesh.yaml").st_mtime
        reload = Reload(
            [str(self.path)], self.files.read, self.files.load, lambda _: None, self.clock, at_once, lambda: wall
        )
        reload.installed(snapshot("first"))
        reload.startService()
        self.addCleanup(reload.stopService)
        self.two_polls()
        self.clock.advance(1)
        self.assertEqual(self.files.reads, 2)
        wall += 3
        self.clock.advance(1)
        self.assertEqual(self.files.reads, 2)
