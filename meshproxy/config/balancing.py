"""``loadBalancer`` of a DestinationRule: the strategies that it names, made from their fields.

The name of a field is the name of the strategy; bundled strategies and those of third parties come through the same
door. What a strategy refuses or how it fails becomes an error at the line that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from attrs import evolve, frozen
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from meshproxy.config import locality, policy_blocks
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.locality import LocalitySetting
from meshproxy.config.nodes import Node, Setting
from meshproxy.errors import ConfigError, Location
from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.interfaces import (
    IBoundsLoad,
    IHashKey,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    IWarmsUp,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup
from meshproxy.registry import Registry
from meshproxy.routes import KeyOrigin

_T = TypeVar("_T")

DEFAULT = "LEAST_REQUEST"
_HASH_KEYS = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
_HASH_BALANCERS = ("ringHash", "maglev")
_SIMPLE = ("UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST")
_ALIASES = {"UNSPECIFIED": DEFAULT, "LEAST_CONN": DEFAULT}
_SERVED = ("simple", "consistentHash", "localityLbSetting", "warmup", "warmupDurationSecs")
_LATER = ("backendUtilization", "zoneAwareLbSetting")
_LATER_CHECKS: Mapping[str, Callable[[Node, Findings], None]] = {
    "backendUtilization": policy_blocks.check_utilization,
    "zoneAwareLbSetting": policy_blocks.check_zone_aware,
}
_RING = "ringHash"
_LEGACY_SIZE = "minimumRingSize"


@frozen(eq=False)
class Balancing:
    """What a ``loadBalancer`` block says. ``consistent``: it has ``consistentHash``, with or without a key.

    ``location`` is that of the block or of ``consistentHash``, ``named_at`` where the strategy is named, None for the
    default one.
    ``locality`` is None where the block does not speak of localities, ``key_origin`` where there is no ``hash_key``.
    """

    name: str
    builder: ILoadBalancerBuilder
    location: Location
    named_at: Location | None
    hash_key: IHashKey | None = None
    consistent: bool = False
    locality: LocalitySetting | None = None
    key_origin: KeyOrigin | None = None
    warmup: Warmup | None = None


class Strategies:
    """The registry's strategies as a load asks for them."""

    def __init__(self, registry: Registry, findings: Findings) -> None:
        self._registry = registry
        self._findings = findings
        self._verified: set[tuple[type[Interface], type]] = set()
        self.hash_keys = [name for name in registry.hash_keys if name in _HASH_KEYS or "/" in name]
        self.hash_balancers = [name for name in registry.load_balancers if name in _HASH_BALANCERS or "/" in name]
        self.simple = [name for name in registry.load_balancers if name in _SIMPLE or "/" in name]

    @cached_property
    def default(self) -> Balancing | None:
        """What balances where no rule says anything; None if it cannot be made, which is reported once."""
        return self.balancing(DEFAULT, None, None)

    @property
    def problems(self) -> str:
        """Sentences about plugins that are there and cannot be used, "" if all can."""
        return "; ".join(self._registry.problems)

    def hash_key(self, name: str, config: Node, location: Location) -> IHashKey | None:
        """A hash key made from its field, None where it means none or is wrong. ``location`` is that of its name."""
        factory = self._registry.hash_keys.get(name)
        if factory is None:
            self.missing(name, location)
            return None
        setting = config.as_setting()
        key = self._made(IHashKey, name, location, lambda: factory.from_config(setting), or_none=True)
        self._warn(setting)
        return key

    def balancing(self, name: str, config: Node | None, location: Location | None) -> Balancing | None:
        """A load balancer's builder, None if it cannot be made."""
        factory = self._registry.load_balancers.get(name)
        if factory is None:
            self.missing(name, location)
            return None
        setting = None if config is None else config.as_setting()
        builder = self._made(ILoadBalancerBuilder, name, location, lambda: factory.from_config(setting))
        if setting is not None:
            self._warn(setting)
        return None if builder is None else Balancing(name, builder, location or Location(""), location)

    def build(
        self, balancing: Balancing, builder: ILoadBalancerBuilder, endpoints: Sequence[Endpoint]
    ) -> ILoadBalancer | None:
        """The balancer of one cluster, None if building it failed. ``builder`` is made from that of ``balancing``."""
        return self._made(ILoadBalancer, balancing.name, balancing.named_at, lambda: builder.build(endpoints))

    def bounded(self, balancing: Balancing, bounds: IBoundsLoad, factor: int) -> ILoadBalancerBuilder | None:
        """The builder of balancers with bounded loads, None if it cannot be made. ``bounds`` is that of a block."""
        return self._made(ILoadBalancerBuilder, balancing.name, balancing.named_at, lambda: bounds.bounded(factor))

    def table_bytes(self, balancing: Balancing, table: IHasTable) -> int:
        """How much memory the table of a balancer takes, 0 if it cannot tell, which is an error."""
        return self._answer(balancing.name, balancing.named_at, lambda: int(table.table_bytes)) or 0

    def _warn(self, setting: Setting) -> None:
        for it in setting.warnings:
            self._findings.warning(it.location, it.message, it.hint)

    def _made(
        self,
        interface: type[Interface],
        name: str,
        location: Location | None,
        make: Callable[[], _T],
        or_none: bool = False,
    ) -> _T | None:
        """What a strategy makes; None when it raises or makes something else, which is an error of the configuration.

        ``or_none``: it may also make None.
        """

        def checked() -> _T | None:
            made = make()
            if made is None and or_none:
                return None
            return made if self._provides(interface, made, name, location) else None

        return self._answer(name, location, checked)

    def _answer(self, name: str, location: Location | None, ask: Callable[[], _T]) -> _T | None:
        """What a strategy answers; None when it raises, which is an error of the configuration."""
        try:
            return ask()
        except ConfigError as error:
            self._findings.diagnostics.extend(error.diagnostics)
        except PLUGIN_ERRORS as error:
            self._findings.error(location, f"strategy {name} failed: {describe_failure(error)}")
        return None

    def missing(self, name: str, location: Location | None, hint: str = "") -> None:
        """Report a strategy that nothing provides."""
        hint = _joined(hint, self.problems) or "meshproxy plugins lists what is installed"
        self._findings.error(location, f"no plugin provides the strategy {name}", hint)

    def _provides(self, interface: type[Interface], thing: object, name: str, location: Location | None) -> bool:
        kind = (interface, type(thing))
        if kind in self._verified:
            return True
        try:
            verifyObject(interface, thing, tentative=True)
            self._verified.add(kind)
        except Invalid as error:
            reason = "it returned None" if thing is None else " ".join(str(error).split())
            self._findings.error(location, f"strategy {name} made something that is no {interface.__name__}: {reason}")
            return False
        return True


