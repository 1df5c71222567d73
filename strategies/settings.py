"""Reading settings that several strategies have in common."""

from __future__ import annotations

from meshproxy.interfaces import IConfig


def text(config: IConfig, what: str) -> str:
    """A string without control characters, which no header line could carry. ``what`` names it in the error."""
    value = config.string()
    if any(character < " " or character == "\x7f" for character in value):
        config.fail(f"{what} may not contain control characters")
    return value


def name(config: IConfig, what: str) -> str:
    """A string that is not empty and has no control characters."""
    value = text(config, what)
    if not value:
        config.fail(f"{what} may not be empty")
    return value


def nothing(config: IConfig | None) -> None:
    """For a strategy without settings: refuse any."""
    if config is not None:
        config.fields()
