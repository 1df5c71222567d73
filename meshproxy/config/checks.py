"""Reading a value that has to follow one of Istio's rules: a name, a port, labels, ``exportTo``, references.

Each reader returns the value or raises ``ConfigError`` at its place; those that take ``Fields`` report instead and
return what is usable.
"""

from __future__ import annotations

from collections.abc import Collection

from meshproxy.config.decoding import Fields
from meshproxy.config.diagnostics import suggest
from meshproxy.config.names import EVERYWHERE, MESH, NOWHERE
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import (
    PROTOCOLS,
    canonical_ip,
    is_dns_label,
    is_fqdn,
    is_label_key,
    is_label_value,
    is_wildcard_domain,
)
from meshproxy.errors import Location

LARGEST_PORT = 65535
_LABEL_HINT = "letters, digits and '-', at most 63"


def dns_label(node: Node) -> str:
    """A DNS label."""
    text = node.string()
    if not is_dns_label(text):
        node.fail(f"{node.path} must be a DNS label, not {text!r}", _LABEL_HINT)
    return text


def wildcard_domain(node: Node) -> str:
    """A host name, perhaps with a wildcard in front."""
    text = node.string()
    if not is_wildcard_domain(text):
        node.fail(f"{node.path} must be a host name, not {text!r}", _host_hint(text))
    return text


def host_or_ip(node: Node) -> str:
    """A host name, perhaps with a wildcard in front, or an IP address."""
    text = node.string()
    if not is_wildcard_domain(text) and canonical_ip(text) is None:
        node.fail(f"{node.path} must be a host name or an IP address, not {text!r}", _host_hint(text))
    return text


def port_number(node: Node) -> int:
    """A port, 1 to 65535."""
    return node.integer(1, LARGEST_PORT)


def port_selector(node: Node) -> int:
    """The number of a ``port: {number: N}``."""
    number = node.fields("number").get("number")
    if number is None:
        node.fail(f"{node.path}.number is required")
    return port_number(number)


def protocol(node: Node) -> str:
    """A protocol of a port in upper case."""
    text = node.string()
    if text.upper() not in PROTOCOLS:
        node.fail(f"{node.path} must be a protocol, not {text!r}", suggest(text, sorted(PROTOCOLS)))
    return text.upper()


def one_of(node: Node, names: Collection[str]) -> str:
    """One of some names, case and all."""
    text = node.string()
    if text not in names:
        hint = suggest(text, names) or f"one of {', '.join(filter(None, names))}"
        node.fail(f"{node.path} must not be {text!r}", hint)
    return text


def labels(fields: Fields, name: str) -> dict[str, str]:
    """A mapping of label names to values."""
    found = {}
    parent = fields.get(name)
    for key, node in fields.entries(name):
        value = fields.findings.attempt(node.string)
        if parent is not None and not is_label_key(key):
            fields.findings.error(parent.key_location(key), f"{key!r} in {fields.path_of(name)} is no name of a label")
        elif value is not None and not is_label_value(value):
            fields.findings.error(node.location, f"{node.path} must be the value of a label, not {value!r}")
        elif value is not None:
            found[key] = value
    return found


def strings(fields: Fields, name: str) -> list[tuple[str, Node]]:
    """The strings of a list, each with its place."""
    read = ((fields.findings.attempt(node.string), node) for node in fields.items(name))
    return [(text, node) for text, node in read if text is not None]


def export_to(fields: Fields, namespace: str, may_be_nowhere: bool = False) -> frozenset[str]:
    """The namespaces that see an object of ``namespace``; ``*`` for all, ``~`` for none."""
    found: dict[str, None] = {}
    for text, node in strings(fields, "exportTo"):
        target = namespace if text == "." else text
        if target in found:
            fields.findings.error(node.location, f"{node.path} repeats {text!r}")
        elif target == NOWHERE and not may_be_nowhere:
            fields.findings.error(node.location, f"{node.path} may not be '~', only that of a ServiceEntry")
        elif target in (EVERYWHERE, NOWHERE) or is_dns_label(target):
            found[target] = None
        else:
            fields.findings.error(node.location, f"{node.path} must be '.', '*' or a namespace, not {text!r}")
    for alone in (EVERYWHERE, NOWHERE):
        if alone in found and len(found) > 1:
            fields.findings.error(fields.location_of("exportTo"), f"{alone!r} in exportTo has to stand alone")
    return frozenset(found or (EVERYWHERE,))


def gateway_references(fields: Fields, name: str) -> list[tuple[str, Location]]:
    """Names of gateways as they are written, checked as Istio does: not beyond the first one without a namespace."""
    found = [(text, node) for text, node in strings(fields, name)]
    for text, node in found:
        owner, slash, rest = text.partition("/")
        if not slash:
            _check_short_gateway(fields, text, node)
            break
        if not is_dns_label(owner) or not is_dns_label(rest):
            fields.findings.error(node.location, f"{node.path} must be NAME or NAMESPACE/NAME, not {text!r}")
    return [(text, node.location) for text, node in found]


def _check_short_gateway(fields: Fields, text: str, node: Node) -> None:
    if not is_fqdn(text):
        fields.findings.error(node.location, f"{node.path} must be the name of a gateway, not {text!r}")
    elif "." in text and text != MESH:
        name, owner, *_ = text.split(".")
        hint = f"write {owner}/{name}"
        fields.findings.warning(node.location, f"{text!r} is the old form of a gateway's name", hint, "IST0133")


def _host_hint(text: str) -> str:
    if "://" in text:
        return "a host has no scheme"
    if text.rpartition(":")[2].isdigit():
        return "a host has no port"
    return ""
