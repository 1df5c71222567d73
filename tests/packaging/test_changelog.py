"""The fragments that CHANGELOG.md is made of."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

NAME = re.compile(r"\d{3}\.change\.[a-z0-9-]+\.md")


class ChangelogTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each fragment has a name that towncrier reads, and a text."""
        for fragment in (ROOT / "changelog.d").iterdir():
            if fragment.name not in ("README.md", "_template.md"):
                self.assertRegex(fragment.name, NAME)
                self.assertTrue(fragment.read_text().strip())
