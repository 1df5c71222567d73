"""Handing the text of a configuration to other processes: one piece of memory that all read and nobody can change."""

from __future__ import annotations

import fcntl
import json
import os

from meshproxy.config.sources import Source, Sources

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def seal(sources: Sources) -> int:
    """A descriptor of memory that has these sources, for the caller to close."""
    descriptor = os.memfd_create("meshproxy-configuration", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        files = [[it.name, it.text] for it in sources.files]
        secrets = {
            path: None if found is None else found.decode("latin-1") for path, found in sources.secret_files.items()
        }
        json.dump({"digest": sources.digest, "files": files, "secret_files": secrets}, file)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def unseal(descriptor: int) -> Sources:
    """The sources that ``seal`` put there. The descriptor is closed."""
    with open(descriptor, "rb") as file:
        # The offset belongs to all who have the descriptor.
        data = json.loads(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
    secrets = {path: None if found is None else found.encode("latin-1") for path, found in data["secret_files"].items()}
    return Sources(tuple(Source(name, text) for name, text in data["files"]), data["digest"], secrets)
