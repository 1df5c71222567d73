"""Declarations of strategies for plugin files: light to import, the strategy itself is loaded on first use.

A plugin file lies in ``twisted/plugins`` and is imported by every ``twistd`` that has no fresh cache, so it should
import this module and nothing else of weight::

    from meshproxy.plugin import HashKeyPlugin

    jwt_claim = HashKeyPlugin("example.com/jwtClaim", "example_jwt.claim:from_config")

The second argument names what ``from_config`` of the factory calls: ``package.module:function``, where the function
takes an ``IConfig`` and returns the hash key (or the builder of load balancers).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrs import field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from meshproxy.errors import ConfigError
from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.interfaces import IConfig, IHashKey, IHashKeyFactory, ILoadBalancerBuilder, ILoadBalancerFactory

_FORM = re.compile(r"[\w.]+:[\w.]+")


class StrategyNotLoaded(Exception):
    """A declared function is not there; the text tells why."""


@frozen
class Declaration:
    """``name`` as in the YAML, ``function`` as ``package.module:function``, ``api`` as the strategy was written for."""

    name: str
    function: str = field()
    api: int = 1

    @function.validator
    def _check_form(self, _: object, function: str) -> None:
        if not _FORM.fullmatch(function):
            raise ValueError(f"{function!r} of the strategy {self.name} is not of the form package.module:function")

    def load(self) -> Callable[[Any], Any]:
        """The declared function; raises ``StrategyNotLoaded``."""
        module, _, attribute = self.function.partition(":")
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except PLUGIN_ERRORS as error:
            why = describe_failure(error)
            raise StrategyNotLoaded(f"the strategy {self.name} ({self.function}) does not load: {why}") from error
        if not callable(found):
            raise StrategyNotLoaded(f"the strategy {self.name} ({self.function}) does not load: that is no function")
        loaded: Callable[[Any], Any] = found
        return loaded

    def _call(self, config: IConfig | None) -> Any:
        try:
            function = self.load()
        except StrategyNotLoaded as error:
            raise ConfigError.at(config.location if config is not None else None, str(error)) from error
        return function(config)


@implementer(IPlugin, IHashKeyFactory)
@frozen
class HashKeyPlugin(Declaration):
    """Declares a hash key. Its function is called as ``IHashKeyFactory.from_config``."""

    def from_config(self, config: IConfig) -> IHashKey | None:
        """See ``IHashKeyFactory``. ``ConfigError`` too when the strategy's module does not load."""
        key: IHashKey | None = self._call(config)
        return key


@implementer(IPlugin, ILoadBalancerFactory)
@frozen
class LoadBalancerPlugin(Declaration):
    """Declares a load balancer. Its function is called as ``ILoadBalancerFactory.from_config``."""

    def from_config(self, config: IConfig | None) -> ILoadBalancerBuilder:
        """See ``ILoadBalancerFactory``. ``ConfigError`` too when the strategy's module does not load."""
        builder: ILoadBalancerBuilder = self._call(config)
        return builder
