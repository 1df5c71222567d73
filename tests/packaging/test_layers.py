"""The floor plan: who may import whom. ``docs/architecture.md`` tells why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

# A module imports only from its own layer and from lower ones. Names are those below meshproxy/; a package's name
# stands for all its modules.
LAYERS = (
    (
        "_version",
        "cookies",
        "errors",
        "failures",
        "duration",
        "garbage",
        "hashing",
        "headers",
        "operators",
        "paths",
        "records",
        "regex",
    ),
    ("interfaces", "limits", "model", "policies", "routes"),
    ("plugin", "registry"),
    ("strategies",),
    (
        "config",
        "conditions",
        "routeindex",
        "routing",
        "persistence",
        "selection",
        "stickyweights",
        "priority",
        "availability",
        "localities",
    ),
    ("upstream",),
    ("net", "http"),
    ("processlog", "reaping", "reload", "signals", "systemd", "explain"),
    ("admin",),
    ("handover", "serving", "service", "workers"),
    ("cli", "options", "tap", "demo"),
    ("testing",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
BUNDLED = LAYER["strategies"]


def imports(source: str) -> Iterator[str]:
    """The dotted names that a text imports, at whatever depth; ``a.b`` and ``a.b.c`` for ``from a.b import c``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below_meshproxy(name: str) -> str | None:
    """``config`` for ``meshproxy.config.nodes``; None for what is no part of meshproxy or is the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "meshproxy" and len(parts) > 1 else None


def modules() -> Iterator[tuple[str, Path]]:
    """The part of meshproxy that each of its modules belongs to, and the module's file."""
    for path in sorted((ROOT / "meshproxy").rglob("*.py")):
        parts = path.relative_to(ROOT / "meshproxy").with_suffix("").parts
        if parts[0] not in ("__init__", "strategies"):
            yield parts[0], path
    for path in sorted((ROOT / "strategies").rglob("*.py")):
        yield "strategies", path


class LayerTests(SynchronousTestCase):
    def test_every_module_has_a_layer(self) -> None:
        """A new module has to be put in its place in the plan."""
        self.assertEqual({part for part, _ in modules()} - set(LAYER), set())

    def test_imports_point_downwards(self) -> None:
        """No module imports from a layer above its own."""
        wrong = []
        for part, path in modules():
            for name in imports(path.read_text()):
                target = below_meshproxy(name)
                if target in LAYER and LAYER[target] > LAYER[part]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        self.assertEqual(wrong, [])

    def test_only_plugin_declarations_name_strategies(self) -> None:
        """The core imports no strategy: bundled ones come through the door that third parties use."""
        wrong = [
            f"{path.relative_to(ROOT)} imports {name}"
            for part, path in modules()
            if part != "strategies"
            for name in imports(path.read_text())
            if below_meshproxy(name) == "strategies"
        ]
        self.assertEqual(wrong, [])

    def test_nobody_imports_the_reactor_with_a_module(self) -> None:
        """The reactor is chosen when twistd runs, so importing meshproxy must not choose it."""
        wrong = []
        for _, path in modules():
            for node in ast.parse(path.read_text()).body:
                if "twisted.internet.reactor" in imports(ast.unparse(node)) and isinstance(
                    node, ast.Import | ast.ImportFrom
                ):
                    wrong.append(str(path.relative_to(ROOT)))
        self.assertEqual(wrong, [])


class PluginFolderTests(SynchronousTestCase):
    def test_twisted_is_no_package_of_ours(self) -> None:
        """With an __init__.py there, Twisted would skip the folder, and a wheel would overwrite Twisted's own."""
        self.assertEqual(sorted(path.name for path in (ROOT / "twisted").rglob("__init__.py")), [])

    def test_plugin_modules_carry_our_name(self) -> None:
        """Twisted's plugin cache is keyed by the bare module name, so two distributions must not share one."""
        names = [path.name for path in (ROOT / "twisted" / "plugins").glob("*.py")]
        self.assertEqual([name for name in names if not name.startswith("meshproxy_")], [])


class ListingTests(SynchronousTestCase):
    def test_setup_lists_every_package(self) -> None:
        """``packages`` is kept by hand; a package that is missing there would be missing from a wheel."""
        from configparser import ConfigParser

        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        listed = set(setup["options"]["packages"].split())
        found = {
            ".".join(path.parent.relative_to(ROOT).parts)
            for path in (ROOT / "meshproxy").rglob("__init__.py")
            if "strategies" not in path.parts
        }
        self.assertEqual(listed, found | {"meshproxy.strategies", "twisted.plugins"})
