"""Unix signals of the process, handed to the reactor.

A signal interrupts Python between any two instructions, so what it asks for is done by the reactor in its own time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from twisted.logger import Logger

_log = Logger()

Action = Callable[[], None]


class Signals:
    """Actions by signal number, from ``install`` to ``restore``.

    ``hang_up`` and the like are installed at once. ``stopping`` replaces what the reactor does at its own start for
    signals that end the process: Twisted would end the process *by* that signal after a clean stop, which a supervisor
    counts as a failure. A handler that is neither the reactor's nor a default is left alone there (a debugger's), and
    called as well for the others (twistd rotates its log at SIGUSR1).
    """

    def __init__(self, reactor: Any, actions: Mapping[int, Action], stopping: Mapping[int, Action]) -> None:
        self._reactor = reactor
        self._actions = dict(actions)
        self._stopping = dict(stopping)
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Begin to act. Only the main thread can."""
        for number, action in self._actions.items():
            self._set(number, action, signal.getsignal(number))
        self._reactor.callWhenRunning(self._install_stopping)

    def restore(self) -> None:
        """Put back what was there before."""
        while self._previous:
            number, previous = self._previous.popitem()
            signal.signal(number, signal.SIG_DFL if previous is None else previous)
        self._actions, self._stopping = {}, {}

    def _install_stopping(self) -> None:
        for number, action in self._stopping.items():
            present = signal.getsignal(number)
            if getattr(present, "__self__", None) is self._reactor:
                self._set(number, action, None)

    def _set(self, number: int, action: Action, chained: Any) -> None:
        def act(signal_number: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(action)
            if callable(chained):
                chained(signal_number, frame)

        self._previous[number] = signal.signal(number, act)


class ProcessSignals(Signals):
    """The signals of a gateway: SIGHUP (``reload``), SIGUSR1 (``reopen`` the access log), SIGUSR2 (``restart``),
    SIGTERM and SIGINT.

    The latter stop the reactor, and so all services; the second one calls ``hurry``. ``drain_timeout`` is in seconds.
    """

    def __init__(
        self, reactor: Any, drain_timeout: float, reload: Action, reopen: Action, restart: Action, hurry: Action
    ) -> None:
        stopping: dict[int, Action] = {signal.SIGTERM: self._asked_to_stop, signal.SIGINT: self._asked_to_stop}
        actions: dict[int, Action] = {signal.SIGHUP: reload, signal.SIGUSR1: reopen, signal.SIGUSR2: restart}
        super().__init__(reactor, actions, stopping)
        self._drain_timeout = drain_timeout
        self._hurry = hurry
        self._stop_asked = False

    def _asked_to_stop(self) -> None:
        if self._stop_asked:
            _log.info("Asked to stop again: waiting no longer")
            self._hurry()
        else:
            self._stop_asked = True
            _log.info("Asked to stop; serving what is under way for at most {s:g} s", s=self._drain_timeout)
            self._reactor.stop()
