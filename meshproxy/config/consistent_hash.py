"""``consistentHash`` of a BackendPolicy: what Envoy can do with hashes and Istio does not let one ask for."""

from __future__ import annotations

from attrs import frozen

from meshproxy.config import endpoint_identity, hash_keys
from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.config.decoding import Fields
from meshproxy.config.endpoint_identity import Identity
from meshproxy.config.findings import Findings
from meshproxy.config.hash_keys import KeySetting
from meshproxy.config.nodes import Node
from meshproxy.errors import Location
from meshproxy.interfaces import IBoundsLoad, ILoadBalancerBuilder
from meshproxy.model import Endpoint

_LARGEST = 2**32 - 1
_NO_ROOM = 100
_FIELDS = ("hashBalanceFactor", "keys", "fallback", "rejectStatus", "hashKey")
_HINT = "it needs a consistentHash in a DestinationRule, by ringHash or maglev"


@frozen(eq=False)
class HashSetting:
    """``balance_factor``: in percent, how much of its fair share of the requests in flight an endpoint may have."""

    location: Location
    balance_factor: int | None
    keys: KeySetting
    identity: Identity | None

    def bounded(
        self, balancing: Balancing, service: str, strategies: Strategies, findings: Findings
    ) -> ILoadBalancerBuilder:
        """The builder of a rule's load balancer with these settings."""
        builder = balancing.builder
        if self.balance_factor is None:
            return builder
        bounds = IBoundsLoad(builder, None)
        if bounds is None:
            message = f"hashBalanceFactor has no effect: {service} is balanced by {balancing.name}"
            findings.warning(self.location, message, _HINT)
            return builder
        return strategies.bounded(balancing, bounds, self.balance_factor) or builder

    def identified(
        self, endpoints: tuple[Endpoint, ...], service: str, spread: bool, findings: Findings
    ) -> tuple[Endpoint, ...]:
        """The endpoints of a service under the names that rings and sessions know them by."""
        return endpoints if self.identity is None else self.identity.given(endpoints, service, spread, findings)

    def warn_of_unused_keys(self, balancing: Balancing, sticky: bool, service: str, findings: Findings) -> None:
        """Report keys of a cluster whose endpoints are not chosen by hash, and fallbacks that no request comes to.

        ``sticky``: destinations with weights are chosen by hash.
        """
        setting = self.keys
        if not balancing.consistent and not sticky and (setting.keys or setting.fallback is not None):
            what = "keys have" if setting.keys else "fallback has"
            message = f"{what} no effect: {service} is balanced by {balancing.name}"
            findings.warning(setting.location, message, _HINT)
        elif setting.fallback is not None:
            present = [key.origin.name for key in setting.keys if key.made_up]
            if not setting.keys and balancing.hash_key is None:
                message = f"fallback has no effect: there is no key that requests to {service} could lack"
                findings.warning(setting.fallback_location, message)
            elif present:
                message = f"fallback has no effect: no request lacks {present[0]}"
                findings.warning(setting.fallback_location, message)


def decode(node: Node, findings: Findings, strategies: Strategies) -> HashSetting:
    """The block, without what is wrong with it."""
    fields = Fields(node, findings, _FIELDS)
    if not fields and node.kind == "mapping":
        findings.warning(node.location, f"{node.path} has no effect: it is empty", f"one of {', '.join(_FIELDS)}")
    return HashSetting(
        node.location,
        fields.integer("hashBalanceFactor", _NO_ROOM, _LARGEST),
        hash_keys.decode(fields, strategies),
        fields.read("hashKey", endpoint_identity.decode),
    )
