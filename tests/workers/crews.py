"""Stand-ins for worker processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone

from meshproxy.workers import commands


class FakeLink:
    """A worker that answers when the test says so; what it is told is in ``told``.

    ``answers`` has what it answers at once, by command: a mapping, or an exception to fail with.
    """

    def __init__(self, number: int, pid: int = 0) -> None:
        self.number = number
        self.pid = pid
        self.ended: Deferred[str] = Deferred()
        self.leaving: Deferred[bool] = Deferred()
        self.on_ejections: Callable[[str], None] = lambda ejections: None
        self.told: list[tuple[Any, dict[str, Any]]] = []
        self.waiting: list[tuple[Any, Deferred[Mapping[str, Any]]]] = []
        self.answers: dict[Any, Any] = {}
        self.killed = self.terminated = False
        self._gone = False

    def call(self, command: Any, **arguments: Any) -> Deferred[Mapping[str, Any]]:
        answer: Deferred[Mapping[str, Any]] = Deferred()
        self.told.append((command, arguments))
        if self._gone:
            answer.errback(ConnectionDone())
        elif command in self.answers:
            self._answer(answer, self.answers[command])
        else:
            self.waiting.append((command, answer))
        return answer

    def terminate(self) -> None:
        self.terminated = True

    def kill(self) -> None:
        self.killed = True

    # What a test lets it do

    def commands(self) -> list[Any]:
        """The commands it was told since this was last asked, but for those that come by the clock."""
        told, self.told = self.told, []
        return [command for command, _ in told if command is not commands.Count]

    def answer(self, command: Any, with_: Any = None) -> None:
        """Answer the oldest such command."""
        for index, (each, answer) in enumerate(self.waiting):
            if each is command:
                del self.waiting[index]
                self._answer(answer, with_)
                return
        raise AssertionError(f"{command} was not said")

    def end(self, how: str = "signal SIGKILL") -> None:
        """End; what was not answered fails."""
        self._gone = True
        waiting, self.waiting = self.waiting, []
        for _, answer in waiting:
            answer.errback(ConnectionDone())
        self.ended.callback(how)

    def _answer(self, answer: Deferred[Mapping[str, Any]], with_: Any) -> None:
        if isinstance(with_, Exception):
            answer.errback(with_)
        else:
            answer.callback(with_ or {})
