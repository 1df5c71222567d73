"""How a route forwards: ``retries``, ``fault``, mirrors' shares and ``corsPolicy``.

Source: Istio's translation to Envoy. Percentages are cut to parts of a million, as Istio does.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from attrs import evolve, frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.http_actions import LARGEST_STATUS, UNUSABLE, warn_of_status
from meshproxy.config.http_match import text_match
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_token
from meshproxy.routes import ALWAYS, Comparison, CorsPolicy, Fault, RetryPolicy, TextMatch

_LARGEST_COUNT = 2**31 - 1
_MOST_REPORTED = 10
_MINIMUM_DURATION = timedelta(milliseconds=1)
_SMALLEST_FAULT = 0.0001
_PARTS_OF_PERCENT = 10_000
_STATUS_CODES = "retriable-status-codes"
_RETRY_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    _STATUS_CODES,
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
_NEVER = {"retriable-headers": "Istio names no header", "http3-post-connect-failure": "no endpoint speaks HTTP/3"}
_STATUSES = frozenset(int(status) for status in HTTPStatus)
_GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")
_DEFAULT_RETRIES = RetryPolicy()


@frozen
class Retries:
    """A ``retries`` block. ``policy`` None: no retries. ``avoid_previous_hosts`` None: as the destination has it."""

    policy: RetryPolicy | None
    avoid_previous_hosts: bool | None = None

    def compiled(self, avoid_previous_hosts: bool) -> RetryPolicy | None:
        """The policy of a route whose destination has it like this by default."""
        if self.policy is None:
            return None
        avoid = avoid_previous_hosts if self.avoid_previous_hosts is None else self.avoid_previous_hosts
        return (
            self.policy
            if avoid == self.policy.avoid_previous_hosts
            else evolve(self.policy, avoid_previous_hosts=avoid)
        )


DEFAULT_RETRIES = Retries(_DEFAULT_RETRIES)


def decode_retries(node: Node, findings: Findings) -> Retries:
    """A ``retries`` block without what is wrong with it."""
    settings = ("perTryTimeout", "retryOn", "retryRemoteLocalities")
    fields = Fields(node, findings, ("attempts", *settings, "retryIgnorePreviousHosts", "backoff"))
    attempts = fields.integer("attempts", 0, _LARGEST_COUNT)
    text = fields.read("retryOn", Node.string)
    policy = RetryPolicy(
        attempts or 0,
        per_try_timeout=fields.duration("perTryTimeout"),
        backoff=fields.duration("backoff") or _DEFAULT_RETRIES.backoff,
        remote_localities=fields.boolean("retryRemoteLocalities") or False,
    )
    avoid = fields.boolean("retryIgnorePreviousHosts")
    if text:
        conditions, statuses = _retry_on(text, fields)
        policy = evolve(policy, conditions=conditions, statuses=statuses)
    if policy.attempts:
        if text == "" or "retryOn" not in fields:
            message = f"{node.path} has no retryOn: failed connections are tried again, but no answer such as 503"
            findings.warning(node.location, message, "write retryOn: 5xx for all that fails")
        return Retries(policy, avoid)
    if attempts is not None or "attempts" not in fields:
        set_anyway = [name for name in settings if name in fields and (name != "retryOn" or text)]
        if set_anyway:
            hint = "set attempts" if "attempts" not in fields else ""
            message = f"{node.path} has {set_anyway[0]}, but its attempts are 0, which switches retries off"
            findings.error(node.key_location(set_anyway[0]), message, hint)
        elif len(fields) > ("attempts" in fields):
            findings.warning(node.location, f"{node.path} switches retries off, since its attempts are 0")
    return Retries(None)


def _retry_on(text: str, fields: Fields) -> tuple[frozenset[str], frozenset[int]]:
    words, statuses, unknown = [], [], []
    place, path = fields.location_of("retryOn"), fields.path_of("retryOn")
    for word in dict.fromkeys(text.split(",")):
        if word in _RETRY_CONDITIONS:
            words.append(word)
            if word in _NEVER:
                fields.findings.warning(place, f"{path}: {word!r} has no effect", _NEVER[word])
        elif word.isascii() and word.isdigit() and len(word) < 5 and int(word) in _STATUSES:
            statuses.append(int(word))
        else:
            unknown.append(word)
    for word in unknown[:_MOST_REPORTED]:
        hint = "write no blanks between them" if word.strip() in _RETRY_CONDITIONS else ""
        hint = hint or suggest(word, _RETRY_CONDITIONS)
        fields.findings.error(place, f"{path}: {word!r} is neither a condition nor a known status", hint)
    if statuses:
        words.append(_STATUS_CODES)
    elif _STATUS_CODES in words:
        fields.findings.warning(place, f"{path}: {_STATUS_CODES!r} has no effect", "name statuses with it, such as 503")
    return frozenset(words), frozenset(statuses)


def decode_fault(node: Node, findings: Findings) -> Fault:
    """A ``fault`` block without what is wrong with it."""
    fields = Fields(node, findings, ("delay", "abort"))
    delay, abort = fields.get("delay"), fields.get("abort")
    if delay is None and abort is None:
        findings.error(node.location, f"{node.path} needs delay or abort")
    fault = Fault()
    if delay is not None:
        fault = _with_delay(fault, Fields(delay, findings, ("fixedDelay", "exponentialDelay", "percentage", "percent")))
    if abort is not None:
        names = ("httpStatus", "grpcStatus", "http2Error", "percentage")
        fault = _with_abort(fault, Fields(abort, findings, names))
    return fault


def _with_delay(fault: Fault, fields: Fields) -> Fault:
    node, findings = fields.node, fields.findings
    if "exponentialDelay" in fields:
        findings.error(node.key_location("exponentialDelay"), f"{fields.path_of('exponentialDelay')} is not supported")
    delay = fields.duration("fixedDelay")
    share = percentage(fields, "percentage", _SMALLEST_FAULT)
    if "percent" in fields:
        place = node.key_location("percent")
        findings.warning(place, f"{fields.path_of('percent')} is deprecated", "use percentage: {value: N}", "IST0002")
        percent = fields.integer("percent", -_LARGEST_COUNT - 1, _LARGEST_COUNT) or 0
        if not 0 <= percent <= 100:
            findings.warning(place, f"{fields.path_of('percent')} is no percentage, and every request is delayed")
            percent = 100  # Envoy reads a negative number as a large one
        share = percent * _PARTS_OF_PERCENT if "percentage" not in fields else share
    elif "percentage" not in fields:
        _warn_of_never(fields)
    if "fixedDelay" not in fields and "exponentialDelay" not in fields:
        findings.warning(node.location, f"{node.path} has no effect: it says no fixedDelay")
    return evolve(fault, delay=delay, delay_share=share or 0)


def _with_abort(fault: Fault, fields: Fields) -> Fault:
    node, findings = fields.node, fields.findings
    kinds = [name for name in ("httpStatus", "grpcStatus", "http2Error") if name in fields]
    if len(kinds) > 1:
        findings.error(node.key_location(kinds[1]), f"{node.path} may not have both {kinds[0]} and {kinds[1]}")
    elif kinds == ["http2Error"]:
        findings.error(node.key_location("http2Error"), f"{fields.path_of('http2Error')} is not supported")
    status = fields.integer("httpStatus", 200, LARGEST_STATUS + 1)
    if status is not None and status > LARGEST_STATUS:
        warn_of_status(fields, "httpStatus")
        status = UNUSABLE.status
    name = fields.read("grpcStatus", lambda it: checks.one_of(it, _GRPC_STATUSES))
    share = percentage(fields, "percentage", _SMALLEST_FAULT)
    if not kinds:
        message = f"{node.path} has no effect: it says neither httpStatus nor grpcStatus"
        findings.warning(node.location, message, code="IST0133")
    elif "percentage" not in fields:
        _warn_of_never(fields)
    grpc_status = None if name is None else _GRPC_STATUSES.index(name)
    return evolve(fault, abort_status=status, abort_grpc_status=grpc_status, abort_share=share or 0)


def _warn_of_never(fields: Fields) -> None:
    message = f"{fields.node.path} has no percentage, which means 0: no request is affected"
    fields.findings.warning(fields.node.location, message, "write percentage: {value: 100} for all of them")


def percentage(fields: Fields, name: str, smallest: float = 0.0) -> int | None:
    """The share that a ``{value: PERCENT}`` says; None if it is absent or wrong.

    ``smallest`` is the least percentage but 0. Where no value is given, it is 0.
    """
    node = fields.get(name)
    if node is None:
        return None
    inner = Fields(node, fields.findings, ("value",))
    if "value" not in inner:
        fields.findings.warning(node.location, f"{node.path} says no value, which means 0: no request is affected")
        return 0
    value = inner.read("value", lambda it: it.number(0, 100))
    if value is not None and 0 < value < smallest:
        fields.findings.error(inner.location_of("value"), f"{inner.path_of('value')} must be 0 or at least {smallest}")
        return None
    if value is None:
        return None
    share = min(int(value * _PARTS_OF_PERCENT), ALWAYS)
    if value and not share:
        least = 1 / _PARTS_OF_PERCENT
        message = f"{inner.path_of('value')} is less than {least}, the least that counts: no request is affected"
        fields.findings.warning(inner.location_of("value"), message)
    return share


def decode_cors(node: Node, findings: Findings) -> CorsPolicy:
    """A ``corsPolicy`` without what is wrong with it."""
    lists = ("allowMethods", "allowHeaders", "exposeHeaders")
    names = ("allowOrigins", "allowOrigin", *lists, "maxAge", "allowCredentials", "unmatchedPreflights")
    fields = Fields(node, findings, names)
    methods, headers, exposed = (_texts(fields, name) for name in lists)
    age = fields.read("maxAge", _seconds)
    credentials = fields.boolean("allowCredentials") or False
    ignored = fields.read("unmatchedPreflights", _unmatched) == "IGNORE"
    return CorsPolicy(_origins(fields), methods, headers, exposed, age, credentials, not ignored)


def _origins(fields: Fields) -> tuple[TextMatch, ...]:
    findings = fields.findings
    read = [findings.attempt(_origin, node) for node in fields.items("allowOrigins")]
    old = [TextMatch(Comparison.EXACT, text) for text, _ in checks.strings(fields, "allowOrigin")]
    if old:
        place, path = fields.node.key_location("allowOrigin"), fields.path_of("allowOrigin")
        effect = "is deprecated and has no effect beside allowOrigins" if read else "is deprecated"
        findings.warning(place, f"{path} {effect}", "use allowOrigins: [{exact: ...}]")
    if not read and not old:
        findings.warning(fields.node.location, f"{fields.node.path} has no effect: it allows no origin")
    found = [text for text in read if text is not None] if read else old
    everyone = TextMatch(Comparison.EXACT, "*")
    return tuple(TextMatch() if text == everyone else text for text in found)


def _origin(node: Node) -> TextMatch:
    text = text_match(node)
    if not text.value:
        node.fail(f"{node.path} needs a non-empty exact, prefix or regex")
    return text


def _texts(fields: Fields, name: str) -> tuple[str, ...] | None:
    entries = checks.strings(fields, name)
    if name == "allowMethods":
        wrong = [node for text, node in entries if text not in _CORS_METHODS]
        for node in wrong[:_MOST_REPORTED]:
            fields.findings.attempt(checks.one_of, node, _CORS_METHODS)
    else:
        for text, node in entries:
            if not is_token(text):
                fields.findings.error(node.location, f"{node.path} must be the name of a header or '*', not {text!r}")
    return tuple(text for text, _ in entries) or None


def _seconds(node: Node) -> int:
    found = node.duration(_MINIMUM_DURATION)
    if found % timedelta(seconds=1):
        node.fail(f"{node.path} must be a whole number of seconds")
    return found // timedelta(seconds=1)


def _unmatched(node: Node) -> str:
    return checks.one_of(node, ("FORWARD", "IGNORE", "UNSPECIFIED"))
