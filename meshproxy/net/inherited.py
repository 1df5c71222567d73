"""Listening sockets that this process was started with: by systemd, or by a gateway that it is to follow.

systemd's are those of sd_listen_fds(3): ``$LISTEN_FDS`` descriptors from 3 on, with names in ``$LISTEN_FDNAMES``. A
gateway that hands over says in ``$MESHPROXY_HANDOVER`` what is where.

Twisted takes some of these variables out of the environment, for its endpoints of type ``systemd``, when it imports
them. So they are read from what the process was started with.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence

from attrs import field, frozen

HANDOVER = "MESHPROXY_HANDOVER"
_OF_SYSTEMD = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_FIRST = 3


@frozen
class Inherited:
    """Names and sockets, and a descriptor to tell on that this process serves, if somebody waits for that."""

    sockets: Sequence[tuple[str, socket.socket]] = field(factory=tuple)
    ready: int | None = None


def take_inherited(environment: MutableMapping[str, str], at_start: Mapping[str, str], pid: int) -> Inherited:
    """What there is, taken out of the environment: children inherit none of it.

    ``at_start`` is the environment that the process was started with.
    """
    handover = environment.pop(HANDOVER, "")
    for name in _OF_SYSTEMD:
        environment.pop(name, None)
    count, whose, names = (at_start.get(name, "") for name in _OF_SYSTEMD)
    if handover:
        said = json.loads(handover)
        os.set_inheritable(said["ready"], False)
        return Inherited([(name, _listening(number)) for name, number in said["sockets"]], said["ready"])
    if whose != str(pid) or not count.isdecimal():
        return Inherited()
    by_number = names.split(":")
    by_number += [""] * (int(count) - len(by_number))
    return Inherited([(by_number[n], _listening(_FIRST + n)) for n in range(int(count))])


def environment_at_start(path: str = "/proc/self/environ") -> dict[str, str]:
    """The environment that this process was started with; empty where the system does not tell."""
    try:
        with open(path, "rb") as file:
            entries = os.fsdecode(file.read()).split("\0")
    except OSError:
        return {}
    return {name: value for name, equals, value in (entry.partition("=") for entry in entries) if equals}


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    listening = socket.socket(fileno=descriptor)
    listening.setblocking(False)
    return listening


__all__ = ["HANDOVER", "Inherited", "environment_at_start", "take_inherited"]
