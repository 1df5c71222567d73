"""From the text of the configuration files to their documents."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from meshproxy.config.composing import Composer
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node, Value
from meshproxy.config.sources import LINE_END, Source, Sources
from meshproxy.config.yamlerrors import explain

_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)
# Beyond this a file is no YAML at all, and more of the same helps nobody.
_MOST_SYNTAX_ERRORS = 20


def documents(sources: Sources, findings: Findings) -> list[Node]:
    """All documents of all files, in order: each a mapping, with the empty path.

    Empty documents are skipped. A ``kind: List``, or any kind ending so that has ``items``, is replaced by its items.
    What is wrong goes to ``findings`` and never raises; documents before and after a syntax error are still there.
    """
    roots = [Node(source.name, value) for source in sources.files for value in _composed(source, findings)]
    return [document for root in roots if root.kind != "null" for document in _unrolled(root, findings)]


def _composed(source: Source, findings: Findings) -> Iterator[Value]:
    """The roots of a file's documents; after a syntax error it goes on at the next ``---``."""
    start = 0
    for _ in range(_MOST_SYNTAX_ERRORS):
        text = source.text[start:] if start else source.text
        first_line = sum(1 for _ in LINE_END.finditer(source.text, 0, start))
        try:
            yield from Composer(source.name, findings, first_line).documents(text)
            return
        except yaml.YAMLError as error:
            diagnostic, stopped = explain(error, source.name, text, first_line)
        findings.diagnostics.append(diagnostic)
        # A "---" in the first column is the start of a document whatever stands before it, but the one at the very
        # beginning is that of the document with the error.
        line_start = source.text.rfind("\n", 0, start + stopped) + 1
        following = _DOCUMENT_START.search(source.text, max(start + 1, line_start))
        if following is None:
            return
        start = following.start()


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
