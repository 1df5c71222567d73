from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from meshproxy import __version__
from meshproxy.options import EX_USAGE, Options
from meshproxy.tap import EX_CONFIG, makeService
from meshproxy.workers.cores import usable_cores


class TapTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)

    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def refused(self, *arguments: str) -> str:
        """What is said about wrong usage, which is one line and exit status 64."""
        with self.assertRaises(SystemExit) as caught:
            self.parse(*arguments)
        self.assertEqual(caught.exception.code, EX_USAGE)
        text = self.stderr.getvalue()
        self.assertEqual(text.count("\n"), 1, text)
        self.stderr.truncate(self.stderr.seek(0))
        return text


class OptionsTests(TapTestCase):
    def test_defaults(self) -> None:
        """What holds where the command line says nothing."""
        options = self.parse("-c", "mesh.yaml")
        self.assertEqual(options["admin"], "tcp:15000:interface=127.0.0.1")
        self.assertEqual(options["drain_timeout"], 30)
        self.assertEqual(options["proxy_namespace"], "istio-system")
        self.assertIsNone(options["access_log"])

    def test_paths_are_absolute(self) -> None:
        """Paths mean what they meant where the command was typed; twistd changes folder later."""
        options = self.parse("-c", "a.yaml", "--config=b", "--access-log", "log")
        self.assertEqual(options["config"], [os.path.abspath("a.yaml"), os.path.abspath("b")])
        self.assertEqual(options["access_log"], os.path.abspath("log"))
        for word in ("-", "off"):
            self.assertEqual(self.parse("-c", "a", "--access-log", word)["access_log"], word)

    def test_values(self) -> None:
        """Repeated options gather, durations are Go's, addresses are put in canonical form."""
        options = self.parse(
            *("-c", "a", "--map-port", "80=8080", "--map-port", "443=0", "--drain-timeout", "1m30s"),
            *("--proxy-label", "istio=gw", "--proxy-label", "app=", "--listen-address", "0::1", "--workers", "1"),
        )
        self.assertEqual(options["map_port"], {80: 8080, 443: 0})
        self.assertEqual(options["drain_timeout"], 90)
        self.assertEqual(options["proxy_labels"], {"istio": "gw", "app": ""})
        self.assertEqual(options["listen_address"], "::1")
        self.assertEqual(self.parse("-c", "a", "--proxy-locality", "eu/west/a")["proxy_locality"], "eu/west/a")

    def test_workers(self) -> None:
        """One for each core unless said otherwise; the demo is one process."""
        cores = usable_cores()
        for arguments, number in (
            (["-c", "a"], cores),
            (["-c", "a", "--workers", "auto"], cores),
            (["-c", "a", "--workers", "3"], 3),
            (["--demo"], 1),
            (["--demo", "--workers", "2"], 2),
        ):
            self.assertEqual(self.parse(*arguments)["workers"], number, arguments)

    def test_wrong_usage(self) -> None:
        """Each mistake is named with the option and what would be right."""
        for arguments, said in (
            ([], "-c PATH is missing"),
            (["-c"], "requires argument"),
            (["-c", ""], "--config must not be empty"),
            (["--nope"], "--nope"),
            (["-c", "a", "extra"], "'extra'"),
            (["-c", "a", "--demo"], "--demo"),
            (["-c", "a", "--map-port", "80"], "80=8080"),
            (["-c", "a", "--map-port", "80:8080"], "80=8080"),
            (["-c", "a", "--map-port", "0=1"], "80=8080"),
            (["-c", "a", "--map-port", "80=65536"], "80=8080"),
            (["-c", "a", "--map-port", "80=1", "--map-port", "80=2"], "already"),
            (["-c", "a", "--listen-address", "localhost"], "not an IP address"),
            (["-c", "a", "--workers", "0"], "from 1 to"),
            (["-c", "a", "--workers", "many"], "nor auto"),
            (["-c", "a", "--admin", "carrier-pigeon:1"], "carrier-pigeon"),
            (["-c", "a", "--admin", "tcp:notaport"], "tcp:notaport"),
            (["-c", "a", "--drain-timeout", "5"], "--drain-timeout"),
            (["-c", "a", "--drain-timeout", "-5s"], "negative"),
            (["-c", "a", "--proxy-label", "istio"], "istio=ingressgateway"),
            (["-c", "a", "--proxy-locality", "eu//a"], "eu/west/a"),
        ):
            self.assertIn(said, self.refused(*arguments), arguments)

    def test_version(self) -> None:
        """--version tells the version and ends well."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        with self.assertRaises(SystemExit) as caught:
            self.parse("--version")
        self.assertFalse(caught.exception.code)
        self.assertIn(f"meshproxy {__version__}", stdout.getvalue())

    def test_help_names_every_option(self) -> None:
        """The help text knows the whole command line."""
        text = str(Options())
        for name in ("config", "demo", "map-port", "listen-address", "workers", "admin", "access-log", "version"):
            self.assertIn(f"--{name}", text)
        for name in ("proxy-namespace", "proxy-label", "proxy-locality", "drain-timeout"):
            self.assertIn(f"--{name}", text)


class MakeServiceTests(TapTestCase):
    def test_configuration_that_does_not_load(self) -> None:
        """Every finding is on standard error with its place, and the exit status is 78."""
        path = Path(self.mktemp())
        path.write_text(
            "apiVersion: networking.istio.io/v1\n"
            "kind: Gateway\n"
            "metadata: {name: gw}\n"
            "spec: {selector: {istio: ingressgateway}, servrs: []}\n"
            "---\n"
            "apiVersion: networking.istio.io/v1\n"
            "kind: VirtualService\n"
            "metadata: {name: vs}\n"
            "spec: {hosts: [a.example], htpp: []}\n"
        )
        with self.assertRaises(SystemExit) as caught:
            makeService(self.parse("-c", str(path)))
        self.assertEqual(caught.exception.code, EX_CONFIG)
        text = self.stderr.getvalue()
        self.assertIn(f"{path.resolve()}:4:", text)
        self.assertIn(f"{path.resolve()}:9:", text)
        self.assertNotIn("Traceback", text)

    def test_missing_file(self) -> None:
        """A path that does not exist is told the same way."""
        with self.assertRaises(SystemExit) as caught:
            makeService(self.parse("-c", "nowhere.yaml"))
        self.assertEqual(caught.exception.code, EX_CONFIG)
        self.assertIn("nowhere.yaml", self.stderr.getvalue())


class ReactorTests(SynchronousTestCase):
    def run_python(self, code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def test_import_chooses_no_reactor(self) -> None:
        """Neither the module nor the plugins that twistd looks through bring a reactor along."""
        code = (
            "import sys, meshproxy.tap\n"
            "from twisted.plugin import getPlugins\n"
            "from twisted.application.service import IServiceMaker\n"
            "list(getPlugins(IServiceMaker))\n"
            "print('twisted.internet.reactor' in sys.modules)"
        )
        self.assertEqual(self.run_python(code), "False")

    def test_lean_reactor_by_default(self) -> None:
        """Where nobody chose a reactor, parsing the options installs the lean one; a chosen one stays."""
        parse = "from meshproxy.tap import Options\nOptions().parseOptions(['-c', 'a'])\n"
        show = "from twisted.internet import reactor\nprint(type(reactor).__name__)"
        self.assertEqual(self.run_python(parse + show), "LeanReactor")
        select = "from twisted.internet import selectreactor\nselectreactor.install()\n"
        self.assertEqual(self.run_python(select + parse + show), "SelectReactor")


class PluginTests(SynchronousTestCase):
    def test_command(self) -> None:
        """``twistd meshproxy`` is there and leads to these options."""
        (maker,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "meshproxy"]
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)
