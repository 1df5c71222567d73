"""``meshproxy check``: what it prints, and with which status it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

from meshproxy.cli.main import main
from meshproxy.config import load, read
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity
from tests.cli.running import CommandTestCase
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled

GOOD = GATEWAY + SERVICE + ROUTE
WARNED = GOOD.replace("host: app.test", "host: app.tset")
WRONG = GOOD.replace("hosts: ['*']", "hsots: ['*']", 1)


class CheckTestCase(CommandTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def check(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """The exit status, standard output and standard error of ``meshproxy check``."""
        return self.run_command("check", *arguments, stdin=stdin)

    def file(self, text: str, name: str = "mesh.yaml") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


class TextTests(CheckTestCase):
    def test_all_is_well(self) -> None:
        """It says what it looked at."""
        self.assertEqual(self.check(self.file(GOOD)), (0, "checked 3 documents: 1 listener, 1 route, 1 cluster\n", ""))

    def test_errors(self) -> None:
        """Errors are printed as the start prints them, and the status is 78."""
        path = self.file(WRONG)
        status, out, err = self.check(path)
        self.assertEqual((status, err), (78, ""))
        self.assertIn(f"{path}:7:5: ", out)
        self.assertIn("did you mean 'hosts'?", out)
        self.assertNotIn("checked", out)
        with self.assertRaises(ConfigError) as caught:
            load(read([path]), bundled(), ProxyIdentity())
        self.assertEqual(out, render(caught.exception.diagnostics))

    def test_warnings(self) -> None:
        """Warnings are printed, and are a failure only where that is asked for."""
        path = self.file(WARNED)
        status, out, _ = self.check(path)
        self.assertEqual(status, 0)
        self.assertIn("warning: there is no service app.tset", out)
        self.assertIn("[IST0101]", out)
        self.assertTrue(out.endswith("checked 3 documents: 1 listener, 1 route, 0 clusters\n"), out)
        self.assertEqual(self.check("--strict", path)[:2], (1, out))
        self.assertEqual(self.check(path, "--strict")[0], 1)
        self.assertEqual(self.check("--strict", self.file(GOOD))[0], 0)
        self.assertEqual(self.check("--strict", self.file(WRONG))[0], 78)

    def test_paths(self) -> None:
        """Files, folders and standard input are one configuration."""
        self.file(GATEWAY, "a.yaml")
        self.file(SERVICE, "b.yaml")
        status, out, _ = self.check(str(self.folder), "-", stdin=ROUTE.encode())
        self.assertEqual((status, out), (0, "checked 3 documents: 1 listener, 1 route, 1 cluster\n"))
        status, out, _ = self.check("-", stdin=WRONG.encode())
        self.assertEqual(status, 78)
        self.assertIn("<stdin>:7:5: ", out)

    def test_unreadable(self) -> None:
        """What cannot be read is a finding like others."""
        for arguments, stdin, said in (
            (["nowhere.yaml"], b"", "nowhere.yaml:1:1: there is no such file or folder"),
            (["-"], b"\xff", "<stdin>:1:1: this file is not UTF-8"),
            (["-"], b"", "<stdin>:1:1: there is no document in this file"),
        ):
            status, out, _ = self.check(*arguments, stdin=stdin)
            self.assertEqual(status, 78)
            self.assertIn(said, out)

    def test_identity(self) -> None:
        """The labels and the namespace are those of the gateway that will serve."""
        selecting = GOOD.replace("spec:\n  servers:", "spec:\n  selector: {istio: edge}\n  servers:")
        path = self.file(selecting.replace("  gateways: [gw]", "  gateways: [gw]\n  exportTo: [edge]"))
        self.assertIn("nothing to serve", self.check(path)[1])
        status, out, _ = self.check(path, "--proxy-label=istio=edge")
        self.assertEqual(status, 0)
        self.assertIn("its exportTo hides it from namespace istio-system", out)
        status, out, _ = self.check(path, "--proxy-label", "istio=edge", "--proxy-namespace", "edge", "--strict")
        self.assertEqual(status, 0, out)


class FormatTests(CheckTestCase):
    def test_json(self) -> None:
        """One JSON object and nothing else, whatever is found."""
        for text, status, checked in ((GOOD, 0, True), (WARNED, 0, True), (WRONG, 78, False)):
            ended, out, _ = self.check("--format=json", self.file(text))
            report = json.loads(out)
            self.assertEqual(ended, status)
            self.assertEqual(report["checked"] is not None, checked)
            self.assertEqual(bool(report["findings"]), text != GOOD)

    def test_github(self) -> None:
        """Workflow commands, and what was looked at for those who read the log."""
        path = self.file(WARNED)
        status, out, _ = self.check("--format=github", path)
        first, last = out.splitlines()
        self.assertEqual(status, 0)
        self.assertTrue(first.startswith(f"::warning file={path},line="), first)
        self.assertTrue(last.startswith("checked 3 documents"), last)


class UsageTests(CheckTestCase):
    def test_wrong_usage(self) -> None:
        """One line on standard error that names the mistake, and status 64."""
        for arguments, said in (
            ([], "PATH"),
            (["a.yaml", "--nope"], "meshproxy check: there is no --nope (try meshproxy check --help)"),
            (["a.yaml", "--strct"], "did you mean '--strict'?"),
            (["a.yaml", "--format=xml"], "xml"),
            (["a.yaml", "--proxy-label=istio"], "istio=ingressgateway"),
            (["a.yaml", "--proxy-namespace="], "must not be empty"),
            (["a.yaml", "--proxy-locality=eu//a"], "eu/west/a"),
        ):
            status, out, err = self.check(*arguments)
            self.assertEqual((status, out, err.count("\n")), (64, "", 1), err)
            self.assertIn(said, err)

    def test_other_commands(self) -> None:
        """No command and an unknown one are wrong usage too."""
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        for arguments in ([], ["chek", "a.yaml"]):
            with self.assertRaises(SystemExit) as ended:
                main(arguments)
            self.assertEqual(ended.exception.code, 64)
        self.assertIn("chek", stderr.getvalue())


class ProgramTests(CheckTestCase):
    def test_needs_no_reactor(self) -> None:
        """A check ends without a reactor having been chosen."""
        code = (
            "import sys\n"
            "from meshproxy.cli.main import main\n"
            f"main(['check', {self.file(GOOD)!r}])\n"
            "print('twisted.internet.reactor' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(done.stdout.splitlines()[-1], "False")

    def test_reader_that_leaves(self) -> None:
        """A closed pipe ends it quietly."""
        code = f"import sys; from meshproxy.cli.main import main; sys.exit(main(['check', {self.file(WARNED)!r}]))"
        program = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.stdin.read(); {code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        program.stdin.close()
        with program.stderr:
            self.assertEqual(program.stderr.read(), b"")
        self.assertEqual(program.wait(60), 141)
