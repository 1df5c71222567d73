"""The configuration of the demo: the files of ``examples/scenario-zero``, with ports that are free on this machine."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping, Sequence
from importlib.resources import files

from meshproxy.config.sources import Source, Sources

GATEWAY_PORT = 80
"""The port that the Gateway names, which a user may not bind."""
SERVED_PORT = 8080
"""Where it is served instead, unless the user says otherwise."""
LOOPBACK = "127.0.0.1"
REPLICAS = {"replica-1": 9001, "replica-2": 9002, "replica-3": 9003}
"""The replicas by name, with their ports in the files."""


def documents(ports: Sequence[int]) -> Mapping[str, str]:
    """The files by name, with the replicas at these ports, in order."""
    folder = files("meshproxy.demo")
    replicas = folder.joinpath("replicas.yaml").read_text("utf-8")
    for written, actual in zip(REPLICAS.values(), ports, strict=True):
        replicas = replicas.replace(f"http: {written}\n", f"http: {actual}\n")
    return {"istio.yaml": folder.joinpath("istio.yaml").read_text("utf-8"), "replicas.yaml": replicas}


def sources(ports: Sequence[int]) -> Sources:
    """The same as ``config.read`` would give it."""
    texts = documents(ports)
    digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    return Sources(tuple(Source(name, text) for name, text in texts.items()), digest)


def free_socket() -> socket.socket:
    """A listening socket on a free loopback port. It is open from here on, so nobody else gets the port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind((LOOPBACK, 0))
    listening.listen(128)
    return listening
