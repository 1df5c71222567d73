"""Strategies are found by name, and what is wrong with one is said and harms no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from textwrap import dedent

from attrs import frozen
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.interfaces import IHashKeyFactory, ILoadBalancerFactory
from meshproxy.plugin import HashKeyPlugin, LoadBalancerPlugin, StrategyNotLoaded
from meshproxy.registry import ISTIO_HASH_KEYS, ISTIO_LOAD_BALANCERS, Registry
from meshproxy.strategies.http_header_name import HeaderKey, from_config
from meshproxy.testing import setting

_HEADER = "meshproxy.strategies.http_header_name:from_config"
_MAGLEV = "meshproxy.strategies.maglev:from_config"


class BundledTests(SynchronousTestCase):
    def test_found(self) -> None:
        """All bundled strategies are found through their plugin files, without a problem."""
        registry = Registry.discover()
        self.assertEqual([problem for problem in registry.problems if "meshproxy" in problem], [])
        self.assertLessEqual(ISTIO_HASH_KEYS, set(registry.hash_keys))
        self.assertLessEqual(ISTIO_LOAD_BALANCERS - {"PASSTHROUGH"}, set(registry.load_balancers))

    def test_one_file_each(self) -> None:
        """Each strategy has a plugin file of its own, so that removing the file removes it and nothing else."""
        folder = Path(__file__).parent.parent / "twisted" / "plugins"
        texts = [path.read_text() for path in folder.glob("meshproxy_*.py")]
        for name in (ISTIO_HASH_KEYS | ISTIO_LOAD_BALANCERS) - {"PASSTHROUGH"}:
            self.assertEqual(sum(f'"{name}"' in text for text in texts), 1, name)
        self.assertTrue(all(text.count("Plugin(") <= 1 for text in texts))

    def test_every_declaration_loads(self) -> None:
        """The function that a bundled declaration names is there."""
        registry = Registry.discover()
        for name in ISTIO_LOAD_BALANCERS - {"PASSTHROUGH"}:
            self.assertIsNone(registry.load_balancers[name].from_config(None).build([]).pick(0, 0), name)
        for name, text in {
            "httpHeaderName": "x",
            "httpQueryParameterName": "x",
            "useSourceIp": "true",
            "httpCookie": "{name: x}",
        }.items():
            self.assertFalse(registry.hash_keys[name].from_config(setting(f"{text}")).terminal, name)


class DeclarationTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """Declarations are plugins and provide the factory interfaces."""
        for kind, plugin in ((IHashKeyFactory, HashKeyPlugin), (ILoadBalancerFactory, LoadBalancerPlugin)):
            declaration = plugin("example.com/x", "package.module:function")
            verifyObject(IPlugin, declaration)
            verifyObject(kind, declaration)

    def test_lazy(self) -> None:
        """Declaring imports nothing; the strategy is made by the function that is named."""
        HashKeyPlugin("example.com/x", "no_such_module:from_config")
        declaration = HashKeyPlugin("example.com/x", _HEADER)
        self.assertEqual(declaration.from_config(setting("x-user")), HeaderKey("x-user"))

    def test_does_not_load(self) -> None:
        """A strategy whose module is missing, or lacks the function, is an error at the line that asks for it."""
        for function in ("no_such_module:from_config", "meshproxy.hashing:no_such_function"):
            declaration = LoadBalancerPlugin("example.com/x", function)
            error = self.assertRaises(ConfigError, declaration.from_config, setting("\n  x"))
            self.assertEqual(error.diagnostics[0].location.line, 2)
            self.assertIn(function, error.diagnostics[0].message)
            self.assertRaises(ConfigError, declaration.from_config, None)

    def test_load(self) -> None:
        """A declared function can be loaded without a configuration; what is no function does not load."""
        self.assertIs(HashKeyPlugin("example.com/x", _HEADER).load(), from_config)
        error = self.assertRaises(
            StrategyNotLoaded, HashKeyPlugin("example.com/x", "meshproxy.interfaces:API_VERSION").load
        )
        self.assertIn("does not load: that is no function", str(error))

    def test_misspelt_function(self) -> None:
        """Text that names no function is refused when it is declared."""
        self.assertRaises(ValueError, HashKeyPlugin, "example.com/x", "package.module.function")


class RegistryTests(SynchronousTestCase):
    def test_given(self) -> None:
        """Factories that are given are offered by their names."""
        key, balancer = HashKeyPlugin("example.com/key", _HEADER), LoadBalancerPlugin("example.com/lb", _MAGLEV)
        registry = Registry([key], [balancer], ["a problem"])
        self.assertEqual(dict(registry.hash_keys), {"example.com/key": key})
        self.assertEqual(dict(registry.load_balancers), {"example.com/lb": balancer})
        self.assertEqual(registry.problems, ("a problem",))

    def test_duplicate(self) -> None:
        """Of two strategies with one name neither is offered, not even if they are of different kinds."""
        plugin = HashKeyPlugin("example.com/x", _HEADER)
        for others, where in (
            ({"hash_keys": [plugin, plugin]}, r"meshproxy\.plugin \(.*\) 2 times"),
            ({"load_balancers": [LoadBalancerPlugin(plugin.name, _MAGLEV)]}, r"meshproxy\.plugin \(.*\) 2 times"),
        ):
            registry = Registry(**{"hash_keys": [plugin], **others})
            self.assertEqual((dict(registry.hash_keys), dict(registry.load_balancers)), ({}, {}))
            self.assertEqual(len(registry.problems), 1)
            self.assertRegex(registry.problems[0], rf"example\.com/x is offered by {where}, so that none")

    def test_names(self) -> None:
        """A name is one of Istio's of that kind, or has a domain in front."""
        for name in ("jwtClaim", "ringHash", "Example.com/x", "example/x", "example.com/", "example.com/x/y", ""):
            registry = Registry([HashKeyPlugin(name, _HEADER)])
            self.assertEqual(dict(registry.hash_keys), {}, name)
            self.assertIn(repr(name), registry.problems[0])
        for name in ("httpCookie", "example.com/x", "a-b.example.com/Some_x-1.2"):
            registry = Registry([HashKeyPlugin(name, _HEADER)])
            self.assertEqual((list(registry.hash_keys), registry.problems), ([name], ()))

    def test_api(self) -> None:
        """A strategy for another version of the API is not offered."""
        registry = Registry([HashKeyPlugin("example.com/x", _HEADER, 2)])
        self.assertEqual(dict(registry.hash_keys), {})
        self.assertRegex(
            registry.problems[0],
            r"example\.com/x of meshproxy\.plugin \(/.*\) is for version 2 of the strategy API, not for 1",
        )

    def test_incomplete(self) -> None:
        """A plugin that lacks a member, or whose name cannot be read, is a problem and nothing more."""

        @implementer(IHashKeyFactory)
        class WithoutApi:
            name = "example.com/x"

            def from_config(self, config: object) -> None:
                raise NotImplementedError

        class Failing(WithoutApi):
            api = 1

            @property
            def name(self) -> str:
                raise ZeroDivisionError("no name")

        registry = Registry([WithoutApi(), Failing(), HashKeyPlugin("example.com/fine", _HEADER)])
        self.assertEqual(list(registry.hash_keys), ["example.com/fine"])
        self.assertIn("api", registry.problems[0])
        self.assertIn("no name", registry.problems[1])


