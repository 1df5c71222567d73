"""The failure of a plugin is told with its place in the plugin."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.failures import describe_failure
from meshproxy.testing import setting

_ACME = """
    import json

    def through_library(text):
        return json.loads(text)

    def through_meshproxy(config):
        return config.string()

    def many_lines():
        raise ValueError("one\\ntwo")
"""


def without_caller(error: Exception) -> Exception:
    """Leave out the frame that caught it, which is a test's and no plugin's."""
    assert error.__traceback__ is not None
    return error.with_traceback(error.__traceback__.tb_next)


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.file = self.folder / "acme_of_failures.py"
        self.file.write_text(dedent(_ACME))
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        self.addCleanup(sys.modules.pop, "acme_of_failures", None)

    def described(self, function: str, *args: object) -> str:
        import acme_of_failures

        try:
            getattr(acme_of_failures, function)(*args)
        except Exception as error:  # noqa: BLE001 - any will do
            return describe_failure(without_caller(error))
        raise AssertionError("it did not fail")

    def test_place_in_the_plugin(self) -> None:
        """The place is the plugin's line, also where a library or meshproxy raised below it."""
        self.assertRegex(
            self.described("through_library", "{"), rf"^json\.decoder\.JSONDecodeError: .* \({self.file}:5\)$"
        )
        self.assertTrue(self.described("through_meshproxy", setting("1")).endswith(f"({self.file}:8)"))

    def test_one_line(self) -> None:
        """Whatever the message, it is one line."""
        self.assertEqual(self.described("many_lines"), f"ValueError: one two ({self.file}:11)")

    def test_no_foreign_code(self) -> None:
        """Where only meshproxy itself was running there is no place to name."""
        try:
            setting("1").string()
        except Exception as error:  # noqa: BLE001 - as above
            self.assertNotIn(" (/", describe_failure(without_caller(error)))

    def test_syntax_error(self) -> None:
        """A file that does not compile is named with the line that is wrong."""
        self.file.write_text("x = 1\ndef (:\n")
        try:
            import acme_of_failures  # noqa: F401
        except SyntaxError as error:
            self.assertTrue(describe_failure(error).endswith(f"({self.file}:2)"), describe_failure(error))
        else:
            self.fail("it compiled")
