"""What becomes of a cluster's load balancer through the places of its endpoints and what is known of their health.

Source: Istio. The ``localityLbSetting`` of a rule stands instead of the mesh's, not beside it.
"""

from __future__ import annotations

from meshproxy.availability import AvailableBuilder
from meshproxy.config.balancing import Balancing
from meshproxy.config.decoding import not_served
from meshproxy.config.findings import Findings
from meshproxy.config.locality import LocalitySetting, localities, warn_of_left_out, warn_of_no_effect
from meshproxy.config.outliers import OutlierSetting
from meshproxy.config.services import Service
from meshproxy.interfaces import ILoadBalancerBuilder, IWeighsLocalities
from meshproxy.localities import arranged
from meshproxy.model import Endpoint, ProxyIdentity


class Placing:
    """For all clusters of a load. ``mesh`` is what holds where a rule does not speak of localities."""

    def __init__(self, mesh: LocalitySetting | None, proxy: ProxyIdentity, findings: Findings) -> None:
        self._mesh = mesh
        self._proxy = proxy
        self._findings = findings
        self._told: set[str] = set()

    def placed(
        self,
        builder: ILoadBalancerBuilder,
        balancing: Balancing,
        outliers: OutlierSetting | None,
        service: Service,
        endpoints: tuple[Endpoint, ...],
    ) -> ILoadBalancerBuilder:
        """What builds balancers with regard to places and health; ``builder`` itself where neither counts.

        ``balancing`` is what ``builder`` was made from, ``endpoints`` are those of ``service`` in the cluster.
        """
        setting = balancing.locality or self._mesh
        if setting is None and outliers is None:
            return builder
        policy = localities(setting, self._proxy, outliers is not None)
        if setting is not None and policy.weighted and not IWeighsLocalities.providedBy(builder):
            self._refuse(setting, balancing.name)
            return builder
        if setting is not None and (setting.distribute or outliers is not None) and self._is_new(setting, "no effect"):
            warn_of_no_effect(setting, self._proxy, self._findings)
        used = [it for groups in arranged(endpoints, policy) for group in groups for it in group.endpoints]
        if setting is not None:
            warn_of_left_out(setting, endpoints, used, service.host, self._findings)
        if outliers is not None:
            if not service.resolution.by_name:
                outliers.warn_of_never(len(used), service.host, self._findings)
            return AvailableBuilder(builder, policy, outliers.detection.min_health_percent)
        return AvailableBuilder(builder, policy) if policy.weighted else builder

    def _refuse(self, setting: LocalitySetting, strategy: str) -> None:
        if self._is_new(setting, strategy):
            not_served(self._findings, setting.location, f"localityLbSetting of the mesh with strategy {strategy}")

    def _is_new(self, setting: LocalitySetting, what: str) -> bool:
        """Whether this is to be said of a setting; of the mesh's once for all clusters."""
        if setting is not self._mesh:
            return True
        known = what in self._told
        self._told.add(what)
        return not known
