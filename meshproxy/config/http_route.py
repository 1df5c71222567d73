"""An entry of a virtual service's ``http``: which fields it has, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import evolve

from meshproxy.config import destinations, header_operations, http_actions, http_match, http_policies
from meshproxy.config.decoding import Fields
from meshproxy.config.destinations import LARGEST_WEIGHT, Destination, Scope
from meshproxy.config.findings import Findings
from meshproxy.config.header_operations import NO_HEADERS, Headers
from meshproxy.config.http_actions import RedirectSettings, RewriteSettings
from meshproxy.config.http_match import Match
from meshproxy.config.http_policies import Retries
from meshproxy.config.nodes import Node
from meshproxy.errors import Location
from meshproxy.records import record
from meshproxy.routes import ALWAYS, Comparison, CorsPolicy, DirectResponse, Fault

_T = TypeVar("_T")
_PERCENT_HINT = "use mirrorPercentage: {value: N}"
_FORWARDING = ("timeout", "retries", "mirror", "mirrors", "corsPolicy")
_MIRROR_PERCENT = ("mirrorPercent", "mirror_percent")
_MIRRORING = ("mirror", "mirrors", "mirrorPercentage", *_MIRROR_PERCENT)
_FIELDS = frozenset(
    {
        "name",
        "match",
        "route",
        "redirect",
        "directResponse",
        "delegate",
        "rewrite",
        "fault",
        "headers",
        "mirrorPercentage",
        *_FORWARDING,
        *_MIRROR_PERCENT,
    }
)
_DESTINATION_FIELDS = frozenset({"destination", "weight", "headers"})


# Nearly all entries have nothing else; with destinations, nothing can be wrong about how these go together.
_USUAL = frozenset({"name", "match", "route"})


@record(eq=False)
class RouteDestination:
    """An entry of ``route``. ``weight`` counts only among several."""

    destination: Destination
    weight: int
    headers: Headers


@record(eq=False)
class MirrorSettings:
    """An entry of ``mirrors``; ``share`` None: no percentage is given."""

    destination: Destination
    share: int | None


@record(eq=False)
class DelegateReference:
    """The virtual service whose routes are to be used; ``namespace`` is completed."""

    name: str
    namespace: str
    location: Location

    @property
    def qualified(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@record(eq=False)
class HttpRoute:
    """An entry of ``http``. Without ``matches`` it takes every request. None and empty: not given.

    ``mirror_share`` comes from ``mirrorPercentage``, ``mirror_percent`` from the deprecated field.
    """

    location: Location
    name: str = ""
    matches: tuple[Match, ...] = ()
    destinations: tuple[RouteDestination, ...] = ()
    redirect: RedirectSettings | None = None
    direct_response: DirectResponse | None = None
    delegate: DelegateReference | None = None
    rewrite: RewriteSettings | None = None
    timeout: float | None = None
    retries: Retries | None = None
    fault: Fault | None = None
    mirror: Destination | None = None
    mirror_share: int | None = None
    mirror_percent: int | None = None
    mirrors: tuple[MirrorSettings, ...] = ()
    cors: CorsPolicy | None = None
    headers: Headers | None = None

    @property
    def acts(self) -> bool:
        """False for one that has nothing to do, because what it should do is wrong or in a delegate."""
        return bool(self.destinations) or self.redirect is not None or self.direct_response is not None

    @property
    def is_plain(self) -> bool:
        """Whether it does nothing but sending its requests, as they are, to one destination."""
        return (
            len(self.destinations) == 1
            and self.destinations[0].headers is NO_HEADERS
            and self.headers is None
            and self.rewrite is None
            and self.timeout is None
            and self.retries is None
            and self.cors is None
            and self.mirror is None
            and not self.mirrors
        )

    @property
    def drawn(self) -> tuple[RouteDestination, ...]:
        """The destinations that get requests."""
        if len(self.destinations) == 1:
            return self.destinations
        return tuple(entry for entry in self.destinations if entry.weight)

    @property
    def forwards(self) -> bool:
        """Whether requests go to its destinations."""
        return self.redirect is None and self.direct_response is None

    def mirrored(self) -> list[tuple[Destination, int]]:
        """The destinations of copies with their shares, without those that get none."""
        if self.mirror is None and not self.mirrors:
            return []
        found = [(entry.destination, ALWAYS if entry.share is None else entry.share) for entry in self.mirrors]
        if self.mirror is not None:
            share = self.mirror_percent if self.mirror_share is None else self.mirror_share
            found.insert(0, (self.mirror, ALWAYS if share is None else share))
        return [(destination, share) for destination, share in found if share]


def decode(node: Node, scope: Scope, findings: Findings, in_mesh: bool, is_delegate: bool) -> HttpRoute:
    """An entry without what is wrong with it.

    ``in_mesh``: its virtual service is for sidecars, too. ``is_delegate``: its virtual service has no hosts.
    """
    fields = Fields(node, findings, _FIELDS)
    route = HttpRoute(
        node.location,
        http_match.decode_name(fields),
        tuple([http_match.decode(block, scope.namespace, findings, in_mesh) for block in fields.items("match")]),
        _destinations(fields, scope),
    )
    if route.destinations and fields.has_only(_USUAL):
        return route
    route = evolve(
        route,
        cors=_block(fields, "corsPolicy", http_policies.decode_cors),
        delegate=_block(fields, "delegate", lambda it, found: _delegate(it, scope, found)),
        direct_response=_block(fields, "directResponse", http_actions.decode_direct_response),
        fault=_block(fields, "fault", http_policies.decode_fault),
        headers=_block(fields, "headers", header_operations.decode),
        redirect=_block(fields, "redirect", http_actions.decode_redirect),
        retries=_block(fields, "retries", http_policies.decode_retries),
        rewrite=_block(fields, "rewrite", http_actions.decode_rewrite),
        timeout=fields.duration("timeout"),
    )
    _check_actions(fields, is_delegate)
    _check_authority(fields, route)
    _check_times(fields, route)
    if route.redirect is not None and route.redirect.prefix_rewrite:
        _check_prefix_matches(fields, route)
    if any(name in fields for name in _MIRRORING):
        route = _with_mirrors(route, fields, scope)
    return route


def _block(fields: Fields, name: str, decoder: Callable[[Node, Findings], _T]) -> _T | None:
    node = fields.get(name)
    return None if node is None else decoder(node, fields.findings)


def _check_actions(fields: Fields, is_delegate: bool) -> None:
    """Which kinds of route there are, and what each of them excludes."""
    findings, path = fields.findings, fields.node.path
    given = [name for name in ("route", "redirect", "directResponse") if not _is_absent(fields, name)]
    if "delegate" in fields:
        place = fields.node.key_location("delegate")
        if is_delegate:
            findings.error(place, f"{path} is in a delegate, so it cannot delegate itself")
        else:
            _exclude(fields, "delegate", ("route", "redirect"))
        return
    if not given:
        findings.error(fields.node.location, f"{path} needs route, redirect or directResponse")
        return
    if given[-1] == "route":
        return
    action = "redirect" if "redirect" in fields else "directResponse"
    others = ("route", "fault", "rewrite", "directResponse")
    _exclude(fields, action, tuple(name for name in others if name != action))
    for name in _FORWARDING:
        if name in fields:
            findings.warning(fields.node.key_location(name), f"{path}.{name} has no effect on a {action}")
    headers = fields.get("headers")
    if headers is not None and headers.get("request") is not None:
        place = headers.key_location("request")
        findings.warning(place, f"{headers.path}.request has no effect on a {action}")


def _exclude(fields: Fields, action: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not _is_absent(fields, name):
            message = f"{fields.node.path} may not have both {action} and {name}"
            fields.findings.error(fields.node.key_location(name), message)


def _is_absent(fields: Fields, name: str) -> bool:
    return name not in fields or (name == "route" and fields.is_empty(name))


def _check_authority(fields: Fields, route: HttpRoute) -> None:
    written = "" if route.rewrite is None else route.rewrite.authority
    headers = route.headers or NO_HEADERS
    if written and headers.authority is not None:
        message = f"{fields.node.path} sets the authority in rewrite and in headers"
        fields.findings.error(headers.authority_location, message)
    winner = "rewrite" if written else "headers" if headers.authority is not None else ""
    for entry in route.destinations if winner else ():
        if entry.headers.authority is not None:
            message = f"this authority has no effect beside that of {fields.path_of(winner)}"
            fields.findings.warning(entry.headers.authority_location, message)


def _check_times(fields: Fields, route: HttpRoute) -> None:
    """A try ends with its route at the latest."""
    tries = None if route.retries is None else route.retries.policy
    if tries is None or tries.per_try_timeout is None or route.timeout is None:
        return
    if tries.per_try_timeout >= route.timeout:
        node = fields.get("retries")
        assert node is not None
        message = f"{node.path}.perTryTimeout has no effect: it is not shorter than the timeout of the route"
        fields.findings.warning(node.key_location("perTryTimeout"), message)


def _check_prefix_matches(fields: Fields, route: HttpRoute) -> None:
    for match in route.matches:
        if match.uri is not None and match.uri.comparison is not Comparison.PREFIX:
            message = f"{fields.node.path}.redirect.prefixRewrite needs a prefix in every uri of its matches"
            fields.findings.error(fields.node.key_location("redirect"), message, f"see {match.location}")
            return


def _destinations(fields: Fields, scope: Scope) -> tuple[RouteDestination, ...]:
    entries = fields.items("route")
    read = [_route_destination(entry, scope, fields.findings) for entry in entries]
    found = tuple([destination for destination in read if destination is not None])
    if len(read) > 1 and len(found) == len(read) and not any(entry.weight for entry in found):
        fields.findings.error(fields.location_of("route"), f"{fields.path_of('route')}: all weights are 0")
    elif len(read) > 1:
        for entry in entries:
            if entry.kind == "mapping" and entry.get("weight") is None:
                message = f"{entry.path} gets no requests: it has no weight, and the others have"
                fields.findings.warning(entry.location, message, "write weight: 0 if that is meant")
    return found


def _route_destination(node: Node, scope: Scope, findings: Findings) -> RouteDestination | None:
    fields = Fields(node, findings, _DESTINATION_FIELDS)
    weight = fields.integer("weight", 0, LARGEST_WEIGHT) or 0
    headers = _block(fields, "headers", header_operations.decode) or NO_HEADERS
    inner = fields.required("destination")
    destination = None if inner is None else destinations.decode(inner, scope, findings)
    return None if destination is None else RouteDestination(destination, weight, headers)


def _delegate(node: Node, scope: Scope, findings: Findings) -> DelegateReference:
    fields = Fields(node, findings, ("name", "namespace"))
    return DelegateReference(fields.string("name"), fields.string("namespace") or scope.namespace, node.location)


def _with_mirrors(route: HttpRoute, fields: Fields, scope: Scope) -> HttpRoute:
    node, findings = fields.node, fields.findings
    mirror_node = fields.get("mirror")
    mirror = None if mirror_node is None else destinations.decode(mirror_node, scope, findings, mirror=True)
    read = [_mirror(entry, scope, findings) for entry in fields.items("mirrors")]
    if "mirror" in fields and not fields.is_empty("mirrors"):
        findings.error(node.key_location("mirrors"), f"{node.path} may not have both mirror and mirrors")
    names = [name for name in _MIRROR_PERCENT if name in fields]
    percent = None
    for name in names:
        findings.warning(node.key_location(name), f"{fields.path_of(name)} is deprecated", _PERCENT_HINT, "IST0133")
        percent = fields.integer(name, 0, 100)
    if len(names) > 1:
        findings.error(node.key_location(names[1]), f"{node.path} may not have both {names[0]} and {names[1]}")
    for name in ("mirrorPercentage", *names):
        if name in fields and "mirror" not in fields and "delegate" not in fields:
            findings.warning(node.key_location(name), f"{fields.path_of(name)} has no effect without mirror")
    return evolve(
        route,
        mirror=mirror,
        mirror_share=http_policies.percentage(fields, "mirrorPercentage"),
        mirror_percent=None if percent is None else percent * ALWAYS // 100,
        mirrors=tuple(entry for entry in read if entry is not None),
    )


def _mirror(node: Node, scope: Scope, findings: Findings) -> MirrorSettings | None:
    fields = Fields(node, findings, ("destination", "percentage"))
    share = http_policies.percentage(fields, "percentage")
    inner = fields.required("destination")
    destination = None if inner is None else destinations.decode(inner, scope, findings, mirror=True)
    return None if destination is None else MirrorSettings(destination, share)
