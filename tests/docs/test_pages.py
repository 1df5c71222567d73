"""What the pages show is so: their YAML loads, their commands print what they say, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urldefrag

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity
from tests.config.loading import GATEWAY, SERVICE, bundled, sources
from tests.docs.pages import File, printed_by, steps, yaml_blocks
from tests.docs.pages import sources as pages
from tests.packaging.checkout import ROOT

SCENARIO = (ROOT / "examples" / "scenario-zero" / "istio.yaml").read_text() + "---\n"
REPLICAS = (ROOT / "examples" / "scenario-zero" / "replicas.yaml").read_text()
CHECKED = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop}
spec:
  hosts: [shop.test]
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  endpoints:
  - address: 10.0.0.1
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
spec:
  hosts: [shop.test]
  gateways: [gw]
  http:
  - route: [{destination: {host: shop.tets}}]
"""
FILES = {
    "check.md": {"mesh.yaml": CHECKED},
    "diff.md": {"mesh.yaml": SCENARIO + REPLICAS, "mesh-new.yaml": SCENARIO + REPLICAS.replace("9003", "9004")},
}
"""Files that the commands of a page take for granted; ``examples`` is always there."""
STRATEGY = "write-a-strategy.md"
"""A page that is tried whole, with a package that it makes, in ``tests.packaging``."""
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


class PageTests(SynchronousTestCase):
    def test_yaml(self) -> None:
        """Every document that a page shows loads, beside a gateway and a service. (One names strategies of its own.)"""
        count = 0
        for page in pages(ROOT):
            if page.name == STRATEGY:
                continue
            for line, text in yaml_blocks(page.read_text()):
                world = "" if "kind: Gateway" in text else GATEWAY
                try:
                    load(sources(f"{world}{SERVICE}{text}"), bundled(), ProxyIdentity(), None)
                except ConfigError as error:
                    self.fail(f"{page.relative_to(ROOT)}:{line} does not load:\n{render(error.diagnostics, False)}")
                count += 1
        self.assertGreater(count, 10)

    def test_commands(self) -> None:
        """Every command of meshproxy prints what its page says. (Two tutorials and README are tried whole.)"""
        count = 0
        for page in pages(ROOT):
            if page.name in ("tutorial.md", STRATEGY, "README.md"):
                continue
            folder = Path(self.mktemp())
            folder.mkdir(parents=True)
            (folder / "examples").symlink_to(ROOT / "examples")
            for name, text in FILES.get(page.name, {}).items():
                (folder / name).write_text(text)
            for step in steps(page.read_text()):
                if isinstance(step, File):
                    (folder / step.path).write_text(step.text)
                elif step.line.startswith("meshproxy "):
                    printed = printed_by(self, folder, step.line)
                    message = f"{page.name}:\n$ {step.line}\n{printed}instead of\n{step.output}"
                    self.assertTrue(step.matches(printed), message)
                    count += 1
        self.assertGreater(count, 3)

    def test_links(self) -> None:
        """Every link of README and of the examples' pages leads to a file. (Sphinx looks at those under docs.)"""
        for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "examples").rglob("*.md")]:
            for link in LINK.findall(page.read_text()):
                self.assertTrue((page.parent / urldefrag(link).url).exists(), f"{page.name}: {link}")
