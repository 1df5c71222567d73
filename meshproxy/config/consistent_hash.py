"""``consistentHash`` of a BackendPolicy: what Envoy can do with hashes and Istio does not let one ask for."""

from __future__ import annotations

from attrs import frozen

from meshproxy.config.balancing import Balancing
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import Location
from meshproxy.interfaces import IBoundsLoad, ILoadBalancerBuilder

_LARGEST = 2**32 - 1
_NO_ROOM = 100


@frozen(eq=False)
class HashSetting:
    """``balance_factor``: in percent, how much of its fair share of the requests in flight an endpoint may have."""

    location: Location
    balance_factor: int | None = None

    def bounded(self, balancing: Balancing, service: str, findings: Findings) -> ILoadBalancerBuilder:
        """The builder of a rule's load balancer with these settings."""
        builder = balancing.builder
        if self.balance_factor is None:
            return builder
        bounds = IBoundsLoad(builder, None)
        if bounds is None:
            message = f"hashBalanceFactor has no effect: {service} is balanced by {balancing.name}"
            findings.warning(self.location, message, "it needs a consistentHash, by ringHash or maglev")
            return builder
        bounded: ILoadBalancerBuilder = bounds.bounded(self.balance_factor)
        return bounded


def decode(node: Node, findings: Findings) -> HashSetting:
    """The block, without what is wrong with it."""
    fields = Fields(node, findings, ("hashBalanceFactor",))
    factor = fields.integer("hashBalanceFactor", _NO_ROOM, _LARGEST)
    return HashSetting(node.location, factor)
