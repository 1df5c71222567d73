"""The pieces of all files and the objects that they declare, taken over from the load before where they did not change.

Rules: what a piece comes to depends on nothing but its text, the settings of the process, and what may still be spent.
So it is kept by its text, and used again wherever that text stands, in any file and line; its ``Origin`` follows. Two
exceptions keep a load the same as one that begins from nothing. Findings may quote places, so a piece with findings is
used again only in its place. And where something that is limited for all files together runs out, everything is done
anew, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from attrs import define, field

from meshproxy.config import effort
from meshproxy.config.documents import MOST_SYNTAX_ERRORS, compose, pieces
from meshproxy.config.findings import MOST, Findings
from meshproxy.config.identification import identify
from meshproxy.config.metadata import Document
from meshproxy.config.sources import Source
from meshproxy.config.yamlerrors import EXPANSION
from meshproxy.errors import Origin

_MOST_AT_ONCE = 2_047  # bytes that hashlib hashes without letting go of the interpreter


class Declaration:
    """An object that a document declares; ``findings`` are those about its content, once it was decoded."""

    __slots__ = ("_document", "_object", "findings", "metadata", "spent")

    def __init__(self, document: Document) -> None:
        self.metadata = document.metadata
        self.findings = Findings()
        self.spent: dict[str, int] = {}
        self._document: Document | None = document
        self._object: object = None

    def decoded(self, decode: Callable[[Document, Findings], object]) -> object:
        """The object, None for one without effect; made when it is first asked for."""
        if self._document is not None:
            findings, spent = Findings(), dict[str, int]()
            with effort.recorded_effort(spent):
                self._object = decode(self._document, findings)
            self.findings, self.spent = findings, spent
            self._document = None  # large, and no longer needed
        return self._object


@define(eq=False)
class Part:
    """A piece of a file. ``findings`` are those about its YAML and what its documents are.

    ``documents`` is their number, ``broken`` has the kinds of those of which nothing can be made. ``expanded`` and
    ``syntax_errors`` are as in ``Composed``.
    """

    origin: Origin
    declarations: list[Declaration] = field(factory=list)
    findings: Findings = field(factory=Findings)
    broken: set[str] = field(factory=set)
    documents: int = 0
    expanded: int = 0
    syntax_errors: int = 0
    unreadable: bool = False
    spent: dict[str, int] = field(factory=dict)

    @property
    def is_silent(self) -> bool:
        """True if nothing was found that may quote a place."""
        return not self.findings.diagnostics and not any(it.findings.diagnostics for it in self.declarations)


class Parts:
    """The parts of the latest load."""

    def __init__(self) -> None:
        # By the digest of their text, and by file and line.
        self._known: dict[bytes, dict[tuple[str, int], Part]] = {}
        self._taken_over = False

    def read(self, files: Iterable[Source]) -> list[Part]:
        """The parts of all files, in order; those behind more errors than are listed are left out."""
        known, self._known = self._known, {}
        self._taken_over = False
        found: list[Part] = []
        left = EXPANSION
        wrong = 0
        for source in files:
            errors = 0
            for line, text in pieces(source.text):
                key = _digest(text)
                place = (source.name, line)
                part = _at_place(known.get(key, {}), place)
                if part is None:
                    part = _new(text, Origin(*place), left)
                else:
                    self._taken_over = True
                    _spend_again(part)
                self._known.setdefault(key, {})[place] = part
                found.append(part)
                left -= part.expanded
                errors += part.syntax_errors
                wrong += part.findings.count_of_errors
                if errors >= MOST_SYNTAX_ERRORS or wrong > MOST:
                    break
            if wrong > MOST:
                break
        while known:  # one by one, so that other threads can work in between
            known.popitem()
        return found

    def must_be_read_again(self) -> bool:
        """Whether a limit was reached, so that what was taken over might not have been granted in its turn.

        Nothing is taken over then by the next ``read``.
        """
        if not self._is_exhausted() and not effort.is_exhausted():
            return False
        self._known = {}
        return self._taken_over

    def _is_exhausted(self) -> bool:
        return sum(part.expanded for parts in self._known.values() for part in parts.values()) > EXPANSION


def _digest(text: str) -> bytes:
    """The SHA-256 of a text, made without letting go of the interpreter.

    For more bytes at once, hashlib lets go of it and takes it back at once. That comes to nothing for a thread that
    waits for it, which then waits for a whole switch interval anew: from piece to piece, the reactor would have to wait
    until all are read.
    """
    encoded = text.encode()
    digest = sha256()
    for start in range(0, len(encoded), _MOST_AT_ONCE):
        digest.update(encoded[start : start + _MOST_AT_ONCE])
    return digest.digest()


def _at_place(candidates: dict[tuple[str, int], Part], place: tuple[str, int]) -> Part | None:
    """One of the parts of a text, from now on at this place; None if there is none that can be used there."""
    part = candidates.pop(place, None)
    if part is None and candidates:
        # What is found in a text is much the same in all of its places.
        former = next(iter(candidates))
        if candidates[former].is_silent:
            part = candidates.pop(former)
            part.origin.file, part.origin.lines_before = place
    return part


def _new(text: str, origin: Origin, expandable: int) -> Part:
    part = Part(origin)
    with effort.recorded_effort(part.spent):
        composed = compose(text, origin, part.findings, expandable)
        part.documents = len(composed.documents)
        part.expanded, part.syntax_errors = composed.expanded, composed.syntax_errors
        part.unreadable = part.findings.has_errors
        for node in composed.documents:
            document = identify(node, part.broken, part.findings)
            if document is not None:
                part.declarations.append(Declaration(document))
    return part


def _spend_again(part: Part) -> None:
    effort.spend_again(part.spent)
    for declaration in part.declarations:
        effort.spend_again(declaration.spent)
