from collections.abc import Callable
from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source
from meshproxy.config.values import Entries
from meshproxy.errors import ConfigError, Location
from meshproxy.interfaces import IConfig
from tests.config.loading import documents


def load(text: str) -> Node:
    """The only document of ``text``, which must be without errors."""
    findings = Findings()
    (document,) = documents(findings, Source("a.yaml", text))
    findings.raise_if_errors()
    return document


def value(text: str) -> Node:
    """The value ``text`` at the path ``v``, in line 1, column 4."""
    document = load(f"v: {text}")
    assert isinstance(document._value, Entries)
    return Node(document._origin, document._value.entries["v"][2], document, "v")


class NodeTestCase(SynchronousTestCase):
    def assert_fails(self, read: Callable[[], object], *expected: str) -> None:
        """``read`` fails with these diagnostics, given as ``line:column: message (hint)``."""
        error = self.assertRaises(ConfigError, read)
        self.assertEqual([str(found).removeprefix("a.yaml:") for found in error.diagnostics], list(expected))


class StructureTests(NodeTestCase):
    def test_interface(self) -> None:
        """A node is what strategies are promised."""
        verifyObject(IConfig, load("a: 1"))

    def test_places_and_paths(self) -> None:
        """Values and keys know line and column in characters, counted from 1, and their dotted path."""
        document = load("# ä\nspec:\n  hösts: ['é', {x: 1}]\n")
        hosts = document.fields("spec")["spec"].fields("hösts")["hösts"]
        self.assertEqual(hosts.location, Location("a.yaml", 3, 10))
        self.assertEqual(document.fields("spec")["spec"].key_location("hösts"), Location("a.yaml", 3, 3))
        inner = hosts.items()[1].fields("x")["x"]
        self.assertEqual((str(inner.location), inner.path), ("a.yaml:3:20", "spec.hösts[1].x"))
        self.assertEqual(document.key_location("absent"), document.location)

    def test_kinds(self) -> None:
        """kind tells mappings, lists, scalars and nulls apart."""
        kinds = {text: value(text).kind for text in ("{}", "[]", "1", "''", "~", "", "!!str")}
        self.assertEqual(
            kinds,
            {"{}": "mapping", "[]": "list", "1": "scalar", "''": "scalar", "~": "null", "": "null", "!!str": "scalar"},
        )

    def test_fields(self) -> None:
        """fields() leaves out what is null, and reports every unknown field at its key, with what was meant."""
        document = load("host: a\nport:\nhots: [b]\nwieght: 1\nzzzzzz: 1\n")
        self.assert_fails(
            lambda: document.fields("host", "port", "weight"),
            "3:1: unknown field 'hots' (did you mean 'host'?)",
            "4:1: unknown field 'wieght' (did you mean 'weight'?)",
            "5:1: unknown field 'zzzzzz'",
        )
        self.assert_fails(
            lambda: value("{no: 1}").fields("no"),
            "1:5: v has no field 'false' "
            "(unquoted yes, no, on and off are true and false in YAML: put the key in quotes)",
        )
        self.assertEqual(list(load("host: a\nport:\n").fields("port", "host", "other")), ["host"])
        self.assert_fails(lambda: value("{a: 1}").fields("b"), "1:5: v has no field 'a'")
        self.assert_fails(lambda: value("[a]").fields("b"), "1:4: v must be a mapping, not a list")

    def test_null_entries_and_items(self) -> None:
        """Null is not the same as absent in lists and in mappings with free keys."""
        self.assert_fails(value("{a: x, b: , c: ~}").entries, "1:11: v.b may not be null", "1:16: v.c may not be null")
        self.assert_fails(value("[a, ~]").items, "1:8: v[1] may not be null")
        self.assert_fails(
            value("a").items, "1:4: v must be a list, not the string 'a' (start each item of the list with '- ')"
        )

    def test_get(self) -> None:
        """get() finds a child without any check."""
        document = load("a: {b: 1}\nc:\n")
        child = document.get("a")
        assert child is not None
        self.assertEqual([child.get("b") is not None, child.get("x"), document.get("c")], [True, None, None])
        self.assertIsNone(value("[1]").get("b"))

    def test_made_mapping(self) -> None:
        """A mapping that stands nowhere has the given place; its values keep theirs."""
        name = value("x")
        made = Node.mapping(Location(name.location.origin, 7, 3), "spec.made", [("name", name)])
        self.assertEqual(made.fields("name")["name"].location, Location("a.yaml", 1, 4))
        self.assertEqual(made.key_location("name"), Location("a.yaml", 7, 3))
        error = self.assertRaises(ConfigError, made.fields, "other")
        self.assertEqual(str(error), "a.yaml:7:3: spec.made has no field 'name'")

    def test_merge_keys(self) -> None:
        """``<<`` merges mappings: own keys win wherever they stand, then those of the mapping merged first."""
        document = load("a: &a {p: 1, q: 2}\nb: &b {q: 3, r: 4}\nc: {<<: [*a, *b], r: 5}\nd: {p: 6, <<: *a}\n")
        merged = dict(document.entries())
        read = {key: {name: node.integer() for name, node in merged[key].entries()} for key in ("c", "d")}
        self.assertEqual(read, {"c": {"r": 5, "p": 1, "q": 2}, "d": {"p": 6, "q": 2}})
        self.assertEqual(merged["d"].key_location("q"), Location("a.yaml", 1, 14))
        self.assertEqual(load("'<<': 1").entries()[0][0], "<<")

    def test_keys_that_are_no_strings(self) -> None:
        """Unquoted numbers and booleans as keys are what they become in JSON; quoted keys are as they are written."""
        document = load("yes: a\n1: b\n0x10: c\n'on': d\n2024-01-01: e\n")
        self.assertEqual([key for key, _ in document.entries()], ["true", "1", "16", "on", "2024-01-01"])


