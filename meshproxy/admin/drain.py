"""What the drain page is asked and answers, apart from HTTP.

A question has ``address`` (an IP), if wanted ``port``, and either ``until`` (a time with its zone) or ``for`` (a
duration); or ``stop=true``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from meshproxy import duration
from meshproxy.config.syntax import canonical_ip
from meshproxy.policies import FOR_EVER, Drain
from meshproxy.upstream.drains import Drains

_KNOWN = ("address", "port", "until", "for", "stop")


def change(drains: Drains, asked: Mapping[str, str], now: float) -> str:
    """Start or stop a drain at a Unix time; what came of it in words. Raises ``ValueError`` for what makes no sense."""
    unknown = [name for name in asked if name not in _KNOWN]
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r}: it is one of {', '.join(_KNOWN)}")
    address = canonical_ip(asked.get("address", ""))
    if address is None:
        raise ValueError(f"address must be an IP address, not {asked.get('address', '')!r}")
    port = port_number(asked["port"]) if "port" in asked else None
    if asked.get("stop", "false") not in ("true", "false"):
        raise ValueError("stop must be true or false")
    drain = Drain(address, port, _end(asked, now))
    if asked.get("stop") == "true":
        if "until" in asked or "for" in asked:
            raise ValueError("stop stands for itself, without until and for")
        stopped = drains.stop(address, port)
        return f"{drain.shown} takes new sessions again" if stopped else f"{drain.shown} was not draining"
    drains.start(drain)
    return f"{drain.shown} drains"


def listed(drains: Drains) -> list[dict[str, Any]]:
    """The drains that were asked for: where, and until when (None: for ever) sessions stay."""
    return [
        {
            "drain": drain.shown,
            "until": None if drain.until == FOR_EVER else datetime.fromtimestamp(drain.until, UTC).isoformat(),
        }
        for drain in drains.all
    ]


def port_number(text: str) -> int:
    """A port that somebody asks about; raises ``ValueError``."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _end(asked: Mapping[str, str], now: float) -> float:
    if "until" in asked and "for" in asked:
        raise ValueError("only one of until and for may be there")
    if "for" in asked:
        seconds = duration.parse(asked["for"]).total_seconds()
        if seconds < 0:
            raise ValueError(f"for must not be negative, as {asked['for']!r} is")
        return now + seconds
    if "until" not in asked:
        return FOR_EVER
    with suppress(ValueError, OverflowError):  # the latter: in UTC it is in no year from 1 to 9999
        end = datetime.fromisoformat(asked["until"])
        if end.tzinfo is not None:
            return end.astimezone(UTC).timestamp()
    raise ValueError(f"until must be a time with its zone such as 2030-05-01T12:00:00Z, not {asked['until']!r}")
