"""Addresses and errors of sockets as people read them, and whether an address is free."""

from __future__ import annotations

import os
import socket


def probe(address: str, port: int) -> None:
    """Raise ``OSError`` if this TCP port cannot be listened on now. ``address`` is an IP, or empty for all of IPv4."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((address, port))
        trial.listen(1)


def shown(address: str, port: int) -> str:
    """``ip:port`` for people; the empty address is ``0.0.0.0``."""
    return f"[{address}]:{port}" if ":" in address else f"{address or '0.0.0.0'}:{port}"


def reason(error: object) -> str:
    """What an error of the socket says, without its number."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)
