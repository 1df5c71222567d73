"""``meshproxy status`` and a gateway that runs, in one process and in several."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.processes import PATIENCE, ProcessTestCase, get, mesh

MAIN = "import sys; from meshproxy.cli.main import main; sys.exit(main(sys.argv[1:]))"


class StatusTests(ProcessTestCase):
    def check(self, processes: int) -> None:
        upstream = self.replicas()
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh(upstream))
        process, port, admin = self.gateway(config, "--workers", str(processes), "--access-log", "off")
        if processes > 1:
            process.wait_for(f"{processes} workers serve")
        for _ in range(12):
            self.assertEqual(get(port, Host="test.com").status, 200)
        told = self.status(admin)
        (cluster,) = told["clusters"]
        endpoints = cluster["endpoints"]
        self.assertEqual(told["processes"], processes)
        self.assertEqual([it["address"] for it in endpoints], [f"127.0.0.1:{it.port}" for it in upstream])
        self.assertEqual([it["requests"] for it in endpoints], [len(it.requests) for it in upstream])
        self.assertEqual({str(it["states"]) for it in endpoints}, {str({"healthy": processes})})
        self.assertAlmostEqual(sum(it["share"] for it in endpoints), 1)
        self.assertEqual(cluster["strategy"], "ringHash")
        self.assertIn(f"127.0.0.1:{upstream[0].port}  healthy", self.printed(admin))

    def printed(self, admin: int, *more: str) -> str:
        command = (sys.executable, "-c", MAIN, "status", "--admin", f"127.0.0.1:{admin}", *more)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    def status(self, admin: int) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.printed(admin, "--format", "json"))
        return told

    def test_one_process(self) -> None:
        """Each endpoint is told with the requests that it really got."""
        self.check(1)

    def test_workers(self) -> None:
        """With workers the figures are their sum."""
        self.check(2)
