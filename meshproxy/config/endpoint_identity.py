"""``hashKey`` of a BackendPolicy: what names an endpoint on a ring and in a session, where that is not its address.

A name that outlives an address keeps the sessions of a pod that comes back elsewhere. Source: the ``hash_key`` of
Envoy's endpoint metadata.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_label_key
from meshproxy.errors import Location
from meshproxy.model import Endpoint

_HOSTNAME = "hostname"
_LABEL = "label:"
_MOST_NAMED = 3


@frozen(eq=False)
class Identity:
    """``label`` is the one whose value is the name; "": it is the endpoint's host name."""

    label: str
    location: Location

    def given(
        self, endpoints: Sequence[Endpoint], service: str, spread: bool, findings: Findings
    ) -> tuple[Endpoint, ...]:
        """The endpoints with their names. One without, or with that of another one, keeps its address; that is told.

        ``spread``: an address that is a host name may turn out to be several, which cannot all have its name.
        """
        named = []
        kept: dict[str, list[str]] = {}
        owners: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            name = dict(endpoint.labels).get(self.label, "") if self.label else endpoint.hostname
            if spread and endpoint.hostname == endpoint.address:
                reason, name = "may have several addresses", ""
            elif not name:
                reason = f"have no label {self.label}" if self.label else "have no host name"
            elif owners.setdefault(name, endpoint) is not endpoint:
                reason, name = "have the name of another one", ""
            else:
                reason = ""
            if reason:
                kept.setdefault(reason, []).append(endpoint.key)
            named.append(evolve(endpoint, hash_key=name))
        for reason, keys in kept.items():
            some = ", ".join(keys[:_MOST_NAMED]) + (", ..." if len(keys) > _MOST_NAMED else "")
            message = f"endpoints of {service} that {reason} keep their addresses as hash keys: {some}"
            findings.warning(self.location, message)
        return tuple(named)


def decode(node: Node) -> Identity:
    """``hostname``, or ``label:`` and the name of a label."""
    text = node.string()
    label = text.removeprefix(_LABEL)
    if text != _HOSTNAME and (label == text or not is_label_key(label)):
        node.fail(f"{node.path} must be {_HOSTNAME} or {_LABEL}NAME with the name of a label, not {text!r}")
    return Identity("" if text == _HOSTNAME else label, node.location)
