"""Gateways with worker processes, and a client that asks them all the time."""

from __future__ import annotations

import http.client
import os
import select
import socket
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.processes import PATIENCE, Process, ProcessTestCase, Replica, mesh


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Load:
    """Clients that ask again and again, each in a thread of its own, every second one with a connection for each
    request; what they got is counted.

    A kept connection that is closed before any byte of an answer is tried once more on a fresh one, as every client
    does; everything else that is no 200 is in ``failed``.
    """

    def __init__(self, port: int, clients: int = 6) -> None:
        self._port = port
        self._ended = Event()
        self.answers: Counter[str] = Counter()
        self.failed: list[str] = []
        self._threads = [Thread(target=self._ask, args=(n % 2 == 0,), daemon=True) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, count: int = 50) -> None:
        """Wait for so many more answers."""
        goal = sum(self.answers.values()) + count
        deadline = time.monotonic() + PATIENCE
        while sum(self.answers.values()) < goal:
            if time.monotonic() > deadline:
                raise AssertionError(f"no more answers; failed: {self.failed}")
            self._ended.wait(0.01)

    def _ask(self, keep: bool) -> None:
        client: http.client.HTTPConnection | None = None
        while not self._ended.is_set():
            fresh = client is None
            client = client or http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            try:
                client.request("GET", "/", headers={"Host": "test.com"})
                response = client.getresponse()
                body = response.read()
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                client.close()
                client = None
                if fresh:
                    self.failed.append(repr(error))
                continue
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                client.close()
                client = None
                continue
            if response.status != 200 or body != b"ok":
                self.failed.append(f"{response.status} {body!r}")
            self.answers[response.headers["x-served-by"]] += 1
            if not keep or response.will_close:
                client.close()
                client = None


class WorkersTestCase(ProcessTestCase):
    def setUp(self) -> None:
        self.upstream = self.replicas()
        self.config = self.folder() / "mesh.yaml"
        self.config.write_text(mesh(self.upstream))

    def supervised(self, *options: str) -> tuple[Process, int, int]:
        """A gateway that is ready; its process, port and admin port."""
        process, port, admin = self.gateway(self.config, "--workers", "2", "--access-log", "off", *options)
        process.wait_for("2 workers serve")
        return process, port, admin

    def load(self, port: int) -> Load:
        load = Load(port)
        self.addCleanup(load.end)
        return load

    def slow(self, port: int) -> tuple[Replica, socket.socket]:
        """A request under way, and the replica that waits with its answer; there is no other replica."""
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.sendall(b"GET /slow HTTP/1.1\r\nhost: test.com\r\n\r\n")
        self.assertTrue(self.upstream[0].got_slow.wait(PATIENCE))
        return self.upstream[0], client

    def wait_until(self, what: Any) -> None:
        """Wait until something that is looked at again and again is true."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError("it does not come true")
            select.select([], [], [], 0.02)
