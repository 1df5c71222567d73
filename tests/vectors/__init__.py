"""Decisions of Envoy to test against: numbers from its own unit tests (``unit-*``) and recordings (``live-*``).

Hashes are unsigned 64-bit numbers, written as decimal strings. Header texts are Latin-1: a character is a byte.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load(name: str) -> Any:
    """The content of ``NAME.json``. It is shared: do not change it."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
