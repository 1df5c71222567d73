"""Value templates: texts such as ``from %DOWNSTREAM_REMOTE_ADDRESS%``, filled in from an exchange.

Rules (Envoy's formatters as Istio uses them): ``%COMMAND%``, ``%COMMAND(arguments)%`` and ``%COMMAND(arguments):N%``
stand for a text, of which at most N bytes are taken; ``%%`` is a percent sign. ``REQ`` and ``RESP`` take ``A?B``: the
first value of header A, or of B where there is no A. What is not known, a command too, is left out. Templates are
compiled once and remembered.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

from meshproxy.http.statuses import StampCache

HeaderValues = Callable[[bytes], Sequence[bytes]]
"""From the lower-case name of a header to its values."""


class Described(Protocol):
    """What templates can tell of an exchange. What is not known yet is empty or 0."""

    started_at: float
    done: bool
    status: int
    flags: bytes
    details: bytes
    route_name: bytes
    transport_failure: bytes
    bytes_received: int
    bytes_sent: int
    source_ip: bytes
    upstream_host: bytes
    upstream_local: bytes
    upstream_cluster: bytes

    @property
    def remote(self) -> bytes:
        """The peer's address with port."""

    @property
    def local(self) -> bytes:
        """Our address with port."""

    @property
    def logged_remote(self) -> bytes:
        """The client's address with port, as far as it is trusted."""

    @property
    def duration_ms(self) -> int:
        """From the first byte received to the last byte sent, once it is done."""

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """The values of a request header or pseudo header."""


class Subject(NamedTuple):
    """What a template is filled in from: an exchange, and the headers as they are at that moment."""

    exchange: Described
    request: HeaderValues
    response: HeaderValues


_Command = Callable[[Subject], bytes]

_COMMAND = re.compile(r"%(?:(%)|([A-Z0-9_]+)(?:\(((?:[^)\\]|\\.)*)\))?(?::([0-9]+))?%)", re.DOTALL)
_FRACTION = re.compile(r"%([1-9]?)f")
_MOST_REMEMBERED = 4096
_stamps = StampCache()


class Template:
    """A compiled template."""

    __slots__ = ("_pieces", "constant")

    def __init__(self, text: str) -> None:
        self._pieces: list[bytes | _Command] = []
        position = 0
        for found in _COMMAND.finditer(text):
            self._literal(text[position : found.start()])
            percent, name, arguments, length = found.groups()
            if percent:
                self._literal("%")
            else:
                self._pieces.append(_shortened(_command(name, arguments), length))
            position = found.end()
        self._literal(text[position:])
        self.constant: bytes | None = None
        if not any(map(callable, self._pieces)):
            self.constant = b"".join(piece for piece in self._pieces if isinstance(piece, bytes))

    def _literal(self, text: str) -> None:
        if text:
            self._pieces.append(text.encode("utf-8"))

    def render(self, subject: Subject, missing: bytes = b"") -> bytes:
        """The text; ``missing`` stands where a command has none."""
        if self.constant is not None:
            return self.constant
        return b"".join(
            [piece if isinstance(piece, bytes) else piece(subject) or missing for piece in self._pieces],
        )


@lru_cache(_MOST_REMEMBERED)
def compile_template(text: str) -> Template:
    """The template of a text. It never fails: what is no command stands for itself."""
    return Template(text)


def _shortened(command: _Command, length: str | None) -> _Command:
    if length is None:
        return command
    most = int(length[:9])
    return lambda subject: command(subject)[:most]


def _command(name: str, arguments: str | None) -> _Command:
    if name in ("REQ", "RESP"):
        return _header(name == "REQ", arguments or "")
    if name == "START_TIME" and arguments:
        return _formatted_start(arguments)
    return _COMMANDS.get(name, _nothing)


def _header(of_request: bool, arguments: str) -> _Command:
    names = [name.strip().lower().encode("utf-8") for name in arguments.split("?")[:2]]

    def value(subject: Subject) -> bytes:
        look_up = subject.request if of_request else subject.response
        for name in names:
            values = look_up(name)
            if values:
                return values[0]
        return b""

    return value


def _formatted_start(pattern: str) -> _Command:
    def start(subject: Subject) -> bytes:
        seconds = subject.exchange.started_at
        fraction = f"{int(seconds % 1 * 1e9):09d}"
        with_fraction = _FRACTION.sub(lambda found: fraction[: int(found[1] or 9)], pattern)
        text = time.strftime(with_fraction.replace("%s", str(int(seconds))), time.gmtime(seconds))
        return text.encode("utf-8")

    return start


def _nothing(subject: Subject) -> bytes:
    return b""


@cache
def _hostname() -> bytes:
    return socket.gethostname().encode("utf-8", "replace")


def _without_port(address: bytes) -> bytes:
    host, colon, _ = address.rpartition(b":")
    return host.strip(b"[]") if colon else address


def _port(address: bytes) -> bytes:
    return address.rpartition(b":")[2]


def _number(value: int | None) -> bytes:
    return b"" if value is None else b"%d" % value


_COMMANDS: dict[str, _Command] = {
    "BYTES_RECEIVED": lambda s: _number(s.exchange.bytes_received),
    "BYTES_SENT": lambda s: _number(s.exchange.bytes_sent),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": lambda s: s.exchange.remote,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.exchange.remote),
    "DOWNSTREAM_LOCAL_ADDRESS": lambda s: s.exchange.local,
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.exchange.local),
    "DOWNSTREAM_LOCAL_PORT": lambda s: _port(s.exchange.local),
    "DOWNSTREAM_REMOTE_ADDRESS": lambda s: s.exchange.logged_remote,
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: s.exchange.source_ip,
    "DOWNSTREAM_REMOTE_PORT": lambda s: _port(s.exchange.logged_remote),
    "DURATION": lambda s: _number(s.exchange.duration_ms if s.exchange.done else None),
    "HOSTNAME": lambda s: _hostname(),
    "PROTOCOL": lambda s: b"HTTP/1.1",
    "RESPONSE_CODE": lambda s: _number(s.exchange.status),
    "RESPONSE_CODE_DETAILS": lambda s: s.exchange.details,
    "RESPONSE_FLAGS": lambda s: s.exchange.flags or b"-",
    "ROUTE_NAME": lambda s: s.exchange.route_name,
    "START_TIME": lambda s: _stamps.at(s.exchange.started_at),
    "UPSTREAM_CLUSTER": lambda s: s.exchange.upstream_cluster,
    "UPSTREAM_CLUSTER_RAW": lambda s: s.exchange.upstream_cluster,
    "UPSTREAM_HOST": lambda s: s.exchange.upstream_host,
    "UPSTREAM_LOCAL_ADDRESS": lambda s: s.exchange.upstream_local,
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.exchange.upstream_local),
    "UPSTREAM_REMOTE_ADDRESS": lambda s: s.exchange.upstream_host,
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.exchange.upstream_host),
    "UPSTREAM_REMOTE_PORT": lambda s: _port(s.exchange.upstream_host),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda s: s.exchange.transport_failure,
}
