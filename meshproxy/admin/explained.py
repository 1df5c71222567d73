"""What the explain page is asked and answers, apart from HTTP.

A question has ``request`` (``[METHOD ]URL``), and if wanted ``header`` lines, ``from`` (the client's ``IP[:PORT]``),
``port`` (of the gateway, instead of the URL's) and ``format`` (``text`` or ``json``). Its size is bounded by that of a
request line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from meshproxy.admin.drain import port_number
from meshproxy.explain import Asked, Explanation, parse_asked
from meshproxy.explain.rendering import render

MOST_HEADERS = 100
_KNOWN = ("request", "header", "from", "port", "format")


def asked_by(query: Mapping[bytes, Sequence[bytes]]) -> Asked:
    """The request that a query asks about. Raises ``ValueError`` for what is no question."""
    texts = {_text(name): [_text(value) for value in values] for name, values in query.items()}
    unknown = [name for name in texts if name not in _KNOWN]
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r}: it is one of {', '.join(_KNOWN)}")
    repeated = [name for name, values in texts.items() if len(values) > 1 and name != "header"]
    if repeated:
        raise ValueError(f"{repeated[0]} may be there only once")
    headers = texts.get("header", [])
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"there may be no more than {MOST_HEADERS} headers")
    request, client, port, kind = (texts.get(name, [""])[0] for name in ("request", "from", "port", "format"))
    if kind not in ("", "text", "json"):
        raise ValueError(f"format must be text or json, not {kind!r}")
    if not request:
        raise ValueError("request is missing, such as GET http://test.com/x?a=1")
    return parse_asked(request, headers, client, port_number(port) if port else None)


def document(explanation: Explanation, as_json: bool) -> str:
    """An explanation as text for people or as JSON."""
    return json.dumps(explanation.as_json()) + "\n" if as_json else render(explanation)


def error(message: str, as_json: bool) -> str:
    """Why there is no explanation, in the same form."""
    return (json.dumps({"error": message}) if as_json else message) + "\n"


def _text(wire: bytes) -> str:
    return wire.decode("utf-8", "replace")
