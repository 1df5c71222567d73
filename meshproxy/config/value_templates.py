"""The grammar of header values: ``%COMMAND%``, ``%COMMAND(arguments)%``, and ``%%`` for a percent sign.

Source: Istio's check of header values, which follows Envoy's parser. Names of commands are not part of the grammar.
Each text is read once from left to right, so a long one costs no more than its length.
"""

from __future__ import annotations

import re

COMMANDS = frozenset(
    {
        "BYTES_RECEIVED",
        "BYTES_SENT",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_ADDRESS",
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_PORT",
        "DOWNSTREAM_REMOTE_ADDRESS",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_REMOTE_PORT",
        "DURATION",
        "HOSTNAME",
        "PROTOCOL",
        "REQ",
        "RESP",
        "RESPONSE_CODE",
        "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS",
        "ROUTE_NAME",
        "START_TIME",
        "UPSTREAM_CLUSTER",
        "UPSTREAM_CLUSTER_RAW",
        "UPSTREAM_HOST",
        "UPSTREAM_LOCAL_ADDRESS",
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_REMOTE_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_REMOTE_PORT",
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
    }
)
"""The commands that are filled in; all others come out empty."""

_NAME_END = re.compile(r"[%(]")
_BRACKET = re.compile(r" *\[")
_STRING = r'"(?:[^"\\]|\\.)*"'
_ARRAY = re.compile(rf" *\[ *{_STRING}(?: *, *{_STRING})* *\] *\)", re.DOTALL)
_TEXT = re.compile(r"(?:[^)\\]|\\.)+\)", re.DOTALL)
_REST = re.compile(r"(:[0-9]+)? *%")


def commands(template: str) -> list[tuple[str, bool]]:
    """The names of the commands in a value, and whether a length follows their arguments.

    Raises ``ValueError`` with a sentence about what is wrong.
    """
    found = []
    position = template.find("%")
    while position >= 0:
        if template.startswith("%%", position):
            position = template.find("%", position + 2)
            continue
        name_end = _NAME_END.search(template, position + 1)
        if name_end is None:
            raise ValueError("has a '%' that begins no %COMMAND%")
        name = template[position + 1 : name_end.start()]
        end, has_length = name_end.end(), False
        if name_end[0] == "(":
            end, has_length = _skip_arguments(template, end, name)
        found.append((name, has_length))
        position = template.find("%", end)
    return found


def _skip_arguments(template: str, start: int, name: str) -> tuple[int, bool]:
    is_array = _BRACKET.match(template, start) is not None
    arguments = (_ARRAY if is_array else _TEXT).match(template, start)
    rest = None if arguments is None else _REST.match(template, arguments.end())
    if rest is None:
        raise ValueError(f"has a command {name[:40]!r} that does not end as %NAME(arguments)%")
    return rest.end(), rest[1] is not None
