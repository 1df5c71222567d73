import time

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import composing
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source
from meshproxy.errors import ConfigError
from tests.config.loading import documents, errors_of_files


def compose(*texts: str) -> tuple[list[Node], list[str]]:
    """The documents of files named a, b, ..., and the findings as text."""
    findings = Findings()
    files = tuple(Source(chr(ord("a") + index), text) for index, text in enumerate(texts))
    found = documents(findings, *files)
    return found, [str(diagnostic) for diagnostic in findings.diagnostics]


def names(found: list[Node]) -> list[str]:
    return [node.fields("kind", "name")["name"].string() for node in found]


def unfold(node: Node) -> object:
    """The whole tree of nodes as plain values."""
    if node.kind == "mapping":
        return {key: unfold(Node(node._origin, it[2], node, key)) for key, it in node._value.entries.items()}  # type: ignore[union-attr]
    if node.kind == "list":
        try:
            return [unfold(child) for child in node.items()]
        except ConfigError:
            return "a list with a null"
    return node._scalar()


class DocumentsTests(SynchronousTestCase):
    def test_documents_of_several_files(self) -> None:
        """All documents come in order; empty ones and files with only comments are skipped without a word."""
        found, findings = compose(
            "---\n---\nname: x\n---\n# nothing\n---\nname: w\n...\n", "", "# nothing", '{"name": "z"}'
        )
        self.assertEqual((names(found), findings), (["x", "w", "z"], []))

    def test_lists_are_unrolled(self) -> None:
        """The items of lists are documents, however lists are nested; their paths begin anew, their places stay."""
        text = "kind: VirtualServiceList\nitems:\n- name: x\n- kind: List\n  items: [{name: w}]\n"
        text += "---\nkind: List\n---\nkind: EndpointsList\nname: z\n"
        found, findings = compose(text)
        self.assertEqual((names(found), findings), (["x", "w", "z"], []))
        self.assertEqual(
            [(str(node.location), node.path) for node in found], [("a:3:3", ""), ("a:5:11", ""), ("a:9:1", "")]
        )

    def test_what_is_no_document(self) -> None:
        """A document or an item of a list that is no mapping is an error at its place."""
        found, findings = compose(
            "- a\n---\nhello\n---\nkind: List\nitems: [{name: x}, 5]\n---\nkind: List\nitems: {}\n"
        )
        self.assertEqual(names(found), ["x"])
        kind = "a document must be a mapping with apiVersion and kind, not"
        self.assertEqual(
            findings,
            [
                f"a:1:1: {kind} a list",
                f"a:3:1: {kind} a single value",
                f"a:6:20: {kind} a single value",
                "a:9:8: items must be a list, not a mapping (start each item of the list with '- ')",
            ],
        )

    def test_duplicate_keys(self) -> None:
        """A key that is there twice is an error that names both lines, in whatever spelling; reading goes on."""
        found, findings = compose("a: 1\nb: {c: 1, 'c': 2}\n'a': 2\ntrue: 1\nyes: 2\n1: 1\n0x1: 2\n")
        self.assertEqual(len(found), 1)
        self.assertEqual(
            findings,
            [
                "a:2:11: duplicate key 'c': it is already in column 5 of the same line",
                "a:3:1: duplicate key 'a': it is already in line 1",
                "a:5:1: duplicate key 'true': it is already in line 4",
                "a:7:1: duplicate key '1': it is already in line 6",
            ],
        )

    def test_keys_that_cannot_be(self) -> None:
        """Null, lists and mappings are no keys; a merge takes nothing but mappings."""
        _, findings = compose("~: 1\n[a]: 2\n{b: c}: 3\n<<: 4\n")
        quotes = "(a value that starts with '[' or '{' has to be in quotes)"
        self.assertEqual(
            findings,
            [
                "a:1:1: a key must be a string, not null (put it in quotes)",
                f"a:2:1: a key must be a string, not a list {quotes}",
                f"a:3:1: a key must be a string, not a mapping {quotes}",
                "a:4:5: the value of << must be an alias of a mapping, or a list of such aliases",
            ],
        )

    def test_tags(self) -> None:
        """Tags of the core schema count; others, and values that do not fit theirs, are errors at their place."""
        good, findings = compose("a: !!map {b: !!seq [!!str 1, !!null '', !!timestamp 2024-01-01]}")
        self.assertEqual((len(good), findings), (1, []))
        _, findings = compose(
            "a: !!int x\nb: !!python/object:os.system {}\nc: !foo 1\nd: !!binary aGk=\ne: !!seq {}\nf: !!int yes"
        )
        hint = "(a value that starts with '!' has to be in quotes)"
        self.assertEqual(
            findings,
            [
                "a:1:4: this value does not fit its tag !!int",
                f"a:2:4: this tag has no meaning here {hint}",
                f"a:3:4: this tag has no meaning here {hint}",
                f"a:4:4: this tag has no meaning here {hint}",
                f"a:5:4: this tag has no meaning here {hint}",
                "a:6:4: this value does not fit its tag !!int",
            ],
        )

    def test_addresses_in_flow_collections(self) -> None:
        """An IPv6 address may end in colons in a flow collection, as for Go; places behind it are right."""
        expected = {"a": ["2001:db8::", "x::]", "fe80::"], "b": {"c": "1::"}}
        found, findings = compose("a: [2001:db8::, 'x::]', fe80::]\nb: {c: 1::} # ::]\n")
        self.assertEqual((unfold(found[0]), findings), (expected, []))
        self.assertEqual(found[0].entries()[0][1].items()[2].location.column, 25)
        self.assertEqual(unfold(compose("'\ue000': 'a::]'")[0][0]), {"\ue000": "a::]"})

    def test_wrong_aliases(self) -> None:
        """An alias without its anchor, from another document, or within it is an error."""
        _, findings = compose("a: &x {b: *x}\nc: *reviews\n---\nd: *x\n")
        hint = "if no alias is meant, put it in quotes"
        self.assertEqual(
            findings,
            [
                "a:1:11: this alias stands within its own anchor",
                f"a:2:4: this alias has no anchor of its name before it ({hint})",
                f"a:4:4: this alias has no anchor of its name before it ({hint})",
            ],
        )


