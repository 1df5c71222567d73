"""Run trial, then say its result once more in one plain line.

Usage: run_tests.py TRIAL-ARGUMENTS

Trial's output passes through and its exit status is ours. The last line is ``N passed, N failed, N skipped``: failed
are failures, errors and tests that pass though they are marked as broken; a test that is broken as marked has passed.
"""

from __future__ import annotations

import re
import subprocess
import sys

_CLOSING_LINE = re.compile(r"(?:PASSED|FAILED)(?: \((?P<counts>.*)\))?\s*")


def plain_summary(closing_line: str) -> str | None:
    """The summary for a closing line of trial's, such as ``FAILED (failures=1, successes=2)``; None for other lines."""
    match = _CLOSING_LINE.fullmatch(closing_line)
    if match is None:
        return None
    counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", match["counts"] or "")}

    def total(*names: str) -> int:
        return sum(counts.get(name, 0) for name in names)

    passed = total("successes", "expectedFailures")
    failed = total("failures", "errors", "unexpectedSuccesses")
    return f"{passed} passed, {failed} failed, {total('skips')} skipped"


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-u", "-m", "twisted.trial", *arguments]
    summary = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as trial:
        assert trial.stdout is not None
        for line in trial.stdout:
            print(line, end="", flush=True)
            summary = plain_summary(line) or summary
    if summary is not None:
        print(summary, flush=True)
    return trial.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
