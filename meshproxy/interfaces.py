"""The strategy API: what a plugin provides and what it is given.

Two kinds of strategy, split as Envoy splits them: a *hash key* turns a request into a number, a *load balancer* turns
that number into an endpoint. Each is found by the name that the YAML uses for it, through a factory that is a
``twisted.plugin.IPlugin``.

A strategy's life: ``from_config`` when a configuration is compiled, ``build`` when the endpoints of a cluster or their
health change, ``evaluate`` and ``pick`` for each request. Only the last two are on the hot path; they must not block
and should cost a few microseconds. Nothing in a strategy does I/O.

Additions to this API are new optional interfaces, never new required members, so a plugin that works keeps working.
``API_VERSION`` rises only when that cannot be held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, NoReturn

from zope.interface import Attribute, Interface

from meshproxy.errors import Location
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup

API_VERSION = 1


class HashKey(NamedTuple):
    """What a hash key found in a request.

    ``hash`` is an unsigned 64-bit number. ``set_cookie`` is the value of a ``Set-Cookie`` header that the client has to
    get with the response, or None. It is returned rather than written, so that evaluating changes nothing.
    """

    hash: int
    set_cookie: bytes | None = None


class IConfig(Interface):
    """One value of the configuration together with its place.

    The reading methods raise ``errors.ConfigError`` with the value's place when the value is not what was asked for.
    YAML's own guesses do not count: ``string`` refuses an unquoted ``1`` or ``yes`` as Istio does.
    """

    location: Location = Attribute("Where the value stands.")
    path: str = Attribute("Its dotted path in the document, such as ``spec.trafficPolicy.loadBalancer``.")

    def fields(*names: str) -> Mapping[str, IConfig]:
        """The fields of a mapping that has no others than ``names``.

        Absent and null fields are left out. A field that is not among ``names`` is an error with a "did you mean".
        """

    def entries() -> Sequence[tuple[str, IConfig]]:
        """The entries of a mapping with free keys, in file order."""

    def items() -> Sequence[IConfig]:
        """The items of a list. A null item is an error."""

    def string() -> str:
        """A string."""

    def boolean() -> bool:
        """``true`` or ``false``."""

    def integer(minimum: int | None = None, maximum: int | None = None) -> int:
        """A whole number within the bounds, both inclusive."""

    def number(minimum: float | None = None, maximum: float | None = None) -> float:
        """A number within the bounds, both inclusive."""

    def duration(minimum: timedelta | None = None) -> timedelta:
        """A duration as Go writes it: ``1h30m``, ``0.5s``, ``250ms``."""

    def fail(message: str, hint: str = "") -> NoReturn:
        """Raise ``errors.ConfigError`` at this place."""

    def warn(message: str, hint: str = "") -> None:
        """Have the user told that this value is allowed, but does nothing or hardly what was meant."""


class IRequest(Interface):
    """What a hash key may see of a request: its head as it will be sent upstream, and the connection it came on.

    All text is bytes as it came from the wire.
    """

    method: bytes = Attribute("Such as ``GET``.")
    scheme: bytes = Attribute("``http`` or ``https``.")
    authority: bytes = Attribute("The ``Host`` header, with its port if one was sent.")
    path: bytes = Attribute("The path with its query.")
    source_ip: bytes = Attribute(
        "Text of the trusted client address, without port: dotted quad, or compressed lower-case IPv6. "
        "Empty where the peer has no IP."
    )
    remote: bytes = Attribute("The socket address of the downstream peer: ``ip:port`` or ``[ip]:port``.")
    local: bytes = Attribute("Our socket address on the downstream connection, in the same form.")

    def header_values(name: bytes) -> Sequence[bytes]:
        """All values of a header in order of arrival; empty when it is absent.

        ``name`` is lower-case. ``host`` and ``:authority``, ``:path``, ``:method`` and ``:scheme`` work too.
        """


class IHashKey(Interface):
    """Finds what identifies a session in a request."""

    terminal: bool = Attribute("True: when there is a hash after this key, the keys behind it are not evaluated.")

    def evaluate(request: IRequest) -> HashKey | None:
        """The hash of this request's key, or None when the request has no such key. Pure."""


class ILoadBalancer(Interface):
    """Chooses among the endpoints that it was built for."""

    uses_hash: bool = Attribute(
        "True: a request's hash keys are evaluated and ``pick`` gets their hash, or a random number if there is none. "
        "False: hash keys are not looked at, and ``pick`` always gets a random number."
    )

    def pick(hash: int, attempt: int) -> Endpoint | None:
        """The endpoint for an unsigned 64-bit hash.

        ``attempt`` is 0 for the first choice; higher numbers ask for further choices for the same request, which may
        repeat an endpoint. None only when there are no endpoints.
        """

    def candidates(hash: int) -> Iterator[Endpoint]:
        """All endpoints, each once, in the order in which they would be tried for this hash. Changes no state."""


