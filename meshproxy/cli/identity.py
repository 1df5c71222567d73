"""Who a gateway is, as the options ``--proxy-...`` of both programs say it.

What reads an option raises ``ValueError`` with a sentence for the user.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.model import ProxyIdentity


def split_label(text: str) -> tuple[str, str]:
    """The key and the value of ``K=V``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError("not a label as in istio=ingressgateway")
    return key, value


def check_locality(text: str) -> str:
    """``text`` if it is ``REGION[/ZONE[/SUBZONE]]``."""
    if "" in text.split("/", 2):
        raise ValueError("not a locality as in eu/west/a")
    return text


def identity(namespace: str, labels: Mapping[str, str], locality: str) -> ProxyIdentity:
    """The identity of a gateway; without labels it has those of Istio's own."""
    return ProxyIdentity(namespace, frozenset(labels.items()) or ProxyIdentity().labels, locality=locality)
