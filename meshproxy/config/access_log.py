"""The format of the access log: ``accessLogEncoding`` and ``accessLogFormat`` of a ``Mesh`` document.

Source: Istio's file access log. An empty format is Istio's own; one for JSON is a JSON object whose texts have
operators, at whatever depth. Where Istio logs an error and goes on with its own format, and where Envoy would refuse
what Istio sends it, a load fails here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_token
from meshproxy.model import ISTIO_JSON_FORMAT, ISTIO_TEXT_FORMAT
from meshproxy.operators import IN_LOGS, MAY_HAVE_ARGUMENTS, NEEDS_ARGUMENTS, NEVER_KNOWN, Operator, parse

_ENCODINGS = ("TEXT", "JSON")
_MOST_REPORTED = 10
_DEEPEST = 32
_PERCENT = "write %% for a percent sign"


def decode(fields: Fields) -> str | Mapping[str, object]:
    """The format, as ``MeshSettings`` has it; Istio's where there is none or a wrong one."""
    encoding = fields.read("accessLogEncoding", lambda node: checks.one_of(node, _ENCODINGS)) or "TEXT"
    text = fields.string("accessLogFormat")
    node = fields.get("accessLogFormat")
    if encoding == "TEXT":
        if not text or node is None:
            return ISTIO_TEXT_FORMAT
        _check(text, node, fields.findings)
        return text
    if not text or node is None:
        return ISTIO_JSON_FORMAT
    found = fields.findings.attempt(_json_object, node)
    if found is None:
        return ISTIO_JSON_FORMAT
    for value in _texts(found):
        _check(value, node, fields.findings)
    return found


def _json_object(node: Node) -> dict[str, object]:
    try:
        found = json.loads(node.string(), object_pairs_hook=_without_repetition, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        node.fail(f"{node.path} must be a JSON object, as accessLogEncoding is JSON: {error}")
    if not isinstance(found, dict):
        node.fail(f"{node.path} must be a JSON object, as accessLogEncoding is JSON")
    if _depth(found) > _DEEPEST:
        node.fail(f"{node.path} may not nest deeper than {_DEEPEST} levels")
    return found


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated[:40]!r} is there twice")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")


def _depth(value: object) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in _texts(child)]


def _check(text: str, node: Node, findings: Findings) -> None:
    """Report what is wrong with the operators of one text."""
    try:
        operators = [piece for piece in parse(text) if isinstance(piece, Operator)]
    except ValueError as error:
        findings.error(node.location, f"{node.path} {error}", _PERCENT)
        return
    wrong = 0
    for operator in dict.fromkeys(operators):
        fault, hint = _fault(operator)
        if fault:
            wrong += 1
            findings.error(node.location, f"{node.path}: {fault}", hint)
            if wrong == _MOST_REPORTED:
                return
        elif operator.name in NEVER_KNOWN:
            message = f"{node.path}: %{operator.name}% has no value here: it is '-' in a text and null in JSON"
            findings.warning(node.location, message)


def _fault(operator: Operator) -> tuple[str, str]:
    """What is wrong with an operator, and a hint; both empty for a good one."""
    name, arguments, length = operator
    shown = name[:40]
    if name in NEVER_KNOWN and name not in NEEDS_ARGUMENTS:
        return "", ""
    if name not in IN_LOGS | NEVER_KNOWN:
        hint = suggest(name, IN_LOGS) or suggest(name, NEVER_KNOWN) or "docs/observability.md lists all operators"
        return f"%{shown}% is no operator", hint
    if arguments is None:
        return (f"%{shown}% needs arguments", f"as in %{shown}(NAME)%") if name in NEEDS_ARGUMENTS else ("", "")
    if name not in MAY_HAVE_ARGUMENTS:
        return f"%{shown}% takes no arguments", ""
    if length is not None and name not in NEEDS_ARGUMENTS:
        return f"%{shown}% takes no length", ""
    if name in ("START_TIME", "EMIT_TIME"):
        try:
            time.strftime(arguments, time.gmtime(0))
        except ValueError as error:
            return f"%{shown}%: {error}", ""
    if name in NEEDS_ARGUMENTS - {"ENVIRONMENT"}:
        names = arguments.split("?")
        if len(names) > 2:
            return f"%{shown}% takes at most two names, A?B", ""
        for header in names:
            if not is_token(header.removeprefix(":")):
                return f"{header[:40]!r} in %{shown}% can be no name of a header", ""
    return "", ""