class ScalarTests(NodeTestCase):
    def test_strings(self) -> None:
        """Strings are quoted, or could be nothing else."""
        texts = ("abc", "'1'", '"yes"', "1:30", "2024-01-01", "10.0.0.1", "!!str 1", "! 1", "''", "1 2", "v1.10")
        expected = ["abc", "1", "yes", "1:30", "2024-01-01", "10.0.0.1", "1", "1", "", "1 2", "v1.10"]
        self.assertEqual([value(text).string() for text in texts], expected)

    def test_no_strings(self) -> None:
        """Unquoted numbers, booleans and nulls are no strings, and the hint says how to write them."""
        self.assert_fails(
            value("1.10").string, '1:4: v must be a string, not the number 1.10 (write it in quotes: "1.10")'
        )
        self.assert_fails(
            value("off").string, '1:4: v must be a string, not the boolean off (write it in quotes: "off")'
        )
        self.assert_fails(value("{a: b}").string, "1:4: v must be a string, not a mapping")
        for text in ("1e3", ".5", "0o7", "1_000", "yes", "NO", "~", ""):
            self.assertRaises(ConfigError, value(text).string)

    def test_booleans(self) -> None:
        """Booleans are unquoted."""
        self.assertEqual(
            [value(text).boolean() for text in ("true", "No", "on", "!!bool 'yes'")], [True, False, True, True]
        )

    def test_lone_letters(self) -> None:
        """``y`` and ``n`` are what is asked for: booleans, strings or keys."""
        self.assertEqual([value(text).boolean() for text in ("y", "N")], [True, False])
        self.assertEqual([value(text).string() for text in ("y", "N")], ["y", "N"])
        self.assertEqual(list(value("{n: 1}").fields("n")), ["n"])
        self.assertRaises(ConfigError, value("'y'").boolean)
        self.assert_fails(
            value("'true'").boolean, "1:4: v must be true or false, not the string 'true' (remove the quotes)"
        )
        self.assert_fails(value("1").boolean, "1:4: v must be true or false, not the number 1")

    def test_integers(self) -> None:
        """Integers are unquoted, without a point, and within their bounds."""
        self.assertEqual([value(text).integer(0, 80) for text in ("80", "0x1F", "010", "!!int '5'")], [80, 31, 8, 5])
        self.assert_fails(
            value('"80"').integer, "1:4: v must be a whole number, not the string '80' (remove the quotes)"
        )
        self.assert_fails(
            value("80.0").integer, "1:4: v must be a whole number, not the number 80.0 (did you mean 80?)"
        )
        self.assert_fails(value("true").integer, "1:4: v must be a whole number, not the boolean true")
        self.assert_fails(lambda: value("70000").integer(1, 65535), "1:4: v must be between 1 and 65535, not 70000")
        self.assert_fails(lambda: value("-1").integer(minimum=0), "1:4: v must be at least 0, not -1")
        self.assert_fails(lambda: value("5").integer(maximum=4), "1:4: v must be at most 4, not 5")

    def test_numbers(self) -> None:
        """Numbers are finite, however they are written."""
        self.assertEqual([value(text).number(0) for text in ("1", ".5", "1e3", "!!float 2")], [1, 0.5, 1000, 2])
        for text in (".nan", ".inf", "1" * 400, "'1'", "true", "[]", "1e999"):
            self.assertRaises(ConfigError, value(text).number)

    def test_durations(self) -> None:
        """Durations are strings with units; zero is one unless there is a minimum; a bare number is none."""
        self.assertEqual(value("1h30m").duration(), timedelta(hours=1.5))
        self.assertEqual(value("0s").duration(), timedelta(0))
        self.assert_fails(
            value("5").duration, "1:4: v must be a duration such as 5s or 250ms, not the number 5 (did you mean 5s?)"
        )
        self.assert_fails(value("'5'").duration, "1:4: v: '5' is not a duration (did you mean 5s?)")
        self.assert_fails(
            value("5sec").duration,
            "1:4: v: '5sec' is not a duration (a duration is a number and a unit (h, m, s, ms, us, ns))",
        )
        self.assert_fails(value("-5s").duration, "1:4: v may not be negative, it is -5s")
        minimum = timedelta(milliseconds=1)
        self.assert_fails(lambda: value("1us").duration(minimum), "1:4: v may not be less than 1ms, it is 1us")
        self.assertEqual(value("1ms").duration(minimum), minimum)
