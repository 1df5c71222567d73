"""The field ``upgrades`` of a ``Mesh`` document: which protocols connections may switch to."""

from __future__ import annotations

import re

from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.model import UpgradeSettings

# RFC 9110, 7.8: protocol-name ["/" protocol-version], both of them tokens.
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PROTOCOL = re.compile(f"{_TOKEN}(/{_TOKEN})?")
# As a tunnel they would carry requests past all routes.
_HTTP = re.compile(r"h2c|http(/.*)?")


def decode_upgrades(node: Node, findings: Findings) -> UpgradeSettings:
    """What a connection may become. Protocols are compared without regard to case."""
    default = UpgradeSettings()
    fields = Fields(node, findings, ("protocols", "idleTimeout"))
    protocols = default.protocols
    if "protocols" in fields:
        names = [findings.attempt(_protocol, item) for item in fields.items("protocols")]
        protocols = frozenset(name.encode() for name in names if name is not None)
    return UpgradeSettings(protocols, fields.duration("idleTimeout"))


def _protocol(node: Node) -> str:
    text = node.string()
    if not _PROTOCOL.fullmatch(text):
        node.fail(f"{node.path} must be a protocol, not {text!r}", "as in an Upgrade header: websocket, name/1.0")
    name = text.lower()
    if _HTTP.fullmatch(name):
        node.fail(f"{node.path} may not be {text!r}: its requests would pass by all routes")
    return name
