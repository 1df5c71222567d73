"""Pages of the documentation as programs: their files, and their commands with what they print.

A file is a block under a paragraph that ends with the file's name, as in "`mesh.yaml`:". A command stands behind ``$``,
in a block of ``console`` or in an indented one, and what it prints follows, where ``...`` is for any text. A command
that ends with ``&`` goes on in the background.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli.main import main

_FENCED = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)
_NAMED = re.compile(r"`([\w./-]+\.\w+)`:\n\n\Z")
_VARIABLE = re.compile(
    r"(?P<replica>replica-\d)"
    r"|(?P<date>\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT)"
    r"|(?P<cookie>(?<=ISTIOID=\")[0-9a-f]{16})"
    r"|(?P<milliseconds>(?<=service-time: )\d+)"
    r"|(?P<result>\"installed\")"
)
_ANY = {
    "date": r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT",
    "cookie": "[0-9a-f]{16}",
    "milliseconds": r"\d+",
    # The gateway may have seen the file by itself before it was asked.
    "result": '"(?:installed|unchanged)"',
}


@frozen
class File:
    """A file to write."""

    path: str
    text: str


@frozen
class Command:
    """A command to run, and what it prints."""

    line: str
    output: str

    def matches(self, printed: str) -> bool:
        """Whether this is what the page says.

        Dates, times and made cookies may be others; so may the replica that answers, if it is one and the same.
        """
        pattern, end = "", 0
        for match in _VARIABLE.finditer(self.output):
            pattern += _literal(self.output[end : match.start()])
            if match.lastgroup == "replica":
                group = match[0].replace("-", "_")
                pattern += f"(?P={group})" if f"(?P<{group}>" in pattern else rf"(?P<{group}>replica-\d)"
            else:
                pattern += _ANY[match.lastgroup or ""]
            end = match.end()
        return re.fullmatch(pattern + _literal(self.output[end:]), printed.rstrip(), re.DOTALL) is not None


def _literal(text: str) -> str:
    return ".*".join(map(re.escape, text.split("...")))


Step = File | Command


def steps(text: str) -> Iterator[Step]:
    """What a page does, in order."""
    end = 0
    for block in _FENCED.finditer(text):
        yield from _indented(text[end : block.start()])
        named = _NAMED.search(text, 0, block.start())
        if block["language"] == "console":
            yield from _commands(block["text"])
        elif named is not None:
            yield File(named[1], block["text"])
        end = block.end()
    yield from _indented(text[end:])


def yaml_blocks(text: str) -> list[tuple[int, str]]:
    """The blocks of YAML that hold whole documents, with the lines at which they begin."""
    found = [it for it in _FENCED.finditer(text) if it["language"] == "yaml" and "apiVersion:" in it["text"]]
    return [(text.count("\n", 0, it.start("text")) + 1, it["text"]) for it in found]


def printed_by(case: SynchronousTestCase, folder: Path, line: str) -> str:
    """What a command line of ``meshproxy`` prints in a folder, without the price of another process."""
    output = StringIO()
    before = Path.cwd()
    patches = [case.patch(sys, name, output) for name in ("stdout", "stderr")]
    os.chdir(folder)
    try:
        main(shlex.split(line)[1:])
    finally:
        os.chdir(before)
        for patch in patches:
            patch.restore()
    return output.getvalue()


def sources(folder: Path) -> list[Path]:
    """All pages."""
    return [folder / "README.md", *sorted((folder / "docs").rglob("*.md"))]


def _indented(text: str) -> Iterator[Command]:
    for block in _INDENTED.finditer(text):
        yield from _commands(textwrap.dedent(block[0]))


def _commands(block: str) -> Iterator[Command]:
    for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, output = command.partition("\n")
        yield Command(line, output.rstrip())
