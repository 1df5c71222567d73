"""Running ``meshproxy`` inside the process of the tests."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli.main import main


class Input(io.TextIOWrapper):
    """A standard input with these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


class CommandTestCase(SynchronousTestCase):
    def run_command(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """The exit status, standard output and standard error of ``meshproxy``."""
        stdout, stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", stdout)
        self.patch(sys, "stderr", stderr)
        self.patch(sys, "stdin", Input(stdin))
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, stdout.getvalue(), stderr.getvalue()
