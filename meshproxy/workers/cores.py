"""How many processes can run at once here."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(limit: Path = _CGROUP) -> int:
    """The cores that this process may use: by its affinity, and by the CPU limit of its container (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text("ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no such file, or "max"
    return max(1, cores)
