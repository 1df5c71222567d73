from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

# A process that becomes the parent of orphans, as process 1 is, and has a child of its own as well.
_PROGRAM = """
import ctypes, os, signal, subprocess, sys, time
from twisted.internet.process import reapProcessHandlers
from meshproxy.reaping import reap_orphans
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
print(reap_orphans())
orphan = int(subprocess.run(["sh", "-c", "sleep 60 >&- 2>&- & echo $!"], stdout=subprocess.PIPE).stdout)
print(reap_orphans())
os.kill(orphan, signal.SIGKILL)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
print(reap_orphans())
own = os.fork()
if own == 0:
    os._exit(7)
os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)
reapProcessHandlers[own] = None
print(reap_orphans())
print(os.waitstatus_to_exitcode(os.waitpid(own, 0)[1]))
"""


class ReapingTests(SynchronousTestCase):
    def test_orphans(self) -> None:
        """Orphans are reaped when they have ended, and only then; children of this process are left to who waits."""
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stdout.split(), ["0", "0", "1", "0", "7"], done.stderr)
