"""Writing a log: what cannot be written, what is slow, and that nobody waits."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from threading import Event, current_thread

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http import logwriter
from meshproxy.http.counters import Counters
from meshproxy.http.logwriter import LogWriter, SerialThread, open_log
from tests.fakes import AtOnce

PATIENCE = 10.0


class Held(SerialThread):
    """A thread that does nothing until it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def run(self, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()

    def finish(self, seconds: float) -> None:
        pass


class WriterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.counters = Counters()
        self.path = self.mktemp()

    def writer(self, thread: SerialThread | None = None) -> LogWriter:
        return LogWriter(open_log(self.path), self.path, self.counters, thread or AtOnce())

    def written(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()

    @property
    def dropped(self) -> int:
        return self.counters.access_log_dropped_total


class LossTests(WriterCase):
    def test_full_disk(self) -> None:
        """Lines for which there is no room are counted, and the log goes on."""
        writer = LogWriter(os.open("/dev/full", os.O_WRONLY), "/dev/full", self.counters, AtOnce())
        writer.write(b"a\nb\n")
        self.assertEqual(self.dropped, 2)
        writer.write(b"c\n")
        writer.close(0)
        self.assertEqual(self.dropped, 3)

    def test_nobody_reads(self) -> None:
        """A pipe whose reader is gone costs lines, not requests."""
        reading, writing = os.pipe()
        os.close(reading)
        writer = LogWriter(writing, "pipe", self.counters, AtOnce())
        writer.write(b"a\n")
        writer.close(0)
        self.assertEqual(self.dropped, 1)

    def test_recovery(self) -> None:
        """A disk that fills up in the middle of a line costs that line, and glues no other one to it."""
        writer = self.writer()
        room = 3
        write = os.write

        def limited(fd: int, data: memoryview) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "no room")
            done = write(fd, data[:room])
            room -= done
            return done

        self.patch(logwriter.os, "write", limited)
        writer.write(b"a\nbb\ncc\n")
        self.assertEqual((self.written(), self.dropped), (b"a\nb", 2))
        writer.write(b"lost\n")
        self.assertEqual(self.dropped, 3)
        room = 100
        writer.write(b"d\n")
        writer.write(b"e\n")
        self.assertEqual((self.written(), self.dropped), (b"a\nb\nd\ne\n", 3))
        writer.close(0)

    def test_bounded(self) -> None:
        """What waits for a slow disk is bounded; beyond that lines are dropped until some were taken."""
        self.patch(logwriter, "MOST_WAITING", 10)
        thread = Held()
        writer = self.writer(thread)
        writer.write(b"123456\n")
        writer.write(b"789\nx\n")
        self.assertEqual(self.dropped, 2)
        writer.write(b"ab\n")
        thread.work()
        writer.write(b"last\n")
        writer.close(0)
        thread.work()
        self.assertEqual((self.written(), self.dropped), (b"123456\nab\nlast\n", 2))

    def test_shared_pipe(self) -> None:
        """What goes to a pipe at once is whole lines that a pipe takes in one piece; longer lines go alone."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        pieces = []
        write = os.write

        def recorded(fd: int, data: memoryview) -> int:
            pieces.append(bytes(data))
            return write(fd, data)

        self.patch(logwriter.os, "write", recorded)
        lines = [b"x" * length + b"\n" for length in (1, 2000, 2000, 200, 5000, 4095, 4096, 3, 3)]
        writer = LogWriter(writing, "pipe", self.counters, AtOnce())
        writer.write(b"".join(lines))
        writer.close(0)
        self.assertEqual(b"".join(pieces), b"".join(lines))
        self.assertTrue(all(piece.endswith(b"\n") for piece in pieces))
        self.assertEqual([len(piece) for piece in pieces], [4004, 201, 5001, 4096, 4097, 8])

    def test_non_blocking(self) -> None:
        """A pipe that somebody made non-blocking loses nothing while it is full for a moment."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_blocking(writing, False)
        writer = LogWriter(writing, "pipe", self.counters)
        block = b"x" * 9_999 + b"\n"
        for _ in range(100):
            writer.write(block)
        writer.close(0)
        read = b"".join(iter(lambda: os.read(reading, 65536), b""))
        self.assertEqual((read, self.dropped), (block * 100, 0))


class ThreadTests(WriterCase):
    def test_nobody_waits(self) -> None:
        """A pipe that is not read holds up its own thread and nobody else; at the end no longer than is asked for."""
        reading, writing = os.pipe()
        writer = LogWriter(writing, "pipe", self.counters)
        for _ in range(100):
            writer.write(b"x" * 9_999 + b"\n")
        writer.close(0.01)
        while os.read(reading, 65536):
            pass
        os.close(reading)
        self.assertEqual(self.dropped, 0)

    def test_end(self) -> None:
        """Closing waits for what was written before, within its time; then the file is closed."""
        writer = self.writer(SerialThread())
        for number in range(50):
            writer.write(b"%d\n" % number)
        writer.close(PATIENCE)
        self.assertEqual(self.written().count(b"\n"), 50)
        with self.assertRaises(OSError):
            os.fstat(writer._fd)

    def test_begins_late(self) -> None:
        """The thread is another one, and there is none before it is needed: a process may fork until then."""
        thread = SerialThread()
        self.assertIsNone(thread._thread)
        thread.finish(PATIENCE)
        thread = SerialThread()
        ran, names = Event(), []
        thread.run(lambda: names.append(current_thread().name))
        thread.run(ran.set)
        self.assertTrue(ran.wait(PATIENCE))
        thread.finish(PATIENCE)
        self.assertNotEqual(names, [current_thread().name])


class OpenTests(WriterCase):
    def test_fifo(self) -> None:
        """A FIFO that nobody reads is an error; it is not waited for."""
        os.mkfifo(self.path)
        with self.assertRaises(OSError) as caught:
            open_log(self.path)
        self.assertEqual(caught.exception.errno, errno.ENXIO)

    def test_standard_output_stays(self) -> None:
        """Standard output is neither reopened nor closed."""
        fd = open_log(self.path)
        self.addCleanup(os.close, fd)
        writer = LogWriter(fd, "-", self.counters, AtOnce())
        writer.reopen()
        writer.close(0)
        self.assertEqual(os.write(fd, b"x"), 1)