class ILoadBalancerBuilder(Interface):
    """Settings of a load balancer, ready to build it for any endpoints."""

    def build(endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        """A balancer for these endpoints: distinct, in configuration order, possibly none."""


class IHashKeyFactory(Interface):
    """Makes hash keys from the configuration; provided by a plugin, beside ``twisted.plugin.IPlugin``."""

    name: str = Attribute("The field of ``consistentHash`` that selects it. A third party's starts with ``domain/``.")
    api: int = Attribute("The ``API_VERSION`` that it was written for.")

    def from_config(config: IConfig) -> IHashKey | None:
        """The key that the field's value describes; None where the setting means "no key" (``useSourceIp: false``)."""


class ILoadBalancerFactory(Interface):
    """Makes load balancers from the configuration; provided by a plugin, beside ``twisted.plugin.IPlugin``."""

    name: str = Attribute("The field of ``consistentHash``, or the value of ``simple``, that selects it.")
    api: int = Attribute("The ``API_VERSION`` that it was written for.")

    def from_config(config: IConfig | None) -> ILoadBalancerBuilder:
        """The builder that the field's value describes; ``config`` is None for a balancer named without settings."""


# Optional interfaces of strategies.


class IObservesLoad(Interface):
    """A load balancer whose choice depends on the requests in flight."""

    def pick_with_load(hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """As ``ILoadBalancer.pick``; ``active`` tells the number of requests in flight at an endpoint."""


class IWeighsLocalities(Interface):
    """An ``ILoadBalancerBuilder`` that can also share requests among localities first, then within each."""

    def build_by_locality(localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> ILoadBalancer:
        """The balancer of localities, each with its weight, above 0, and the endpoints of it that may be chosen.

        Where ``ILoadBalancer.uses_hash``, weights are whole numbers, and a locality whose endpoints all fail is there
        without any. For others, such a locality is left out, and one that lacks endpoints weighs less.
        """


class IWarmsUp(Interface):
    """An ``ILoadBalancerBuilder`` whose balancers can give new endpoints less than their weight."""

    def warming(warmup: Warmup, age: Callable[[Endpoint], float]) -> ILoadBalancerBuilder:
        """A builder of such balancers; ``age`` tells how many seconds an endpoint has been in service."""


class IBoundsLoad(Interface):
    """An ``ILoadBalancerBuilder`` whose balancers can pass over endpoints that have too much to do."""

    def bounded(factor: int) -> ILoadBalancerBuilder:
        """A builder of balancers that give an endpoint ``factor`` percent of its share of the requests at most."""


class IContinues(Interface):
    """A load balancer with a phase (a position in a rotation) that outlives a rebuild."""

    def continue_from(previous: ILoadBalancer) -> None:
        """Take over the phase of the balancer that this one replaces, if it is of the same kind."""


class IHasTable(Interface):
    """A load balancer with a table that takes long to build, and is built when it is needed.

    Whoever serves by it has the table built before, where nobody waits for it; for whoever only asks whether a
    configuration is right, it is not built at all.
    """

    table_bytes: int = Attribute("How much memory the table takes, roughly; it may not be there yet.")

    def build_table() -> None:
        """Build the table if it is not there yet. May be called in any thread, even while requests pick."""


class IBuildsInSteps(IHasTable):
    """A load balancer whose table can be built little by little, between requests, in the thread that serves them."""

    def table_steps() -> Iterator[None]:
        """What ``build_table`` does, as far as it is iterated; no step takes much longer than a millisecond.

        Whoever wants the table no more leaves off.
        """


class Shortage(NamedTuple):
    """Why a table is too small, and what would be enough, both in words that follow on the table's name."""

    problem: str
    remedy: str


class IForeseesShares(Interface):
    """A load balancer that can tell before its table is built how unevenly that will spread."""

    def shortage(limit: float) -> Shortage | None:
        """What is wrong if an endpoint is to be expected to get more than ``limit`` times its share, or nothing."""


class ILocatesHash(Interface):
    """A load balancer with a table, who can say where in it a hash falls."""

    def locate(hash: int) -> Mapping[str, object]:
        """The place as JSON-like values, such as ``{"slot": 811, "of": 65537}``. Changes no state."""


class IShowsKey(Interface):
    """A hash key that can show to people what it hashes."""

    def key_text(request: IRequest) -> bytes | None:
        """The text of which ``evaluate`` returns the hash for this request; None where it returns None. Pure."""


class IDescribes(Interface):
    """A strategy that can tell about itself on the status page."""

    def describe() -> Mapping[str, object]:
        """Facts such as the size of the table, as JSON-like values."""
