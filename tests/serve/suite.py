"""Run an outside suite against a gateway that is started for it and ended after it.

    python -m tests.serve.suite conformance FOLDER [options of the suite]

``FOLDER`` is where the suites lie, each in a folder of its name:

- ``conformance``: HTTP/1.1 and request smuggling, by the hardened Mesh document, with its limits of time at 5 s
- ``faults``: endpoints, clients and a machine that misbehave
- ``routing``: cases of Istio's routing
- ``bench``: cost beside other proxies

Suites run in the Python that ``SUITE_PYTHON`` names, by default in this one. The exit status is the suite's; 2 if there
is no such suite.
"""

from __future__ import annotations

import http.client
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.processes import TWISTD, free_port

_ROOT = Path(__file__).resolve().parents[2]
_HARDENED = str(_ROOT / "examples" / "hardened-mesh.yaml")
_COOKIE = "MESHSRV"
_START_SECONDS = 30.0
_GATEWAY = (sys.executable, "-m", "tests.serve.gateway")


@contextmanager
def _serving(folder: str, listen: str, upstream: str, *options: str):  # type: ignore[no-untyped-def]
    """A gateway's process; it is ended, in order if it will."""
    command = [*_GATEWAY, "--listen", listen, "--upstream", upstream, "--folder", folder, *options]
    with (
        open(Path(folder) / "gateway.log", "wb") as log,
        subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as gateway,
    ):
        try:
            _wait_for(listen, gateway, log.name)
            yield gateway
        finally:
            gateway.terminate()
            try:
                gateway.wait(10)
            except subprocess.TimeoutExpired:
                gateway.kill()


def _wait_for(listen: str, gateway: subprocess.Popen[bytes], log: str) -> None:
    host, _, port = listen.rpartition(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and gateway.poll() is None:
        # Whoever has the socket listens before anybody accepts.
        client = http.client.HTTPConnection(host, int(port), timeout=_START_SECONDS)
        try:
            client.request("GET", "/private", headers={"Host": "any.test"})
            client.getresponse()
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            client.close()
    raise SystemExit(f"the gateway does not serve:\n{Path(log).read_text(errors='replace')}")


def _addresses() -> tuple[str, str]:
    return f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"


def conformance(suite: Path, options: Sequence[str]) -> int:
    listen, upstream = _addresses()
    limits = ("--mesh", _HARDENED, "--time-limit", "5s", "--http10", "--cookie", _COOKIE)
    with TemporaryDirectory() as folder, _serving(folder, listen, upstream, *limits):
        where = ("--proxy", listen, "--upstream", upstream, "--label", "meshproxy")
        features = ("--features", "acl,slow,sticky", "--sticky-cookie", _COOKIE)
        return _python(suite / "run.py", *where, *features, *options)


def faults(suite: Path, options: Sequence[str]) -> int:
    listen, upstream = _addresses()
    seconds = "10"
    with TemporaryDirectory() as folder, _serving(folder, listen, upstream, "--time-limit", f"{seconds}s") as gateway:
        config = shlex.quote(f"{folder}/mesh.yaml")
        keep = f"cp {config} {config}.good"
        return _python(
            suite / "driver.py",
            *("--proxy", listen, "--upstream", upstream, "--label", "meshproxy", "--read-timeout", seconds),
            *("--pid", str(gateway.pid), "--reload", f"kill -HUP {gateway.pid}", "--stop", f"kill -TERM {gateway.pid}"),
            *("--change-config", f"{keep}; sed -i s,/private,/added, {config}"),
            *("--break-config", f"{keep}; echo ']' >> {config}", "--fix-config", f"cp {config}.good {config}"),
            *options,
        )


def routing(suite: Path, options: Sequence[str]) -> int:
    proxy = [*TWISTD, "--nodaemon", "--pidfile=", "meshproxy", "-c", "{config}", "{map_ports}", "--workers", "1"]
    proxy += ["--listen-address", "127.0.0.1", "--admin", "tcp:{admin}:interface=127.0.0.1"]
    return _python(suite / "run_cases.py", "--proxy", shlex.join([*proxy, "--access-log", "{access_log}"]), *options)


def bench(suite: Path, options: Sequence[str]) -> int:
    command = [*_GATEWAY, "--listen", "127.0.0.1:@PORT@", "--folder", "@WORK@", "--cookie", "session"]
    for number in range(1, 5):
        command += ["--upstream", f"@UP{number}@"]
    os.environ["PYTHONPATH"] = str(_ROOT)
    return _python(suite / "bench.py", "--quick", "--proxy", f"meshproxy={shlex.join(command)}", *options)


SUITES: dict[str, Callable[[Path, Sequence[str]], int]] = {
    function.__name__: function for function in (conformance, faults, routing, bench)
}


def _python(script: Path, *arguments: str) -> int:
    return subprocess.call([os.environ.get("SUITE_PYTHON", sys.executable), str(script), *arguments])


def main(arguments: Sequence[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in SUITES:
        print(__doc__, file=sys.stderr)
        return 2
    name, where, *options = arguments
    if not where:
        print(f"Say where the suites lie: make {name} SUITES=FOLDER, with the suite in FOLDER/{name}", file=sys.stderr)
        return 2
    suite = Path(where).resolve() / name
    if not suite.is_dir():
        print(f"There is no suite in {suite}", file=sys.stderr)
        return 2
    # Suites open thousands of connections, and what they start inherits the bound.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return SUITES[name](suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
