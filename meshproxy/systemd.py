"""Telling systemd, or whoever speaks its protocol, how the process does: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from meshproxy.net.addresses import reason

_log = Logger()


def notify_supervisor(state: str) -> None:
    """Send ``state`` to ``$NOTIFY_SOCKET``; nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
        speaking.setblocking(False)
        try:
            speaking.sendto(state.encode(), address)
        except OSError as error:
            _log.warn("$NOTIFY_SOCKET does not take messages: {why}", why=reason(error))


def tell_reload(notify: Callable[[str], None], is_ready: Callable[[], bool], done: Deferred[Any]) -> None:
    """Tell that a reload has begun, and that it has ended when ``done`` fires, however it ended.

    Before the process is ready, and when it stops, there are other things to tell.
    """
    if is_ready():
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        done.addBoth(lambda _: notify("READY=1") if is_ready() else None)


class Watchdog(Service):
    """Sends the sign of life that systemd asks for with ``WatchdogSec=``, twice as often as it must come."""

    def __init__(self, clock: Any, notify: Callable[[str], None], environment: Mapping[str, str], pid: int) -> None:
        self._pinging = LoopingCall(notify, "WATCHDOG=1")
        self._pinging.clock = clock
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.seconds = int(microseconds) / 1_000_000 / 2 if meant and microseconds.isdecimal() else 0.0

    def startService(self) -> None:
        """Begin, if somebody asked for it."""
        super().startService()  # type: ignore[no-untyped-call]
        if self.seconds:
            self._pinging.start(self.seconds)

    def stopService(self) -> None:
        """End."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._pinging.running:
            self._pinging.stop()


__all__ = ["Watchdog", "notify_supervisor", "tell_reload"]
