import os
import socket
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshproxy.config.sources import MAXIMUM_SIZE, read, with_excerpts
from meshproxy.errors import ConfigError, Diagnostic, Location


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()

    def write(self, name: str, data: bytes | str = "a: 1\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def names(self, *paths: Path | str) -> list[str]:
        return [os.path.relpath(source.name, self.root) for source in read(paths or [self.root]).files]

    def failure(self, *paths: Path | str) -> list[str]:
        error = self.assertRaises(ConfigError, read, paths)
        return [str(found).removeprefix(f"{self.root}/") for found in error.diagnostics]

    def test_folders(self) -> None:
        """Of a folder the visible YAML and JSON files are read, in order of name; not those in folders within."""
        for name in ("b.yaml", "a.yml", "c.json", "D.YAML", ".hidden.yaml", "x.yaml~", "README.md", "sub/z.yaml"):
            self.write(name)
        self.assertEqual(self.names(), ["D.YAML", "a.yml", "b.yaml", "c.json"])

    def test_config_map(self) -> None:
        """A mounted ConfigMap, where every name is a link through ``..data``, is read once."""
        self.write("..2024_01_01/mesh.yaml")
        (self.root / "..data").symlink_to("..2024_01_01")
        (self.root / "mesh.yaml").symlink_to("..data/mesh.yaml")
        self.assertEqual(self.names(), ["mesh.yaml"])

    def test_the_same_file_twice(self) -> None:
        """A file that is named directly and through its folder is read once."""
        path = self.write("a.yaml")
        self.assertEqual(self.names(path, self.root, str(path)), ["a.yaml"])

    def test_digest(self) -> None:
        """The digest changes with contents and names, and with nothing else."""
        path = self.write("a.yaml", "ab")
        first = read([self.root]).digest
        os.utime(path, (1, 1))
        self.assertEqual(read([self.root]).digest, first)
        self.write("a.yaml", "ac")
        second = read([self.root]).digest
        path.rename(self.root / "b.yaml")
        self.assertEqual(len({first, second, read([self.root]).digest}), 3)

    def test_byte_order_mark(self) -> None:
        """The byte order mark that some editors write is no part of the text."""
        self.write("a.yaml", b"\xef\xbb\xbfa: 1")
        self.assertEqual([source.text for source in read([self.root]).files], ["a: 1"])

    def test_not_utf8(self) -> None:
        """A byte that is not UTF-8 is reported at its line and column, together with what is wrong elsewhere."""
        self.write("a.yaml", "# ä\r\nb: ö".encode() + b"\xe4 x")
        self.write("b.yaml", "a: 1".encode("utf-16"))
        self.assertEqual(
            self.failure(self.root),
            [
                "a.yaml:2:5: this file is not UTF-8: there is a byte 0xe4 here (save it as UTF-8)",
                "b.yaml:1:1: this file is not UTF-8 but UTF-16 (save it as UTF-8)",
            ],
        )

    def test_what_is_no_file(self) -> None:
        """Whatever stands where a file should be is named, and neither blocks nor hides other findings."""
        (self.root / "dir.yaml").mkdir()
        os.mkfifo(self.root / "fifo.yaml")
        (self.root / "gone.yaml").symlink_to("nowhere")
        (self.root / "loop.yaml").symlink_to("loop.yaml")
        self.assertEqual(
            self.failure(self.root, "/dev/null", self.root / "missing.yaml"),
            [
                "/dev/null:1:1: this is a device, not a file",
                "dir.yaml:1:1: this is a folder, not a file (folders are not searched recursively)",
                "fifo.yaml:1:1: this is a FIFO, not a file",
                "gone.yaml:1:1: there is no such file or folder",
                "loop.yaml:1:1: this cannot be read: Too many levels of symbolic links",
                "missing.yaml:1:1: there is no such file or folder",
            ],
        )

    def test_socket(self) -> None:
        """A socket is no file either."""
        with socket.socket(socket.AF_UNIX) as server:
            # Relative: the path of a socket is short.
            name = os.path.relpath(self.root / "s.yaml")
            server.bind(name)
            error = self.assertRaises(ConfigError, read, [name])
            self.assertEqual(str(error), f"{name}:1:1: this is a socket, not a file")

    def test_unreadable(self) -> None:
        """A file that may not be read is named with the reason."""
        path = self.write("a.yaml")
        path.chmod(0)
        if os.access(path, os.R_OK):
            raise SkipTest("this user may read everything")
        self.assertEqual(self.failure(path), ["a.yaml:1:1: this cannot be read: Permission denied"])

    def test_folder_without_files(self) -> None:
        """A folder in which there is nothing to read is an error."""
        self.write("notes.txt")
        (found,) = self.failure(self.root)
        self.assertTrue(
            found.endswith(
                "this folder has no files named *.yaml, *.yml, *.json (folders are not searched recursively)"
            )
        )

    def test_too_large(self) -> None:
        """A file beyond the limit is refused without being read to its end."""
        with (self.root / "a.yaml").open("wb") as file:
            file.truncate(MAXIMUM_SIZE + 1)
        self.assertEqual(self.failure(self.root), ["a.yaml:1:1: this file is larger than 64 MiB"])

    def test_names_that_are_no_text(self) -> None:
        """A file name that is not UTF-8 is read, and shown so that it can be printed."""
        name = os.fsencode(self.root) + b"/\xff.yaml"
        Path(os.fsdecode(name)).write_bytes(b"a: 1")
        self.assertEqual(self.names(), ["\\udcff.yaml"])

    def test_excerpts(self) -> None:
        """Diagnostics get the line of their place, counted as libyaml counts lines."""
        path = self.write("a.yaml", "one\r\ntwo\u2028three\n")
        places = [Location(str(path), 3, 2), Location(str(path), 4), Location(str(path), 9), Location("other"), None]
        found = with_excerpts([Diagnostic("x", place) for place in places], read([path]))
        self.assertEqual([diagnostic.excerpt for diagnostic in found], ["three", "", "", "", ""])
        self.assertEqual([diagnostic.location for diagnostic in found], places)
