"""What the gateway answers by itself because a route says so: the data path sends it, an explanation shows it."""

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


def route_answer(plan: Plan, request: Request) -> tuple[list[Field], bytes]:
    """Fields and body of the redirect or direct response of a route that has one."""
    answer = plan.answer
    assert answer is not None
    if isinstance(answer, Redirect):
        body = b""
        query = request.path[len(request.route_path) :]
        target = rewriting.location(answer, request.scheme, request.authority, request.route_path, query)
        fields = [(b"location", target), *content_fields(answer.status, body)]
    else:
        body = answer.body or b""
        fields = content_fields(answer.status, body)
    return (fields if plan.edits is None else plan.edits.response(fields, request)), body


def preflight_answer(cors: Cors, origin: bytes, request: Request) -> list[Field] | None:
    """The fields of the answer (200) to a preflight from ``origin``; None for a request that is forwarded."""
    admitted = cors.admits(origin)
    forwarded = cors.forward_unmatched and not admitted
    if forwarded or not filters.is_preflight(request.method, request.header_values):
        return None
    return [*content_fields(200, b""), *(cors.preflight(origin, request.header_values) if admitted else ())]