class SyntaxErrorTests(SynchronousTestCase):
    def test_other_documents_are_read(self) -> None:
        """A syntax error costs its document, not those around it or other files; all errors are reported."""
        found, findings = compose(
            "name: p\n---\nname: [1,\n---\nname: q\n---\n- @\n---\nname: r\n", "name: @", "name: s"
        )
        self.assertEqual(names(found), ["p", "q", "r", "s"])
        self.assertEqual(
            findings,
            [
                "a:4:1: the document ends here, but a '[' or '{' before is not closed",
                "a:7:3: a value cannot start with '@' (put the value in quotes)",
                "b:1:7: a value cannot start with '@' (put the value in quotes)",
            ],
        )

    def test_plain_words(self) -> None:
        """The mistakes that people make are told in words that help, where they were made."""
        tabs = "a tab is used for indentation; YAML takes only spaces there (replace each tab with spaces)"
        expected = {
            "a:\n\tb: 1\n": f"a:2:1: {tabs}",
            "a: b\n\tc: d\n": f"a:2:1: {tabs}",
            "a: *.example.com": "a:1:4: a value that starts with '*' has to be in quotes, or it is an alias "
            '(such as "*.example.com")',
            "a: 1\nb: 'x\nc: 1\n": "a:2:4: the quoted string that begins here is not closed",
            'a: "\\d"': "a:1:5: this escape is unknown in a string in double quotes "
            "(write \\\\ for a backslash, or use single quotes)",
            "a: b: c": "a:1:5: a key and its ':' cannot stand here "
            "(either the indentation is wrong, or this is a value with ': ' in it and has to be in quotes)",
            "x:\n- a\nb\n- c: d": "a:3:1: this stands where a key should, but no ':' follows (check the indentation)",
            "a: [b:, c]": "a:1:6: a ':' cannot stand here (put the value in quotes)",
            "a: 1\nb: \x01": "a:2:4: the character U+0001 may not be in a YAML file "
            '(in a string in double quotes write it as an escape, such as "\\x1b")',
            "ä: 'é' x": "a:1:8: the mapping that begins in line 1 is interrupted here by something that is no key "
            "(check the indentation, and the quotes and ':' of the line before)",
        }
        self.assertEqual({text: "\n".join(compose(text)[1]) for text in expected}, expected)

    def test_a_file_that_is_no_yaml(self) -> None:
        """Not more than twenty syntax errors are reported for one file."""
        wrong = f"--- @{' ' * 50}\n" * 1000
        found = [error.partition(":")[0] for error in errors_of_files(a=wrong, b="--- @\n", c=wrong)]
        self.assertEqual([found.count(name) for name in "abc"], [20, 1, 20])

    def test_places_after_an_error(self) -> None:
        """Lines count on behind a syntax error, whatever ends them."""
        found, _ = compose("a: @\r\nb\r\n\n---\r\nname: x\n---\n- @\u2028\n---\nname: w\n")
        self.assertEqual([node.location.line for node in found], [5, 10])


