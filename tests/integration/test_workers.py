"""``twistd meshproxy --workers 2`` as a user runs it: real processes under load."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

from tests.integration.workers import WorkersTestCase, children, descriptors
from tests.processes import PATIENCE, Process, free_port, get, mesh, wait_for_end


class ServingTests(WorkersTestCase):
    def test_sticky_session(self) -> None:
        """Whichever worker a connection comes to, a session stays at its replica."""
        process, port, _ = self.supervised()
        first = get(port, Host="test.com")
        cookie = first.headers["set-cookie"].partition(";")[0]
        served_by = {get(port, Host="test.com", Cookie=cookie).headers["x-served-by"] for _ in range(40)}
        self.assertEqual(served_by, {first.headers["x-served-by"]})
        self.assertEqual(len(children(process.popen.pid)), 2)

    def test_all_workers_serve(self) -> None:
        """Connections are spread over the workers, as soon as each of them knows its share."""
        process, port, _ = self.supervised()
        before = {worker: descriptors(worker) for worker in children(process.popen.pid)}

        def spread() -> bool:
            connections = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(8)]
            for connection in connections:
                self.addCleanup(connection.close)
                connection.sendall(b"GET / HTTP/1.1\r\nhost: test.com\r\n\r\n")
            for connection in connections:
                self.assertIn(b"200", connection.recv(65536).partition(b"\r\n")[0])
            return all(descriptors(worker) > count + 4 for worker, count in before.items())

        self.wait_until(spread)

    def test_no_openssl(self) -> None:
        """Workers hold no library for TLS, which they do not speak; their supervisor may."""
        process, _, _ = self.supervised()
        for worker in children(process.popen.pid):
            self.assertNotIn("cryptography", Path(f"/proc/{worker}/maps").read_text())

    def test_metrics_are_those_of_all(self) -> None:
        """One page has the sum over all workers, and still has it when one was replaced."""
        process, port, admin = self.supervised()
        for _ in range(30):
            get(port, Host="test.com")
        self.assertEqual(self.metric(admin, "meshproxy_requests_total"), 30)
        os.kill(children(process.popen.pid)[0], signal.SIGKILL)
        process.wait_for(r"Worker \d \(pid \d+\) has ended: signal SIGKILL")
        self.assertEqual(self.metric(admin, "meshproxy_requests_total"), 30)
        self.wait_until(lambda: self.metric(admin, "meshproxy_workers_active") == 2)
        get(port, Host="test.com")
        self.assertEqual(self.metric(admin, "meshproxy_requests_total"), 31)
        self.assertEqual(self.metric(admin, "meshproxy_worker_restarts_total"), 1)
        self.assertEqual(get(admin, "/ready").status, 200)

    def test_access_log(self) -> None:
        """All workers write whole lines to one file, and go on in a new one together."""
        log = self.config.with_name("access.log")
        process, port, _ = self.gateway(self.config, "--workers", "2", "--access-log", str(log))
        process.wait_for("2 workers serve")
        for number in range(20):
            get(port, f"/before-{number}", Host="test.com")
        self.wait_until(lambda: log.read_text().count("\n") == 20)
        rotated = log.rename(log.with_suffix(".1"))
        process.signal(signal.SIGUSR1)
        self.wait_until(lambda: log.exists() and len(set(self.written(process, log))) == 2)
        for number in range(20):
            get(port, f"/after-{number}", Host="test.com")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        for path, name in ((rotated, "before"), (log, "after")):
            asked = re.findall(rf'^\[[^]]+\] "GET /{name}-(\d+) HTTP/1\.1" 200 .*"\S* .*$', path.read_text(), re.M)
            self.assertEqual(sorted(map(int, asked)), list(range(20)), path.read_text())

    def written(self, process: Process, path: Path) -> list[int]:
        """The workers that have a file open."""
        found = []
        for worker in children(process.popen.pid):
            for name in os.listdir(f"/proc/{worker}/fd"):
                try:
                    if os.path.samefile(f"/proc/{worker}/fd/{name}", path):
                        found.append(worker)
                except OSError:
                    pass
        return found


class ReplacementTests(WorkersTestCase):
    def test_killed_worker(self) -> None:
        """A worker that is killed under load takes with it what was on its own connections, and nothing else; it is
        replaced."""
        process, port, _ = self.supervised()
        load = self.load(port)
        load.more()
        victim = children(process.popen.pid)[0]
        os.kill(victim, signal.SIGKILL)
        process.wait_for("has ended: signal SIGKILL")
        self.wait_until(lambda: len(children(process.popen.pid)) == 2 and victim not in children(process.popen.pid))
        load.more(200)
        lost = len(load.failed)
        self.assertLessEqual(lost, 6)
        load.more(200)
        self.assertEqual(len(load.failed), lost, load.failed)

    def test_worker_that_is_told_to_end(self) -> None:
        """SIGTERM to one worker: it is replaced at once, and no request is lost."""
        process, port, _ = self.supervised()
        load = self.load(port)
        load.more()
        os.kill(children(process.popen.pid)[0], signal.SIGTERM)
        process.wait_for("is leaving")
        load.more(200)
        self.wait_until(lambda: len(children(process.popen.pid)) == 2)
        load.more(100)
        self.assertEqual(load.failed, [])

    def test_supervisor_is_killed(self) -> None:
        """When the supervisor is killed, its workers answer what is under way and end."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.supervised()
        replica, client = self.slow(port)
        workers = children(process.popen.pid)
        process.signal(signal.SIGKILL)
        self.wait_until(lambda: self.refused(port))
        replica.go_on.set()
        self.assertIn(b"200 OK", client.recv(65536))
        for worker in workers:
            wait_for_end(worker)

    def refused(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_none_can_start(self) -> None:
        """Where workers cannot start, the gateway ends with status 1 and says why."""
        folder = self.folder()
        (folder / "sitecustomize.py").write_text(
            "import os, sys\nif sys.orig_argv[2:4] == ['-m', 'meshproxy.workers.program']:\n"
            "    os.write(2, b'no such library here\\n')\n    os._exit(1)\n"
        )
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(folder)})
        process = self.twistd(
            *("-c", str(self.config), "--map-port", "80=0", "--listen-address", "127.0.0.1"),
            *("--admin", "off", "--workers", "2"),
        )
        self.assertEqual(process.wait(), 1)
        self.assertIn("no such library here", process.output)
        self.assertIn("No worker can be started", process.output)


