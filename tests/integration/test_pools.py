"""Limits of a cluster as a user meets them: a real gateway with one connection to its endpoint."""

from __future__ import annotations

import socket
from threading import Thread
from typing import Any

from tests.processes import PATIENCE, ProcessTestCase, get, mesh

LIMITS = """
    connectionPool:
      tcp: {maxConnections: 1}
      http: {http1MaxPendingRequests: 1}
"""
PENDING = 'meshproxy_cluster_requests_pending{cluster="outbound|8080||replicas.example"}'
OVERFLOWS = 'meshproxy_cluster_overflows_total{cluster="outbound|8080||replicas.example",limit="max_pending"}'


class LimitTests(ProcessTestCase):
    def setUp(self) -> None:
        (self.upstream,) = self.replicas(1)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh([self.upstream]).replace("  trafficPolicy:\n", "  trafficPolicy:" + LIMITS))
        self.process, self.port, self.admin = self.gateway(config)
        self.first: list[Any] = []
        self.asking = Thread(target=lambda: self.first.append(get(self.port, "/slow", Host="test.com")))
        self.asking.start()
        self.addCleanup(self.asking.join)
        self.addCleanup(self.upstream.go_on.set)
        self.assertTrue(self.upstream.got_slow.wait(PATIENCE))

    def wait_until_pending(self, number: int) -> None:
        for _ in range(1000):
            if self.metric(self.admin, PENDING) == number:
                return
        self.fail(f"never {number} pending")

    def test_queue_and_overflow(self) -> None:
        """While the one connection is busy one request waits and another one is refused."""
        second: list[Any] = []
        asking = Thread(target=lambda: second.append(get(self.port, "/second", Host="test.com")))
        asking.start()
        self.wait_until_pending(1)
        refused: Any = get(self.port, "/third", Host="test.com")
        self.assertEqual((refused.status, refused.headers["x-envoy-overloaded"]), (503, "true"))
        self.assertTrue(refused.text.endswith("reset reason: overflow"))
        self.process.wait_for(r'"GET /third HTTP/1.1" 503 UO upstream_reset_before_response_started\{overflow\}')
        self.assertEqual(self.metric(self.admin, OVERFLOWS), 1)
        self.upstream.go_on.set()
        self.asking.join()
        asking.join()
        self.assertEqual((self.first[0].status, second[0].status), (200, 200))
        self.assertEqual(self.upstream.requests, ["/slow", "/second"])

    def test_client_leaves_the_queue(self) -> None:
        """A client that leaves while its upload is held back is noticed, and its request never sent."""
        client = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(client.close)
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: test.com\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
        self.wait_until_pending(1)
        client.close()
        self.process.wait_for(r'"POST /upload HTTP/1.1" 0 DC downstream_remote_disconnect')
        self.wait_until_pending(0)
        self.upstream.go_on.set()
        self.asking.join()
        self.assertEqual(self.upstream.requests, ["/slow"])