class BoundsTests(SynchronousTestCase):
    def test_depth(self) -> None:
        """50 levels are read; more are a finding, not a crash, even if there are 100,000."""
        found, findings = compose("[" * 49 + "]" * 49 + "\n---\na: " + "[" * 49 + "]" * 49)
        self.assertEqual((len(found), len(findings)), (1, 1))
        self.assertNotIn("nested", findings[0])
        for opening in ("[", "{a: ", "- ", "? ", "a: ["):
            _, findings = compose(opening * 100_000)
            self.assertEqual(len(findings), 1)
        _, findings = compose("a: " + "[" * 50 + "]" * 50)
        self.assertEqual(findings, ["a:1:53: this is nested more than 50 levels deep"])

    def test_depth_through_aliases(self) -> None:
        """A chain of aliases is as deep as what it stands for."""
        chain = "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))
        _, findings = compose(f"a0: &a0 []\n{chain}")
        self.assertEqual(findings, ["a:50:12: this is nested more than 50 levels deep"])

    def test_bombs(self) -> None:
        """A few lines do not stand for billions of values, be it through lists or through merges."""
        lists = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
        merges = "".join(
            f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10)
        )
        for first, bomb in (("[x]", lists), ("{x: y}", merges)):
            found, findings = compose(f"a0: &a0 {first}\n{bomb}---\nname: x\n")
            self.assertEqual(names(found), ["x"])
            self.assertIn("expand to more than 100000 values", "".join(findings))

    def test_honest_files(self) -> None:
        """What a file spells out is not limited, nor are aliases that grow with it."""
        text = "".join(f"- &a{n} {{k: v}}\n- *a{n}\n" for n in range(60_000))
        found, findings = compose(f"kind: X\nitems:\n{text}")
        self.assertEqual(findings, [])
        self.assertEqual(len(found[0].fields("kind", "items")["items"].items()), 120_000)

    def test_speed(self) -> None:
        """A thousand virtual services and ten thousand endpoints are composed and walked in a second or so."""
        service = (
            "kind: VirtualService\nmetadata: {name: s}\nspec:\n  hosts:\n  - h\n  http:\n  - match:\n"
            "    - uri: {prefix: /a}\n      headers: {x: {exact: y}}\n    timeout: 5s\n    route:\n"
            "    - destination: {host: s, port: {number: 80}}\n---\n"
        )
        endpoint = "- addresses: [10.0.0.1]\n  conditions: {ready: true}\n  nodeName: n\n"
        started = time.process_time()
        found, _ = compose(service * 1000 + ("kind: EndpointSlice\nendpoints:\n" + endpoint * 100 + "---\n") * 100)
        for node in found:
            unfold(node)
        self.assertEqual(len(found), 1100)
        # Ten times what it takes, so that it fails for a change of kind and not for a slow machine.
        self.assertLess(time.process_time() - started, 10)


class AnyBytesTests(SynchronousTestCase):
    # One fragment each between bars.
    _text = (
        "a|b: |: |- |\n|\n  |\t|[|]|{|}|, |&a |*a|<<: |!!int |!x |>\n|\"|'|---\n|...\n|%YAML 1.1\n|# c\n|? |1|~|"
        "kind: List\n|items: |\\|\x00|é|\r|\u2028|1::|\ue000"
    )
    _fragments = st.sampled_from(_text.split("|"))

    def check(self, text: str) -> None:
        found, findings = compose(text)
        lines = len(text.splitlines()) + 1
        for node in found:
            unfold(node)
            self.assertLessEqual(node.location.line, lines)
        for finding in findings:
            self.assertLessEqual(int(finding.split(":")[1]), lines)

    @settings(derandomize=True, max_examples=300)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever is in a file, there are documents and findings with places in it, and no exceptions."""
        self.check(data.decode("utf-8", "replace"))

    @settings(derandomize=True, max_examples=1000)
    @given(st.lists(_fragments, max_size=25).map("".join))
    def test_any_yaml_like_text(self, text: str) -> None:
        """So it is with text that resembles YAML."""
        self.check(text)

    @settings(derandomize=True, max_examples=300)
    @given(st.lists(_fragments, max_size=25).map("".join))
    def test_without_libyaml(self, text: str) -> None:
        """So it is where PyYAML was built without libyaml."""
        self.patch(composing, "_Loader", yaml.SafeLoader)
        self.check(text)

    @settings(derandomize=True, max_examples=300)
    @given(
        st.recursive(
            st.text(st.characters(codec="utf-8"), max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text("abyn01", min_size=1), inner, max_size=4)
            ),
            max_leaves=20,
        )
    )
    def test_what_pyyaml_writes(self, value: object) -> None:
        """What PyYAML writes with every string quoted is read as it was."""
        text = yaml.dump({"v": value}, default_style='"', allow_unicode=True, Dumper=yaml.SafeDumper)
        found, findings = compose(text)
        self.assertEqual(findings, [])
        self.assertEqual(unfold(found[0]), {"v": value})
