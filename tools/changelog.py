"""Make CHANGELOG.md of the fragments in changelog.d, by towncrier.

    python tools/changelog.py            # the section of this version, which is not released yet
    python tools/changelog.py --release  # the same with the date of today; the fragments are taken away

Items of an unreleased section that come from no fragment (any more) are told: they are gone then.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
_UNRELEASED = re.compile(r"^## \S+ \(unreleased\)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^- .*?(?=^- |\Z)", re.MULTILINE | re.DOTALL)


def items(text: str) -> list[str]:
    """The items of a section."""
    return [it.strip() for it in _ITEM.findall(text)]


def main() -> None:
    """Do it."""
    how = ["--yes"] if "--release" in sys.argv[1:] else ["--keep", "--date", "unreleased"]
    before = CHANGELOG.read_text()
    unreleased = _UNRELEASED.search(before)
    CHANGELOG.write_text(_UNRELEASED.sub("", before))
    try:
        subprocess.run(
            [sys.executable, "-m", "towncrier", "build", *how], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
    except BaseException:
        CHANGELOG.write_text(before)
        raise
    made = items(CHANGELOG.read_text())
    for item in [] if unreleased is None else items(unreleased["text"]):
        if item not in made:
            print(f"\nno longer in CHANGELOG.md, for no file of changelog.d says so:\n{item}")


if __name__ == "__main__":
    main()
