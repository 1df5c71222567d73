import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.diagnostics import render, suggest
from meshproxy.errors import Diagnostic, Location, Severity


def shown(line: str, column: int) -> tuple[str, str]:
    """The excerpt, and the caret's line, of a finding at a column of a line."""
    lines = render([Diagnostic("m", Location("f", 1, column), excerpt=line)]).split("\n")
    return lines[1][4:], lines[2][4:]


class RenderTests(SynchronousTestCase):
    def test_layout(self) -> None:
        """Findings are in order of place, with line, caret and hint, and are counted at the end."""
        findings = [
            Diagnostic("odd", Location("b.yaml", 1, 1), severity=Severity.WARNING, code="IST0130"),
            Diagnostic("wrong", Location("a.yaml", 12, 6), "did you mean 'b'?", excerpt="  a: x"),
            Diagnostic("worse", Location("a.yaml", 2, 3)),
            Diagnostic("a plugin did not load"),
        ]
        self.assertEqual(
            render(findings),
            "error: a plugin did not load\n"
            "a.yaml:2:3: worse\n"
            "a.yaml:12:6: wrong\n"
            "      a: x\n"
            "         ^\n"
            "    hint: did you mean 'b'?\n"
            "b.yaml:1:1: warning: odd [IST0130]\n"
            "3 errors, 1 warning\n",
        )

    def test_nothing(self) -> None:
        """No findings are no text."""
        self.assertEqual(render([]), "")

    def test_color(self) -> None:
        """Color changes nothing but color."""
        findings = [
            Diagnostic("wrong", Location("a", 1, 1), "hint", excerpt="x"),
            Diagnostic("odd", severity=Severity.WARNING),
        ]
        colored = render(findings, color=True)
        for code in ("0", "1", "31", "32", "33"):
            self.assertIn(f"\x1b[{code}m", colored)
            colored = colored.replace(f"\x1b[{code}m", "")
        self.assertEqual(colored, render(findings))

    def test_carets(self) -> None:
        """The caret is under its character with tabs, wide and combining characters, and at the end of the line."""
        self.assertEqual(shown("\ta:\tx", 5), ("    a:    x", "          ^"))
        self.assertEqual(shown("日本: x", 5), ("日本: x", "      ^"))
        self.assertEqual(shown("e\u0301: x", 5), ("e\u0301: x", "   ^"))
        self.assertEqual(shown("a:", 3), ("a:", "  ^"))
        self.assertEqual(shown("a:", 99), ("a:", "  ^"))

    def test_control_characters(self) -> None:
        """What would act on the terminal or reorder the text is shown as an escape, in every part."""
        self.assertEqual(shown("\x1b[2J\u202ex: y", 6), ("\\x1b[2J\\u202ex: y", "             ^"))
        text = render([Diagnostic("m\x1b\n", Location("f\x1b"), "h\x9b\x07", excerpt="\x00")])
        self.assertEqual([character for character in text if not character.isprintable() and character != "\n"], [])
        self.assertEqual(text.count("\n"), 5)

    def test_long_lines(self) -> None:
        """Of a long line the part around the column is shown, however long it is."""
        line = "".join(chr(ord("a") + n % 26) for n in range(10_000_000))
        started = time.process_time()
        for column in (1, 99, 100, 101, 5_000_000, len(line), len(line) + 1):
            excerpt, caret = shown(line, column)
            self.assertLessEqual(len(excerpt), 106)
            under = excerpt[len(caret) - 1 : len(caret)]
            self.assertEqual(under, line[column - 1 : column])
        self.assertLess(time.process_time() - started, 5)

    @settings(derandomize=True)
    @given(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=400).filter(str.strip),
        st.data(),
    )
    def test_any_place(self, line: str, data: st.DataObject) -> None:
        """Wherever the place is in whatever line, the caret is under its character."""
        column = data.draw(st.integers(1, len(line)))
        excerpt, caret = shown(line, column)
        self.assertEqual(excerpt[len(caret) - 1 : len(caret)] or " ", line[column - 1])


class SuggestTests(SynchronousTestCase):
    _fields = ("host", "hosts", "port", "timeout", "prefixRewrite", "loadBalancer")

    def test_near(self) -> None:
        """Transposed, missing and wrong letters, case and snake_case are seen through."""
        words = ("hsot", "prt", "timeuot", "TimeOut", "prefix_rewrite", "loadbalancer", "load-balancer", "hostz")
        meant = ("host", "port", "timeout", "timeout", "prefixRewrite", "loadBalancer", "loadBalancer", "hosts")
        found = [suggest(word, self._fields) for word in words]
        self.assertEqual(found[:-1], [f"did you mean {name!r}?" for name in meant[:-1]])
        self.assertIn(found[-1], ("did you mean 'hosts'?", "did you mean 'host'?"))

    def test_far(self) -> None:
        """Nothing is suggested that is not near, and never the word itself."""
        self.assertEqual([suggest(word, self._fields) for word in ("weight", "x", "", "host" * 100)], [""] * 4)
        self.assertEqual(suggest("host", ("host",)), "")

    def test_many_candidates(self) -> None:
        """A great many candidates cost little."""
        names = [f"service-{n}.default.svc.cluster.local" for n in range(20_000)]
        started = time.process_time()
        for n in range(20):
            suggest(f"servcie-{n}.default.svc.cluster.local", names)
        self.assertLess(time.process_time() - started, 5)
