"""Places in configuration files, findings about them, and the error that carries findings.

Rules: a finding is a value; whoever notices it says what is wrong and where, and ``config.diagnostics`` alone decides
what it looks like on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen


@frozen(order=True)
class Location:
    """A place in a configuration file. Lines and columns count from 1, columns in characters."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


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
