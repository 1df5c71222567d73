"""``meshproxy plugins``: what is installed, from where, and what of it cannot be used."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted.plugins
from meshproxy.cli.distributions import Distribution, Distributions
from meshproxy.cli.main import main
from tests.packaging.checkout import ROOT

_STRATEGY = """
    from meshproxy.plugin import HashKeyPlugin
    key = HashKeyPlugin("{name}", "{function}")
"""
_HEADER = "meshproxy.strategies.http_header_name:from_config"


class PluginsTestCase(SynchronousTestCase):
    """A folder beside the installed ones, in which a test can put plugin files and say what they belong to."""

    def setUp(self) -> None:
        self.site = Path(self.mktemp()).absolute()
        self.plugins = self.site / "twisted" / "plugins"
        self.plugins.mkdir(parents=True)
        sys.path.insert(0, str(self.site))
        self.addCleanup(sys.path.remove, str(self.site))
        twisted.plugins.__path__.append(str(self.plugins))
        self.addCleanup(twisted.plugins.__path__.remove, str(self.plugins))
        self.addCleanup(self.forget)

    def forget(self) -> None:
        for name in [name for name in sys.modules if name.startswith("twisted.plugins.acme")]:
            del sys.modules[name]
            vars(twisted.plugins).pop(name.rpartition(".")[2], None)
        self.flushLoggedErrors()

    def plugin(self, file: str, text: str = _STRATEGY, **values: str) -> Path:
        path = self.plugins / f"{file}.py"
        path.write_text(dedent(text.format(**{"name": "example.com/key", "function": _HEADER, **values})))
        importlib.invalidate_caches()
        return path

    def distribution(self, name: str, version: str, *files: str) -> None:
        """Say that a distribution is installed and brought some files."""
        info = self.site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        importlib.invalidate_caches()

    def run_plugins(self, *options: str) -> tuple[int, str]:
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        return main(["plugins", *options]), stdout.getvalue()

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.run_plugins("--format=json")[1])
        return report


class TextTests(PluginsTestCase):
    def test_bundled(self) -> None:
        """Without anything else there are the bundled ones, each with its kind, version, distribution and file."""
        status, text = self.run_plugins()
        self.assertEqual(status, 0, text)
        title, *rows = text.partition("\n\n")[0].splitlines()
        self.assertEqual(title.split(), ["NAME", "KIND", "API", "DISTRIBUTION", "FILE"])
        self.assertEqual(len(rows), 9)
        file = ROOT / "twisted" / "plugins" / "meshproxy_maglev.py"
        maglev = next(row for row in rows if row.startswith("maglev"))
        self.assertRegex(maglev, rf"^maglev  +load balancer  +1  +meshproxy \S+  +{re.escape(str(file))}$")
        self.assertEqual({row.index("/") for row in (*rows, title.replace("FILE", "/"))}, {title.index("FILE")})
        self.assertIn(f"\nLooked in:\n  {twisted.plugins.__path__[0]}\n", text)

    def test_third_party(self) -> None:
        """A third party's is there with its own distribution; one that nobody owns has a dash."""
        self.plugin("acme_key")
        self.plugin("acme_stray", name="example.com/stray")
        self.distribution("acme", "2.1", "twisted/plugins/acme_key.py")
        status, text = self.run_plugins()
        self.assertEqual(status, 0)
        self.assertRegex(text, r"\nexample\.com/key  +hash key  +1  +acme 2\.1  +/")
        self.assertRegex(text, r"\nexample\.com/stray  +hash key  +1  +-  +/")

    def test_not_usable(self) -> None:
        """What cannot be used is told with its reason, and the status is 1: at import, in itself, by its name."""
        broken = self.plugin("acme_broken", "import no_such_module_of_acme\n")
        self.plugin("acme_key", function="no_such_package:f")
        self.plugin("acme_named", name="key")
        status, text = self.run_plugins()
        self.assertEqual(status, 1)
        unusable = text.partition("\nNot usable:\n")[2].partition("\n\n")[0].splitlines()
        self.assertEqual(len(unusable), 3, text)
        self.assertIn("No module named 'no_such_module_of_acme'", text)
        self.assertIn(f"({broken}:1)", text)
        self.assertIn("the strategy example.com/key (no_such_package:f) does not load: ModuleNotFoundError", text)
        self.assertIn("calls a strategy 'key'; the name has to begin with a domain, such as example.com/key", text)


class JsonTests(PluginsTestCase):
    def test_keys(self) -> None:
        """All that the text says is there for programs, and the function that makes a strategy."""
        file = self.plugin("acme_key")
        self.distribution("acme", "2.1", "twisted/plugins/acme_key.py")
        report = self.report()
        self.assertEqual(list(report), ["version", "strategies", "problems", "folders"])
        self.assertEqual((report["version"], report["problems"]), (1, []))
        self.assertIn(str(self.plugins), report["folders"])
        (found,) = [it for it in report["strategies"] if it["name"] == "example.com/key"]
        expected = {
            "name": "example.com/key",
            "kind": "hash key",
            "api": 1,
            "distribution": {"name": "acme", "version": "2.1"},
            "file": str(file),
            "function": _HEADER,
            "problem": None,
        }
        self.assertEqual(found, expected)

    def test_problems(self) -> None:
        """A strategy that does not load is listed with its problem; what never became one is among the problems."""
        self.plugin("acme_key", function="no_such_package:f")
        self.plugin("acme_broken", "1 / 0\n")
        report = self.report()
        (found,) = [it for it in report["strategies"] if it["name"] == "example.com/key"]
        self.assertIn("does not load", found["problem"])
        self.assertIn("ZeroDivisionError", report["problems"][0])

    def test_own_factory(self) -> None:
        """A plugin that is no declaration has no function to name."""
        text = """
            from twisted.plugin import IPlugin
            from zope.interface import implementer
            from meshproxy.interfaces import IHashKeyFactory

            @implementer(IPlugin, IHashKeyFactory)
            class Factory:
                name = "example.com/own"
                api = 1
                def from_config(self, config):
                    return None

            factory = Factory()
        """
        self.plugin("acme_own", text)
        (found,) = [it for it in self.report()["strategies"] if it["name"] == "example.com/own"]
        self.assertEqual((found["function"], found["problem"]), (None, None))


class DistributionTests(PluginsTestCase):
    def test_editable(self) -> None:
        """The plugin files below a folder that a distribution put on the path are its own, and no others."""
        project = self.site / "my project"
        (self.site / "acme.pth").write_text(f"# A comment.\nimport sys\n\n{project}\nbeside\n")
        self.distribution("acme", "2.1", "acme.pth", "gone.pth")
        found = Distributions()
        for folder, owner in (
            (project, Distribution("acme", "2.1")),
            (self.site / "beside", Distribution("acme", "2.1")),
            (project / "venv", None),
            (self.site, None),
        ):
            self.assertEqual(found.owner(str(folder / "twisted" / "plugins" / "x.py")), owner, folder)
        self.assertIsNone(found.owner(""))
