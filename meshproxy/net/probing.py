"""One health check of an endpoint, over a connection that carries nothing else.

Rules: a TCP check is a connection of its own. An HTTP check takes the connection of the one before, as in Envoy, which
halves what it costs; so an endpoint that ends is noticed by the end of that connection. Where a request on it might not
be repeated, for its method, and at UNIX sockets, there is a new connection for each check.
"""

from __future__ import annotations

from os import strerror
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from meshproxy.model import UNIX_MARKS, Endpoint
from meshproxy.policies import HealthCheck, HttpProbe
from meshproxy.upstream.checking import ProbeFailed

KEPT_SECONDS = 60
"""For so long a connection is kept for the next check."""
_MOST_BODY = 65536
_REPEATABLE = ("GET", "HEAD")


@implementer(IAgentEndpointFactory)
class _Always:
    """Leads to one place, whatever the URL says."""

    def __init__(self, place: IStreamClientEndpoint) -> None:
        self._place = place

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return self._place


@implementer(IStreamClientEndpoint)
class _Quiet:
    """A place at which Twisted does not log each connection."""

    def __init__(self, place: IStreamClientEndpoint) -> None:
        self._place = place

    def connect(self, factory: Any) -> Deferred[IProtocol]:
        factory.noisy = False
        connecting: Deferred[IProtocol] = self._place.connect(factory)
        return connecting


class _Hello(Protocol):
    """A connection that is all there is to find out."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class _Rest(Protocol):
    """The body of a response, which does not matter; one that is too long is not read to its end."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self.close())
        self._left = _MOST_BODY

    def close(self) -> None:
        """Read no more."""
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended.called:
            self.ended.callback(None)


class Prober:
    """Checks endpoints; what ``HealthProbes`` takes. ``reactor`` provides ``IReactorTCP`` and ``IReactorUNIX``."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._kept = HTTPConnectionPool(reactor)
        self._kept.cachedConnectionTimeout = KEPT_SECONDS

    def __call__(self, endpoint: Endpoint, check: HealthCheck) -> Deferred[None]:
        """Fires when the check is passed, else fails with ``ProbeFailed``. Cancelling it closes the connection."""
        place = self._place(endpoint, check)
        if check.http is None:
            probing = self._connect(place)
        else:
            probing = Deferred.fromCoroutine(self._ask(place, _authority(endpoint, check), check.http))
        return probing.addErrback(_told)

    def close(self) -> Deferred[None]:
        """Keep no connection any more; fires when all are closed."""
        closing: Deferred[None] = self._kept.closeCachedConnections()
        return closing

    def _place(self, endpoint: Endpoint, check: HealthCheck) -> IStreamClientEndpoint:
        address, port = endpoint.address, check.port or endpoint.port
        if address.startswith(UNIX_MARKS):
            path = "\0" + address[1:] if address.startswith("@") else address
            return _Quiet(UNIXClientEndpoint(self._reactor, path, check.timeout))
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        return _Quiet(kind(self._reactor, address, port, check.timeout))

    def _connect(self, place: IStreamClientEndpoint) -> Deferred[None]:
        connecting: Deferred[IProtocol] = place.connect(Factory.forProtocol(_Hello))
        return connecting.addCallback(lambda _: None)

    async def _ask(self, place: IStreamClientEndpoint, authority: str, probe: HttpProbe) -> None:
        # Here, since hardly a gateway needs it and it takes a tenth of a second to import.
        from treq.client import HTTPClient

        headers = Headers({name: [value] for name, value in probe.headers})
        headers.setRawHeaders("host", [probe.host])
        if not headers.hasHeader("user-agent"):
            headers.setRawHeaders("user-agent", ["meshproxy-health-check"])
        kept = self._kept if authority and probe.method in _REPEATABLE else None
        # A client of its own has no cookies of other endpoints. The pool knows connections by the URL.
        client = HTTPClient(Agent.usingEndpointFactory(self._reactor, _Always(place), pool=kept))
        url = f"http://{authority or 'endpoint'}{probe.path}"
        response = await client.request(probe.method, url, headers=headers, allow_redirects=False, unbuffered=True)
        rest = _Rest()
        response.deliverBody(rest)
        if probe.expects(response.code):
            await rest.ended
        else:
            rest.close()
            raise ProbeFailed(f"status {response.code}", definite=True)


def _authority(endpoint: Endpoint, check: HealthCheck) -> str:
    """What no other place has, "" for that of a UNIX socket."""
    address = endpoint.address
    if address.startswith(UNIX_MARKS):
        return ""
    return f"{f'[{address}]' if ':' in address else address}:{check.port or endpoint.port}"


def _told(failure: Failure) -> None:
    """Raise ``ProbeFailed`` with what went wrong in a few words."""
    error: Any = failure.value
    if isinstance(error, ProbeFailed):
        raise error
    if isinstance(error, ResponseNeverReceived):
        raise ProbeFailed("no response") from error
    if isinstance(error, ResponseFailed):
        raise ProbeFailed("not a valid response") from error
    code = error.osError if isinstance(error, ConnectError) else None
    text = strerror(code).lower() if isinstance(code, int) else str(error) or type(error).__name__
    raise ProbeFailed(text) from error