class ReloadTests(WorkersTestCase):
    def reload(self, process: Process, generation: int) -> None:
        process.signal(signal.SIGHUP)
        process.wait_for(f"Configuration {generation} is served")

    def test_under_load(self) -> None:
        """Reloads that change routes and ports lose no request, and leave neither memory, descriptors nor processes
        behind."""
        process, port, _ = self.supervised()
        pids = [process.popen.pid, *children(process.popen.pid)]
        load = self.load(port)
        load.more()
        other = free_port()
        for generation in range(2, 22):
            ports = (80, other) if generation % 2 else (80,)
            self.config.write_text(mesh(self.upstream, host=f'test.com, "n{generation}.com"', ports=ports))
            self.reload(process, generation)
        load.more()
        before = list(map(self.costs, pids))
        for generation in range(22, 102):
            ports = (80, other) if generation % 2 else (80,)
            self.config.write_text(mesh(self.upstream, host=f'test.com, "n{generation}.com"', ports=ports))
            self.reload(process, generation)
        load.more()
        self.assertEqual(load.failed, [])
        self.assertEqual([process.popen.pid, *children(process.popen.pid)], pids)
        load.end()
        for pid, (memory, open_before) in zip(pids, before, strict=True):
            self.wait_until(lambda pid=pid, most=open_before: descriptors(pid) <= most)
            self.assertLess(self.costs(pid)[0], memory + 8 * 2**20)

    def costs(self, pid: int) -> tuple[int, int]:
        """Resident memory in bytes, and descriptors."""
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert match is not None
        return int(match[1]) * 1024, descriptors(pid)

    def test_all_workers_have_it(self) -> None:
        """When a reload is answered, every worker serves the new configuration."""
        _, port, admin = self.supervised()
        for generation in range(2, 6):
            self.config.write_text(mesh(self.upstream, host=f"n{generation}.com"))
            answer: Any = self.asked_to_reload(admin)
            self.assertEqual(answer.status, 200, answer.text)
            statuses = {get(port, Host=f"n{generation}.com").status for _ in range(20)}
            self.assertEqual(statuses, {200})
        self.assertEqual({get(port, Host="n4.com").status for _ in range(20)}, {404})

    def test_bad_file(self) -> None:
        """A file that does not load changes nothing, in no worker, and under load is not noticed."""
        process, port, admin = self.supervised()
        load = self.load(port)
        self.config.write_text(mesh(self.upstream, host="other.com").replace("gateways:", "gateway:"))
        self.assertEqual(self.asked_to_reload(admin).status, 422)
        load.more(100)
        self.assertEqual(load.failed, [])
        self.config.write_text(mesh(self.upstream, host="test.com, other.com"))
        self.reload(process, 2)
        load.more(100)
        self.assertEqual(load.failed, [])
        self.assertEqual(get(port, Host="other.com").status, 200)

    def test_replacement_serves_what_all_serve(self) -> None:
        """A worker that starts after the files were changed for the worse serves what the others serve."""
        process, port, admin = self.supervised()
        self.config.write_text("not: [YAML")
        self.assertEqual(self.asked_to_reload(admin).status, 422)
        for worker in children(process.popen.pid):
            os.kill(worker, signal.SIGKILL)
        self.assertEqual({get(port, Host="test.com").status for _ in range(20)}, {200})

    def test_long_download_of_a_route_that_goes(self) -> None:
        """What is under way by a route, a replica and a port that the configuration no longer has is finished."""
        other = free_port()
        self.config.write_text(mesh(self.upstream[:1], ports=(80, other)))
        process, _, _ = self.supervised()
        replica, client = self.slow(other)
        self.config.write_text(mesh(self.upstream[1:], host="other.com"))
        self.reload(process, 2)
        self.wait_until(lambda: self.is_closed(other))
        replica.go_on.set()
        answer = client.recv(65536)
        self.assertIn(b"200 OK", answer)
        self.assertIn(b"connection: close", answer)

    def is_closed(self, port: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) != 0

    def test_same_port_other_address(self) -> None:
        """A listener moves between one address and all of them without a request lost."""
        port = free_port()
        text = mesh(self.upstream, ports=(port,))
        one, every = (
            text.replace("  - {hosts: ['*'], port", f"  - {{hosts: ['*'], bind: {address}, port")
            for address in ("127.0.0.1", "0.0.0.0")
        )
        self.config.write_text(one)
        process, _, _ = self.supervised()
        load = self.load(port)
        load.more()
        for generation in range(2, 12):
            self.config.write_text(one if generation % 2 else every)
            self.reload(process, generation)
            load.more(20)
        self.assertEqual(load.failed, [])

    def test_storm(self) -> None:
        """Any number of SIGHUPs at once is a few reloads, and no failed request."""
        process, port, admin = self.supervised()
        load = self.load(port)
        for _ in range(200):
            process.signal(signal.SIGHUP)
        self.config.write_text(mesh(self.upstream, host="test.com, last.com"))
        self.reload(process, 2)
        load.more(50)
        self.assertEqual(load.failed, [])
        self.assertEqual(get(port, Host="last.com").status, 200)
        self.assertLess(self.metric(admin, 'meshproxy_config_reloads_total{result="unchanged"}'), 100)


