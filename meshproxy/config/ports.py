"""What services of both kinds have: ports, and sources of endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from attrs import frozen

from meshproxy.errors import Location
from meshproxy.model import Endpoint


@frozen(eq=False)
class ServicePort:
    """A port of a service. ``protocol`` is in upper case, empty where none is declared."""

    number: int
    name: str
    protocol: str
    location: Location


class EndpointSource(Protocol):
    """What knows endpoints of a service."""

    def endpoints_at(self, port_name: str, leaving: bool) -> Iterator[tuple[Endpoint, Location]]:
        """Endpoints of the service port with this name, and where they are written.

        ``leaving``: instead those that are not ready and about to end, but serve what they have begun.
        """
