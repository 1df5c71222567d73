"""Writing a log without ever waiting for it.

A write to a file, a terminal or a pipe may take as long as the other side likes, and ``O_NONBLOCK`` is no way out:
disks do not know it, and with a pipe it would be set for everybody who has that pipe. So a thread writes. What waits
for it is bounded; what comes beyond that is dropped and counted, and so are lines that cannot be written, as on a full
disk. Each block is tried anew, so a log goes on by itself when there is room again.

Several processes may write to one pipe. So that their lines do not mix, what is written there at once is whole lines,
and no more than a pipe takes in one piece (``PIPE_BUF`` of POSIX, write(3p)). Files do not mix what is appended.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from twisted.logger import Logger

from meshproxy.http.counters import Counters

MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may wait for the thread."""

_WRITABLE_MILLISECONDS = 1000

_log = Logger()
# The reactor's thread and those of writers count in the same place.
_counting = Lock()


class SerialThread:
    """Runs functions in a daemon thread, one after the other. The thread starts with the first, so not before a fork.

    Functions must not raise.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, function: Callable[[], None]) -> None:
        """Run ``function`` after those before it; returns at once."""
        self._queue.put(function)
        if self._thread is None:
            self._thread = Thread(target=self._work, name="access log", daemon=True)
            self._thread.start()

    def finish(self, seconds: float) -> None:
        """End when all is done; wait for that, but no longer than so many seconds. Nothing may be run after it."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while (function := self._queue.get()) is not None:
            function()


class LogWriter:
    """Appends blocks of lines to a descriptor, which it owns unless ``path`` is ``-``."""

    def __init__(self, fd: int, path: str, counters: Counters, thread: SerialThread | None = None) -> None:
        self._fd = fd
        self._path = path
        self._counters = counters
        self._thread = SerialThread() if thread is None else thread
        # Two counts, each written by one thread alone.
        self._given = self._taken = 0
        self._torn = False

    def write(self, block: bytes) -> None:
        """Write whole lines some time soon; drop them if too much is waiting."""
        if self._given - self._taken + len(block) > MOST_WAITING:
            self._drop(block)
            return
        self._given += len(block)
        self._thread.run(lambda: self._write(block))

    def reopen(self) -> None:
        """Write on in a file of the same path, after what was given so far."""
        if self._path != "-":
            self._thread.run(self._reopen)

    def close(self, seconds: float) -> None:
        """Close the file when all is written; wait at most so long for that."""
        if self._path != "-":
            self._thread.run(lambda: os.close(self._fd))
        self._thread.finish(seconds)

    # In the thread

    def _write(self, block: bytes) -> None:
        whole = b"\n" + block if self._torn else block
        view = memoryview(whole)
        written = 0
        try:
            at_once = stat.S_ISREG(os.fstat(self._fd).st_mode)
            while written < len(whole):
                end = len(whole) if at_once else _end_of_lines(whole, written)
                try:
                    written += os.write(self._fd, view[written:end])
                except BlockingIOError:  # somebody else made it non-blocking
                    waiting = select.poll()
                    waiting.register(self._fd, select.POLLOUT)
                    waiting.poll(_WRITABLE_MILLISECONDS)
            self._torn = False
        except OSError:
            if written:
                # The next line must not go on where this one ends.
                self._torn = whole[written - 1] != 0x0A
            self._drop(block[written - len(whole) :])
        self._taken += len(block)

    def _reopen(self) -> None:
        try:
            fd = open_log(self._path)
        except OSError as error:
            _log.error(
                "Cannot reopen the access log {path}, so the old file is written on: {why}",
                path=self._path,
                why=error.strerror,
            )
            return
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def _drop(self, block: bytes) -> None:
        with _counting:
            self._counters.access_log_dropped_total += block.count(b"\n")


def _end_of_lines(block: bytes, start: int) -> int:
    """The end of as many whole lines from ``start`` on as fit into one write, of at least one."""
    limit = start + select.PIPE_BUF
    if len(block) <= limit:
        return len(block)
    end = block.rfind(b"\n", start, limit) + 1
    return end or block.find(b"\n", limit) + 1


def open_log(path: str) -> int:
    """A descriptor that appends to ``path``. Raises ``OSError``, also for a FIFO that nobody reads."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    os.set_blocking(fd, True)
    return fd
