"""The keys that requests of a route are hashed by: those of destination rules, those of backend policies, fallbacks.

Rules: Istio gives a route the keys of all its destinations, one after the other; so does a destination with keys in a
policy, which take the place of its rule's, except that one policy counts once. A fallback comes behind all keys, and
only requests in which none of them was found come to it.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen
from zope.interface import Interface, implementer

from meshproxy.config import checks
from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.config.decoding import Fields
from meshproxy.config.nodes import Node
from meshproxy.config.values import Text
from meshproxy.errors import Location
from meshproxy.interfaces import HashKey, IHashKey, IRequest
from meshproxy.routes import KeyOrigin

_SOURCE_IP = "useSourceIp"
_COOKIE = "httpCookie"
_REJECT_STATUS = 400


class Fallback(Enum):
    """What becomes of a request in which no key is found."""

    RANDOM = "random"
    SOURCE_IP = "sourceIp"
    REJECT = "reject"


@implementer(IHashKey)
@frozen
class TerminalKey:
    """A key that ends the evaluation; otherwise, optional interfaces included, it is ``key``."""

    _key: IHashKey
    terminal: bool = field(default=True, init=False)

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``."""
        return self._key.evaluate(request)

    def __conform__(self, interface: type[Interface]) -> object:
        return interface(self._key, None)


@frozen(eq=False)
class NamedKey:
    """A key, and where it comes from. ``made_up``: a request never lacks it, since the client is given one."""

    key: IHashKey
    origin: KeyOrigin
    made_up: bool = False


@frozen(eq=False)
class KeySetting:
    """``keys`` are in place of the rule's if there are any. ``reject_status`` counts for ``Fallback.REJECT``."""

    location: Location
    keys: tuple[NamedKey, ...] = ()
    fallback: Fallback | None = None
    fallback_location: Location | None = None
    source_ip: NamedKey | None = None
    reject_status: int = _REJECT_STATUS


def decode(fields: Fields, strategies: Strategies) -> KeySetting:
    """``keys``, ``fallback`` and ``rejectStatus`` of a block, without what is wrong with them."""
    findings = fields.findings
    read = [_key(node, fields, strategies) for node in fields.items("keys")]
    keys = tuple(it for it in read if it is not None)
    if "keys" in fields and fields.is_empty("keys"):
        findings.error(fields.location_of("keys"), f"{fields.path_of('keys')} needs at least one key")
    for at, key in enumerate(keys[:-1]):
        if key.made_up and key.key.terminal:
            message = f"the keys behind {key.origin.name} are never looked at: it is terminal, and no request lacks it"
            findings.warning(keys[at + 1].origin.location, message)
            break
    text = fields.read("fallback", lambda node: checks.one_of(node, [it.value for it in Fallback]))
    fallback = None if text is None else Fallback(text)
    status = fields.integer("rejectStatus", 400, 599)
    if status is not None and fallback is not Fallback.REJECT:
        message = f"{fields.path_of('rejectStatus')} has no effect without fallback: {Fallback.REJECT.value}"
        findings.warning(fields.node.key_location("rejectStatus"), message)
    location = fields.node.key_location("fallback")
    source_ip = None
    if fallback is Fallback.SOURCE_IP:
        yes = Node(location.origin, Text(location.offset, location.column, "true"), fields.node, "fallback")
        found = strategies.hash_key(_SOURCE_IP, yes, location)
        source_ip = None if found is None else NamedKey(found, KeyOrigin(_SOURCE_IP, location))
    return KeySetting(fields.node.location, keys, fallback, location, source_ip, status or _REJECT_STATUS)


def _key(node: Node, fields: Fields, strategies: Strategies) -> NamedKey | None:
    """An item of ``keys``: one strategy's field, and ``terminal`` beside it."""
    known = len(fields.findings.diagnostics)
    inner = Fields(node, fields.findings, (*strategies.hash_keys, "terminal"))
    terminal = inner.boolean("terminal") or False
    names = [name for name in strategies.hash_keys if name in inner]
    if len(names) != 1:
        if len(fields.findings.diagnostics) == known:
            which = f"not {' and '.join(names)}" if names else f"one of {', '.join(strategies.hash_keys)}"
            inner.findings.error(node.location, f"{node.path} must have exactly one hash key, {which}")
        return None
    (name,) = names
    value = inner.get(name)
    assert value is not None
    location = node.key_location(name)
    key = strategies.hash_key(name, value, location)
    if key is None:
        return None
    made_up = name == _SOURCE_IP or (name == _COOKIE and value.get("ttl") is not None)
    origin = KeyOrigin(name, location)
    return NamedKey(TerminalKey(key) if terminal else key, origin, made_up)


@frozen(eq=False)
class RouteKeys:
    """What a route hashes its requests by. ``reject_status``: the answer to those without any key; None: they go on."""

    keys: tuple[NamedKey, ...] = ()
    reject_status: int | None = None


@frozen(eq=False)
class KeyCollector:
    """Puts together the keys of a route, destination by destination."""

    _keys: list[NamedKey] = field(factory=list, init=False)
    _settings: list[KeySetting] = field(factory=list, init=False)

    def add(self, rule: Balancing | None, setting: KeySetting | None) -> None:
        """Add those of a destination: what its rule says, and its policy."""
        known = setting in self._settings
        if setting is not None and not known:
            self._settings.append(setting)
        if setting is not None and setting.keys:
            self._keys.extend(() if known else setting.keys)
        elif rule is not None and rule.hash_key is not None and rule.key_origin is not None:
            self._keys.append(NamedKey(rule.hash_key, rule.key_origin))

    def collected(self) -> RouteKeys:
        """All of them, the fallback of the first policy that has one included."""
        setting = next((it for it in self._settings if it.fallback is not None), None)
        if setting is None or not self._keys:
            return RouteKeys(tuple(self._keys))
        keys = list(self._keys)
        if setting.source_ip is not None:
            # What is terminal ends the evaluation also where a key before it had the hash.
            keys[-1] = NamedKey(TerminalKey(keys[-1].key), keys[-1].origin)
            keys.append(setting.source_ip)
        return RouteKeys(tuple(keys), setting.reject_status if setting.fallback is Fallback.REJECT else None)