_GOOD = """
    from meshproxy.plugin import HashKeyPlugin
    key = HashKeyPlugin("example.com/{name}", "meshproxy.strategies.http_header_name:from_config")
"""


@frozen
class Folder:
    """A package for plugin modules."""

    path: Path

    def write(self, module: str, text: str) -> None:
        (self.path / f"{module}.py").write_text(dedent(text))
        importlib.invalidate_caches()


class DiscoveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        root = Path(self.mktemp()).absolute()
        package = f"plugins_of_{self._testMethodName}"
        folder = root / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        sys.path.insert(0, str(root))
        self.addCleanup(sys.path.remove, str(root))
        self.addCleanup(
            lambda: [sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == package]
        )
        self.package = importlib.import_module(package)
        self.folder = Folder(folder)

    def discover(self) -> Registry:
        registry = Registry.discover(self.package)
        self.flushLoggedErrors()
        return registry

    def test_third_party(self) -> None:
        """A module in the package is all that a third party needs."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        registry = self.discover()
        self.assertEqual((list(registry.hash_keys), registry.problems), (["example.com/claim"], ()))

    def test_broken_module(self) -> None:
        """A module that does not load is named with its cause; the others are there. It is so at each look."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        self.folder.write("broken", "# A plugin.\nimport no_such_thing_at_all\n")
        self.folder.write("garbled", "def (:\n")
        self.folder.write("leaving", "raise SystemExit('this program ends here')\n")
        for _ in range(2):
            registry = self.discover()
            self.assertEqual(list(registry.hash_keys), ["example.com/claim"])
            prefix, path = f"The plugin module {self.package.__name__}", self.folder.path
            broken, garbled, leaving = sorted(registry.problems)
            reason = f"ModuleNotFoundError: No module named 'no_such_thing_at_all' ({path}/broken.py:2)"
            self.assertEqual(broken, f"{prefix}.broken does not load: {reason}")
            self.assertTrue(garbled.startswith(f"{prefix}.garbled does not load: SyntaxError: "), garbled)
            self.assertTrue(garbled.endswith(f"({path}/garbled.py:1)"), garbled)
            reason = f"SystemExit: this program ends here ({path}/leaving.py:1)"
            self.assertEqual(leaving, f"{prefix}.leaving does not load: {reason}")

    def test_breaks_later(self) -> None:
        """A module that loaded when the cache was written and no longer does is named too."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        self.discover()
        name = f"{self.package.__name__}.acme"
        del self.package.acme
        sys.modules[name] = None  # this is how Python marks what cannot be imported
        registry = self.discover()
        self.assertEqual(dict(registry.hash_keys), {})
        self.assertIn(f"{name} does not load", registry.problems[0])

    def test_duplicate(self) -> None:
        """Both modules that offer a name are named."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        self.folder.write("bcme", _GOOD.format(name="claim"))
        self.folder.write("ccme", _GOOD.format(name="other"))
        registry = self.discover()
        self.assertEqual(list(registry.hash_keys), ["example.com/other"])
        package = self.package.__name__
        acme, bcme = (f"{package}.{name} ({self.folder.path / name}.py)" for name in ("acme", "bcme"))
        self.assertIn(f"example.com/claim is offered by {acme} and {bcme}", registry.problems[0])

    def test_whence(self) -> None:
        """Every strategy is there with the module that offers it and with its file."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        (offer,) = self.discover().offers
        self.assertEqual((offer.name, offer.kind), ("example.com/claim", IHashKeyFactory))
        self.assertEqual((offer.origin, offer.file), (f"{self.package.__name__}.acme", f"{self.folder.path}/acme.py"))

    def test_hidden_file(self) -> None:
        """Of two plugin files with one name the second is never asked, which is said."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        second = Path(self.mktemp()).absolute() / self.package.__name__
        second.mkdir(parents=True)
        for name in ("acme.py", "__init__.py", "notes.txt"):
            (second / name).touch()
        self.package.__path__.append(str(second))
        registry = self.discover()
        (problem,) = registry.problems
        self.assertIn(f"{second}/acme.py is hidden by {self.folder.path}/acme.py", problem)

    def test_replaced_strategy(self) -> None:
        """Whoever takes the bundled file away may provide Istio's name by a file of their own."""
        self.folder.write("acme", _GOOD.replace("example.com/{name}", "httpCookie"))
        self.assertEqual(list(self.discover().hash_keys), ["httpCookie"])

    def test_removed_module(self) -> None:
        """A module that is gone takes its strategy along and leaves no problem."""
        self.folder.write("acme", _GOOD.format(name="claim"))
        self.discover()
        (self.folder.path / "acme.py").unlink()
        importlib.invalidate_caches()
        registry = self.discover()
        self.assertEqual((dict(registry.hash_keys), registry.problems), ({}, ()))
