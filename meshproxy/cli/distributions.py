"""Which installed distribution a file belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from attrs import frozen

_PLUGINS = "plugins"


@frozen
class Distribution:
    """What a package index knows a package by."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Distributions:
    """The installed distributions, by the files that each says it brought.

    One that is installed as editable brought a ``.pth`` file instead, and its own are below the folders named in there.
    """

    def __init__(self) -> None:
        self._by_file: dict[Path, Distribution] = {}
        self._by_folder: dict[Path, Distribution] = {}
        for found in metadata.distributions():
            distribution = Distribution(found.metadata["Name"], found.version)
            for file in found.files or ():
                path = Path(str(found.locate_file(file)))
                if file.suffix == ".pth":
                    for folder in _folders(path):
                        self._by_folder.setdefault(folder, distribution)
                elif file.suffix == ".py" and file.parent.name == _PLUGINS:
                    self._by_file.setdefault(path.resolve(), distribution)

    def owner(self, file: str) -> Distribution | None:
        """The distribution of a file in ``twisted/plugins``; None for one that somebody just put there."""
        path = Path(file).resolve()
        found = self._by_file.get(path)
        return found if found is not None or len(path.parts) < 4 else self._by_folder.get(path.parents[2])


def _folders(pth: Path) -> Iterator[Path]:
    """The folders that a ``.pth`` file adds to the path, by the rules of Python's module ``site``."""
    try:
        lines = pth.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        if line.strip() and not line.startswith(("#", "import ", "import\t")):
            yield (pth.parent / line.strip()).resolve()
