"""The strategies that are there: found through ``twisted.plugin``, verified, and by name.

Rules: nothing that a plugin does raises from here. What is wrong with one is a sentence in ``problems`` and that plugin
alone is missing; whoever meets an unknown strategy in a configuration can show these sentences beside it.
A third party's name is ``domain/name``, so that Istio can never come to use it for something else. Names without a
domain are Istio's; whichever plugin file offers such a name provides it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from traceback import format_exception_only
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from twisted.plugin import getCache
from twisted.python.modules import getModule
from zope.interface import Invalid
from zope.interface.verify import verifyObject

from meshproxy.interfaces import API_VERSION, IHashKeyFactory, ILoadBalancerFactory

ISTIO_HASH_KEYS = frozenset({"httpHeaderName", "httpCookie", "httpQueryParameterName", "useSourceIp"})
ISTIO_LOAD_BALANCERS = frozenset({"ringHash", "maglev", "ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH"})

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_THIRD_PARTY = re.compile(rf"{_LABEL}(?:\.{_LABEL})+/[A-Za-z0-9][\w.-]*", re.ASCII)


class _Offer(NamedTuple):
    """A factory and where it comes from. ``kind`` is an interface."""

    kind: Any
    factory: Any
    origin: str


class Registry:
    """The usable strategies, and what is wrong with the others.

    ``hash_keys`` and ``load_balancers`` map names to factories, ``problems`` has plain sentences.
    """

    hash_keys: Mapping[str, IHashKeyFactory]
    load_balancers: Mapping[str, ILoadBalancerFactory]
    problems: Sequence[str]

    def __init__(
        self,
        hash_keys: Iterable[IHashKeyFactory] = (),
        load_balancers: Iterable[ILoadBalancerFactory] = (),
        problems: Iterable[str] = (),
    ) -> None:
        offers = [_Offer(IHashKeyFactory, factory, type(factory).__module__) for factory in hash_keys]
        offers += [_Offer(ILoadBalancerFactory, factory, type(factory).__module__) for factory in load_balancers]
        self._take(offers, problems)

    @classmethod
    def discover(cls, package: ModuleType | None = None) -> Registry:
        """The strategies of all plugin modules below ``package``, which is ``twisted.plugins`` if not given."""
        problems: list[str] = []
        self = cls.__new__(cls)
        self._take(list(_offers(package or import_module("twisted.plugins"), problems)), problems)
        return self

    def _take(self, offers: Sequence[_Offer], problems: Iterable[str]) -> None:
        found = list(problems)
        by_name: dict[str, list[_Offer]] = {}
        for offer in offers:
            problem = _problem(offer)
            if problem:
                found.append(problem)
            else:
                by_name.setdefault(offer.factory.name, []).append(offer)
        usable = []
        for name, rivals in by_name.items():
            if len(rivals) == 1:
                usable.append(rivals[0])
            else:
                origins = " and ".join(sorted(offer.origin for offer in rivals))
                found.append(f"The strategy {name} is offered by {origins}, so that none of them is used")
        self.hash_keys = _by_name(usable, IHashKeyFactory)
        self.load_balancers = _by_name(usable, ILoadBalancerFactory)
        self.problems = tuple(found)


def _by_name(offers: Iterable[_Offer], kind: Any) -> Mapping[str, Any]:
    return MappingProxyType({offer.factory.name: offer.factory for offer in offers if offer.kind is kind})


def _offers(package: ModuleType, problems: list[str]) -> Iterator[_Offer]:
    # This is what getPlugins does, which would keep to itself which module a plugin is from and why one is missing.
    cache = getCache(package)
    for module in getModule(package.__name__).iterModules():
        dropin = cache.get(module.name.rpartition(".")[2])
        if dropin is None:
            problems.append(_load_problem(module.name))
            continue
        for plugin in dropin.plugins:
            for kind in (IHashKeyFactory, ILoadBalancerFactory):
                try:
                    factory = kind(plugin, None)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a module does on import
                    problems.append(_does_not_load(dropin.moduleName, error))
                    continue
                if factory is not None:
                    yield _Offer(kind, factory, dropin.moduleName)


def _load_problem(module: str) -> str:
    """Why a module that twisted.plugin left out does not load; the reason itself only went to the log."""
    try:
        import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        return _does_not_load(module, error)
    return f"The plugin module {module} did not load at first, but does now: a restart will find its strategies"


def _does_not_load(module: str, error: BaseException) -> str:
    return f"The plugin module {module} does not load: {_last_line(error)}"


def _last_line(error: BaseException) -> str:
    """The last line that a traceback would have."""
    return " ".join(format_exception_only(error)[-1].split())


def _problem(offer: _Offer) -> str:
    """What keeps a factory from being used, empty if nothing does."""
    kind, factory, origin = offer
    try:
        verifyObject(kind, factory)
        name, api = factory.name, factory.api
    except Invalid as error:
        return f"A plugin of {origin} is not a complete {kind.__name__}: {_last_line(error)}"
    except Exception as error:  # noqa: BLE001 - attributes may be computed
        return f"A plugin of {origin} cannot be asked for its name: {_last_line(error)}"
    if api != API_VERSION:
        return (
            f"The strategy {name} of {origin} is for version {api} of the strategy API, this is version {API_VERSION}."
        )
    if not isinstance(name, str):
        return f"A plugin of {origin} has {name!r} for its name, which is no text"
    reserved = ISTIO_HASH_KEYS if kind is IHashKeyFactory else ISTIO_LOAD_BALANCERS
    if name not in reserved and not _THIRD_PARTY.fullmatch(name):
        better = f"example.com/{_tail(name)}"
        return f"{origin} calls a strategy {name!r}; the name has to start with a domain, such as {better}"
    return ""


def _tail(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", name.rpartition("/")[2]).lstrip("_.-") or "name"
