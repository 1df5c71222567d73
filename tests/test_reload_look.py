"""Looking at configuration files: what counts as a change."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import sources as config_sources
from meshproxy.reload import look

LATER = 4_000_000_000.0  # a wall clock for which no file is recent


class LookTests(SynchronousTestCase):
    """``look`` tells changes apart as ``config.read`` would see them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        (self.folder / "a.yaml").write_text("a")

    def signature(self) -> object:
        return look([str(self.folder)])[0]

    def test_atomic_rename(self) -> None:
        """A file that another one was renamed over has changed, same size and times or not."""
        before = self.signature()
        other = self.folder / ".a.tmp"
        other.write_text("b")
        status = os.stat(self.folder / "a.yaml")
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.rename(self.folder / "a.yaml")
        self.assertNotEqual(self.signature(), before)

    def test_config_map_swap(self) -> None:
        """So has a file behind a symbolic link to a folder that was swapped, as for a mounted ConfigMap."""
        for version in ("1", "2"):
            (self.folder / f"..{version}").mkdir()
            (self.folder / f"..{version}" / "b.yaml").write_text(version)
        (self.folder / "..data").symlink_to("..1")
        (self.folder / "b.yaml").symlink_to("..data/b.yaml")
        before = self.signature()
        (self.folder / "..new").symlink_to("..2")
        (self.folder / "..new").rename(self.folder / "..data")
        self.assertNotEqual(self.signature(), before)

    def test_write_in_place(self) -> None:
        """So has one that was written in place with its time of modification put back."""
        before = self.signature()
        path = self.folder / "a.yaml"
        status = os.stat(path)
        path.write_text("longer")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertNotEqual(self.signature(), before)

    def test_new_and_removed_files(self) -> None:
        """A folder's new files count, unless ``config.read`` passes over them."""
        before = self.signature()
        (self.folder / "notes.txt").write_text("")
        (self.folder / ".hidden.yaml").write_text("")
        self.assertEqual(self.signature(), before)
        (self.folder / "b.yml").write_text("")
        self.assertNotEqual(self.signature(), before)
        (self.folder / "b.yml").unlink()
        self.assertEqual(self.signature(), before)

    def test_missing(self) -> None:
        """A path that does not exist has a signature too, and another one when it appears."""
        path = self.folder / "later.yaml"
        before = look([str(path)])
        path.write_text("")
        self.assertNotEqual(look([str(path)])[0], before[0])

    def test_newest(self) -> None:
        """The newest time of change is told, so that what is too young for ``stat`` can be read again."""
        os.utime(self.folder / "a.yaml", (LATER, LATER))
        self.assertEqual(look([str(self.folder)])[1], LATER)

    def test_agrees_with_read(self) -> None:
        """``look`` sees exactly the files of a folder that ``config.sources.read`` reads."""
        for name in ("b.yml", "c.json", "D.YAML", "e.txt", ".f.yaml"):
            (self.folder / name).write_text("x")
        read = {os.path.basename(source.name) for source in config_sources.read([self.folder]).files}
        seen = {os.path.basename(str(entry[0])) for entry in look([str(self.folder)])[0][1:]}
        self.assertEqual(seen, read)
