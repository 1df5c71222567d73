"""Path normalization, as an Istio gateway does it (its default, ``BASE``).

Rules: percent-encoded unreserved characters are decoded, ``\\`` is ``/``, dot segments are resolved and stay at the
root, a few characters that no URL should hold are percent-encoded. ``//`` is not merged, ``%2F`` and ``%5C`` are not
decoded, an escape that is none stays. A dot segment may carry parameters (``..;x``): some servers resolve it then too.

Source: RFC 3986, 6.2.2; observed character by character on Envoy 1.40. One difference on purpose: Envoy leaves
``%2e%2e;`` as ``..;``, which a second normalization would resolve; here it is resolved at once, so that what is matched
and what any endpoint makes of the path agree.
"""

from __future__ import annotations

import re

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# Paths of only these characters and without a segment that starts with a dot are normal as they are.
_PLAIN = _UNRESERVED + b"!$&'()*+,;=:@/[]"

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_TO_ENCODE = re.compile(rb'[\x00-\x20"<>^`{|}\x7f-\xff]')


def normalize_path(path: bytes) -> bytes | None:
    """The normal form of a path without query, which starts with ``/``; None when it cannot have one (``%00``)."""
    if b"/." not in path and not path.translate(None, _PLAIN):
        return path
    if b"%" in path:
        if b"%00" in path:
            return None
        path = _ESCAPE.sub(_decode, path)
    path = _TO_ENCODE.sub(_encode, path.replace(b"\\", b"/"))
    if b"/." in path:
        path = _without_dot_segments(path)
    return path


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
