"""What an idle kept-alive connection costs a gateway in memory.

    python tools/idle_memory.py [CONNECTIONS]

Starts a gateway with one replica, opens so many connections (1,000), sends one request on each, and divides the growth
of the gateway's resident memory by their number. A first tenth of them warms it up and is not counted.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.processes import PATIENCE, TWISTD, Process, Replica, mesh

_REQUEST = b'GET / HTTP/1.1\r\nHost: test.com\r\nUser-Agent: idle\r\nAccept: */*\r\nCookie: ISTIOID="1"\r\n\r\n'


def resident(pid: int) -> int:
    """The resident memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def connect(port: int, number: int) -> list[socket.socket]:
    """Connections on each of which one request was answered."""
    connections = []
    for _ in range(number):
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        connection.sendall(_REQUEST)
        answer = b""
        while not answer.endswith(b"\r\n\r\nok"):
            read = connection.recv(4096)
            if not read:
                raise ConnectionError(f"no answer: {answer!r}")
            answer += read
        connections.append(connection)
    return connections


def main(number: int) -> int:
    replica = Replica("only")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mesh.yaml"
        config.write_text(mesh([replica]))
        options = ("-c", str(config), "--map-port", "80=0", "--listen-address", "127.0.0.1", "--admin", "off")
        gateway = Process([*TWISTD, "-n", "--pidfile=", "meshproxy", *options, "--access-log", "off"])
        try:
            gateway.wait_for("Configuration 1 is served")
            port = int(gateway.wait_for(r"Listening on 127\.0\.0\.1:(\d+)")[1])
            kept = connect(port, max(1, number // 10))
            before = resident(gateway.popen.pid)
            kept += connect(port, number)
            after = resident(gateway.popen.pid)
            for connection in kept:
                connection.close()
        finally:
            gateway.end()
            replica.end()
    print(f"{number} idle connections: {(after - before) / number:.2f} KiB each")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
