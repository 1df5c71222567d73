"""Other paths and authorities: what a rewrite makes of a request, and where a redirect leads.

Rules (Istio's gateway; observed on Envoy 1.40): queries are kept behind whatever the path becomes. A regular expression
replaces all its matches in the path without query. A request target stays one: a path that would not begin with ``/``
gets one in front, and blanks and control characters of a configured text are percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from meshproxy.regex import compile_regex
from meshproxy.routes import Redirect, Rewrite

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_UNSAFE = re.compile(rb"[\x00-\x20\x7f]")
_REFERENCE = re.compile(r"\\([0-9\\])")

PathChange = Callable[[bytes], bytes]
"""From a path without query to another one."""


class CompiledRewrite:
    """A rewrite, ready for requests. ``path`` and ``authority`` are None where they stay."""

    __slots__ = ("authority", "path")

    def __init__(self, rewrite: Rewrite) -> None:
        self.authority = None if rewrite.authority is None else in_head(rewrite.authority)
        self.path = _path_change(rewrite)


def _path_change(rewrite: Rewrite) -> PathChange | None:
    if rewrite.regex is not None:
        replace_all = substitution(rewrite.regex, rewrite.substitution)
        return lambda path: _as_path(replace_all(path))
    if rewrite.path is None:
        return None
    target, length = in_head(rewrite.path), rewrite.prefix_length
    if rewrite.whole:
        whole = _as_path(target)
        return lambda path: whole
    return lambda path: _as_path(target + path[length:])


def substitution(pattern: str, template: str) -> PathChange:
    """All matches of ``pattern`` (RE2) replaced by ``template``, where ``\\0`` is the match and ``\\1`` a group.

    Source: RE2's ``GlobalReplace``: an empty match directly behind another match does not count.
    """
    search = compile_regex(pattern).search
    pieces = _substitution_pieces(template)

    def replace_all(text: bytes) -> bytes:
        out = []
        position, end, last_end = 0, len(text), -1
        while position <= end:
            match = search(text, position)
            if match is None:
                break
            start, stop = match.span()
            out.append(text[position:start])
            if start == stop == last_end:
                out.append(text[start : start + 1])
                position = start + 1
                continue
            out += [piece if isinstance(piece, bytes) else _group(match, piece) for piece in pieces]
            position = last_end = stop
        out.append(text[position:])
        return b"".join(out)

    return replace_all


def _group(match: Any, number: int) -> bytes:
    found: bytes | None = match.group(number) if number <= match.re.groups else None
    return found or b""


def _substitution_pieces(template: str) -> list[bytes | int]:
    pieces: list[bytes | int] = []
    position = 0
    for found in _REFERENCE.finditer(template):
        pieces.append(in_head(template[position : found.start()]))
        pieces.append(b"\\" if found[1] == "\\" else int(found[1]))
        position = found.end()
    pieces.append(in_head(template[position:]))
    return pieces


def location(redirect: Redirect, scheme: bytes, authority: bytes, path: bytes, query: bytes) -> bytes:
    """The absolute ``Location`` for a request; ``query`` has its ``?``."""
    target_scheme = redirect.scheme.encode() if redirect.scheme else scheme
    if redirect.authority is not None:
        host = in_head(redirect.authority)
    else:
        host = authority
        name, port = _split_port(authority)
        if redirect.port is not None or (
            target_scheme != scheme and not redirect.keep_port and port == _DEFAULT_PORTS.get(scheme)
        ):
            host = name
    if redirect.port is not None:
        host = b"%b:%d" % (host, redirect.port)
    if redirect.path is not None:
        target = in_head(redirect.path)
        if redirect.prefix_length is not None:
            path = target + path[redirect.prefix_length :]
        else:
            path = target
            if b"?" in target:
                query = b""
    return b"%b://%b%b%b" % (target_scheme, host, _as_path(path), query)


def _split_port(authority: bytes) -> tuple[bytes, bytes]:
    colon = authority.rfind(b":")
    if colon > authority.rfind(b"]"):
        return authority[:colon], authority[colon + 1 :]
    return authority, b""


def _as_path(text: bytes) -> bytes:
    return text if text[:1] == b"/" else b"/" + text


def in_head(text: str) -> bytes:
    """A configured text as it may stand in the first line or an authority: blanks and controls are encoded."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], text.encode("utf-8"))
