"""The pages of the admin server.

Rules: pages answer GET and HEAD, what changes something answers POST; everything else is 405. Nothing tells the version
but the pages for metrics and the status. On a loopback address a request must name a loopback host: a page of another
site that a browser shows on this machine could otherwise reach the server under a name of its own (DNS rebinding). A
POST that such a page sends straight to the address is told by its ``Origin``, and over TCP it needs a token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from meshproxy.admin import drain, explained, status, statuspage
from meshproxy.admin.collector import exposition, registry_for
from meshproxy.admin.explainsection import Form
from meshproxy.admin.recent import Value
from meshproxy.admin.served import NotServing, Served
from meshproxy.admin.token import TokenFile
from meshproxy.admin.turns import Turns
from meshproxy.reload import Outcome, Result

_STATUS = {Result.INSTALLED: 200, Result.UNCHANGED: 200, Result.FAILED: 422, Result.STOPPED: 503}
_NO_TOKEN = (
    "over TCP, changes need a token: start the gateway with --admin-token-file PATH, or with --admin unix:PATH; "
    "SIGHUP reloads without"
)
_PLAIN = b"text/plain; charset=utf-8"

_log = Logger()


def is_loopback_name(host: str) -> bool:
    """Whether a host without port is ``localhost`` or a loopback IP."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_of(authority: bytes) -> str:
    """The host of ``host[:port]``, IPv6 without brackets; empty when it is none."""
    try:
        return urlsplit("//" + authority.decode("ascii")).hostname or ""
    except ValueError:
        return ""


