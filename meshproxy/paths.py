"""Path normalization, as an Istio gateway does it.

Rules of ``BASE``, the default: percent-encoded unreserved characters are decoded, ``\\`` is ``/``, dot segments are
resolved and stay at the root, a few characters that no URL should hold are percent-encoded. ``//`` is not merged,
``%2F`` and ``%5C`` are not decoded, an escape that is none stays, unless decoding would make it one: then its percent
sign is encoded. A dot segment may carry parameters (``..;x``): some servers resolve it then too. ``MERGE_SLASHES``
merges afterwards; ``DECODE_AND_MERGE_SLASHES`` decodes ``%2F`` and ``%5C`` before everything else as well.

Source: RFC 3986, 6.2.2; observed character by character on Envoy 1.40. Two differences on purpose: Envoy leaves
``%2e%2e;`` as ``..;``, which a second normalization would resolve; here it is resolved at once, so that what is matched
and what any endpoint makes of the path agree. And a path of slashes only, which Envoy merges to ``//``, is ``/`` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

Normalizer = Callable[[bytes], bytes | None]
"""From a path without query, which starts with ``/``, to its normal form; None when it cannot have one (``%00``)."""

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# Paths of only these characters and without a segment that starts with a dot are normal as they are.
_PLAIN = _UNRESERVED + b"!$&'()*+,;=:@/[]"

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BECAME_ESCAPE = re.compile(rb"\x00(?=[0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(rb"%(?:2[Ff]|5[Cc])")
_SLASHES = re.compile(rb"//+")
_TO_ENCODE = re.compile(rb'[\x00-\x20"<>^`{|}\x7f-\xff]')


class PathNormalization(Enum):
    """What is done to paths, by Istio's names (``meshConfig.pathNormalization.normalization``)."""

    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"
    DEFAULT = "BASE"  # an alias, found by its name only


def normalizer(option: PathNormalization) -> Normalizer:
    """The function that normalizes paths as ``option`` says."""
    return _NORMALIZERS[option]


def normalize_path(path: bytes) -> bytes | None:
    """The normal form by ``BASE``, see ``Normalizer``."""
    if b"/." not in path and not path.translate(None, _PLAIN):
        return path
    if b"%" in path:
        if b"%00" in path:
            return None
        path = _decoded(path)
    path = _TO_ENCODE.sub(_encode, path.replace(b"\\", b"/"))
    if b"/." in path:
        path = _without_dot_segments(path)
    return path


def _unchanged(path: bytes) -> bytes:
    return path


def _merge_slashes(path: bytes) -> bytes | None:
    normal = normalize_path(path)
    if normal is not None and b"//" in normal:
        return _SLASHES.sub(b"/", normal)
    return normal


def _decode_and_merge_slashes(path: bytes) -> bytes | None:
    return _merge_slashes(_ESCAPED_SLASH.sub(b"/", path) if b"%" in path else path)


_NORMALIZERS: dict[PathNormalization, Normalizer] = {
    PathNormalization.NONE: _unchanged,
    PathNormalization.BASE: normalize_path,
    PathNormalization.MERGE_SLASHES: _merge_slashes,
    PathNormalization.DECODE_AND_MERGE_SLASHES: _decode_and_merge_slashes,
}


def _decoded(path: bytes) -> bytes:
    """``path`` with its unreserved characters decoded, and no escape that was none before."""
    once = _ESCAPE.sub(_decode, path)
    if len(once) == len(path) or _NO_ESCAPE.search(path) is None:
        return once
    # A percent sign that began no escape must not begin one now; NUL, which no path holds, marks it in the meantime.
    marked = _ESCAPE.sub(_decode, _NO_ESCAPE.sub(b"\0", path.replace(b"\0", b"%00")))
    return _BECAME_ESCAPE.sub(b"%25", marked).replace(b"\0", b"%")


def _decode(escape: re.Match[bytes]) -> bytes:
    character = bytes((int(escape[1], 16),))
    return character if character in _UNRESERVED else escape[0]


def _encode(character: re.Match[bytes]) -> bytes:
    return b"%%%02X" % character[0][0]


def _without_dot_segments(path: bytes) -> bytes:
    kept: list[bytes] = []
    last = b""
    for segment in path[1:].split(b"/"):
        last = segment.partition(b";")[0] if segment[:1] == b"." else segment
        if last == b"..":
            if kept:
                kept.pop()
        elif last != b".":
            kept.append(segment)
    if last in (b".", b".."):
        kept.append(b"")  # what remains is a folder
    return b"/" + b"/".join(kept)
