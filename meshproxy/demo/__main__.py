"""``python -m meshproxy.demo``: the sample replicas and a gateway before them, each a process, until Ctrl-C.

Rules: what was started is ended, however this ends. Ctrl-C and SIGTERM end the children in order; when this process is
killed the kernel sends them SIGTERM (``PR_SET_PDEATHSIG``); when one of them ends by itself, so does the rest.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from meshproxy.demo import scenario
from meshproxy.net.addresses import probe, reason, shown
from meshproxy.options import DEFAULT_ADMIN

_PR_SET_PDEATHSIG = 1
_END_SECONDS = 5.0
_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"

_TRY = """
meshproxy serves http://test.com/ on {where} from {replicas}. In another terminal:

  # with a cookie jar: the first answer sets the cookie, all others come from the same replica
  for i in 1 2 3 4 5; do curl -s -o /dev/null -D - -b jar -c jar -H 'Host: test.com' http://{where}/ | grep x-served-by; done

  # without: each request may reach another replica
  for i in 1 2 3 4 5; do curl -s -o /dev/null -D - -H 'Host: test.com' http://{where}/ | grep x-served-by; done

{asking}The configuration is in {folder}: change it and it is reloaded. Below are the gateway's log, its
access log and a line from the replica for each request. Ctrl-C ends everything. To go on: docs/tutorial.md.
"""  # noqa: E501 - lines to copy
_ASK = """\
  # which replica a session gets, and why
  {command} explain --live{option} http://test.com:{port}/ -H 'Cookie: ISTIOID=abc'

  # the state of everything, and the same question as a form: in a browser, http://{admin}/

"""
_ADMIN = re.compile(r"tcp:(\d+):interface=([\d.]+)")


class _Stop(BaseException):
    """Asked to end; not an ``Exception``, as ``KeyboardInterrupt`` is none."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def _die_with(parent: int, prctl: Callable[..., int] | None) -> Callable[[], None]:
    """What a child does between fork and exec so that it does not outlive this process."""

    def tie() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return tie


def _asking(admin: str, port: int) -> str:
    """What to try at the admin server; empty where it is not at a plain address."""
    match = _ADMIN.fullmatch(admin)
    if match is None:
        return ""
    where = shown(match[2], int(match[1]))
    command = "meshproxy" if shutil.which("meshproxy") else shlex.quote(os.path.join(sys.exec_prefix, "bin/meshproxy"))
    option = "" if admin == DEFAULT_ADMIN else f" --admin {where}"
    return _ASK.format(command=command, option=option, port=port, admin=where)


class _Children:
    """The processes that were started."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tie = _die_with(os.getpid(), getattr(ctypes.CDLL(None), "prctl", None))

    def start(self, name: str, command: list[str], pass_fds: tuple[int, ...] = (), **environment: str) -> None:
        """Start one, in a process group of its own so that Ctrl-C in a terminal comes to this process alone."""
        self._processes[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=pass_fds,
            env={**os.environ, **environment},
            preexec_fn=self._tie,  # noqa: PLW1509 - this process has no threads
            process_group=0,
        )

    def wait_for_one(self, ready: socket.socket, on_ready: Callable[[], None]) -> tuple[str, int]:
        """Call ``on_ready`` when told so, and return name and exit status of the first child that ends."""
        descriptors = {os.pidfd_open(process.pid): name for name, process in self._processes.items()}
        try:
            waiting: list[int] = [*descriptors, ready.fileno()]
            while True:
                for descriptor in select.select(waiting, [], [])[0]:
                    if descriptor in descriptors:
                        name = descriptors[descriptor]
                        return name, self._processes[name].wait()
                    if b"READY=1" in ready.recv(4096):
                        on_ready()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def end(self) -> None:
        """End all, the last started first, and wait for them."""
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run(children: _Children, folder: Path, ready: socket.socket, port: int, admin: str) -> int:
    sockets = {name: scenario.free_socket() for name in scenario.REPLICAS}
    for name, listening in sockets.items():
        descriptor = listening.fileno()
        children.start(
            name,
            [sys.executable, "-m", "meshproxy.demo.replica", name, "--fd", str(descriptor)],
            pass_fds=(descriptor,),
        )
    ports = [listening.getsockname()[1] for listening in sockets.values()]
    for listening in sockets.values():
        listening.close()
    mesh = folder / "mesh"
    mesh.mkdir()
    for file_name, text in scenario.documents(ports).items():
        (mesh / file_name).write_text(text, "utf-8")
    options = ["-n", "--pidfile=", "meshproxy", "-c", str(mesh), "--map-port", f"{scenario.GATEWAY_PORT}={port}"]
    options += ["--listen-address", scenario.LOOPBACK, "--admin", admin, "--drain-timeout", "1s"]
    print("$ twistd " + shlex.join(options), flush=True)
    children.start("gateway", [sys.executable, "-c", _TWISTD, *options], NOTIFY_SOCKET=ready.getsockname())
    where = shown(scenario.LOOPBACK, port)
    replicas = ", ".join(f"{name} ({shown(scenario.LOOPBACK, its)})" for name, its in zip(sockets, ports, strict=True))
    text = _TRY.format(where=where, replicas=replicas, folder=mesh, asking=_asking(admin, port))
    name, status = children.wait_for_one(ready, lambda: print(text, flush=True))
    # Why it ended it has said itself, unless something ended it.
    if status <= 0:
        print(f"The demo ends because {name} has ended with status {status}", file=sys.stderr)
    return status


def main(arguments: list[str]) -> int:
    """Run the demo; 0 after Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m meshproxy.demo", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--port", type=int, default=scenario.SERVED_PORT, help="where the gateway listens (%(default)s)"
    )
    parser.add_argument("--admin", default=DEFAULT_ADMIN, help="endpoint of the admin server, or off (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        probe(scenario.LOOPBACK, options.port)
    except (OSError, OverflowError) as error:
        where = shown(scenario.LOOPBACK, options.port)
        print(f"The gateway cannot listen on {where}: {reason(error)} (--port takes another)", file=sys.stderr)
        return 1
    children = _Children()
    with (
        tempfile.TemporaryDirectory(prefix="meshproxy-demo-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        ready.bind(os.path.join(folder, "ready"))
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _stop)
            status = _run(children, Path(folder), ready, options.port, options.admin)
            return 1 if status <= 0 else status
        except _Stop:
            return 0
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            children.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
