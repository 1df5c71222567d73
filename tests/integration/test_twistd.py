"""``twistd meshproxy`` as a user runs it: real processes and sockets on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from tests.processes import PATIENCE, TWISTD, ProcessTestCase, free_port, get, mesh, wait_for_end


class ServingTests(ProcessTestCase):
    def setUp(self) -> None:
        self.upstream = self.replicas()
        self.config = self.folder() / "mesh.yaml"
        self.config.write_text(mesh(self.upstream))

    def test_sticky_session(self) -> None:
        """The first answer sets the cookie; whoever sends it stays at that replica, the others hear nothing."""
        _, port, _ = self.gateway(self.config)
        first = get(port, Host="test.com")
        cookie, _, attributes = first.headers["set-cookie"].partition(";")
        self.assertTrue(cookie.startswith("ISTIOID="))
        self.assertIn("Max-Age=60", attributes)
        served_by = first.headers["x-served-by"]
        for replica in self.upstream:
            replica.requests.clear()
        for _ in range(20):
            response = get(port, Host="test.com", Cookie=cookie)
            self.assertEqual(response.headers["x-served-by"], served_by)
            self.assertIsNone(response.headers["set-cookie"])
        self.assertEqual(sorted(len(replica.requests) for replica in self.upstream), [0, 0, 20])

    def test_without_cookie(self) -> None:
        """Clients without a cookie are spread over the replicas."""
        _, port, _ = self.gateway(self.config)
        served_by = {get(port, Host="test.com").headers["x-served-by"] for _ in range(60)}
        self.assertEqual(len(served_by), 3)

    def test_hang_up(self) -> None:
        """SIGHUP loads what changed, and says so when nothing has."""
        process, port, _ = self.gateway(self.config)
        process.signal(signal.SIGHUP)
        process.wait_for(r"Reload \(SIGHUP\): the configuration is unchanged")
        self.assertEqual(get(port, Host="other.com").status, 404)
        self.config.write_text(mesh(self.upstream, host="other.com"))
        process.signal(signal.SIGHUP)
        process.wait_for("Configuration 2 is served")
        self.assertEqual(get(port, Host="other.com").status, 200)
        self.assertEqual(get(port, Host="test.com").status, 404)

    def test_session_outlives_reload(self) -> None:
        """A reload of something else moves no session to another replica."""
        process, port, _ = self.gateway(self.config)
        first = get(port, Host="test.com")
        cookie = first.headers["set-cookie"].partition(";")[0]
        self.config.write_text(mesh(self.upstream, host='"test.com", "more.com"'))
        process.wait_for("Configuration 2 is served")
        again = get(port, Host="more.com", Cookie=cookie)
        self.assertEqual(again.headers["x-served-by"], first.headers["x-served-by"])

    def test_config_map(self) -> None:
        """A mounted ConfigMap that is swapped, as kubelet does it, is noticed without any signal."""
        folder = self.folder()
        for version, host in (("..1", "test.com"), ("..2", "other.com")):
            (folder / version).mkdir()
            (folder / version / "mesh.yaml").write_text(mesh(self.upstream, host=host))
        (folder / "..data").symlink_to("..1")
        (folder / "mesh.yaml").symlink_to("..data/mesh.yaml")
        process, port, _ = self.gateway(folder)
        (folder / "..data_tmp").symlink_to("..2")
        (folder / "..data_tmp").rename(folder / "..data")
        process.wait_for("Configuration 2 is served")
        self.assertEqual(get(port, Host="other.com").status, 200)

    def test_bad_file_keeps_serving(self) -> None:
        """A file that does not load is reported with its place, in the log, the metrics and to the admin; all is
        served on as before, and mending it is enough."""
        process, port, admin = self.gateway(self.config)
        good = self.config.read_text()
        self.config.write_text(good.replace("gateways:", "gateway:"))
        process.wait_for("generation 1 is served on")
        process.wait_for(rf"{self.config}:13:3: ")
        self.assertEqual(get(port, Host="test.com").status, 200)
        self.assertEqual(self.metric(admin, "meshproxy_config_last_reload_successful"), 0)
        answer: Any = self.asked_to_reload(admin)
        self.assertEqual(answer.status, 422)
        self.assertIn("mesh.yaml:13:3", answer.text)
        self.config.write_text(good.replace("test.com", "other.com"))
        process.wait_for("Configuration 2 is served")
        self.assertEqual(self.metric(admin, "meshproxy_config_last_reload_successful"), 1)
        self.assertEqual(get(port, Host="other.com").status, 200)

    def test_listeners_change(self) -> None:
        """A reload opens and closes ports; one that somebody else has is a failed reload that changes nothing."""
        process, port, _ = self.gateway(self.config)
        with socket.create_server(("127.0.0.1", 0)) as busy:
            taken = busy.getsockname()[1]
            self.config.write_text(mesh(self.upstream, ports=(80, taken)))
            process.wait_for(rf"mesh\.yaml:\d+:\d+: cannot listen on 127\.0\.0\.1:{taken}: Address already in use")
        self.assertEqual(get(port, Host="test.com").status, 200)
        process.signal(signal.SIGHUP)
        process.wait_for("Configuration 2 is served")
        self.assertEqual(get(taken, Host="test.com").status, 200)
        self.config.write_text(mesh(self.upstream))
        process.wait_for("Configuration 3 is served")
        process.wait_for(rf"\(TCP Port {taken} Closed\)")
        self.assertRaises(ConnectionError, get, taken)
        self.assertEqual(get(port, Host="test.com").status, 200)

    def test_termination_drains(self) -> None:
        """SIGTERM: no new connection, not ready, what is under way is answered, then exit status 0."""
        process, port, admin = self.gateway(self.config)
        answers: list[Any] = []
        client = Thread(target=lambda: answers.append(get(port, "/slow", Host="test.com")))
        for replica in self.upstream[1:]:
            replica.go_on.set()
        self.config.write_text(mesh(self.upstream[:1]))
        process.wait_for("Configuration 2 is served")
        client.start()
        self.addCleanup(client.join)
        self.assertTrue(self.upstream[0].got_slow.wait(PATIENCE))
        self.assertEqual(get(admin, "/ready").status, 200)
        process.signal(signal.SIGTERM)
        process.wait_for("Asked to stop")
        process.wait_for(rf"\(TCP Port {port} Closed\)")
        self.assertRaises(ConnectionError, get, port)
        self.assertEqual(get(admin, "/ready").status, 503)
        self.upstream[0].go_on.set()
        client.join()
        self.assertEqual((answers[0].status, answers[0].text), (200, "ok"))
        self.assertEqual(process.wait(), 0)
        self.assertIn('"GET /slow HTTP/1.1" 200', process.output)

    def test_drain_timeout(self) -> None:
        """What is not answered by then is cut off; the exit status is 0 still."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.gateway(self.config, "--drain-timeout", "100ms")
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nhost: test.com\r\n\r\n")
            self.assertTrue(self.upstream[0].got_slow.wait(PATIENCE))
            process.signal(signal.SIGTERM)
            self.assertEqual(process.wait(), 0)

    def test_second_interrupt(self) -> None:
        """Ctrl-C drains as SIGTERM does; a second one does not wait."""
        self.config.write_text(mesh(self.upstream[:1]))
        process, port, _ = self.gateway(self.config, "--drain-timeout", "1h")
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nhost: test.com\r\n\r\n")
            self.assertTrue(self.upstream[0].got_slow.wait(PATIENCE))
            process.signal(signal.SIGINT)
            process.wait_for("Asked to stop; serving")
            process.signal(signal.SIGINT)
            self.assertEqual(process.wait(), 0)

    def test_access_log_rotation(self) -> None:
        """After SIGUSR1, lines go to a new file of the same name."""
        log = self.config.with_name("access.log")
        process, port, _ = self.gateway(self.config, "--access-log", str(log))
        get(port, "/before", Host="test.com")
        rotated = log.rename(log.with_suffix(".1"))
        process.signal(signal.SIGUSR1)
        process.signal(signal.SIGHUP)  # answered after the signal before it
        process.wait_for(r"Reload \(SIGHUP\)")
        get(port, "/after", Host="test.com")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertIn("GET /before", rotated.read_text())
        self.assertIn("GET /after", log.read_text())
        self.assertNotIn("GET /before", log.read_text())

    def test_mesh_document(self) -> None:
        """``accessLogFile`` of a Mesh document holds where the command line says nothing."""
        log = self.config.with_name("access.log")
        self.config.write_text(
            mesh(self.upstream)
            + "---\napiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\n"
            + f"spec: {{accessLogFile: {log}}}\n"
        )
        process, port, _ = self.gateway(self.config)
        get(port, "/logged", Host="test.com")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertIn("GET /logged", log.read_text())
        self.assertNotIn("GET /logged", process.output)

    def test_other_runner(self) -> None:
        """``python -m twisted meshproxy`` serves as well, and ends as well."""
        process = self.start(
            *(
                sys.executable,
                "-m",
                "twisted",
                "--log-format=text",
                "meshproxy",
                "-c",
                str(self.config),
                "--map-port",
                "80=0",
            ),
            *("--listen-address", "127.0.0.1", "--admin", "off"),
        )
        port = int(process.wait_for(r"Listening on 127\.0\.0\.1:(\d+)")[1])
        process.wait_for("Configuration 1 is served")
        self.assertEqual(get(port, Host="test.com").status, 200)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)


