"""Findings for programs: what a script may rely on, and what a stranger's file cannot break out of."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli.formats import Checked, as_github, as_json
from meshproxy.errors import Diagnostic, Location, Severity

ERROR = Diagnostic("unknown field 'htpp'", Location("b.yaml", 3, 7), "did you mean 'http'?", excerpt="  htpp: []")
WARNING = Diagnostic("there is no Gateway gw", Location("a.yaml", 1, 2), "", Severity.WARNING, "IST0101")
PLACELESS = Diagnostic("nothing to serve")


class JsonTests(SynchronousTestCase):
    def test_findings(self) -> None:
        """Each finding has all keys, null where there is nothing to say, in order of place."""
        report = json.loads(as_json([ERROR, WARNING, PLACELESS], None))
        self.assertEqual(report["version"], 1)
        self.assertEqual((report["errors"], report["warnings"], report["checked"]), (2, 1, None))
        nothing, warning, error = report["findings"]
        self.assertEqual(
            error,
            {
                "file": "b.yaml",
                "line": 3,
                "column": 7,
                "severity": "error",
                "code": None,
                "message": "unknown field 'htpp'",
                "hint": "did you mean 'http'?",
                "excerpt": "  htpp: []",
            },
        )
        self.assertEqual((warning["severity"], warning["code"], warning["hint"]), ("warning", "IST0101", None))
        self.assertEqual((nothing["file"], nothing["line"], nothing["column"]), (None, None, None))

    def test_checked(self) -> None:
        """What was looked at is told in numbers where the configuration loads."""
        report = json.loads(as_json([], Checked(4, 1, 3, 2)))
        self.assertEqual(report["checked"], {"documents": 4, "listeners": 1, "routes": 3, "clusters": 2})
        self.assertEqual(report["findings"], [])


class GithubTests(SynchronousTestCase):
    def test_commands(self) -> None:
        """One command for each finding, with the place where there is one, the code as title, the hint on a line."""
        self.assertEqual(
            as_github([ERROR, WARNING, PLACELESS]).splitlines(),
            [
                "::error::nothing to serve",
                "::warning file=a.yaml,line=1,col=2,title=IST0101::there is no Gateway gw",
                "::error file=b.yaml,line=3,col=7::unknown field 'htpp'%0Ahint: did you mean 'http'?",
            ],
        )

    def test_escapes(self) -> None:
        """No text can end a command, begin another one, or add a property."""
        finding = Diagnostic("100% \r\n::error::x", Location("a,b:c\n%.yaml", 1, 1), "y\n::warning::z")
        (line,) = as_github([finding]).splitlines()
        self.assertEqual(
            line,
            "::error file=a%2Cb%3Ac%0A%25.yaml,line=1,col=1::100%25 \\r\\n::error::x%0Ahint: y\\n::warning::z",
        )


class CheckedTests(SynchronousTestCase):
    def test_words(self) -> None:
        """One is one, and more are several."""
        self.assertEqual(str(Checked(1, 2, 1, 0)), "1 document: 2 listeners, 1 route, 0 clusters")
