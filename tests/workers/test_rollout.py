from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError
from meshproxy.workers.commands import Begin, Discard, Install, Offer, Prepare, Refused
from meshproxy.workers.process import Orders
from meshproxy.workers.rollout import Rollout
from meshproxy.workers.sealed import seal, unseal
from tests.workers.crews import FakeLink


class Reader(FakeLink):
    """Remembers the text of each configuration that it is given: the descriptor is only lent."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.texts: list[str] = []
        self.listening: list[Any] = []

    def call(self, command: Any, **arguments: Any) -> Deferred[Mapping[str, Any]]:
        if command is Prepare:
            self.texts.append(unseal(os.dup(arguments["sources"])).files[0].text)
            self.listening.append(json.loads(arguments["listening"]))
        return super().call(command, **arguments)


def texts_open() -> int:
    """How many descriptors of configurations are open; others of this process come and go with other tests."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += "meshproxy-configuration" in os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass  # it was that of the folder
    return count


def copies(of: Iterable[socket.socket]) -> int:
    """How many descriptors there are of these sockets."""
    sockets = {os.fstat(each.fileno()).st_ino for each in of}
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.fstat(int(number)).st_ino in sockets
        except OSError:
            pass
    return count


class RolloutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = texts_open()
        self.rollout = Rollout(Orders(None, 1.0))
        self.links = [Reader(0), Reader(1)]
        self.replaced: list[tuple[FakeLink, str]] = []
        self.followed: Deferred[None] = Deferred()
        self.sockets = [socket.socket() for _ in range(3)]
        for each in self.sockets:
            self.addCleanup(each.close)
        self.rollout.begin(self.sources("first"), {("", 80): [self.sockets[0]]})

    def sources(self, text: str) -> Sources:
        return Sources((Source("mesh.yaml", text),), text)

    def publish(self, text: str, *sockets: int) -> Deferred[None]:
        by_key = {("", 80 + n): [self.sockets[n]] for n in sockets or (0,)}

        def replace(link: Any, why: str) -> None:
            self.replaced.append((link, why))

        publishing = self.rollout.publish(
            seal(self.sources(text)), by_key, lambda: list(self.links), replace, lambda: self.followed
        )
        return Deferred.fromCoroutine(publishing)

    def admit(self, link: FakeLink) -> Deferred[None]:
        return Deferred.fromCoroutine(self.rollout.admit(link))

    def admitted(self) -> None:
        for link in self.links:
            admission = self.admit(link)
            for command in (Begin, Offer, Prepare, Install):
                link.answer(command)
            self.successResultOf(admission)
            link.commands()

    def answer(self, command: Any, *with_: Any) -> None:
        for link, answer in zip(self.links, with_ or (None, None), strict=True):
            link.answer(command, answer)

    def told(self) -> list[list[Any]]:
        return [link.commands() for link in self.links]

    def test_admission(self) -> None:
        """A worker that starts gets its orders, the sockets and the configuration, in this order."""
        (link, _) = self.links
        admission = self.admit(link)
        link.answer(Begin)
        link.answer(Offer)
        link.answer(Prepare)
        self.assertNoResult(admission)
        link.answer(Install)
        self.successResultOf(admission)
        self.assertEqual(link.commands(), [Begin, Offer, Prepare, Install])
        self.assertEqual((link.texts, link.listening), (["first"], [[["", 80, [0]]]]))

    def test_two_steps(self) -> None:
        """Nobody installs before all have prepared; sockets that a worker has are not sent again."""
        self.admitted()
        done = self.publish("second", 0, 1)
        self.assertEqual(self.told(), [[Offer, Prepare]] * 2)
        self.assertEqual(self.links[0].listening[-1], [["", 80, [0]], ["", 81, [1]]])
        self.links[0].answer(Prepare)
        self.assertEqual(self.told(), [[], []])
        self.links[1].answer(Prepare)
        self.assertEqual(self.told(), [[Install]] * 2)
        self.assertNoResult(done)
        self.answer(Install)
        self.successResultOf(done)
        self.assertEqual([link.texts[-1] for link in self.links], ["second"] * 2)

    def test_one_cannot_prepare(self) -> None:
        """One that cannot take what others can is replaced when it is in force; the others are not held up."""
        self.admitted()
        done = self.publish("second")
        self.answer(Prepare, Refused("no such plugin"), None)
        self.assertEqual(self.told(), [[Prepare], [Prepare, Install]])
        self.links[1].answer(Install)
        self.successResultOf(done)
        self.assertEqual(self.replaced, [(self.links[0], "no such plugin")])

    def test_one_cannot_install(self) -> None:
        """And so is one that says so at the last moment."""
        self.admitted()
        done = self.publish("second")
        self.answer(Prepare)
        self.answer(Install, None, Refused("cannot open the access log"))
        self.successResultOf(done)
        self.assertEqual(self.replaced, [(self.links[1], "cannot open the access log")])

    def test_none_can(self) -> None:
        """What no worker can take is not taken: all go on with what they have, and so do those that start later."""
        self.admitted()
        done = self.publish("second", 0, 1)
        self.answer(Prepare, Refused("no such plugin"), Refused("no such plugin"))
        self.assertEqual(self.told(), [[Offer, Prepare, Discard]] * 2)
        self.answer(Discard)
        failure = self.failureResultOf(done, ConfigError)
        self.assertIn("no worker can take this configuration: no such plugin", str(failure.value))
        self.assertEqual(self.replaced, [])
        late = Reader(2)
        self.admit(late)
        late.answer(Begin)
        self.assertEqual(late.texts, ["first"])
        # The workers closed what was offered in vain.
        self.publish("third", 0, 1)
        self.assertEqual(self.told(), [[Offer, Prepare]] * 2)

    def test_worker_dies_meanwhile(self) -> None:
        """A worker that dies while it prepares is not waited for."""
        self.admitted()
        done = self.publish("second")
        self.links[0].end()
        self.links[1].answer(Prepare)
        self.links[1].answer(Install)
        self.successResultOf(done)
        self.assertEqual([link for link, _ in self.replaced], [self.links[0]])

    def test_all_die_meanwhile(self) -> None:
        """Where all die while they prepare, those that follow are asked, for it may not have been the configuration."""
        self.admitted()
        done = self.publish("second")
        for link in self.links:
            link.end()
        self.assertNoResult(done)
        self.links = [Reader(2)]
        self.admitted()
        self.followed.callback(None)
        self.links[0].answer(Prepare)
        self.links[0].answer(Install)
        self.successResultOf(done)
        self.assertEqual((self.links[0].texts, self.replaced), (["first", "second"], []))

    def test_all_die_of_it(self) -> None:
        """A configuration at which those die, too, or that none lives to be asked about, is not taken."""
        for others in ([Reader(2)], []):
            self.links = [Reader(0), Reader(1)]
            self.admitted()
            self.followed = Deferred()
            done = self.publish("second")
            for link in self.links:
                link.end()
            if others:
                self.links = others
                self.admitted()
            self.followed.callback(None)
            for link in others:
                link.end()
            self.failureResultOf(done, ConfigError)

    def test_no_worker_serves(self) -> None:
        """While there is none, a configuration is that of those to come."""
        links, self.links = self.links, []
        self.successResultOf(self.publish("second"))
        self.admit(links[0])
        links[0].answer(Begin)
        self.assertEqual(links[0].texts, ["second"])

    def test_start_during_a_change(self) -> None:
        """A worker that starts with a configuration that is replaced meanwhile serves the new one in the end, whichever
        comes first."""
        self.admitted()
        starting = Reader(2)
        admission = self.admit(starting)
        starting.answer(Begin)
        done = self.publish("second")
        self.answer(Prepare)
        self.answer(Install)
        self.successResultOf(done)
        starting.answer(Prepare)
        starting.answer(Install)
        self.assertNoResult(admission)
        self.assertEqual(starting.texts, ["first", "second"])
        starting.answer(Prepare)
        starting.answer(Install)
        self.successResultOf(admission)

    def test_admitted_during_a_change(self) -> None:
        """One that begins to serve while the others prepare gets what they get, though it was not asked with them."""
        self.admitted()
        late = Reader(2)
        admission = self.admit(late)
        for command in (Begin, Prepare):
            late.answer(command)
        done = self.publish("second")
        late.answer(Install)
        self.successResultOf(admission)
        asked = list(self.links)
        self.links.append(late)
        for command in (Prepare, Install):
            for link in asked:
                link.answer(command)
        self.assertNoResult(done)
        self.assertEqual(late.texts, ["first", "second"])
        late.answer(Prepare)
        late.answer(Install)
        self.successResultOf(done)

    def test_no_descriptor_is_left(self) -> None:
        """Whatever becomes of configurations, all that remains open is the text of the present one."""
        self.admitted()
        for number in range(5):
            done = self.publish(f"good {number}")
            self.answer(Prepare)
            self.answer(Install)
            self.successResultOf(done)
            done = self.publish(f"bad {number}")
            self.answer(Prepare, Refused("no"), Refused("no"))
            self.answer(Discard)
            self.failureResultOf(done, ConfigError)
        for link in self.links:
            link.answers[Offer] = {}
            while link.waiting:
                link.answer(link.waiting[0][0])
        self.assertEqual((texts_open(), copies(self.sockets)), (self.before + 1, len(self.sockets)))
