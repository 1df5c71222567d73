"""The kind ``Gateway``: which ports are opened, for which hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from meshproxy.config import checks, server_tls
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import EVERYWHERE, HostSet
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    canonical_ip,
    is_dns_label,
    is_partial_wildcard,
    is_wildcard_domain,
)
from meshproxy.errors import ConfigError, Diagnostic, Location

# Both speak HTTP/1.1 here; that is all that is served so far.
_SERVED_PROTOCOLS = frozenset({"HTTP", "HTTP_PROXY"})
UNOPENED = "UDP"
"""The protocol of servers that Istio takes and does nothing with."""

_UNIX = "unix://"


@frozen(eq=False)
class ServerHost:
    """A host of a server. Only virtual services of ``namespace`` may use it; those of all where that is ``*``.

    ``everything``: it is written ``*/*``.
    """

    namespace: str
    host: str
    location: Location
    everything: bool = False


class HostsByNamespace:
    """Hosts of servers, and which of them virtual services of a namespace may use."""

    __slots__ = ("_by_namespace", "_sets")

    def __init__(self, entries: Iterable[ServerHost]) -> None:
        self._by_namespace: dict[str, list[tuple[int, str]]] = {}
        for position, entry in enumerate(entries):
            self._by_namespace.setdefault(entry.namespace, []).append((position, entry.host))
        self._sets: dict[str, HostSet] = {}

    def usable(self, namespace: str) -> HostSet:
        """Those for all namespaces and those for this one, in order."""
        own = self._by_namespace.get(namespace, [])  # nearly all have none, and share a set
        key = namespace if own else EVERYWHERE
        if key not in self._sets:
            shared = self._by_namespace.get(EVERYWHERE, [])
            found = shared if key == EVERYWHERE else sorted([*shared, *own])
            self._sets[key] = HostSet([host for _, host in found])
        return self._sets[key]


@frozen(eq=False)
class Server:
    """A port of a gateway.

    ``bind`` is an IP, empty for all addresses, or a ``unix://`` address with port 0. ``has_tls``: there is a ``tls``
    block, even if it says nothing. ``unserved`` is what is to be reported if the server has an effect at all.
    """

    bind: str
    port: int
    hosts: tuple[ServerHost, ...]
    location: Location
    protocol: str = "HTTP"
    has_tls: bool = False
    https_redirect: bool = False
    unserved: tuple[Diagnostic, ...] = ()
    _by_namespace: HostsByNamespace = field(init=False, repr=False)

    @_by_namespace.default
    def _arrange(self) -> HostsByNamespace:
        return HostsByNamespace(self.hosts)

    @property
    def is_http(self) -> bool:
        """True for a server of plain HTTP in any version."""
        return self.protocol in HTTP_PROTOCOLS

    @property
    def is_encrypted(self) -> bool:
        """True for one that finds its connections by SNI."""
        return self.has_tls and not self.is_http

    def hosts_for(self, namespace: str) -> HostSet:
        """The hosts that virtual services of a namespace may use."""
        return self._by_namespace.usable(namespace)


@frozen(eq=False)
class Gateway:
    """Its servers, and the labels that a proxy needs to have in order to open them."""

    metadata: Metadata
    selector: Mapping[str, str]
    servers: tuple[Server, ...]


def decode(document: Document, findings: Findings) -> Gateway:
    """The gateway, without the servers that are wrong."""
    metadata = document.metadata
    if not is_dns_label(metadata.name):
        findings.error(metadata.location, f"metadata.name of a Gateway must be a DNS label, not {metadata.name!r}")
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return Gateway(metadata, {}, ())
    fields = Fields(document.spec, findings, ("selector", "servers"))
    if fields.is_empty("servers"):
        findings.error(fields.location_of("servers"), "spec.servers needs at least one server")
    selector = {
        key: value for key, node in fields.entries("selector") if (value := findings.attempt(node.string)) is not None
    }
    names: set[str] = set()
    servers = (_server(node, metadata.namespace, names, findings) for node in fields.items("servers"))
    return Gateway(metadata, selector, tuple(server for server in servers if server is not None))


def _server(node: Node, namespace: str, names: set[str], findings: Findings) -> Server | None:
    fields = Fields(node, findings, ("port", "hosts", "bind", "name", "tls", "defaultEndpoint"))
    fields.string("name")  # names statistics only
    if fields.string("defaultEndpoint"):
        place = node.key_location("defaultEndpoint")
        findings.warning(place, f"{fields.path_of('defaultEndpoint')} has no effect, as in Istio")
    with findings.unserved_aside() as unserved:
        number, protocol = _port(fields, names)
        hosts = _hosts(fields, namespace)
        bind = fields.text("bind", _bind)
        if bind is not None and bind.startswith(_UNIX):
            not_served(findings, fields.location_of("bind"), f"{fields.path_of('bind')} to a unix socket")
        redirect = _tls(fields, protocol)
    if number is None or protocol is None or not hosts or bind is None:
        return None
    if protocol == UNOPENED:
        findings.warning(node.location, f"{node.path} is not opened: a gateway does nothing with {UNOPENED}")
    return Server(bind, number, hosts, node.location, protocol, "tls" in fields, redirect, tuple(unserved))


def _port(fields: Fields, names: set[str]) -> tuple[int | None, str | None]:
    """The number and the protocol, in upper case."""
    findings = fields.findings
    node = fields.required("port")
    if node is None:
        return None, None
    port = Fields(node, findings, ("number", "protocol", "name", "targetPort"))
    if port.integer("targetPort", 0, checks.LARGEST_PORT):
        findings.error(node.key_location("targetPort"), f"{port.path_of('targetPort')} has no effect on a gateway")
    name = port.required("name") and port.read("name", _port_name)
    if name in names:
        findings.error(port.location_of("name"), f"{port.path_of('name')} {name!r} is there twice in this Gateway")
    elif name:
        names.add(name)
    port.required("number")
    port.required("protocol")
    unix = _is_unix(fields)
    number = port.integer("number", 0 if unix else 1, 0 if unix else checks.LARGEST_PORT)
    protocol = port.read("protocol", checks.protocol)
    if protocol is not None and protocol not in _SERVED_PROTOCOLS and protocol != UNOPENED:
        not_served(findings, port.location_of("protocol"), f"protocol {protocol} of a gateway's port")
    return number, protocol


def _port_name(node: Node) -> str:
    """Any text: unlike that of a service's port, this name means nothing to anybody."""
    text = node.string()
    if not text:
        node.fail(f"{node.path} may not be empty")
    return text


def _tls(fields: Fields, protocol: str | None) -> bool:
    """Whether plain requests are redirected to https."""
    node = fields.get("tls")
    if node is not None:
        return server_tls.redirects(node, protocol, fields.findings)
    if protocol in TLS_PROTOCOLS:
        fields.findings.error(fields.node.location, f"{fields.path_of('tls')} is required for protocol {protocol}")
    return False


def _hosts(fields: Fields, namespace: str) -> tuple[ServerHost, ...]:
    if fields.required("hosts") is None:
        return ()
    if fields.is_empty("hosts"):
        fields.findings.error(fields.location_of("hosts"), f"{fields.path_of('hosts')} needs at least one host")
    read = [fields.findings.attempt(_host, node, namespace) for node in fields.items("hosts")]
    # It takes the place of the whole list.
    everything = next((host for host in read if host is not None and host.everything), None)
    found: dict[tuple[str, str], ServerHost] = {}
    for host in read:
        if host is None:
            continue
        first = everything or found.setdefault((host.namespace, host.host), host)
        if first is not host:
            why = "is there again" if everything is None or host.everything else "has no effect beside '*/*'"
            fields.findings.warning(host.location, f"host {host.host} {why}", f"see {first.location}")
    return tuple(found.values()) if everything is None else (everything,)


