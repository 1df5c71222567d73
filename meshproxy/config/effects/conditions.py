"""Match blocks that no request can meet here, by what is known of all requests or by what they ask for themselves.

What is wrong with a single condition whatever the configuration is, such as a path without ``/``, is reported where it
is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.covering import text_covers
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.names import HostSet, is_within
from meshproxy.config.virtual_service import VirtualService
from meshproxy.regex import full_match
from meshproxy.routes import Comparison, TextMatch
from meshproxy.routing import host_of

_HTTPS = "https"
_HINT = "with numTrustedProxies in the Mesh document, the x-forwarded-proto of a proxy in front counts"


def warn_of_unmet_conditions(compiled: Compiled, findings: Findings) -> None:
    """Report blocks of active virtual services that no request meets."""
    # Nothing but a trusted proxy can say that a request came over TLS.
    schemes = ("http", _HTTPS) if compiled.objects.mesh.settings.trusted_proxies else ("http",)
    for service in compiled.active:
        if service.judged and service.metadata not in compiled.faulty:
            for match in service.judged:
                reason = _reason(match, schemes, service) or _other_host(match, service, compiled)
                if reason:
                    hint = _HINT if match.scheme is not None and _meets(_HTTPS, match.scheme) else ""
                    findings.warning(match.location, f"no request meets this match: {reason}", hint)


def _reason(match: Match, schemes: tuple[str, ...], service: VirtualService) -> str:
    """Why no request meets a block, "" if that is not certain."""
    if match.scheme is not None and not any(_meets(scheme, match.scheme) for scheme in schemes):
        return f"the scheme of requests is {' or '.join(schemes)} here"
    authority = match.authority
    if authority is not None and not any(_may_be_of(host.lower(), authority) for host, _ in service.hosts):
        return f"its authority {authority.value!r} is of no host of this VirtualService"
    name = _contradiction(match.headers, match.without_headers)
    return f"what withoutHeaders says of {name!r} excludes what headers says" if name else ""


def _other_host(match: Match, service: VirtualService, compiled: Compiled) -> str:
    """Why none does for which there is no host here, or a narrower one than any of this virtual service."""
    authority = match.authority
    if authority is None or authority.comparison is not Comparison.EXACT or any(it.delegate for it in service.http):
        return ""
    own = {place for it in service.http for place in (it.location, *(block.location for block in it.matches))}
    name = host_of(authority.value.encode()).decode()
    others: list[str | None] = []
    for table in compiled.tables:
        hosts = {host.host: host for host in table.virtual_hosts}
        if any(route.location in own for host in hosts.values() for route in host.routes):
            chosen = name if name in hosts else HostSet(hosts).narrowest(name)
            if chosen is not None and any(route.location in own for route in hosts[chosen].routes):
                return ""
            others.append(chosen)
    narrower = next(filter(None, others), "")
    if narrower:
        return f"requests for {name} are those of host {narrower}, which has no route of this VirtualService"
    return f"its Gateways have no host for {name}" if others else ""


def _meets(text: str, condition: TextMatch) -> bool:
    if condition.comparison is Comparison.EXACT:
        return text == condition.value
    if condition.comparison is Comparison.PREFIX:
        return text.startswith(condition.value)
    return condition.comparison is Comparison.PRESENT or bool(full_match(condition.value)(text.encode()))


def _may_be_of(host: str, condition: TextMatch) -> bool:
    """False if no authority that meets a condition has a host, perhaps with a wildcard, in lower case."""
    text = condition.value.lower()
    if condition.comparison is Comparison.EXACT:
        return is_within(host_of(text.encode()).decode(), host)
    if condition.comparison is Comparison.PREFIX and not host.startswith("*"):
        return host.startswith(text) or text.startswith(f"{host}:")
    return True


def _contradiction(present: Mapping[str, TextMatch], absent: Mapping[str, TextMatch]) -> str:
    """A header that has to have a value and may not have it, "" if there is none."""
    folded = {name.lower(): condition for name, condition in present.items()}
    for name, condition in absent.items():
        wanted = folded.get(name.lower())
        if wanted is not None and text_covers(condition, wanted):
            return name
    return ""
