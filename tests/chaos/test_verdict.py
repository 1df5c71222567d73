"""The rules of chaos: what they excuse, and that they excuse nothing else."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.clients import Ending, wrong_bytes
from tests.chaos.endpoints import ChaosEndpoint
from tests.chaos.verdict import SHAKY, STEADY, Disturbances, Verdict, judge
from tests.soak.peers import State

GOOD = Ending(STEADY, "s", "s-1", 20.0, 20.1, 5000, False, 1, 200, endpoint="127.0.0.1:1", generation=1)
BROKEN = evolve(GOOD, status=0, endpoint="", generation=0, why="broken connection")


class VerdictTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.endpoints = [ChaosEndpoint(self.reactor) for _ in range(2)]
        for number, endpoint in enumerate(self.endpoints, 1):
            endpoint.name = f"127.0.0.1:{number}"
        self.reactor.advance(15)
        self.told = Disturbances()
        self.flags: dict[str, str] = {}
        self.named = False

    def judged(self, *endings: Ending) -> Verdict:
        return judge(endings, self.told, self.endpoints, self.flags, lambda endpoints, when: self.named)

    def lost(self, ending: Ending) -> bool:
        return bool(self.judged(ending).lost)

    def test_good(self) -> None:
        """Whole answers are good; no answers at all are not."""
        self.assertTrue(self.judged(GOOD, GOOD).is_good)
        self.assertFalse(self.judged().is_good)

    def test_wrong_bytes(self) -> None:
        """Each byte that differs, is missing or in excess counts."""
        self.assertEqual([wrong_bytes(b"abc", it) for it in (b"abc", b"axc", b"ab", b"abcde")], [0, 1, 1, 2])
        self.assertFalse(self.judged(evolve(GOOD, corrupted=1)).is_good)

    def test_old_configuration(self) -> None:
        """An answer by a generation that was replaced before the request began breaks a rule."""
        self.assertEqual(len(self.judged(evolve(GOOD, least=2)).stale), 1)

    def test_killed_worker(self) -> None:
        """The connections of a killed worker may break, others not."""
        self.assertTrue(self.lost(BROKEN))
        self.told.killed.add(5000)
        self.assertFalse(self.lost(BROKEN))
        self.assertTrue(self.lost(evolve(BROKEN, port=5001)))
        self.assertTrue(self.lost(evolve(BROKEN, why="no answer")))

    def test_drain(self) -> None:
        """A drain may close a kept connection, but lose nothing that has come to an endpoint or to a new connection."""
        self.told.drains.append((19.0, 20.0))
        self.assertFalse(self.lost(BROKEN))
        self.assertTrue(self.lost(evolve(BROKEN, is_first=True)))
        self.assertTrue(self.lost(evolve(BROKEN, got=True)))
        self.assertTrue(self.lost(evolve(BROKEN, ended=60.0)))
        self.endpoints[0].seen.add("s-1")
        self.assertTrue(self.lost(BROKEN))

    def test_failing_endpoints(self) -> None:
        """Only where endpoints failed, and the access log says that, may answers be errors."""
        refused = evolve(GOOD, service=SHAKY, status=503)
        self.flags["s-1"] = "UF"
        self.assertTrue(self.lost(refused))
        self.endpoints[0].become(State.DOWN)
        self.assertFalse(self.lost(refused))
        self.assertTrue(self.lost(evolve(refused, service=STEADY)))
        self.assertTrue(self.lost(evolve(refused, status=404)))
        self.assertFalse(self.lost(evolve(BROKEN, service=SHAKY, got=True)))
        self.flags.clear()
        self.assertTrue(self.lost(refused))
        self.told.kills.append(21.0)
        self.assertFalse(self.lost(refused))
        self.assertTrue(self.lost(evolve(refused, ended=22.0)))

    def test_moves(self) -> None:
        """A session moves with a cause or not at all, and the steady ones never."""
        elsewhere = evolve(GOOD, endpoint="127.0.0.1:2")
        self.assertEqual(len(self.judged(GOOD, elsewhere).moved), 1)
        shaky = [evolve(it, service=SHAKY) for it in (GOOD, elsewhere)]
        self.assertEqual(len(self.judged(*shaky).moved), 1)
        self.assertEqual(self.judged(shaky[0], evolve(shaky[1], attempt=2), shaky[0]).moved, [])
        self.named = True
        self.assertEqual(self.judged(*shaky).moved, [])
        self.assertEqual(len(self.judged(GOOD, elsewhere).moved), 1)
        self.named = False
        self.endpoints[1].become(State.HANGING)
        self.assertEqual(self.judged(*shaky).moved, [])
