"""From the text of a configuration file to its documents.

A text is cut into pieces, each of which means the same wherever it stands, so that pieces that did not change need not
be read again. A piece begins with a ``---`` in the first column: that is the start of a document, or an error, whatever
stands before it. Only directives (``%TAG``) reach beyond one, so a text that may have any is a single piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import yaml
from attrs import frozen

from meshproxy.config.composing import Composer
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.sources import LINE_END
from meshproxy.config.values import Value
from meshproxy.config.yamlerrors import explain
from meshproxy.errors import Origin

MOST_SYNTAX_ERRORS = 20
"""Beyond this a file is no YAML at all, and more of the same helps nobody."""

_START = "\n---"
_BEHIND_START = " \t\r\n"
_DIRECTIVES = tuple(f"{line_end}%" for line_end in "\n\r\x85\u2028\u2029")
# To begin with a piece takes a while, which a file of tiny documents would make long. Nearly all of objects are larger.
_LEAST_PIECE = 100


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """The pieces of a text in order, each with the number of lines before it."""
    start = line = 0
    undivided = "%" in text and (text.startswith("%") or any(directive in text for directive in _DIRECTIVES))
    for end in chain(() if undivided else _starts(text), [len(text)]):
        if end - start >= _LEAST_PIECE or end == len(text):
            piece = text[start:end]
            yield line, piece
            line += _count_lines(piece)
            start = end


def _starts(text: str, begin: int = 0) -> Iterator[int]:
    """Where documents start behind ``begin`` and the first line."""
    found = text.find(_START, begin)
    while found >= 0:
        end = found + len(_START)
        if text[end : end + 1] in _BEHIND_START:  # so is the end of the text
            yield found + 1
        found = text.find(_START, end)


@frozen(eq=False)
class Composed:
    """What a piece has come to.

    ``documents`` are mappings with the empty path: empty documents are skipped, and a ``kind: List``, or any kind
    ending so that has ``items``, is replaced by its items. ``expanded`` is what it took of the values that aliases may
    add, ``syntax_errors`` how often it is no YAML.
    """

    documents: tuple[Node, ...]
    expanded: int
    syntax_errors: int


def compose(text: str, origin: Origin, findings: Findings, expandable: int) -> Composed:
    """The documents of a piece that stands at ``origin``; aliases may add ``expandable`` values.

    What is wrong goes to ``findings``; documents before and after a syntax error are still there.
    """
    values: list[Value] = []
    start = errors = expanded = 0
    while errors < MOST_SYNTAX_ERRORS:
        rest = text[start:] if start else text
        line = _count_lines(text[:start])
        composer = Composer(origin, findings, expandable - expanded, line)
        try:
            values.extend(composer.documents(rest))
            break
        except yaml.YAMLError as error:
            diagnostic, stopped = explain(error, origin, rest, line)
        finally:
            expanded += composer.spent
        findings.diagnostics.append(diagnostic)
        errors += 1
        # Go on at the next start of a document, but the one at the very beginning is that of the document at fault.
        line_start = text.rfind("\n", 0, start + stopped) + 1
        following = next(_starts(text, max(start, line_start - 1)), None)
        if following is None:
            break
        start = following
    roots = (Node(origin, value) for value in values)
    found = [document for root in roots if root.kind != "null" for document in _unrolled(root, findings)]
    return Composed(tuple(found), expanded, errors)


def _count_lines(text: str) -> int:
    if text.isascii() and "\r" not in text:
        return text.count("\n")
    return sum(1 for _ in LINE_END.finditer(text))


def _unrolled(document: Node, findings: Findings) -> list[Node]:
    if document.kind != "mapping":
        kind = "a list" if document.kind == "list" else "a single value"
        findings.error(document.location, f"a document must be a mapping with apiVersion and kind, not {kind}")
        return []
    kind_node = document.get("kind")
    name = None if kind_node is None or kind_node.kind != "scalar" else findings.attempt(kind_node.string)
    items = document.get("items")
    if name is None or not name.endswith("List") or (items is None and name != "List"):
        return [document]
    if items is None:
        return []
    roots = findings.attempt(items.items) or []
    return [inner for root in roots for inner in _unrolled(root.as_document(), findings)]
