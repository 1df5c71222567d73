"""Warnings about what loads and does nothing, or hardly what it says: the "silently" of Istio, said aloud.

Each module is about one kind of thing. Codes are those of ``istioctl analyze`` for the same finding; what has none is
something that Istio does not tell anybody. All of them look at a load that is complete, so that they may look across
documents; about objects that have errors nothing is said.
"""

from __future__ import annotations

from meshproxy.config.effects.backend_policies import warn_of_backend_policies
from meshproxy.config.effects.compiled import Compiled, Table
from meshproxy.config.effects.conditions import warn_of_unmet_conditions
from meshproxy.config.effects.destination_rules import warn_of_destination_rules
from meshproxy.config.effects.destinations import warn_of_destinations
from meshproxy.config.effects.gateways import warn_of_gateways
from meshproxy.config.effects.mesh_settings import warn_of_mesh_settings
from meshproxy.config.effects.redirecting import warn_of_redirected
from meshproxy.config.effects.retries import warn_of_retries
from meshproxy.config.effects.services import warn_of_services
from meshproxy.config.effects.sessions import warn_of_lost_sessions
from meshproxy.config.effects.sidecars import warn_of_sidecars
from meshproxy.config.effects.unreachable import warn_of_unreachable
from meshproxy.config.effects.virtual_services import warn_of_virtual_services
from meshproxy.config.effects.workloads import warn_of_workloads
from meshproxy.config.findings import Findings

__all__ = ["Compiled", "Table", "warn_of_no_effect"]


def warn_of_no_effect(compiled: Compiled, findings: Findings) -> None:
    """Report everything that has no effect."""
    for warn in (
        warn_of_gateways,
        warn_of_virtual_services,
        warn_of_unmet_conditions,
        warn_of_unreachable,
        warn_of_redirected,
        warn_of_destinations,
        warn_of_lost_sessions,
        warn_of_retries,
        warn_of_destination_rules,
        warn_of_backend_policies,
        warn_of_services,
        warn_of_workloads,
        warn_of_sidecars,
        warn_of_mesh_settings,
    ):
        warn(compiled, findings)
