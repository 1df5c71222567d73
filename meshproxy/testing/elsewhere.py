"""What the strategies of a test module decide in another process. Run as a program by ``decided_elsewhere``.

A strategy has to decide alike in every worker and on every machine. What makes it differ is seldom seen in one process:
``hash()`` of a text, the order of a set, a number drawn at import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

_SECONDS = 120
_ASKED = "decisions"


def decided_elsewhere(case: Any) -> Any:
    """What ``case.decisions()`` returns in a new process, with its ``setUp`` called before.

    It is JSON. None for a class that a new process cannot import, such as one in a program that is being run.
    """
    kind = type(case)
    return None if kind.__module__ == "__main__" else _decisions(kind.__module__).get(kind.__qualname__)


@lru_cache
def _decisions(module: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __name__, module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise AssertionError(f"another process could not ask the strategies of {module}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main(module: str) -> None:
    found = {}
    for kind in vars(import_module(module)).values():
        if isinstance(kind, type) and kind.__module__ == module and hasattr(kind, _ASKED) and hasattr(kind, "setUp"):
            case: Any = kind(_ASKED)
            case.setUp()
            try:
                found[kind.__qualname__] = case.decisions()
            except NotImplementedError:
                continue  # a base class for others
    print(json.dumps(found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
