"""``meshproxy status`` and ``meshproxy explain --live`` with a gateway that runs, in one process and in several."""

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
        self.assertIn(f"127.0.0.1:{upstream[0].port}  healthy", self.printed(admin, "status"))
        names = {f"127.0.0.1:{it.port}": f"replica-{number}" for number, it in enumerate(upstream)}
        for session in ("a", "b", "c"):
            cookie = f"ISTIOID={session}"
            served_by = get(port, Host=f"test.com:{port}", Cookie=cookie).headers["x-served-by"]
            question = (f"http://test.com:{port}/", "-H", f"Cookie: {cookie}", "--format", "json")
            explained = json.loads(self.printed(admin, "explain", "--live", *question))
            (destination,) = explained["forward"]["destinations"]
            self.assertEqual((names[destination["endpoint"]], explained["live"]), (served_by, True))

    def printed(self, admin: int, *command: str) -> str:
        command = (sys.executable, "-c", MAIN, *command, "--admin", f"127.0.0.1:{admin}")
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    def status(self, admin: int) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.printed(admin, "status", "--format", "json"))
        return told

    def test_one_process(self) -> None:
        """Each endpoint is told with the requests that it got, and each session with the endpoint that it has."""
        self.check(1)

    def test_workers(self) -> None:
        """With workers the figures are their sum."""
        self.check(2)
