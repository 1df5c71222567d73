"""What the gateway answers by itself because a route says so: the data path sends it, an explanation shows it.

Rules (observed on Envoy 1.40): a direct response whose status wants a place has the request's own, unless an operation
sets another one. Operations on headers come before what says what the body is: they may set its type, and one without a
body has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproxy.http import filters, rewriting
from meshproxy.http.headeroperations import Field
from meshproxy.http.localreply import content_fields
from meshproxy.routes import Redirect

if TYPE_CHECKING:
    from meshproxy.http.filters import Cors
    from meshproxy.http.plans import Plan
    from meshproxy.http.request import Request

_CREATED = 201


def route_answer(plan: Plan, request: Request) -> tuple[list[Field], bytes]:
    """Fields and body of the redirect or direct response of a route that has one."""
    answer = plan.answer
    assert answer is not None
    body = b""
    fields: list[Field] = []
    if isinstance(answer, Redirect):
        query = request.path[len(request.route_path) :]
        target = rewriting.location(answer, request.scheme, request.authority, request.route_path, query)
        fields.append((b"location", target))
    else:
        body = answer.body or b""
        if answer.status == _CREATED or 300 <= answer.status < 400:
            fields.append((b"location", b"%b://%b%b" % (request.scheme, request.authority, request.path)))
    if plan.edits is not None:
        fields = plan.edits.response(fields, request, answer.status)
    return content_fields(answer.status, body, fields), body


def preflight_answer(cors: Cors, origin: bytes, request: Request) -> list[Field] | None:
    """The fields of the answer (200) to a preflight from ``origin``; None for a request that is forwarded."""
    admitted = cors.admits(origin)
    forwarded = cors.forward_unmatched and not admitted
    if forwarded or not filters.is_preflight(request.method, request.header_values):
        return None
    return content_fields(200, b"", cors.preflight(origin, request.header_values))
