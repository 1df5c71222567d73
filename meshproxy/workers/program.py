"""The program of a worker process: ``python -m meshproxy.workers.program NUMBER``; see ``process``.

Twisted loads OpenSSL where it finds it, and a worker, which speaks no TLS, would hold 12 MiB of it. So there is none
while Twisted is loaded, which is the way without TLS that Twisted has; plugins may load it later.
"""

from __future__ import annotations

import sys
from typing import Any

_LIBRARY = "OpenSSL"


def main() -> None:
    """Serve as a worker until told to stop."""
    modules: dict[str, Any] = sys.modules
    modules[_LIBRARY] = None
    from meshproxy.workers import process

    del modules[_LIBRARY]
    process.main()


if __name__ == "__main__":
    main()