def _plain(request: Request, status: int, text: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", _PLAIN)
    return text.encode()


class _Page(Resource):
    """Refuses what no page answers."""

    isLeaf = True
    methods: tuple[bytes, ...] = (b"GET", b"HEAD")
    summary = ""

    def render(self, request: Request) -> Any:
        request.setHeader(b"server", b"meshproxy")
        request.setHeader(b"cache-control", b"no-store")
        site = request.site
        assert isinstance(site, AdminSite)
        refusal = site.refusal(request)
        if refusal:
            return _plain(request, 403, refusal + "\n")
        if request.postpath:
            return _plain(request, 404, "no such page\n")
        if request.method not in self.methods:
            request.setHeader(b"allow", b", ".join(self.methods))
            return _plain(request, 405, "method not allowed\n")
        status, refusal = site.refusal_of_change(request) if request.method == b"POST" else (0, "")
        if refusal:
            return _plain(request, status, refusal + "\n")
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def send(body: bytes) -> None:
            if gone:
                return
            request.setHeader(b"content-length", b"%d" % len(body))
            if request.method != b"HEAD":
                request.write(body)
            request.finish()

        answered = maybeDeferred(self.answer, request).addCallback(send)
        answered.addErrback(self._failed, request, gone)
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        _log.failure("An admin page failed", failure)
        if not gone:
            request.setResponseCode(500)
            request.finish()

    def answer(self, request: Request) -> Any:
        """The body, or a Deferred of it."""
        return _plain(request, 404, "no such page\n")


class _Ready(_Page):
    """200 while requests are served; 503 before, and while what is under way is served to its end."""

    summary = "GET   whether requests are served: 200, else 503"

    def __init__(self, service: Served) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service

    def answer(self, request: Request) -> bytes:
        return _plain(request, 200, "ready\n") if self._service.ready else _plain(request, 503, "not ready\n")


class _Metrics(_Page):
    summary = "GET   figures for Prometheus"

    def __init__(self, service: Served) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service
        self._registry = registry_for(service)

    def answer(self, request: Request) -> Deferred[bytes]:
        accept = (request.getHeader(b"accept") or b"").decode("latin-1")
        render, content_type = exposition(self._service, self._registry, accept)
        request.setHeader(b"content-type", content_type.encode("ascii"))
        return self._service.gather().addCallback(lambda _: render())


class _Reload(_Page):
    """Asks for a reload and answers how it ended: 200, or 422 with all findings."""

    summary = "POST  read the configuration anew and tell how that ended"
    methods = (b"POST",)

    def __init__(self, service: Served) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service

    def answer(self, request: Request) -> Deferred[bytes]:
        def told(outcome: Outcome) -> bytes:
            status = {"result": outcome.result.value, "generation": self._service.reload.generation}
            if outcome.error:
                status["error"] = outcome.error
            request.setResponseCode(_STATUS[outcome.result])
            request.setHeader(b"content-type", b"application/json")
            return json.dumps(status).encode() + b"\n"

        return self._service.reload.ask("admin").addCallback(told)


class _Status(_Page):
    """The status as JSON; ``?cluster=PART`` leaves out clusters whose names do not have that in them."""

    summary = "GET   what is served and in which state, as JSON"

    def __init__(self, service: Served, clock: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service
        self._clock = clock
        self._began_at = clock.seconds()

    def answer(self, request: Request) -> Deferred[bytes]:
        request.setHeader(b"content-type", b"application/json")
        return Deferred.fromCoroutine(self._body(request.args))

    async def _body(self, query: Mapping[bytes, Sequence[bytes]]) -> bytes:
        told, _ = await self.told(query)
        return (await status.encoded(told, Turns(self._clock))).encode()

    async def told(self, query: Mapping[bytes, Sequence[bytes]]) -> tuple[Value, str]:
        """The status, and what names of clusters had to contain."""
        part = query.get(b"cluster", [b""])[0].decode("utf-8", "replace")
        uptime = self._clock.seconds() - self._began_at
        return await status.gathered(self._service, part, time.time(), uptime, Turns(self._clock)), part


class _Explain(_Page):
    """Tells where a request would go now, and why; what is no such question is 422."""

    summary = "GET   where a request goes, and why: request, header (repeatable), from, port, format"

    def __init__(self, service: Served) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service

    def answer(self, request: Request) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._body(request))

    async def _body(self, request: Request) -> bytes:
        as_json = request.args.get(b"format") == [b"json"]
        try:
            asked = explained.asked_by(request.args)
            explanation = await self._service.explain(asked)
        except ValueError as error:
            status, told = 422, explained.error(str(error), as_json)
        except NotServing:
            status, told = 503, explained.error("nothing is served at present", as_json)
        else:
            status, told = 200, explained.document(explanation, as_json)
        body = _plain(request, status, told)
        if as_json:
            request.setHeader(b"content-type", b"application/json")
        return body


class _Drain(_Page):
    """Tells which endpoints were asked to drain; POST asks for more of them, or fewer."""

    summary = "GET   endpoints that were asked to drain; POST asks: address, port, until or for, stop"
    methods = (b"GET", b"HEAD", b"POST")

    def __init__(self, service: Served) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service

    def answer(self, request: Request) -> bytes:
        drains = self._service.drains
        request.setHeader(b"content-type", b"application/json")
        found: dict[str, Any] = {}
        if request.method == b"POST":
            asked = {name.decode("latin-1"): values[-1].decode("latin-1") for name, values in request.args.items()}
            try:
                found["done"] = drain.change(drains, asked, time.time())
            except ValueError as error:
                request.setResponseCode(422)
                found["error"] = str(error)
        return json.dumps({**found, "draining": drain.listed(drains)}).encode() + b"\n"


class _Root(_Page):
    """The status as a page for browsers; a list of the pages for others."""

    isLeaf = False

    def __init__(self, service: Served, clock: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service
        self._clock = clock
        self._status = _Status(service, clock)
        pages = {
            b"ready": _Ready(service),
            b"metrics": _Metrics(service),
            b"reload": _Reload(service),
            b"drain": _Drain(service),
            b"explain": _Explain(service),
            b"status": self._status,
        }
        lines = ["/           GET   the status, as a page for browsers; else this list\n"]
        for name, page in sorted(pages.items()):
            self.putChild(name, page)
            lines.append(f"/{name.decode():<10} {page.summary}\n")
        self._text = "".join(lines)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self if path == b"" and not request.postpath else _Page()  # type: ignore[no-untyped-call]

    def answer(self, request: Request) -> Any:
        request.setHeader(b"vary", b"accept")
        if b"text/html" not in (request.getHeader(b"accept") or b""):
            return _plain(request, 200, self._text)
        for name, value in statuspage.FIELDS:
            request.setHeader(name, value)
        return Deferred.fromCoroutine(self._page(request.args))

    async def _page(self, query: Mapping[bytes, Sequence[bytes]]) -> bytes:
        form = Form.sent(query)
        explanation = await form.explained(self._service)
        told, part = await self._status.told(query)
        refresh = not form.request and query.get(b"every") != [b"0"]
        return (await statuspage.page(told, part, form, explanation, refresh, Turns(self._clock))).encode()


class AdminSite(Site):
    """The pages of a service.

    ``loopback`` says whether the address they are served on is one, ``needs_token`` whether changes need the token of
    ``token_file``; where that is None, nobody has one.
    """

    displayTracebacks = False
    noisy = False

    def __init__(self, service: Served, reactor: Any, token_file: TokenFile | None = None) -> None:
        super().__init__(_Root(service, reactor), reactor=reactor, timeout=60)  # type: ignore[no-untyped-call]
        self.loopback = self.needs_token = True
        self._token_file = token_file

    def log(self, request: object) -> None:
        """Probes and scrapes are not logged."""

    def refusal(self, request: Request) -> str:
        """Why a request is not answered; empty for most."""
        host = request.getHeader(b"host")
        if self.loopback and host is not None and not is_loopback_name(_host_of(host)):
            return "the Host header must name a loopback address"
        origin = request.getHeader(b"origin")
        if request.method == b"POST" and origin is not None and origin.partition(b"://")[2] != (host or b""):
            return "requests from pages of other sites are refused"
        return ""

    def refusal_of_change(self, request: Request) -> tuple[int, str]:
        """The status and reason with which a request may not change anything; no reason for one that may."""
        if not self.needs_token:
            return 0, ""
        if self._token_file is None:
            return 403, _NO_TOKEN
        try:
            admitted = self._token_file.admits(request.getHeader(b"authorization") or b"")
        except ValueError as error:
            _log.error("An admin request is refused: {error}", error=error)
            return 403, "the token file of the gateway is no good at present; its log says why"
        if admitted:
            return 0, ""
        request.setHeader(b"www-authenticate", b'Bearer realm="meshproxy"')
        return 401, "'Authorization: Bearer TOKEN' is needed, with the token of the gateway's --admin-token-file"
