"""The examples in the pages about our own kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, findings, istio
from tests.config.test_backend_policy import HASH, SPLIT

_PAGES = Path(__file__).parents[2] / "docs"
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MESH = (
    GATEWAY,
    SERVICE.replace("app.test", "shop.example").replace("version: ", "app.example/replica: "),
    ROUTE.replace("app.test", "shop.example"),
    istio(
        "DestinationRule",
        "dr",
        "host: shop.example\ntrafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 60s}}}}",
    ),
)
_SPLIT = (
    *_MESH[:2],
    SPLIT.replace("app.test", "shop.example"),
    HASH.replace("app.test", "shop.example").replace("version: ", "app.example/replica: "),
)


def examples(page: str) -> Iterator[str]:
    """The texts of a page's YAML."""
    yield from _YAML.findall((_PAGES / page).read_text())


class DocumentedPolicyTests(SynchronousTestCase):
    def test_backend_policy(self) -> None:
        """Each example loads on its own beside a plain mesh, and has its effect: there is nothing to say about it."""
        found = list(examples("backend-policy.md"))
        self.assertTrue(found)
        for text in found:
            mesh = _SPLIT if "stickyWeights" in text else _MESH
            self.assertEqual(findings(*mesh, text), (), text)
