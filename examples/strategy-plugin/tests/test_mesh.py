"""The strategies at work in a gateway, with the configuration that comes with them."""

from __future__ import annotations

from pathlib import Path
from unittest import TestCase

from meshproxy.plugin import HashKeyPlugin, LoadBalancerPlugin
from meshproxy.testing import MemoryGateway
from tests.tokens import token

MESH = (Path(__file__).parent.parent / "mesh.yaml").read_text()
STRATEGIES = [
    HashKeyPlugin("example.com/jwtClaim", "example_strategies.jwt_claim:from_config"),
    LoadBalancerPlugin("example.com/rendezvous", "example_strategies.rendezvous:from_config"),
]


class MeshTests(TestCase):
    def test_sessions(self) -> None:
        """Whoever a token is for stays at one replica, whatever else the token says; others are at others."""
        gateway = MemoryGateway(MESH, STRATEGIES)
        seen = set()
        for user in range(30):
            tokens = [token(sub=f"user-{user}", iat=time) for time in range(3)]
            found = {gateway.ask(headers={"authorization": f"Bearer {each}"}).endpoint for each in tokens}
            self.assertEqual(len(found), 1, f"user-{user}")
            seen |= found
        self.assertEqual(seen, {"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"})

    def test_failover(self) -> None:
        """When a replica is down its users go to others, and nobody else moves."""
        gateway = MemoryGateway(MESH, STRATEGIES)
        headers = [{"authorization": f"Bearer {token(sub=str(user))}"} for user in range(30)]
        before = [gateway.ask(headers=each).endpoint for each in headers]
        gateway.install(MESH.replace("  - {address: 127.0.0.1, ports: {http: 9002}}\n", ""))
        after = [gateway.ask(headers=each).endpoint for each in headers]
        for old, new in zip(before, after, strict=True):
            self.assertTrue(old == new or (old == "127.0.0.1:9002" and new is not None), (old, new))