def _host(node: Node, namespace: str) -> ServerHost:
    text = node.string()
    owner, slash, host = text.rpartition("/")
    if slash and not (owner in (".", EVERYWHERE) or is_dns_label(owner)):
        node.fail(f"{node.path} {text!r}: the part before '/' must be a namespace, '.' or '*'")
    if host != "*":
        if canonical_ip(host) is None and not is_wildcard_domain(host):
            node.fail(f"{node.path} must be [NAMESPACE/]HOST, not {text!r}")
        if "." not in host:
            what = "an IPv6 address" if ":" in host else "a short name"
            node.fail(f"{node.path} {text!r} may not be {what}", "a Gateway's hosts need a dot, or be '*'")
        if is_partial_wildcard(host):
            node.fail(f"{node.path} {text!r}: '*' has to stand for whole labels", "write *.DOMAIN")
    return ServerHost({"": EVERYWHERE, ".": namespace}.get(owner, owner), host, node.location, text == "*/*")


def _bind(node: Node) -> str:
    text = node.string()
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith(("/", "@")) or path.endswith("/"):
            node.fail(f"{node.path} must be unix:// and an absolute path or @name, not {text!r}")
        return text
    address = canonical_ip(text)
    if address is None:
        node.fail(f"{node.path} must be an IP address, not {text!r}")
    return address


def _is_unix(fields: Fields) -> bool:
    node = fields.get("bind")
    try:
        return node is not None and node.string().startswith(_UNIX)
    except ConfigError:
        return False
