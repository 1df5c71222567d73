"""The strategies that are there: found through ``twisted.plugin``, verified, and by name.

Rules: nothing that a plugin does raises from here. What is wrong with one is a sentence in ``problems`` and that plugin
alone is missing; whoever meets an unknown strategy in a configuration can show these sentences beside it.
A third party's name is ``domain/name``, so that Istio can never come to use it for something else. Names without a
domain are Istio's; whichever plugin file offers such a name provides it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from attrs import frozen
from twisted.plugin import getCache
from twisted.python.modules import getModule
from zope.interface import Invalid
from zope.interface.verify import verifyObject

from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.interfaces import API_VERSION, IHashKeyFactory, ILoadBalancerFactory

ISTIO_HASH_KEYS = frozenset({"httpHeaderName", "httpCookie", "httpQueryParameterName", "useSourceIp"})
ISTIO_LOAD_BALANCERS = frozenset({"ringHash", "maglev", "ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH"})

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_THIRD_PARTY = re.compile(rf"{_LABEL}(?:\.{_LABEL})+/[A-Za-z0-9][\w.-]*", re.ASCII)


@frozen
class Offer:
    """A factory and where it comes from.

    ``kind`` is the interface that it provides, ``origin`` the name of the module that offers it.
    """

    kind: Any
    factory: Any
    origin: str

    @property
    def name(self) -> str:
        """What selects it in a configuration."""
        name: str = self.factory.name
        return name

    @property
    def file(self) -> str:
        """The file of the module that offers it; empty where there is none."""
        return getattr(sys.modules.get(self.origin), "__file__", None) or ""


class Registry:
    """The usable strategies, and what is wrong with the others.

    ``hash_keys`` and ``load_balancers`` map names to factories, ``offers`` has the same with their origins, sorted by
    name. ``problems`` has plain sentences.
    """

    hash_keys: Mapping[str, IHashKeyFactory]
    load_balancers: Mapping[str, ILoadBalancerFactory]
    offers: Sequence[Offer]
    problems: Sequence[str]

    def __init__(
        self,
        hash_keys: Iterable[IHashKeyFactory] = (),
        load_balancers: Iterable[ILoadBalancerFactory] = (),
        problems: Iterable[str] = (),
    ) -> None:
        offers = [Offer(IHashKeyFactory, factory, type(factory).__module__) for factory in hash_keys]
        offers += [Offer(ILoadBalancerFactory, factory, type(factory).__module__) for factory in load_balancers]
        self._take(offers, problems)

    @classmethod
    def discover(cls, package: ModuleType | None = None) -> Registry:
        """The strategies of all plugin modules below ``package``, which is ``twisted.plugins`` if not given."""
        problems: list[str] = []
        self = cls.__new__(cls)
        self._take(list(_offers(package or import_module("twisted.plugins"), problems)), problems)
        return self

    def _take(self, offers: Sequence[Offer], problems: Iterable[str]) -> None:
        found = list(dict.fromkeys(problems))  # a module that does not load is one for each plugin of it that is cached
        by_name: dict[str, list[Offer]] = {}
        for offer in offers:
            problem = _problem(offer)
            if problem:
                found.append(problem)
            else:
                by_name.setdefault(offer.name, []).append(offer)
        usable = []
        for name, rivals in by_name.items():
            if len(rivals) == 1:
                usable.append(rivals[0])
            else:
                origins = sorted({_whence(offer) for offer in rivals})
                where = " and ".join(origins) if len(origins) > 1 else f"{origins[0]} {len(rivals)} times"
                found.append(f"The strategy {name} is offered by {where}, so that none of them is used")
        self.offers = tuple(sorted(usable, key=lambda offer: offer.name))
        self.hash_keys = _by_name(usable, IHashKeyFactory)
        self.load_balancers = _by_name(usable, ILoadBalancerFactory)
        self.problems = tuple(found)


def _by_name(offers: Iterable[Offer], kind: Any) -> Mapping[str, Any]:
    return MappingProxyType({offer.name: offer.factory for offer in offers if offer.kind is kind})


def _whence(offer: Offer) -> str:
    return f"{offer.origin} ({offer.file})" if offer.file else offer.origin


def _offers(package: ModuleType, problems: list[str]) -> Iterator[Offer]:
    problems += _hidden(package)
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
                except PLUGIN_ERRORS as error:
                    problems.append(_does_not_load(dropin.moduleName, error))
                    continue
                if factory is not None:
                    yield Offer(kind, factory, dropin.moduleName)


def _hidden(package: ModuleType) -> Iterator[str]:
    """Files that another one of the same name hides, so that nobody ever asks what they offer."""
    first: dict[str, Path] = {}
    for folder in dict.fromkeys(Path(entry).resolve() for entry in package.__path__):
        for file in sorted(folder.glob("*.py")):
            other = first.setdefault(file.name, file)
            if other is not file and file.name != "__init__.py":
                yield f"The plugin file {file} is hidden by {other}: a file needs a name that no other package uses"


def _load_problem(module: str) -> str:
    """Why a module that twisted.plugin left out does not load; the reason itself only went to the log."""
    try:
        import_module(module)
    except PLUGIN_ERRORS as error:
        return _does_not_load(module, error)
    return f"The plugin module {module} did not load at first, but does now: a restart will find its strategies"


def _does_not_load(module: str, error: BaseException) -> str:
    return f"The plugin module {module} does not load: {describe_failure(error)}"


def _problem(offer: Offer) -> str:
    """What keeps a factory from being used, empty if nothing does."""
    kind, factory, origin = offer.kind, offer.factory, _whence(offer)
    try:
        verifyObject(kind, factory)
        name, api = factory.name, factory.api
    except Invalid as error:
        return f"A plugin of {origin} is not a complete {kind.__name__}: {' '.join(str(error).split())}"
    except PLUGIN_ERRORS as error:
        return f"A plugin of {origin} cannot be asked for its name: {describe_failure(error)}"
    if api != API_VERSION:
        return f"The strategy {name} of {origin} is for version {api} of the strategy API, not for {API_VERSION}"
    if not isinstance(name, str):
        return f"A plugin of {origin} has {name!r} for its name, which is no text"
    reserved = ISTIO_HASH_KEYS if kind is IHashKeyFactory else ISTIO_LOAD_BALANCERS
    if name not in reserved and not _THIRD_PARTY.fullmatch(name):
        better = f"example.com/{_tail(name)}"
        return f"{origin} calls a strategy {name!r}; the name has to begin with a domain, such as {better}"
    return ""


def _tail(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", name.rpartition("/")[2]).lstrip("_.-") or "name"