def decode(node: Node, findings: Findings, strategies: Strategies, ejecting: bool) -> Balancing | None:
    """A ``loadBalancer`` block; None if there is anything wrong with it.

    ``ejecting``: an ``outlierDetection`` stands beside it.
    """
    fields = Fields(node, findings, _SERVED, _LATER)
    for name, check in _LATER_CHECKS.items():
        block = fields.get(name)
        if block is not None:
            check(block, findings)
    warmup = _warmup(fields)
    for one, other in (("warmup", "warmupDurationSecs"), ("localityLbSetting", "zoneAwareLbSetting")):
        if one in fields and other in fields:
            findings.error(node.key_location(other), f"{node.path} may have only one of {one} and {other}")
    setting = fields.get("localityLbSetting")
    by_locality = None if setting is None else locality.decode(setting, findings, ejecting)
    if "simple" in fields and ("consistentHash" in fields or "backendUtilization" in fields):
        findings.error(node.location, f"{node.path} may have only one of simple, consistentHash, backendUtilization")
        return None
    consistent = fields.get("consistentHash")
    if consistent is not None:
        balancing = _consistent_hash(consistent, findings, strategies)
    else:
        balancing = _simple(fields.get("simple"), findings, strategies)
    if balancing is None:
        return None
    if by_locality is not None and by_locality.weighted and not IWeighsLocalities.providedBy(balancing.builder):
        location = fields.location_of("localityLbSetting")
        not_served(findings, location, f"{fields.path_of('localityLbSetting')} with strategy {balancing.name}")
        return None
    if warmup is not None and not IWarmsUp.providedBy(balancing.builder):
        name = "warmup" if "warmup" in fields else "warmupDurationSecs"
        message = f"{fields.path_of(name)} has no effect with {balancing.name}"
        findings.warning(node.key_location(name), message, "ROUND_ROBIN and LEAST_REQUEST let endpoints warm up")
        warmup = None
    return evolve(balancing, locality=by_locality, warmup=warmup)


