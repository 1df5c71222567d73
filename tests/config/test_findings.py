from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.findings import Findings, in_order
from meshproxy.errors import ConfigError, Diagnostic, Location


class FindingsTests(SynchronousTestCase):
    def test_attempt(self) -> None:
        """attempt() hands on a result, and turns a ConfigError into findings; other exceptions are bugs and pass."""

        def fail(message: str) -> None:
            raise ConfigError.at(None, message)

        findings = Findings()
        self.assertEqual(findings.attempt(int, "10", base=8), 8)
        self.assertIsNone(findings.attempt(fail, "wrong"))
        self.assertRaises(ValueError, findings.attempt, int, "x")
        self.assertEqual(findings.diagnostics, [Diagnostic("wrong")])

    def test_warnings_do_not_stop(self) -> None:
        """Warnings alone raise nothing; with an error they come along, all in order of place."""
        findings = Findings()
        findings.warning(Location("b.yaml", 2), "odd", code="IST0130")
        findings.raise_if_errors()
        findings.error(Location("b.yaml", 1, 9), "wrong", "hint")
        findings.error(Location("a.yaml", 10), "worse")
        findings.error(None, "no place")
        error = self.assertRaises(ConfigError, findings.raise_if_errors)
        self.assertEqual([found.message for found in error.diagnostics], ["no place", "worse", "wrong", "odd"])

    def test_the_same_finding_twice(self) -> None:
        """What is found twice at one place, as through an alias, is reported once."""
        one = Diagnostic("wrong", Location("a", 1, 1))
        other = Diagnostic("wrong", Location("a", 1, 2))
        self.assertEqual(in_order([other, one, other]), [one, other])
