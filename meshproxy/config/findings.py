"""The findings of one load, collected so that a user sees all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from attrs import define, field

from meshproxy.errors import ConfigError, Diagnostic, Location, Severity

MOST = 2_000
"""More findings than these help nobody."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class TooManyErrors(Exception):
    """There are so many errors that it is not worth while to look for more."""


@define
class Findings:
    """Errors and warnings in the order in which they were found; beyond ``MOST``, warnings are only counted.

    ``unlisted`` is their number.
    """

    diagnostics: list[Diagnostic] = field(factory=list)
    unlisted: int = 0
    _errors: int = 0
    _aside: list[Diagnostic] | None = None

    @property
    def count_of_errors(self) -> int:
        """How many errors there are."""
        return sum(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)

    @property
    def has_errors(self) -> bool:
        """Whether the load has failed."""
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)

    def error(self, location: Location | None, message: str, hint: str = "") -> None:
        """Note what stops the load. Raises ``TooManyErrors`` beyond ``MOST``."""
        self._add([Diagnostic(message, location, hint)])

    def errors(self, raised: ConfigError) -> None:
        """Note what was raised."""
        self._add(raised.diagnostics)

    def warning(self, location: Location | None, message: str, hint: str = "", code: str = "") -> None:
        """Note what loads, but hardly as it was meant."""
        self._warn(Diagnostic(message, location, hint, Severity.WARNING, code))

    def unserved(self, location: Location | None, message: str, hint: str = "") -> None:
        """Note a setting that has no effect yet: an error, unless it is put aside."""
        found = self.diagnostics if self._aside is None else self._aside
        found.append(Diagnostic(message, location, hint))

    @contextmanager
    def unserved_aside(self) -> Iterator[list[Diagnostic]]:
        """Put aside what is not served, for the caller to report it once it is known to matter."""
        before, self._aside = self._aside, []
        try:
            yield self._aside
        finally:
            self._aside = before

    def attempt(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """What ``function`` returns; None when it raises ``ConfigError``, whose diagnostics are then collected."""
        try:
            return function(*args, **kwargs)
        except ConfigError as error:
            self.errors(error)
            return None

    def _warn(self, warning: Diagnostic) -> None:
        if len(self.diagnostics) >= MOST:
            self.unlisted += 1
        else:
            self.diagnostics.append(warning)

    def _add(self, errors: Sequence[Diagnostic]) -> None:
        room = MOST - self._errors
        self.diagnostics += errors[:room]
        self._errors += len(errors)
        if self._errors > MOST:
            raise TooManyErrors

    def clear(self) -> None:
        """Forget everything."""
        self.diagnostics.clear()
        self.unlisted = self._errors = 0

    def merge(self, others: Findings) -> None:
        """Note what was found elsewhere, as if it had been found here."""
        for diagnostic in others.diagnostics:
            if diagnostic.severity is Severity.ERROR:
                self._add([diagnostic])
            else:
                self._warn(diagnostic)
        self.unlisted += others.unlisted

    def raise_if_errors(self) -> None:
        """Raise ``ConfigError`` with all errors *and* warnings, in order of place, if there is any error."""
        if self.has_errors:
            raise ConfigError(in_order(self.diagnostics))


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sorted by file, line and column, those without a place first; what was found twice is there once.

    The same finding comes twice where aliases put one piece of a file at several places of the document.
    """
    return sorted(dict.fromkeys(diagnostics), key=_place)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    location = diagnostic.location
    return ("", 0, 0) if location is None else location.position


def as_object(finding: Diagnostic) -> dict[str, object]:
    """A finding as JSON has it, for all programs that show some."""
    place = finding.location
    return {
        "file": None if place is None else place.file,
        "line": None if place is None else place.line,
        "column": None if place is None else place.column,
        "severity": finding.severity.value,
        "code": finding.code or None,
        "message": finding.message,
        "hint": finding.hint or None,
        "excerpt": finding.excerpt or None,
    }
