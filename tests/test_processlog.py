from __future__ import annotations

import os
import sys

from twisted.logger import textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from meshproxy import processlog
from meshproxy.http import logwriter
from meshproxy.processlog import UnhurriedStream
from tests.fakes import AtOnce


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(logwriter, "SerialThread", AtOnce)
        self.reading, self.writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, self.writing)

    def read(self) -> str:
        return os.read(self.reading, 2**20).decode()

    def test_observer(self) -> None:
        """Twisted's observer takes it for a file of text."""
        textFileLogObserver(UnhurriedStream(self.writing))({"log_format": "h\u00e9llo", "log_time": 0.0})
        self.assertTrue(self.read().endswith("h\u00e9llo\n"))

    def test_what_cannot_be_written(self) -> None:
        """A full disk takes no line and stops nobody; when it takes lines again, they begin with how many are
        missing."""
        full = os.open("/dev/full", os.O_WRONLY)
        stream = UnhurriedStream(full)
        for _ in range(3):
            stream.write("one\n")
        self.assertEqual(stream.dropped, 5)  # the notice itself is a line that was lost, twice
        os.dup2(self.writing, full)
        stream.write("two\n")
        stream.write("three\n")
        os.close(full)
        self.assertEqual(self.read(), "5 lines of this log could not be written so far\ntwo\nthree\n")

    def test_standard_output(self) -> None:
        """What is printed from then on goes through it."""
        with open(os.dup(self.writing), "w") as output:
            self.patch(sys, "stdout", output)
            finish = processlog.install()
            print("hello")
            finish()
            self.assertEqual(self.read(), "hello\n")

    def test_no_standard_output(self) -> None:
        """A process that was started without one goes on without one."""
        self.patch(sys, "stdout", None)
        processlog.install()()
        self.assertIsNone(sys.stdout)
