"""``httpCookie``: the session is what a cookie says; with a ``ttl`` the client gets one if it has none.

Lookup is that of ``cookies``; a cookie that is empty counts as absent.

Generation: the value is the hash of the connection's two socket addresses, so all requests of a connection get the same
one, and its own hash is what a request that brings it back will have. Source: ``hash_policy.cc`` and ``utility.cc`` of
Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache

from attrs import field, frozen
from zope.interface import implementer

from meshproxy.cookies import find_cookie
from meshproxy.hashing import xxh64
from meshproxy.interfaces import HashKey, IConfig, IHashKey, IRequest, IShowsKey
from meshproxy.strategies.settings import name, text

_QUOTE = b'"'
_LONGEST_REMEMBERED = 512


@implementer(IHashKey, IShowsKey)
@frozen
class CookieKey:
    """``ttl`` None: a missing cookie is not made up for. 0 makes one for the browser's session.

    ``attributes`` are pairs of name and value for the ``Set-Cookie`` line; a value may be empty.
    """

    name: str
    ttl: timedelta | None = None
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    terminal: bool = False
    _found_by: bytes = field(init=False, repr=False, eq=False)
    _line_start: bytes = field(init=False, repr=False, eq=False)
    _line_end: bytes = field(init=False, repr=False, eq=False)

    @property
    def is_findable(self) -> bool:
        """False for a name that no cookie can be found by; it is legal, and set with each response."""
        return not self.name.startswith(" ") and "=" not in self.name and ";" not in self.name

    @_found_by.default
    def _name_and_sign(self) -> bytes:
        return self.name.encode() + b"=" if self.is_findable else b""

    @_line_start.default
    def _before_value(self) -> bytes:
        return self.name.encode() + b"=" + _QUOTE

    @_line_end.default
    def _after_value(self) -> bytes:
        seconds = 0 if self.ttl is None else self.ttl // timedelta(seconds=1)
        parts = [f"Max-Age={seconds}"] if seconds > 0 else []
        if self.path:
            parts.append(f"Path={self.path}")
        parts += [f"{name}={value}" if value else name for name, value in self.attributes]
        return _QUOTE + "".join(f"; {part}" for part in [*parts, "HttpOnly"]).encode()

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``."""
        lines = request.header_values(b"cookie")
        if lines and self._found_by:
            if len(lines) == 1 and len(lines[0]) <= _LONGEST_REMEMBERED:
                found = _key_in(lines[0], self._found_by)
            else:
                found = _key(find_cookie(lines, self._found_by))
            if found is not None:
                return found
        if self.ttl is None:
            return None
        value = _generated(request)
        return HashKey(xxh64(value), self.set_cookie(value))

    def key_text(self, request: IRequest) -> bytes | None:
        """See ``IShowsKey``: the cookie's value, or that of the cookie which the client gets."""
        return self.lookup(request.header_values(b"cookie")) or (None if self.ttl is None else _generated(request))

    def lookup(self, lines: Iterable[bytes]) -> bytes | None:
        """The cookie's value in the ``Cookie`` lines of a request; None if no line has it."""
        return find_cookie(lines, self._found_by) if self._found_by else None

    def set_cookie(self, value: bytes) -> bytes:
        """The ``Set-Cookie`` value that gives a client this cookie."""
        return self._line_start + value + self._line_end


def _key(value: bytes | None) -> HashKey | None:
    return HashKey(xxh64(value)) if value else None


@lru_cache(4096)  # a client sends the same line with each request of its session, and a look-up is much cheaper
def _key_in(line: bytes, found_by: bytes) -> HashKey | None:
    """The key in a ``Cookie`` line; None if it has no such cookie."""
    return _key(find_cookie((line,), found_by))


def _generated(request: IRequest) -> bytes:
    return b"%016x" % xxh64(request.remote + request.local)


def from_config(config: IConfig) -> CookieKey:
    """From a mapping with ``name``, and if wanted ``ttl``, ``path`` and ``attributes``."""
    fields = config.fields("name", "path", "ttl", "attributes")
    if "name" not in fields:
        config.fail("httpCookie needs a name")
    key = CookieKey(
        name(fields["name"], "the cookie's name"),
        fields["ttl"].duration(timedelta(0)) if "ttl" in fields else None,
        text(fields["path"], "the cookie's path") if "path" in fields else "",
        _attributes(fields["attributes"]) if "attributes" in fields else (),
    )
    if not key.is_findable:
        fields["name"].warn(f"no request has a cookie named {key.name!r}")
    return key


def _attributes(config: IConfig) -> tuple[tuple[str, str], ...]:
    attributes: dict[str, str] = {}
    for item in config.items():
        fields = item.fields("name", "value")
        if "name" not in fields:
            item.fail("a cookie's attribute needs a name")
        attribute = name(fields["name"], "the attribute's name")
        if attribute in attributes:
            fields["name"].fail(f"the cookie already has an attribute {attribute}")
        attributes[attribute] = text(fields["value"], "the attribute's value") if "value" in fields else ""
    return tuple(attributes.items())
