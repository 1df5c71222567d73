"""The reloadable configuration: noticing that the files changed, loading them, and having the result installed.

Rules. Whatever asks for a reload only leaves a note; one reload runs at a time and answers all notes that were there
when it began, so any number of triggers during a reload cost one more. Files are read and compiled in a thread, the
result is installed in the reactor's. A load that fails changes nothing, is logged, and stays visible in ``last_error``
until a load succeeds; the same content is not tried again by polling, only when somebody asks.

A file that is written in place looks different for as long as that takes, and what is there meanwhile may well be
valid: a stream of documents that ends too early. So polling loads only what has looked the same for two polls in a row.

Why polling: a ConfigMap is swapped by renaming a symbolic link and editors rename over a file, of both of which a watch
on the file hears nothing. Each second the names and ``stat`` of all files are compared; only when these differ are
contents read, and only when their digest differs are they compiled. A second write within one tick of the file
system's clock leaves no trace in ``stat``, so a file changed within the last two seconds counts as different. Files
with secrets that the configuration names are looked at with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from meshproxy import garbage
from meshproxy.config import Loader
from meshproxy.config.diagnostics import render
from meshproxy.config.secrets import hold_still
from meshproxy.config.sources import SUFFIXES, Sources, with_excerpts
from meshproxy.errors import ConfigError, Diagnostic
from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.model import Snapshot
from meshproxy.selection import build_tables

POLL_SECONDS = 1.0
_RECENT_SECONDS = 2.0

_log = Logger()
# ``deferToThread``, or what stands for it in a test.
RunInThread = Callable[..., Deferred[Any]]


def load_to_serve(loader: Loader, sources: Sources, previous: Snapshot | None) -> Snapshot:
    """A snapshot that can be served by: the tables of its balancers are built, and the collector ignores all of it.

    Raises ``ConfigError`` as ``Loader.load``, and where a table cannot be built.
    """
    with garbage.held():
        snapshot = loader.load(sources, previous)
        for name, cluster in snapshot.clusters.items():
            try:
                build_tables([cluster.balancer])
            except PLUGIN_ERRORS as error:
                origin = snapshot.origins[name]
                message = f"strategy {origin.strategy} failed: {describe_failure(error)}"
                raise ConfigError(with_excerpts([Diagnostic(message, origin.named_at)], sources)) from error
    return snapshot


class Result(Enum):
    """How a reload ended."""

    INSTALLED = "installed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    STOPPED = "stopped"


@frozen
class Outcome:
    """The end of a reload; ``error`` is the text for the user where it failed, ``findings`` what it consists of."""

    result: Result
    error: str = ""
    findings: tuple[Diagnostic, ...] = ()


@frozen
class _Content:
    """What a load went by: the digest of the files, or a text in place of it, and the secrets in other files."""

    digest: str
    secret_files: Mapping[str, bytes | None] = field(factory=dict, repr=False)

    def is_still(self, digest: str) -> bool:
        """Whether a load would go by the same now."""
        return digest == self.digest and hold_still(self.secret_files)


Signature = tuple[tuple[object, ...], ...]


def look(paths: Sequence[str]) -> tuple[Signature, float]:
    """The names and ``stat`` of all files that ``config.read`` would read, and the newest time of change.

    Equal signatures mean equal contents, except for changes that are younger than the file system's clock can tell.
    """
    signature: list[tuple[object, ...]] = []
    newest = float("-inf")
    for path in paths:
        names = [path]
        try:
            if os.path.isdir(path):
                entries = sorted(os.listdir(path))
                signature.append((path, None))
                names = [
                    os.path.join(path, entry)
                    for entry in entries
                    if not entry.startswith(".") and entry.lower().endswith(SUFFIXES)
                ]
        except OSError as error:
            signature.append((path, error.errno))
        for name in names:
            try:
                status = os.stat(name)
            except OSError as error:
                signature.append((name, error.errno))
                continue
            signature.append(
                (name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            )
            newest = max(newest, status.st_mtime, status.st_ctime)
    return tuple(signature), newest


class Reload(Service):
    """Keeps what is served equal to what the files say. See the head of this module.

    ``read`` gives the files and ``load`` compiles them with regard to the snapshot before; both run through
    ``run_in_thread`` and raise ``ConfigError``. ``prepare`` fires when a snapshot may be installed. ``install`` makes
    it take effect or raises ``ConfigError`` and leaves everything as it was. ``wall`` tells the time of the file
    system's clock in seconds, ``secret_files`` what ``config.Loader`` has under that name after the last load.

    Read-only for others: ``snapshot`` (what is served), ``generation`` (how many were installed), ``last_error`` (text
    of the last failed load, None when the last load was good), ``last_success_at`` (Unix time), ``results``,
    ``last_outcome`` and ``last_outcome_at`` (of the last reload that counts in ``results``, None before it).
    """

    name = "reload"

    def __init__(
        self,
        paths: Sequence[str],
        read: Callable[[], Sources],
        load: Callable[[Sources, Snapshot | None], Snapshot],
        install: Callable[[Snapshot], None],
        clock: Any,
        run_in_thread: RunInThread,
        wall: Callable[[], float] = time.time,
        prepare: Callable[[Snapshot], Deferred[None]] = lambda snapshot: succeed(None),
        secret_files: Callable[[], Mapping[str, bytes | None]] = dict,
    ) -> None:
        self._paths = tuple(paths)
        self._prepare = prepare
        self._read, self._load, self._install = read, load, install
        self._run_in_thread = run_in_thread
        self._wall = wall
        self._secret_files = secret_files
        self.snapshot: Snapshot | None = None
        self.generation = 0
        self.last_error: str | None = None
        self.last_success_at: float | None = None
        self.last_outcome: Outcome | None = None
        self.last_outcome_at: float | None = None
        self.results = dict.fromkeys(Result, 0)
        self._served: _Content | None = None
        self._failed: _Content | None = None
        # None: the first poll reads, for the files may have changed since the snapshot at the start was read.
        self._signature: Signature | None = None
        self._seen: Signature | None = None
        self._polled = False
        self._asked: list[tuple[str, Deferred[Outcome]]] = []
        self._busy = False
        self._under_way: Deferred[None] | None = None
        self._polling = LoopingCall(self.poll)
        self._polling.clock = clock

    # Life

    def installed(self, snapshot: Snapshot) -> None:
        """``snapshot`` has taken effect; also for the one that the process starts with."""
        self.snapshot = snapshot
        self._served = _Content(snapshot.digest, self._secret_files())
        self.generation += 1
        self.last_success_at = self._wall()
        self._succeeded()
        if snapshot.warnings:
            _log.warn("The configuration has warnings:\n{text}", text=render(snapshot.warnings).rstrip())
        _log.info(
            "Configuration {generation} is served: {listeners} listeners, {clusters} clusters, digest {digest}",
            generation=self.generation,
            listeners=len(snapshot.listeners),
            clusters=len(snapshot.clusters),
            digest=snapshot.digest[:12],
        )

    def startService(self) -> None:
        """Begin to poll, the first time in a second."""
        super().startService()  # type: ignore[no-untyped-call]
        self._polling.start(POLL_SECONDS, now=False)

    def stopService(self) -> Deferred[None]:
        """Install nothing any more; fires when a load that is under way has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._polling.running:
            self._polling.stop()
        ended: Deferred[None] = Deferred()
        if self._busy and self._under_way is not None:
            self._under_way.addBoth(lambda _: ended.callback(None))
        else:
            ended.callback(None)
        return ended

    # Triggers

    def poll(self) -> None:
        """Look whether a file may have changed, and has come to rest since the last look."""
        signature, newest = look(self._watched())
        if signature != self._seen:
            self._seen = signature
        elif signature != self._signature or abs(self._wall() - newest) < _RECENT_SECONDS:
            self._signature = signature
            self._polled = True
            self._begin()

    def _watched(self) -> tuple[str, ...]:
        loads = [it for it in (self._served, self._failed) if it is not None]
        return (*self._paths, *dict.fromkeys(path for it in loads for path in it.secret_files))

    def ask(self, why: str) -> Deferred[Outcome]:
        """Load anew whatever ``stat`` says; fires when a reload that began after this call has ended.

        ``why`` is for the log. Content that failed before is tried again.
        """
        answer: Deferred[Outcome] = Deferred()
        self._asked.append((why, answer))
        self._begin()
        return answer

    # The reload

    def _begin(self) -> None:
        if not self._busy:
            self._busy = True
            self._under_way = Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        while self._polled or self._asked:
            asked, self._asked, self._polled = self._asked, [], False
            reasons = [why for why, _ in asked]
            outcome = await self._reload(reasons)
            # Most polls that read find nothing: no reload, to whoever counts them.
            if reasons or outcome.result is not Result.UNCHANGED:
                self.results[outcome.result] += 1
                self.last_outcome, self.last_outcome_at = outcome, self._wall()
            if reasons and outcome.result is Result.UNCHANGED:
                _log.info("Reload ({why}): the configuration is unchanged", why=", ".join(reasons))
            for _, answer in asked:
                answer.callback(outcome)
        self._busy = False

    async def _reload(self, reasons: Sequence[str]) -> Outcome:
        content = _Content("")
        try:
            sources, as_served, as_failed = await self._run_in_thread(self._look_closely)
            if as_served:
                if self.last_error is not None:
                    _log.info("The configuration is again the one that is served")
                self._succeeded()
                return Outcome(Result.UNCHANGED)
            if as_failed and not reasons:
                return Outcome(Result.UNCHANGED)
            content = _Content(sources.digest)
            try:
                snapshot: Snapshot = await self._run_in_thread(self._load, sources, self.snapshot)
            finally:
                content = _Content(sources.digest, self._secret_files())
            if self.running:
                await self._prepare(snapshot)
            if not self.running:
                return Outcome(Result.STOPPED)
            self._install(snapshot)
        except ConfigError as error:
            if not self.running:
                return Outcome(Result.STOPPED)
            text = render(error.diagnostics).rstrip()
            # A finding without digest is one of reading, such as a missing file: known again by its text.
            content = content if content.digest else _Content(text)
            if reasons or content != self._failed:
                _log.error(
                    "The configuration does not load; generation {generation} is served on:\n{text}",
                    generation=self.generation,
                    text=text,
                )
            return self._fail(content, text, error.diagnostics)
        except Exception as error:  # noqa: BLE001 - serving goes on whatever a load does
            if reasons or content != self._failed:
                _log.failure("Loading the configuration failed unexpectedly")
            return self._fail(content, f"internal error: {error!r}")
        self.installed(snapshot)
        return Outcome(Result.INSTALLED)

    def _look_closely(self) -> tuple[Sources, bool, bool]:
        """The files, and whether they are as those of the configuration that is served, or of the last that failed."""
        sources = self._read()
        as_served, as_failed = (it is not None and it.is_still(sources.digest) for it in (self._served, self._failed))
        return sources, as_served, as_failed

    def _succeeded(self) -> None:
        self.last_error = self._failed = None

    def _fail(self, content: _Content, text: str, findings: tuple[Diagnostic, ...] = ()) -> Outcome:
        self._failed, self.last_error = content, text
        return Outcome(Result.FAILED, text, findings)
