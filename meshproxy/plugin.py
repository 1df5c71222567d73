"""Declarations of strategies for plugin files: light to import, the strategy itself is loaded on first use.

A plugin file lies in ``twisted/plugins`` and is imported by every ``twistd`` that has no fresh cache, so it should
import this module and nothing else of weight::

    from meshproxy.plugin import HashKeyPlugin

    jwt_claim = HashKeyPlugin("example.com/jwtClaim", "example_jwt.claim:from_config")

The second argument names what ``from_config`` of the factory calls: ``package.module:function``, where the function
takes an ``IConfig`` and returns the hash key (or the builder of load balancers).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrs import field, frozen
from attrs.validators import matches_re
from twisted.plugin import IPlugin
from zope.interface import implementer

from meshproxy.errors import ConfigError
from meshproxy.interfaces import IConfig, IHashKey, IHashKeyFactory, ILoadBalancerBuilder, ILoadBalancerFactory


@frozen
class _Declaration:
    """``name`` as in the YAML, ``function`` as ``package.module:function``, ``api`` as the strategy was written for."""

    name: str
    function: str = field(validator=matches_re(r"[\w.]+:[\w.]+"))
    api: int = 1

    def _load(self, config: IConfig | None) -> Callable[[Any], Any]:
        module, _, attribute = self.function.partition(":")
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (Exception, SystemExit) as error:
            message = f"the strategy {self.name} ({self.function}) does not load: {type(error).__name__}: {error}"
            raise ConfigError.at(config.location if config is not None else None, message) from error
        loaded: Callable[[Any], Any] = found
        return loaded


@implementer(IPlugin, IHashKeyFactory)
@frozen
class HashKeyPlugin(_Declaration):
    """Declares a hash key. Its function is called as ``IHashKeyFactory.from_config``."""

    def from_config(self, config: IConfig) -> IHashKey | None:
        """See ``IHashKeyFactory``. ``ConfigError`` too when the strategy's module does not load."""
        key: IHashKey | None = self._load(config)(config)
        return key


@implementer(IPlugin, ILoadBalancerFactory)
@frozen
class LoadBalancerPlugin(_Declaration):
    """Declares a load balancer. Its function is called as ``ILoadBalancerFactory.from_config``."""

    def from_config(self, config: IConfig | None) -> ILoadBalancerBuilder:
        """See ``ILoadBalancerFactory``. ``ConfigError`` too when the strategy's module does not load."""
        builder: ILoadBalancerBuilder = self._load(config)(config)
        return builder
