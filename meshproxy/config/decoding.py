"""Reading the fields of one mapping, so that what is wrong with one field hides nothing about the others.

A field is *served* (it has its effect), or known but *not served yet*, which is an error of its own: meshproxy never
ignores a setting that it does not implement. All others are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeVar

from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import ConfigError, Location

_T = TypeVar("_T")


def not_served(findings: Findings, location: Location, what: str, hint: str = "") -> None:
    """Report something that Istio has and meshproxy does not have yet."""
    findings.unserved(location, f"{what} is not served yet", hint)


class Fields:
    """The fields of a mapping that may have those of ``served``; those of ``later`` are reported as not served yet.

    The reading methods report what is wrong and then return what stands for an absent field.
    """

    __slots__ = ("_entries", "_unknown", "findings", "node")

    def __init__(self, node: Node, findings: Findings, served: Collection[str], later: Collection[str] = ()) -> None:
        self.node = node
        self.findings = findings
        self._entries = entries = node.raw_entries
        self._unknown: Sequence[str] = ()
        # This is asked for every mapping of a file: its keys are looked at one by one only if that finds something.
        known = served if type(served) is frozenset else frozenset(served)
        if not entries or not known.issuperset(entries):
            self._check(sorted((*served, *later)))
            for name in later:
                if name in self:
                    not_served(findings, node.key_location(name), self.path_of(name))

    def _check(self, names: Sequence[str]) -> None:
        try:
            self.node.fields(*names)
        except ConfigError as error:
            self.findings.errors(error)
            self._unknown = self.node.keys_beside(names)

    def __contains__(self, name: str) -> bool:
        return name in self._entries and self.node.get(name) is not None

    def __len__(self) -> int:
        return sum(name in self for name in self.node.keys_beside(self._unknown))

    def has_only(self, names: frozenset[str]) -> bool:
        """Whether all that is there, unknown fields and those that are null included, is among these."""
        return names.issuperset(self._entries)

    def get(self, name: str) -> Node | None:
        """A field, None if it is absent."""
        return self.node.get(name) if name in self._entries else None

    def required(self, name: str) -> Node | None:
        """A field whose absence is an error."""
        found = self.node.get(name)
        if found is None:
            # What is no mapping has been reported already, and so has the name if it is only misspelt.
            misspelt = any(suggest(key, (name,)) for key in self._unknown)
            if self.node.kind == "mapping" and not misspelt:
                self.findings.error(self.node.location, f"{self.path_of(name)} is required")
            return None
        return found

    def is_empty(self, name: str) -> bool:
        """True if a list is absent or has no items; False for what is no list, which is reported elsewhere."""
        found = self.node.get(name)
        if found is None:
            return self.node.kind == "mapping"
        return found.is_empty_list

    def path_of(self, name: str) -> str:
        """The path of a field, present or not."""
        return f"{self.node.path}.{name}" if self.node.path else name

    def location_of(self, name: str) -> Location:
        """Where a field's value stands, or the mapping if it is absent."""
        return self.node.location_of(name)

    def read(self, name: str, reader: Callable[[Node], _T]) -> _T | None:
        """What ``reader`` makes of a field; None if it is absent or wrong."""
        found = self.node.get(name) if name in self._entries else None
        if found is None:
            return None
        try:
            return reader(found)
        except ConfigError as error:
            self.findings.errors(error)
            return None

    def string(self, name: str) -> str:
        """A string, "" if it is absent."""
        return self.read(name, Node.string) or "" if name in self._entries else ""

    def text(self, name: str, reader: Callable[[Node], str]) -> str | None:
        """What ``reader`` makes of a string; "" if it is absent or empty, which is the same to Istio, None if wrong."""
        found = self.get(name)
        return "" if found is None or found.is_empty_text else self.read(name, reader)

    def integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """A whole number within the bounds."""
        if name not in self._entries:
            return None
        return self.read(name, lambda node: node.integer(minimum, maximum))

    def boolean(self, name: str) -> bool | None:
        """``true`` or ``false``."""
        return self.read(name, Node.boolean)

    def duration(self, name: str) -> float | None:
        """Seconds of a duration that is at least a millisecond and a whole number of them."""
        return self.read(name, _milliseconds)

    def items(self, name: str) -> Sequence[Node]:
        """The items of a list, none if it is absent."""
        return self.read(name, Node.items) or () if name in self._entries else ()

    def entries(self, name: str) -> Sequence[tuple[str, Node]]:
        """The entries of a mapping with free keys, none if it is absent."""
        return self.read(name, Node.entries) or () if name in self._entries else ()


def _milliseconds(node: Node) -> float:
    found = node.duration(timedelta(milliseconds=1))
    if found % timedelta(milliseconds=1):
        node.fail(f"{node.path} must be a whole number of milliseconds")
    return found.total_seconds()
