"""Places in configuration files, findings about them, and the error that carries findings.

Rules: a finding is a value; whoever notices it says what is wrong and where, and ``config.diagnostics`` alone decides
what it looks like on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen


class Origin:
    """What a location counts its lines from: a file, or a document in one.

    A document that stays as it is may move when the text before it changes. Whoever finds it at its new place says so
    here, and everything that was made from the document knows its places anew.
    """

    __slots__ = ("file", "lines_before")

    def __init__(self, file: str, lines_before: int = 0) -> None:
        self.file = file
        self.lines_before = lines_before


class Location:
    """A place in a configuration file. Lines and columns count from 1, columns in characters.

    A value: equal to others for the same place. It may be kept for long, but not in a set or as a key: its line follows
    its ``origin``, see there. ``offset`` is the line as counted from the origin.
    """

    __slots__ = ("column", "offset", "origin")

    def __init__(self, origin: str | Origin, line: int = 1, column: int = 1) -> None:
        """``origin``: where lines are counted from; a text is the name of a file."""
        self.origin = Origin(origin) if isinstance(origin, str) else origin
        self.offset = line
        self.column = column

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.origin.file

    @property
    def line(self) -> int:
        """The line in the file."""
        return self.origin.lines_before + self.offset

    @property
    def position(self) -> tuple[str, int, int]:
        """File, line and column."""
        return (self.origin.file, self.origin.lines_before + self.offset, self.column)

    def __eq__(self, other: object) -> bool:
        return self.position == other.position if isinstance(other, Location) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.position)

    def __repr__(self) -> str:
        return "Location({!r}, {}, {})".format(*self.position)

    def __str__(self) -> str:
        return "{}:{}:{}".format(*self.position)


class Severity(Enum):
    """How much a finding matters: an error stops a load, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@frozen
class Diagnostic:
    """One finding of a load.

    ``message`` is one sentence without the place; ``hint`` may name what was probably meant; ``code`` is the code that
    ``istioctl analyze`` gives to the same finding, where it has one. ``location`` is None only where no file is
    concerned. ``excerpt`` is the source line of that place, for showing; empty where it is not at hand.
    """

    message: str
    location: Location | None = None
    hint: str = ""
    severity: Severity = Severity.ERROR
    code: str = ""
    excerpt: str = field(default="", eq=False, repr=False)

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location is not None else ""
        kind = "" if self.severity is Severity.ERROR else f"{self.severity.value}: "
        code = f" [{self.code}]" if self.code else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{kind}{self.message}{code}{hint}"


def _as_tuple(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(diagnostics)


@frozen
class ConfigError(Exception):
    """A configuration that does not load, with everything that is wrong with it, in file order where that is known."""

    diagnostics: tuple[Diagnostic, ...] = field(converter=_as_tuple)

    @classmethod
    def at(cls, location: Location | None, message: str, hint: str = "") -> ConfigError:
        """An error with one finding."""
        return cls([Diagnostic(message, location, hint)])

    def __str__(self) -> str:
        return "\n".join(str(diagnostic) for diagnostic in self.diagnostics)
