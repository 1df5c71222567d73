"""CHANGELOG.md and the fragments that it is made of."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

NAME = re.compile(r"\d{3}\.change\.[a-z0-9-]+\.md")


class ChangelogTests(SynchronousTestCase):
    def test_fragments(self) -> None:
        """Each fragment has a name that towncrier reads, and is an item of CHANGELOG.md."""
        changelog = " ".join((ROOT / "CHANGELOG.md").read_text().split())
        fragments = [
            it for it in sorted((ROOT / "changelog.d").iterdir()) if it.name not in ("README.md", "_template.md")
        ]
        for fragment in fragments:
            self.assertRegex(fragment.name, NAME)
            self.assertIn(f"- {' '.join(fragment.read_text().split())}", changelog, "make changelog puts it there")
