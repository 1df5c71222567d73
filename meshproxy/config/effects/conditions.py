"""Match blocks that no request can meet here, by what is known of all requests or by what they ask for themselves.

What is wrong with a single condition whatever the configuration is, such as a path without ``/``, is reported where it
is read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.covering import text_covers
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.names import HostSet
from meshproxy.config.virtual_service import VirtualService
from meshproxy.regex import full_match
from meshproxy.routes import Comparison, TextMatch, VirtualHost
from meshproxy.routing import host_of

_HTTPS = "https"
_HINT = "with numTrustedProxies in the Mesh document, the x-forwarded-proto of a proxy in front counts"


def warn_of_unmet_conditions(compiled: Compiled, findings: Findings) -> None:
    """Report blocks of active virtual services that no request meets."""
    # Nothing but a trusted proxy can say that a request came over TLS.
    schemes = ("http", _HTTPS) if compiled.objects.mesh.settings.trusted_proxies else ("http",)
    names = _Names(compiled)
    for service in compiled.active:
        if not service.judged or service.metadata in compiled.faulty:
            continue
        hosts = _Hosts(service)
        # A block of a route that delegates is judged with those of the delegate, which are not known here.
        delegates = any(route.delegate is not None for route in service.http)
        for match in service.judged:
            reason = _reason(match, schemes, hosts) or ("" if delegates else names.reason(match, service))
            if reason:
                hint = _HINT if match.scheme is not None and _meets(_HTTPS, match.scheme) else ""
                findings.warning(match.location, f"no request meets this match: {reason}", hint)


def _reason(match: Match, schemes: tuple[str, ...], hosts: _Hosts) -> str:
    """Why no request meets a block, "" if that is not certain."""
    if match.scheme is not None and not any(_meets(scheme, match.scheme) for scheme in schemes):
        return f"the scheme of requests is {' or '.join(schemes)} here"
    if match.authority is not None and not hosts.may_have(match.authority):
        return f"its authority {match.authority.value!r} is of no host of this VirtualService"
    name = _contradiction(match.headers, match.without_headers)
    return f"what withoutHeaders says of {name!r} excludes what headers says" if name else ""


class _Hosts:
    """The hosts of a virtual service, by which authorities can be theirs."""

    def __init__(self, service: VirtualService) -> None:
        hosts = [host.lower() for host, _ in service.hosts]
        self._patterns = HostSet(hosts)
        self._sorted = sorted(hosts)
        self._have_wildcard = any(host.startswith("*") for host in hosts)

    def may_have(self, authority: TextMatch) -> bool:
        """False if no authority that meets a condition is of one of the hosts."""
        text = authority.value.lower()
        name = host_of(text.encode()).decode()
        if authority.comparison is Comparison.EXACT:
            return self._patterns.overlaps(name)
        if authority.comparison is not Comparison.PREFIX or self._have_wildcard:
            return True
        at = bisect_left(self._sorted, text)
        longer = at < len(self._sorted) and self._sorted[at].startswith(text)
        return longer or (name != text and bool(self._patterns.within(name)))


class _Names:
    """Which virtual services have routes for the requests of a name, table by table."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._served: dict[int, set[VirtualService]] = {}

    @cached_property
    def _tables(self) -> list[tuple[dict[str, VirtualHost], HostSet]]:
        tables = [{host.host: host for host in table.virtual_hosts} for table in self._compiled.tables]
        return [(hosts, HostSet(hosts)) for hosts in tables]

    def reason(self, match: Match, service: VirtualService) -> str:
        """Why no request meets a block: there is no host for its authority, or a narrower one than its service has."""
        authority = match.authority
        if authority is None or authority.comparison is not Comparison.EXACT:
            return ""
        name = host_of(authority.value.encode()).decode()
        chosen = [name if name in hosts else patterns.narrowest(name) for hosts, patterns in self._tables]
        for (hosts, _), host in zip(self._tables, chosen, strict=True):
            if host is not None and service in self._services(hosts[host]):
                return ""
        others = [host for host, present in zip(chosen, self._present, strict=True) if service in present]
        narrower = next(filter(None, others), "")
        if narrower:
            return f"requests for {name} are those of host {narrower}, which has no route of this VirtualService"
        return f"its Gateways have no host for {name}" if others else ""

    @cached_property
    def _present(self) -> list[set[VirtualService]]:
        """Those that have routes at all in each table."""
        lists = [{id(host.routes): host for host in hosts.values()} for hosts, _ in self._tables]
        return [set().union(*map(self._services, it.values())) for it in lists]

    def _services(self, host: VirtualHost) -> set[VirtualService]:
        known = self._served.get(id(host.routes))
        if known is None:
            owners = self._compiled.owners
            places = [route.location for route in host.routes if route.location is not None]
            known = self._served[id(host.routes)] = {
                owner for place in places if (owner := owners.get(place)) is not None
            }
        return known


def _meets(text: str, condition: TextMatch) -> bool:
    if condition.comparison is Comparison.EXACT:
        return text == condition.value
    if condition.comparison is Comparison.PREFIX:
        return text.startswith(condition.value)
    return condition.comparison is Comparison.PRESENT or bool(full_match(condition.value)(text.encode()))


def _contradiction(present: Mapping[str, TextMatch], absent: Mapping[str, TextMatch]) -> str:
    """A header that has to have a value and may not have it, "" if there is none."""
    folded = {name.lower(): condition for name, condition in present.items()}
    for name, condition in absent.items():
        wanted = folded.get(name.lower())
        if wanted is not None and text_covers(condition, wanted):
            return name
    return ""
