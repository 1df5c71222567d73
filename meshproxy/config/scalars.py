"""What an unquoted YAML scalar is: a null, a boolean, a number or a string.

The rules are those of the Go reader that kubectl and Istio share (sigs.k8s.io/yaml: YAML 1.1 booleans, no base-60
numbers, dates stay strings, ``1e3`` is a number, ``010`` is eight), not PyYAML's. One exception: a lone ``y`` or ``n``
is a boolean only where a boolean is asked for. Versions of that reader differ about it, and nobody names a thing ``n``
and means false.
"""

from __future__ import annotations

import math
import re
import struct
from decimal import Decimal
from string import ascii_letters

Scalar = None | bool | int | float | str

WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
NULLS = frozenset(text for text, value in WORDS.items() if value is None)
LONE_LETTERS: dict[str, bool] = {"y": True, "Y": True, "n": False, "N": False}
"""The strings that are booleans where a boolean is asked for."""
NUMBER_STARTS = frozenset("+-.0123456789")
LETTERS = frozenset(ascii_letters)
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
# Longer numbers are floats here: int() has a limit on digits, and nothing takes such a number anyway.
_MOST_DIGITS = 100


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar: text that is among ``WORDS``, or starts as a number may, else the text."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in NUMBER_STARTS:
        return text
    if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS and text[0] != "0":
        return int(text)  # nearly every number
    # Underscores group digits, but not behind a leading point.
    digits = text if text[0] == "." else text.replace("_", "")
    if len(digits) <= _MOST_DIGITS and _INTEGER.fullmatch(digits):
        return _integer(digits)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        # Go refuses a number with an exponent out of range, and what is no number is a string.
        return text if number in (float("inf"), float("-inf")) and "e" in digits.lower() else number
    return text


def _integer(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-").lower()
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def key_text(text: str) -> str | None:
    """The JSON key that an unquoted key becomes: ``1`` for ``0x1``, ``true`` for ``yes``; None for a null."""
    if text not in WORDS and text[0] not in NUMBER_STARTS:
        return text  # nearly every key
    value = resolve(text)
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float_text(value) if isinstance(value, float) else str(value)


def _float_text(value: float) -> str:
    """The shortest text that is the same number in single precision, in Go's ``%g``."""
    single = _single(value)
    if not math.isfinite(single):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(single)]
    texts = (f"{single:.{precision}e}" for precision in range(9))
    text = next(text for text in texts if _single(float(text)) == single)
    return format(Decimal(text), "f") if -4 <= int(text.partition("e")[2]) < 6 else text


def _single(value: float) -> float:
    """The nearest number of single precision."""
    try:
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return math.copysign(math.inf, value)
    return float(single)
