"""Configuration files as they are read from disk: text with a name, before anybody parses it."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from attrs import evolve, field, frozen

from meshproxy.config.findings import Findings
from meshproxy.errors import ConfigError, Diagnostic, Location

MAXIMUM_SIZE = 64 * 2**20
SUFFIXES = (".yaml", ".yml", ".json")
# What libyaml counts as the end of a line, so that an excerpt is the line that a place means.
LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_DOCUMENT_START = re.compile(r"---(\s|$)")
# Anywhere in a document, however it is laid out, and rather once too often than once too rarely.
_SECRET = re.compile(r"\bkind[\"']?\s*:\s*(?:[!&]\S*\s+)*[\"']?Secret", re.IGNORECASE)


@frozen
class Source:
    """The text of one file, without a byte order mark."""

    name: str
    text: str = field(repr=False)


@frozen
class Sources:
    """All files of one load, in the order in which they were named.

    ``digest`` is a hash over names and contents: equal digests mean that there is nothing to load anew, unless a secret
    changed that is in a file of its own. ``secret_files`` are the contents of such files by their paths, where they are
    known already.
    """

    files: tuple[Source, ...]
    digest: str
    secret_files: Mapping[str, bytes | None] = field(factory=dict, repr=False)


def read(paths: Sequence[str | Path], stream: BinaryIO | None = None, stream_name: str = "") -> Sources:
    """Read files, and folders for what is directly in them: ``*.yaml``, ``*.yml``, ``*.json``, in order of name.

    Hidden entries of a folder are skipped, such as the ``..data`` of a mounted ConfigMap; symbolic links are followed.
    A file that is reached twice is read once. A ``stream`` comes behind all files, under ``stream_name``. Nothing is
    parsed. Raises ``ConfigError`` with everything that cannot be read.
    """
    findings = Findings()
    names = [name for path in paths for name in _expand(os.fspath(path), findings)]
    files: dict[tuple[int, int], Source] = {}
    digest = hashlib.sha256()
    for name in names:
        try:
            identity, data = _contents(name)
        except OSError as error:
            findings.error(Location(_shown(name)), _reason(error))
            continue
        except ConfigError as error:
            findings.diagnostics.extend(error.diagnostics)
            continue
        if identity in files:
            continue
        text = findings.attempt(_decode, _shown(name), data)
        files[identity] = Source(_shown(name), text or "")
        _update(digest, os.fsencode(name), data)
    found = list(files.values())
    if stream is not None:
        data = findings.attempt(_bounded, stream, stream_name) or b""
        found.append(Source(stream_name, findings.attempt(_decode, stream_name, data) or ""))
        _update(digest, stream_name.encode(), data)
    findings.raise_if_errors()
    return Sources(tuple(found), digest.hexdigest())


def with_excerpts(diagnostics: Iterable[Diagnostic], sources: Sources) -> list[Diagnostic]:
    """The same diagnostics, each with the source line of its place where that is known."""
    texts = {source.name: source.text for source in sources.files}
    lines: dict[str, list[str | None]] = {}
    found = []
    for diagnostic in diagnostics:
        location = diagnostic.location
        if location is not None and location.file in texts:
            if location.file not in lines:
                lines[location.file] = _shown_lines(texts[location.file])
            excerpt = (
                lines[location.file][location.line - 1] if 1 <= location.line <= len(lines[location.file]) else None
            )
            if excerpt is not None:
                diagnostic = evolve(diagnostic, excerpt=excerpt)  # noqa: PLW2901
        found.append(diagnostic)
    return found


def _shown_lines(text: str) -> list[str | None]:
    """The lines of a file; None for those of a document with a Secret in it, of which nothing is shown."""
    lines = LINE_END.split(text)
    starts = [0, *(at for at, line in enumerate(lines) if at and _DOCUMENT_START.match(line)), len(lines)]
    shown: list[str | None] = []
    for start, end in pairwise(starts):
        document = lines[start:end]
        shown += [None] * len(document) if _SECRET.search("\n".join(document)) else document
    return shown


def _expand(path: str, findings: Findings) -> list[str]:
    """The files that a path of the command line stands for."""
    try:
        if not os.path.isdir(path):
            return [path]
        entries = sorted(os.listdir(path))
    except OSError as error:
        findings.error(Location(_shown(path)), _reason(error))
        return []
    wanted = [entry for entry in entries if not entry.startswith(".") and entry.lower().endswith(SUFFIXES)]
    if not wanted:
        hint = "folders are not searched recursively" if entries else ""
        findings.error(
            Location(_shown(path)), f"this folder has no files named {', '.join('*' + s for s in SUFFIXES)}", hint
        )
    return [os.path.join(path, entry) for entry in wanted]


def _contents(name: str) -> tuple[tuple[int, int], bytes]:
    """Device and inode, and the bytes of a regular file."""
    # Before it is opened: to open a device can have effects, to open a FIFO can block.
    _check_regular(name, os.stat(name).st_mode)
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_regular(name, status.st_mode)
        data = _bounded(file, name)
    return (status.st_dev, status.st_ino), data


def _bounded(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAXIMUM_SIZE + 1)
    if len(data) > MAXIMUM_SIZE:
        raise ConfigError.at(Location(_shown(name)), f"this file is larger than {MAXIMUM_SIZE // 2**20} MiB")
    return data


def _update(digest: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)


def _check_regular(name: str, mode: int) -> None:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    for is_kind, kind in kinds:
        if is_kind(mode):
            hint = "folders are not searched recursively" if kind == "a folder" else ""
            raise ConfigError.at(Location(_shown(name)), f"this is {kind}, not a file", hint)


def _decode(name: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError.at(Location(name), "this file is not UTF-8 but UTF-16", "save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        *ended, line = LINE_END.split(data[: error.start].decode("utf-8"))
        location = Location(name, len(ended) + 1, len(line) + 1)
        message = f"this file is not UTF-8: there is a byte 0x{data[error.start]:02x} here"
        raise ConfigError.at(location, message, "save it as UTF-8") from None


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    return f"this cannot be read: {error.strerror or error}"


def _shown(name: str) -> str:
    """The name as text that any terminal or log takes, whatever bytes it has on disk."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
