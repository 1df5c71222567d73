"""A short run of what ``make chaos`` runs for longer."""

from __future__ import annotations

import sys

from tests.processes import ProcessTestCase


class ChaosTests(ProcessTestCase):
    def test_nothing_is_lost(self) -> None:
        """Whatever breaks at once under load: no request is lost but on what broke, no session moves, no byte is wrong."""
        chaos = self.start(sys.executable, "-m", "tests.chaos", "6")
        self.assertEqual(chaos.wait(), 0, chaos.output)
        self.assertRegex(chaos.output, r"times worker (killed|told to drain)")
        self.assertRegex(chaos.output, "times reload")
