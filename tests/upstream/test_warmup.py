"""A cluster whose endpoints warm up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder, IWarmsUp
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup
from meshproxy.strategies.least_request import LeastRequestBuilder
from tests.upstream.served import ROTATION, HealthCase, endpoints


@implementer(ILoadBalancerBuilder, IWarmsUp)
class Failing:
    """A strategy whose endpoints cannot warm up while it is ``broken``."""

    broken = False

    def build(self, members: Sequence[Endpoint]) -> ILoadBalancer:
        return ROTATION.build(members)

    def warming(self, warmup: Warmup, age: Callable[[Endpoint], float]) -> ILoadBalancerBuilder:
        if self.broken:
            raise RuntimeError("nobody warms up here")
        return self


class WarmupTests(HealthCase):
    def picks(self, count: int) -> dict[int, int]:
        found = [self.state.balancer.pick(0, 0).port for _ in range(count)]
        return {port: found.count(port) for port in sorted(set(found))}

    def test_together(self) -> None:
        """Endpoints that are all new have equal shares."""
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10))
        self.assertEqual(self.picks(100), {1: 50, 2: 50})

    def test_newcomer(self) -> None:
        """One that comes later begins with the least percentage, and has its whole share at the end."""
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10))
        self.clock.advance(60)
        self.serve(endpoints(3), outliers=None, warmup=Warmup(10))
        for seconds, share in ((0, 0.1), (5, 0.5), (5, 1.0)):
            self.clock.advance(seconds)
            self.picks(50)  # deadlines that were set before are used up
            self.assertApproximates(self.picks(2100)[3] / 2100, share / (2 + share), 0.01)

    def test_aggression(self) -> None:
        """Aggression gives more in the beginning."""
        self.serve(endpoints(1), outliers=None, warmup=Warmup(10, 2.0))
        self.clock.advance(60)
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10, 2.0))
        self.clock.advance(2.5)
        self.picks(50)
        self.assertApproximates(self.picks(1500)[2] / 1500, 0.5 / 1.5, 0.01)

    def test_after_an_ejection(self) -> None:
        """An endpoint that returns from an ejection is not new; a ring knows nothing of warming up."""
        self.serve(endpoints(2), warmup=Warmup(5))
        self.clock.advance(30)
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.picks(10), {2: 10})
        self.clock.pump([1] * 10)
        self.turn()
        self.assertEqual(self.picks(100), {1: 50, 2: 50})

    def test_failure(self) -> None:
        """A strategy that fails to warm up keeps the balancer that serves, and is asked again at the next change."""
        failing = Failing()
        self.serve(endpoints(2), failing, warmup=Warmup(5))
        failing.broken = True
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.picked(), {1, 2})
        failing.broken = False
        self.clock.pump([1] * 10)
        self.answer(500, 2)
        self.turn()
        self.assertEqual(self.picked(), {1})
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    def test_by_load(self) -> None:
        """The factor goes with the load where requests in flight count."""
        builder = LeastRequestBuilder(lambda bits: 0)
        self.serve(endpoints(1), builder, None, warmup=Warmup(10))
        self.clock.advance(60)
        self.serve(endpoints(2), builder, None, warmup=Warmup(10))
        pick = self.state.pick_with_load
        found = [pick(0, 0, lambda endpoint: 1 if endpoint.port == 1 else 0).port for _ in range(600)]
        self.assertApproximates(found.count(2) / 600, 0.1 / 0.6, 0.01)