class DaemonTests(ProcessTestCase):
    def setUp(self) -> None:
        self.upstream = self.replicas(1)
        self.run_folder = self.folder()
        (self.run_folder / "mesh.yaml").write_text(mesh(self.upstream))

    def daemonize(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TWISTD, "meshproxy", "-c", "mesh.yaml", "--listen-address", "127.0.0.1", "--admin", "off", *options],
            cwd=self.run_folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def end(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_life(self) -> None:
        """Daemonized it serves, reads its relative paths, reloads, and removes its pid file at the end."""
        port = free_port()
        done = self.daemonize("--map-port", f"80={port}", "--access-log", "access.log")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        pid = int((self.run_folder / "twistd.pid").read_text())
        self.addCleanup(self.end, pid)
        self.assertEqual(get(port, Host="test.com").status, 200)
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)
        self.assertFalse((self.run_folder / "twistd.pid").exists())
        self.assertIn('"GET / HTTP/1.1" 200', (self.run_folder / "access.log").read_text())

    def test_lost_access_log(self) -> None:
        """That the access log of a daemon would go nowhere is a warning in its log."""
        done = self.daemonize("--map-port", f"80={free_port()}")
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = int((self.run_folder / "twistd.pid").read_text())
        self.addCleanup(self.end, pid)
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)
        self.assertIn("--access-log PATH", (self.run_folder / "twistd.log").read_text())

    def test_port_in_use(self) -> None:
        """A daemon that cannot start says why where it was started, and leaves no pid file."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            done = self.daemonize("--map-port", f"80={port}")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(f"mesh.yaml:7:5: cannot listen on 127.0.0.1:{port}: Address already in use", done.stderr)
        self.assertFalse((self.run_folder / "twistd.pid").exists())


class RefusalTests(ProcessTestCase):
    """What cannot start ends with its status, one message and no traceback."""

    def refused(self, *options: str, cwd: Path | None = None) -> tuple[int, str]:
        process = self.twistd(*options, cwd=cwd)
        status = process.wait()
        self.assertNotIn("Traceback", process.output)
        return status, process.output

    def test_wrong_usage(self) -> None:
        """64, and one line."""
        status, output = self.refused("--map-port", "eighty")
        self.assertEqual((status, output.count("\n")), (64, 1), output)
        self.assertIn("--map-port eighty", output)

    def test_configuration(self) -> None:
        """78, and every finding in all files with place, line and caret."""
        folder = self.folder()
        (folder / "a.yaml").write_text("kind: [\n")
        (folder / "b.yaml").write_text(mesh([]).replace("selector:", "selecter:"))
        status, output = self.refused("-c", str(folder))
        self.assertEqual(status, 78)
        self.assertIn(f"{folder}/a.yaml:", output)
        self.assertIn(f"{folder}/b.yaml:5:3: ", output)
        self.assertIn("  selecter: {istio: ingressgateway}\n      ^\n", output)

    def test_port_in_use(self) -> None:
        """1, and one line for each port with the place of its server."""
        folder = self.folder()
        (folder / "mesh.yaml").write_text(mesh(self.replicas(1), ports=(80, 81)))
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            ports = [one.getsockname()[1], other.getsockname()[1]]
            status, output = self.refused(
                *("-c", "mesh.yaml", "--listen-address", "127.0.0.1", "--admin", "off"),
                *("--map-port", f"80={ports[0]}", "--map-port", f"81={ports[1]}"),
                cwd=folder,
            )
        self.assertEqual(status, 1)
        lines = output.splitlines()
        self.assertEqual(len(lines), 2, output)
        for line, number, port in zip(lines, (7, 8), ports, strict=True):
            self.assertIn(f"mesh.yaml:{number}:5: cannot listen on 127.0.0.1:{port}: Address already in use", line)

    def test_admin_port_in_use(self) -> None:
        """The admin server's port is named the same way."""
        folder = self.folder()
        (folder / "mesh.yaml").write_text(mesh(self.replicas(1)))
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            status, output = self.refused(
                *("-c", str(folder), "--map-port", "80=0", "--admin", f"tcp:{port}:interface=127.0.0.1")
            )
        self.assertEqual((status, output.count("\n")), (1, 1), output)
        self.assertIn(f"127.0.0.1:{port}: Address already in use", output)

    def test_access_log(self) -> None:
        """An access log that cannot be opened is one line too."""
        folder = self.folder()
        (folder / "mesh.yaml").write_text(mesh(self.replicas(1)))
        status, output = self.refused(
            *("-c", str(folder), "--map-port", "80=0", "--admin", "off", "--access-log", "/nowhere/access.log")
        )
        self.assertEqual((status, output.count("\n")), (1, 1), output)
        self.assertIn("/nowhere/access.log: No such file or directory", output)