def _warmup(fields: Fields) -> Warmup | None:
    seconds = fields.duration("warmupDurationSecs")
    node = fields.get("warmup")
    if node is None:
        return None if seconds is None else Warmup(seconds)
    inner = Fields(node, fields.findings, ("duration", "minimumPercent", "aggression"))
    inner.required("duration")
    seconds = inner.duration("duration")
    least = inner.read("minimumPercent", lambda found: found.number(0, 100))
    aggression = inner.read("aggression", lambda found: found.number(0))
    if aggression == 0:
        inner.findings.error(inner.location_of("aggression"), f"{inner.path_of('aggression')} must be above 0")
    if seconds is None:
        return None
    default = Warmup(seconds)
    return Warmup(
        seconds,
        default.aggression if aggression is None else aggression,
        default.minimum_percent if least is None else least,
    )


def _simple(node: Node | None, findings: Findings, strategies: Strategies) -> Balancing | None:
    if node is None:
        return strategies.default
    name = findings.attempt(node.string)
    if name is None:
        return None
    if name not in _SIMPLE and name not in strategies.simple:
        hint = suggest(name, [*_SIMPLE, *strategies.simple])
        if "/" in name:
            strategies.missing(name, node.location, hint)
            return None
        hint = hint or f"one of {', '.join(_SIMPLE[1:])}"
        findings.error(node.location, f"{node.path} must not be {name!r}", _joined(hint, strategies.problems))
        return None
    if name == "PASSTHROUGH" and name not in strategies.simple:
        not_served(findings, node.location, f"{node.path}: PASSTHROUGH")
        return None
    return strategies.balancing(_ALIASES.get(name, name), None, node.location)


def _consistent_hash(node: Node, findings: Findings, strategies: Strategies) -> Balancing | None:
    known = len(findings.diagnostics)
    found = _strategy_fields(node, findings, strategies)
    keys = [name for name in found if name in _HASH_KEYS or name in strategies.hash_keys]
    balancers = [name for name in found if name in _HASH_BALANCERS or name in strategies.hash_balancers]
    for names, what in ((keys, "hash key"), (balancers, "load balancer")):
        if len(names) > 1:
            findings.error(node.key_location(names[1]), f"{node.path} may have only one {what}, not {_and(names)}")
            return None
    hash_key = strategies.hash_key(keys[0], found[keys[0]], node.key_location(keys[0])) if keys else None
    if hash_key is None and len(findings.diagnostics) == known:
        hint = f"name one of {', '.join(strategies.hash_keys)}"
        findings.warning(node.location, f"{node.path} has no hash key: requests go to random endpoints", hint)
    balancing = _hash_balancer(node, found, balancers, findings, strategies)
    if balancing is None:
        return None
    origin = None if hash_key is None else KeyOrigin(keys[0], node.key_location(keys[0]))
    return evolve(balancing, hash_key=hash_key, consistent=True, location=node.location, key_origin=origin)


def _hash_balancer(
    node: Node, found: Mapping[str, Node], balancers: list[str], findings: Findings, strategies: Strategies
) -> Balancing | None:
    size = found.get(_LEGACY_SIZE)
    if size is None:
        name = balancers[0] if balancers else _RING
        return strategies.balancing(name, found.get(name), node.key_location(name) if balancers else node.location)
    location = node.key_location(_LEGACY_SIZE)
    if balancers:
        findings.error(location, f"{size.path} may not stand beside {balancers[0]}", f"set the size in {balancers[0]}")
        return None
    findings.warning(location, f"{size.path} is deprecated", f"write {_RING}: {{{_LEGACY_SIZE}: N}}", "IST0133")
    return strategies.balancing(_RING, Node.mapping(location, node.path, [(_LEGACY_SIZE, size)]), location)


def _strategy_fields(node: Node, findings: Findings, strategies: Strategies) -> dict[str, Node]:
    known = {*_HASH_KEYS, *_HASH_BALANCERS, _LEGACY_SIZE, *strategies.hash_keys, *strategies.hash_balancers}
    try:
        return node.fields(*sorted(known))
    except ConfigError as error:
        # An unknown name may be that of a plugin that is broken, or not installed here.
        foreign = {node.key_location(name): name for name, _ in node.entries() if "/" in name and name not in known}
        for it in error.diagnostics:
            name = None if it.location is None else foreign.get(it.location)
            if name is None:
                findings.diagnostics.append(evolve(it, hint=_joined(it.hint, strategies.problems)))
            else:
                strategies.missing(name, it.location, it.hint)
    return {name: child for name in known if (child := node.get(name)) is not None}


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
