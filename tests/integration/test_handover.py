"""Hot restart and sockets that are handed in, with real processes under load."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from tempfile import TemporaryDirectory

from tests.integration.workers import WorkersTestCase, children
from tests.processes import PATIENCE, TWISTD, Process, get, mesh, wait_for_end


class HandoverTestCase(WorkersTestCase):
    def kill(self, pid: int) -> None:
        """Make sure that a process is gone which is no child of ours."""
        for each in [*self.descendants(pid), pid]:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def descendants(self, pid: int) -> list[int]:
        try:
            return children(pid)
        except FileNotFoundError:
            return []

    def restart(self, process: Process) -> int:
        """Restart, and wait until the old process has ended; the pid of the new one."""
        process.signal(signal.SIGUSR2)
        pid = int(process.wait_for(r"Hot restart: process (\d+) serves")[1])
        self.addCleanup(self.kill, pid)
        self.assertEqual(process.popen.wait(PATIENCE), 0)
        return pid


class HotRestartTests(HandoverTestCase):
    def test_under_load(self) -> None:
        """A new process takes over; no connection is refused and no request lost, and the old one ends."""
        process, port, _ = self.supervised()
        workers = children(process.popen.pid)
        load = self.load(port)
        load.more()
        pid = self.restart(process)
        for worker in workers:
            wait_for_end(worker)
        load.more(100)
        self.assertEqual(load.failed, [])
        self.assertEqual(len(children(pid)), 2)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(process.wait(), 0)  # when nobody has its output any more

    def test_one_process(self) -> None:
        """So it is with ``--workers 1``; what is under way is answered by the old process."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.gateway(self.config)
        replica, client = self.slow(port)
        process.signal(signal.SIGUSR2)
        pid = int(process.wait_for(r"Hot restart: process (\d+) serves")[1])
        self.addCleanup(self.kill, pid)
        self.assertEqual(get(port, Host="test.com").status, 200)
        replica.go_on.set()
        self.assertIn(b"200 OK", client.recv(65536))
        self.assertEqual(process.popen.wait(PATIENCE), 0)
        self.assertEqual(get(port, Host="test.com").status, 200)

    def test_new_process_does_not_start(self) -> None:
        """Where the new process cannot start, the old one says so and serves on, its admin server too."""
        process, port, _ = self.supervised()
        good = self.config.read_text()
        self.config.write_text("not: [YAML")
        process.signal(signal.SIGUSR2)
        process.wait_for("the new process does not serve")
        self.assertEqual(get(port, Host="test.com").status, 200)
        process.wait_for(r"(?s)does not serve.*Admin server on")
        self.config.write_text(good)
        self.restart(process)
        self.assertEqual(get(port, Host="test.com").status, 200)

    def test_systemd(self) -> None:
        """systemd hears which process is the main one from then on, and never that the service stops."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            # Not in trial's folder: a socket's path has at most 107 bytes, and a checkout may lie deep.
            path = self.enterContext(TemporaryDirectory()) + "/notify"
            listening.bind(path)
            listening.settimeout(PATIENCE)
            process = Process(
                [
                    *("env", f"NOTIFY_SOCKET={path}", *TWISTD, "-n", "--pidfile=", "meshproxy", "-c", str(self.config)),
                    *("--map-port", "80=0", "--listen-address", "127.0.0.1", "--admin", "off", "--workers", "1"),
                ]
            )
            self.addCleanup(process.end)
            self.assertEqual(listening.recv(1000), b"READY=1")
            pid = self.restart(process)
            told = {listening.recv(1000) for _ in range(2)}
            self.assertEqual(told, {b"READY=1", f"MAINPID={pid}".encode()})
            os.kill(pid, signal.SIGTERM)
            self.assertEqual(listening.recv(1000), b"STOPPING=1")

    def test_daemon(self) -> None:
        """The pid file of a daemon is that of the new process, in whatever state the old one is."""
        folder = self.folder()
        (folder / "mesh.yaml").write_text(mesh(self.upstream))
        done = subprocess.run(
            [
                *(*TWISTD, "meshproxy", "-c", "mesh.yaml", "--map-port", "80=0", "--listen-address", "127.0.0.1"),
                *("--admin", "off", "--workers", "1", "--access-log", "off"),
            ],
            cwd=folder,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        pidfile = folder / "twistd.pid"
        old = int(pidfile.read_text())
        self.addCleanup(self.kill, old)
        self.wait_until(lambda: "is served" in (folder / "twistd.log").read_text())
        os.kill(old, signal.SIGUSR2)
        wait_for_end(old)
        new = int(pidfile.read_text())
        self.addCleanup(self.kill, new)
        self.assertNotEqual(new, old)
        self.assertEqual(sorted(path.name for path in folder.glob("twistd.pid*")), ["twistd.pid"])
        os.kill(new, signal.SIGTERM)
        wait_for_end(new)


class ActivationTests(HandoverTestCase):
    def activated(self, names: str, *sockets: socket.socket) -> Process:
        """A gateway that gets sockets as systemd passes them."""
        numbers = [listening.fileno() for listening in sockets]
        program = (
            "import os, sys\n"
            f"for to, number in enumerate({numbers}, 103): os.dup2(number, to)\n"
            f"for n in range({len(numbers)}): os.dup2(103 + n, 3 + n)\n"
            f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{len(numbers)}', LISTEN_FDNAMES={names!r})\n"
            "os.execv(sys.argv[1], sys.argv[1:])\n"
        )
        command = [
            *(sys.executable, "-c", program, *TWISTD, "-n", "--pidfile=", "meshproxy", "-c", str(self.config)),
            *("--listen-address", "127.0.0.1", "--admin", "off", "--workers", "2"),
        ]
        process = Process(command, pass_fds=numbers)
        self.addCleanup(process.end)
        process.wait_for("2 workers serve")
        return process

    def listen(self) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        return listening

    def test_by_name_and_address(self) -> None:
        """A socket is for the listener whose port is its name, or whose address it has; one that is for none is
        closed with a warning. What waited before the start, and between two runs, is answered."""
        named, addressed, other = self.listen(), self.listen(), self.listen()
        by_address = addressed.getsockname()[1]
        self.config.write_text(mesh(self.upstream, ports=(80, by_address)))
        waiting = socket.create_connection(named.getsockname(), PATIENCE)
        self.addCleanup(waiting.close)
        waiting.sendall(b"GET / HTTP/1.1\r\nhost: test.com\r\nconnection: close\r\n\r\n")
        process = self.activated("80:web:web", named, addressed, other)
        self.assertIn(b"200 OK", waiting.recv(65536))
        self.assertEqual(get(by_address, Host="test.com").status, 200)
        process.wait_for(rf"inherited socket at 127\.0\.0\.1:{other.getsockname()[1]} is closed")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        later = socket.create_connection(named.getsockname(), PATIENCE)
        self.addCleanup(later.close)
        later.sendall(b"GET / HTTP/1.1\r\nhost: test.com\r\nconnection: close\r\n\r\n")
        self.activated("80:web:web", named, addressed, other)
        self.assertIn(b"200 OK", later.recv(65536))

    def test_restart_under_load(self) -> None:
        """A gateway that is ended and started again, as by ``systemctl restart``, loses no request: what comes in
        between waits."""
        named = self.listen()
        process = self.activated("80", named)
        load = self.load(named.getsockname()[1])
        for _ in range(2):
            load.more()
            process.signal(signal.SIGTERM)
            self.assertEqual(process.wait(), 0)
            process = self.activated("80", named)
        load.more()
        self.assertEqual(load.failed, [])
