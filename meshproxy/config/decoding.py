"""Reading the fields of one mapping, so that what is wrong with one field hides nothing about the others.

A field is *served* (it has its effect), or known but *not served yet*, which is an error of its own: meshproxy never
ignores a setting that it does not implement. All others are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
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

    __slots__ = ("_found", "_unknown", "findings", "node")

    def __init__(self, node: Node, findings: Findings, served: Sequence[str], later: Sequence[str] = ()) -> None:
        self.node = node
        self.findings = findings
        names = (*served, *later) if later else served
        self._unknown: Sequence[str] = ()
        try:
            found = node.fields(*names)
        except ConfigError as error:
            findings.errors(error)
            self._unknown = node.keys_beside(names)
            found = {name: child for name in names if (child := node.get(name)) is not None}
        for name in later:
            if name in found:
                not_served(findings, node.key_location(name), found[name].path)
        self._found = found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __len__(self) -> int:
        return len(self._found)

    def has_only(self, names: Set[str]) -> bool:
        """Whether all that is there, unknown fields included, is among these."""
        return not self._unknown and self._found.keys() <= names

    def get(self, name: str) -> Node | None:
        """A field, None if it is absent."""
        return self._found.get(name)

    def required(self, name: str) -> Node | None:
        """A field whose absence is an error."""
        found = self._found.get(name)
        if found is None:
            # What is no mapping has been reported already, and so has the name if it is only misspelt.
            misspelt = any(suggest(key, (name,)) for key in self._unknown)
            if self.node.kind == "mapping" and not misspelt:
                self.findings.error(self.node.location, f"{self.path_of(name)} is required")
            return None
        return found

    def is_empty(self, name: str) -> bool:
        """True if a list is absent or has no items; False for what is no list, which is reported elsewhere."""
        found = self._found.get(name)
        if found is None:
            return self.node.kind == "mapping"
        return found.is_empty_list

    def path_of(self, name: str) -> str:
        """The path of a field, present or not."""
        return f"{self.node.path}.{name}" if self.node.path else name

    def location_of(self, name: str) -> Location:
        """Where a field's value stands, or the mapping if it is absent."""
        found = self._found.get(name)
        return self.node.location if found is None else found.location

    def read(self, name: str, reader: Callable[[Node], _T]) -> _T | None:
        """What ``reader`` makes of a field; None if it is absent or wrong."""
        found = self._found.get(name)
        if found is None:
            return None
        try:
            return reader(found)
        except ConfigError as error:
            self.findings.errors(error)
            return None

    def string(self, name: str) -> str:
        """A string, "" if it is absent."""
        return self.read(name, Node.string) or "" if name in self._found else ""

    def text(self, name: str, reader: Callable[[Node], str]) -> str | None:
        """What ``reader`` makes of a string; "" if it is absent or empty, which is the same to Istio, None if wrong."""
        found = self._found.get(name)
        return "" if found is None or found.is_empty_text else self.read(name, reader)

    def integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """A whole number within the bounds."""
        if name not in self._found:
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
        return self.read(name, Node.items) or () if name in self._found else ()

    def entries(self, name: str) -> Sequence[tuple[str, Node]]:
        """The entries of a mapping with free keys, none if it is absent."""
        return self.read(name, Node.entries) or () if name in self._found else ()


def _milliseconds(node: Node) -> float:
    found = node.duration(timedelta(milliseconds=1))
    if found % timedelta(milliseconds=1):
        node.fail(f"{node.path} must be a whole number of milliseconds")
    return found.total_seconds()
