"""What the supervisor and a worker say to each other: AMP over a pair of UNIX sockets.

The order of a worker's life, as the supervisor tells it: ``Begin``; each listening socket once (``Offer``); ``Prepare``
and ``Install`` for each configuration; ``Share`` whenever the number of workers that serve changes; ``Drain`` whenever
endpoints are asked to; ``Ejected`` whenever another worker has ejected one; ``Stop``. A worker that begins to stop by
itself says ``Leaving``. When the connection ends, a worker stops.

Each configuration takes effect in two steps, so that either all workers have it or none: ``Prepare`` does all that can
fail and changes nothing, ``Install`` makes it serve. A prepared configuration that is not to be is let go by the next
``Prepare`` or by ``Discard``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.protocols import amp

_MOST = 0xFFFF
Shape = list[tuple[bytes, amp.Argument]]


class Refused(Exception):
    """A worker cannot do what it is told, such as take a configuration; the text says why."""


class Text(amp.Argument):
    """A text of any length. A value of AMP has at most 65,535 bytes, so a long text takes several, numbered ones."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def toBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """See ``amp.Argument``."""
        data = objects.pop(name.decode("ascii")).encode()
        for number, start in enumerate(range(0, len(data) or 1, _MOST)):
            strings[b"%b %d" % (name, number)] = data[start : start + _MOST]

    def fromBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """See ``amp.Argument``."""
        pieces: list[bytes] = []
        while (piece := strings.pop(b"%b %d" % (name, len(pieces)), None)) is not None:
            pieces.append(piece)
        objects[name.decode("ascii")] = b"".join(pieces).decode()


class Begin(amp.Command):
    """The settings of the command line, as JSON (``process.Orders``)."""

    arguments: ClassVar[Shape] = [(b"orders", Text())]


class Offer(amp.Command):
    """A listening socket, under a number by which ``Prepare`` names it."""

    arguments: ClassVar[Shape] = [(b"number", amp.Integer()), (b"socket", amp.Descriptor())]


class Prepare(amp.Command):
    """A configuration to load: a descriptor as ``sealed`` makes it.

    ``listening`` is JSON: for each listener its ``bind``, its ``port`` and the numbers of its sockets.
    """

    arguments: ClassVar[Shape] = [
        (b"generation", amp.Integer()),
        (b"sources", amp.Descriptor()),
        (b"listening", Text()),
    ]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class Install(amp.Command):
    """Serve what was prepared. Sockets that it does not name are closed."""

    arguments: ClassVar[Shape] = [(b"generation", amp.Integer())]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class Discard(amp.Command):
    """Forget what was prepared, and the sockets that only it named."""


class Share(amp.Command):
    """This worker is the one at ``position``, from 0, of ``workers`` that accept connections."""

    arguments: ClassVar[Shape] = [(b"position", amp.Integer()), (b"workers", amp.Integer())]


class Drain(amp.Command):
    """All that was asked to drain, as ``dump_drains`` has it."""

    arguments: ClassVar[Shape] = [(b"drains", Text())]


class Count(amp.Command):
    """What the data path has counted so far, as ``figures.dump`` has it."""

    response: ClassVar[Shape] = [(b"figures", Text())]


class Apply(amp.Command):
    """What health checks have found out, as JSON: values of ``Verdicts.as_json``."""

    arguments: ClassVar[Shape] = [(b"verdicts", Text())]


class Ejected(amp.Command):
    """Endpoints that another worker has ejected, or that are back, as JSON: values of ``Ejection.as_json``.

    A worker says so of its own, and the supervisor passes it on to the others.
    """

    arguments: ClassVar[Shape] = [(b"ejections", Text())]


class Describe(amp.Command):
    """The clusters with ``part`` in their names, as ``clusterstatus`` has them, in JSON."""

    arguments: ClassVar[Shape] = [(b"part", Text())]
    response: ClassVar[Shape] = [(b"clusters", Text())]


class Explain(amp.Command):
    """Where a request goes: ``Asked.dump`` of it, and ``Explanation.as_json`` in JSON."""

    arguments: ClassVar[Shape] = [(b"asked", Text())]
    response: ClassVar[Shape] = [(b"explanation", Text())]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class ReopenAccessLog(amp.Command):
    """Go on in a new file of the same name."""


class Stop(amp.Command):
    """Accept nothing any more, serve what is under way for at most the drain timeout, end."""


class Hurry(amp.Command):
    """Do not wait for what is under way."""


class Leaving(amp.Command):
    """Said by a worker: it has stopped accepting, though nobody told it to."""


__all__ = [
    "Apply",
    "Begin",
    "Count",
    "Describe",
    "Discard",
    "Drain",
    "Ejected",
    "Explain",
    "Hurry",
    "Install",
    "Leaving",
    "Offer",
    "Prepare",
    "Refused",
    "ReopenAccessLog",
    "Share",
    "Stop",
    "Text",
]
