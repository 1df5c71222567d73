"""Serve one upstream, as suites of tests and benchmarks want it, in the foreground.

    python -m tests.serve.gateway --listen 127.0.0.1:8080 --upstream 127.0.0.1:9000 --folder DIR

Everything goes to the upstreams, by a sticky cookie, but ``/private``, which is answered 403. The configuration is
written to ``DIR/mesh.yaml``; then this process becomes the gateway, so its id, output and signals are the gateway's.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.processes import TWISTD

_ISTIO = "networking.istio.io/v1"
_ROOT = Path(__file__).resolve().parents[2]
_HOST = "upstream.test"


def documents(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The configuration for these arguments."""
    _, port = _address(arguments.listen)
    server = {"hosts": ["*"], "port": {"name": "http", "number": port, "protocol": "HTTP"}}
    route: dict[str, Any] = {"route": [{"destination": {"host": _HOST}}]}
    routes = [{"match": [{"uri": {"prefix": "/private"}}], "directResponse": {"status": 403}}, route]
    cookie = {"httpCookie": {"name": arguments.cookie, "ttl": "3600s"}}
    endpoints = [{"address": host, "ports": {"http": port}} for host, port in map(_address, arguments.upstream)]
    return [
        _document("Gateway", {"selector": {"istio": "ingressgateway"}, "servers": [server]}),
        _document("VirtualService", {"gateways": ["main"], "hosts": ["*"], "http": routes}),
        _document("DestinationRule", {"host": _HOST, "trafficPolicy": {"loadBalancer": {"consistentHash": cookie}}}),
        _document(
            "ServiceEntry",
            {
                "hosts": [_HOST],
                "resolution": "STATIC",
                "ports": [{"name": "http", "number": 80, "protocol": "HTTP"}],
                "endpoints": endpoints,
            },
        ),
        _mesh(arguments),
    ]


def _mesh(arguments: argparse.Namespace) -> dict[str, Any]:
    """The Mesh document that was named, with changes that the arguments ask for."""
    mesh: dict[str, Any] = {"apiVersion": "meshproxy.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "main"}}
    if arguments.mesh:
        mesh = yaml.safe_load(Path(arguments.mesh).read_text())
    spec = mesh.setdefault("spec", {})
    metadata = spec.setdefault("defaultConfig", {}).setdefault("proxyMetadata", {})
    limits = spec.setdefault("limits", {})
    if arguments.time_limit:
        limits["requestHeadersTimeout"] = limits["streamIdleTimeout"] = arguments.time_limit
        metadata["ISTIO_META_IDLE_TIMEOUT"] = arguments.time_limit
    if arguments.http10:
        metadata["ISTIO_META_HTTP10"] = "1"
    return mesh


def _document(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _ISTIO, "kind": kind, "metadata": {"name": "main"}, "spec": spec}


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True, metavar="IP:PORT")
    parser.add_argument("--upstream", required=True, action="append", metavar="IP:PORT", help="repeatable")
    parser.add_argument("--folder", required=True, help="where the configuration is written to; it has to exist")
    parser.add_argument("--mesh", help="file with a Mesh document to serve by")
    parser.add_argument("--time-limit", help="for a head, an idle connection, and what stands still, such as 5s")
    parser.add_argument("--http10", action="store_true", help="serve HTTP/1.0")
    parser.add_argument("--cookie", default="MESHSRV", help="name of the sticky cookie")
    arguments, others = parser.parse_known_args()  # others are options of the gateway
    config = Path(arguments.folder) / "mesh.yaml"
    config.write_text(yaml.safe_dump_all(documents(arguments)))
    host, _ = _address(arguments.listen)
    options = ("-c", str(config), "--listen-address", host, "--admin", "off", "--access-log", "off")
    os.chdir(_ROOT)
    os.execv(sys.executable, [*TWISTD, "-n", "--pidfile=", "meshproxy", *options, *others])


if __name__ == "__main__":
    main()