class StopTests(WorkersTestCase):
    def test_termination_drains(self) -> None:
        """SIGTERM: no new connection, not ready, what is under way is answered, then exit status 0."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, admin = self.supervised()
        replica, client = self.slow(port)
        process.signal(signal.SIGTERM)
        self.wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) != 0)
        self.assertEqual(get(admin, "/ready").status, 503)
        replica.go_on.set()
        answer = client.recv(65536)
        self.assertIn(b"200 OK", answer)
        self.assertIn(b"connection: close", answer)
        self.assertEqual(process.wait(), 0)

    def test_drain_timeout(self) -> None:
        """What is not answered by then is cut off; the exit status is 0 still."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.supervised("--drain-timeout", "100ms")
        self.slow(port)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_second_signal(self) -> None:
        """A second request to stop does not wait."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.supervised("--drain-timeout", "1h")
        self.slow(port)
        workers = children(process.popen.pid)
        process.signal(signal.SIGTERM)
        process.wait_for("Asked to stop; serving")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        for worker in workers:
            wait_for_end(worker)

    def test_stop_during_the_start(self) -> None:
        """A gateway that is stopped before its workers serve ends, and so do they."""
        process = self.twistd(
            *("-c", str(self.config), "--map-port", "80=0", "--listen-address", "127.0.0.1"),
            *("--admin", "off", "--workers", "2"),
        )
        process.wait_for("starting up")
        self.wait_until(lambda: len(children(process.popen.pid)) == 2)
        workers = children(process.popen.pid)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        for worker in workers:
            wait_for_end(worker)
