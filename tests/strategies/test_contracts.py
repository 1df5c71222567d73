"""The bundled strategies pass the contracts that those of third parties are put through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.interfaces import IHashKey, ILoadBalancerBuilder, IRequest
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.random_choice import RandomChoiceBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.strategies.use_source_ip import SourceIpKey
from meshproxy.testing import FakeRequest, HashKeyContract, LoadBalancerContract


class HttpHeaderNameTests(HashKeyContract, SynchronousTestCase):
    def make_key(self) -> IHashKey:
        return HeaderKey("X-User")

    def requests_with_key(self) -> Sequence[IRequest]:
        return [
            FakeRequest([(b"x-user", value) for value in values])
            for values in ([b"ann"], [b"bob"], [b"a", b"b"], [b""])
        ]


class HttpCookieTests(HashKeyContract, SynchronousTestCase):
    def make_key(self) -> IHashKey:
        return CookieKey("sid")

    def requests_with_key(self) -> Sequence[IRequest]:
        return [FakeRequest([(b"cookie", line)]) for line in (b"sid=ann", b"a=1; sid=bob", b'sid="carl"; b=2')]

    def requests_without_key(self) -> Sequence[IRequest]:
        return [FakeRequest(), FakeRequest([(b"cookie", b"sid=")]), FakeRequest([(b"cookie", b"xsid=1")])]


class GeneratedCookieTests(HttpCookieTests):
    def make_key(self) -> IHashKey:
        return CookieKey("sid", timedelta(minutes=1), "/", (("SameSite", "Lax"),))

    def requests_with_key(self) -> Sequence[IRequest]:
        return [*super().requests_with_key(), *(FakeRequest(remote=b"10.0.0.1:%d" % port) for port in (1, 2))]

    def requests_without_key(self) -> Sequence[IRequest]:
        return []


class HttpQueryParameterNameTests(HashKeyContract, SynchronousTestCase):
    def make_key(self) -> IHashKey:
        return QueryParameterKey("id")

    def requests_with_key(self) -> Sequence[IRequest]:
        return [FakeRequest(path=path) for path in (b"/?id=ann", b"/x?a=1&id=bob", b"/?id")]

    def requests_without_key(self) -> Sequence[IRequest]:
        return [FakeRequest(path=path) for path in (b"/", b"/id=1", b"/?idx=1")]


class UseSourceIpTests(HashKeyContract, SynchronousTestCase):
    def make_key(self) -> IHashKey:
        return SourceIpKey()

    def requests_with_key(self) -> Sequence[IRequest]:
        return [FakeRequest(source_ip=address) for address in (b"10.0.0.1", b"10.0.0.2", b"2001:db8::1")]


class RingHashTests(LoadBalancerContract, SynchronousTestCase):
    most_loaded = 1.4
    most_movement = 2.0

    def make_builder(self) -> ILoadBalancerBuilder:
        return RingHashBuilder()


class MaglevTests(LoadBalancerContract, SynchronousTestCase):
    most_loaded = 1.06
    most_movement = 1.3
    order_matters = False

    def make_builder(self) -> ILoadBalancerBuilder:
        return MaglevBuilder(16381)


class BoundedLoadTests(LoadBalancerContract, SynchronousTestCase):
    most_loaded = 1.4
    most_movement = 2.0

    def make_builder(self) -> ILoadBalancerBuilder:
        return BoundedLoadBuilder(RingHashBuilder(), 120)


class RoundRobinTests(LoadBalancerContract, SynchronousTestCase):
    most_loaded = 1.01

    def make_builder(self) -> ILoadBalancerBuilder:
        return RoundRobinBuilder(Random(1).getrandbits)


class LeastRequestTests(LoadBalancerContract, SynchronousTestCase):
    most_loaded = 1.01

    def make_builder(self) -> ILoadBalancerBuilder:
        return LeastRequestBuilder(Random(1).getrandbits)


class RandomTests(LoadBalancerContract, SynchronousTestCase):
    def make_builder(self) -> ILoadBalancerBuilder:
        return RandomChoiceBuilder(Random(1).getrandbits)
