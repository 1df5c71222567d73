"""A gateway whose log nobody reads."""

from __future__ import annotations

import os
import signal

from tests.processes import ProcessTestCase, get, mesh


class UnreadLogTests(ProcessTestCase):
    def test_serving_goes_on(self) -> None:
        """Where standard output is a pipe that is full, requests, reloads and the admin server go on, with one process
        and with several."""
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh(self.replicas()))
        for workers, ready in (("1", "is served"), ("2", "2 workers serve")):
            process, port, admin = self.gateway(config, "--workers", workers, "--access-log", "off")
            process.wait_for(ready)
            pipe = os.open(f"/proc/{process.popen.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
            try:
                while True:
                    os.write(pipe, b"x")
            except BlockingIOError:
                os.close(pipe)
            for _ in range(3):
                process.signal(signal.SIGHUP)
                self.assertEqual(get(port, Host="test.com").status, 200)
                self.assertEqual(get(admin, "/ready").status, 200)
            process.wait_for("the configuration is unchanged")
