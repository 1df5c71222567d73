"""What findings look like on a terminal, and which name was probably meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable

from meshproxy.config.effort import SUGGESTIONS, spend
from meshproxy.config.findings import in_order
from meshproxy.errors import Diagnostic, Severity

_INDENT = "    "
_TAB = "    "
_WIDTH = 100  # columns of an excerpt that are shown
_MANY = 1_000  # candidates beyond which only a difference in spelling is looked for
_CUT = "..."
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RESET, _BOLD, _RED, _YELLOW, _GREEN = "\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[32m"


def render(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """The findings as a compiler shows them, in order of place, with a count at the end; "" if there are none.

    For each: ``file:line:column: message``, the source line, a caret under the column, the hint. Characters of the
    configuration that would act on a terminal are shown as escapes.
    """
    findings = in_order(diagnostics)
    if not findings:
        return ""
    lines = [line for finding in findings for line in _lines(finding, color)]
    return "\n".join([*lines, _count(findings)]) + "\n"


def suggest(word: str, candidates: Collection[str]) -> str:
    """The hint "did you mean ...?" if one of the candidates is near ``word``, else "".

    Case, ``-`` and ``_`` make no difference. Beyond a thousand candidates nothing else is looked for, and nothing at
    all once the effort of a load is spent: there may be very many wrong names.
    """
    plain = _plain(word)
    if word in candidates or not spend(SUGGESTIONS, 1 + len(candidates) // 50):
        return ""
    for candidate in candidates:
        if _plain(candidate) == plain:
            return f"did you mean {visible(candidate)!r}?"
    if len(candidates) > _MANY or len(word) > 100 or not spend(SUGGESTIONS, len(candidates)):
        return ""
    # Three of four characters right, but for short words, where one wrong letter is more than that.
    near = difflib.get_close_matches(word, candidates, 1, 0.75 if len(word) > 3 else 0.65)
    return f"did you mean {visible(near[0])!r}?" if near else ""


def visible(text: str) -> str:
    """``text`` with escapes for all that does not show, or that changes how the rest shows."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_cell(character) for character in text)


def _lines(finding: Diagnostic, color: bool) -> list[str]:
    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    place = paint(_BOLD, f"{visible(str(finding.location))}: ") if finding.location else ""
    error = finding.severity is Severity.ERROR
    severity = "" if error and place else f"{finding.severity.value}: "
    code = f" [{finding.code}]" if finding.code else ""
    message = visible(finding.message) + code
    lines = [place + (paint(_RED, severity + message) if error else paint(_YELLOW, severity) + message)]
    if finding.location is not None and finding.excerpt and not finding.excerpt.isspace():
        line, caret = _excerpt(finding.excerpt, finding.location.column)
        lines += [_INDENT + line, _INDENT + " " * caret + paint(_GREEN, "^")]
    if finding.hint:
        lines.append(f"{_INDENT}hint: {visible(finding.hint)}")
    return lines


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """The part of a line around a column that fits the width, and the position of the caret under it."""
    at = min(column, len(line) + 1) - 1
    # A character takes up to ten columns; what is far away is not even looked at.
    start, end = max(0, at - _WIDTH), min(len(line), at + _WIDTH)
    part = line[start:end]
    if part.isascii() and part.isprintable():
        cells, widths = list(part), [1] * len(part)
    else:
        cells = [_cell(character) for character in part]
        widths = [_columns(cell) for cell in cells]
    first, last = 0, len(cells)
    caret = at - start
    room = _WIDTH if start == 0 and sum(widths) <= _WIDTH else _WIDTH // 2
    while sum(widths[first:caret]) > room:
        first += 1
    while last > caret + 1 and sum(widths[first:last]) > _WIDTH:
        last -= 1
    left = _CUT if start + first > 0 else ""
    right = _CUT if last < len(cells) or end < len(line) else ""
    return left + "".join(cells[first:last]).rstrip() + right, len(left) + sum(widths[first:caret])


def _cell(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character == "\t":
        return _TAB
    if unicodedata.category(character) in _CONTROL:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _columns(cell: str) -> int:
    """How many columns a terminal takes for it."""
    if len(cell) > 1 or " " <= cell <= "~":
        return len(cell)
    if unicodedata.combining(cell):
        return 0
    return 2 if unicodedata.east_asian_width(cell) in "WF" else 1


def _count(findings: list[Diagnostic]) -> str:
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    parts = [(errors, "error"), (len(findings) - errors, "warning")]
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in parts if number)


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()
