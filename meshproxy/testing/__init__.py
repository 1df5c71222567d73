"""What authors of strategies test with, and meshproxy itself: nothing here needs a socket, a clock or a wait.

- ``FakeRequest``: a request as a hash key sees it.
- ``setting``: a setting as ``from_config`` gets it.
- ``MemoryGateway``: a gateway that serves YAML in memory and tells which endpoint got a request.
- ``HashKeyContract``, ``LoadBalancerContract``: the tests that every strategy passes, as mixins for test cases.

``wire`` has the gateway in memory down to single bytes. ``docs/write-a-strategy.md`` shows all of it in use.
"""

from meshproxy.testing.hash_keys import HashKeyContract
from meshproxy.testing.load_balancers import LoadBalancerContract, sample_endpoints
from meshproxy.testing.memory import Answer, MemoryGateway, Pending
from meshproxy.testing.operations import count_operations
from meshproxy.testing.requests import FakeRequest
from meshproxy.testing.settings import setting

__all__ = [
    "Answer",
    "FakeRequest",
    "HashKeyContract",
    "LoadBalancerContract",
    "MemoryGateway",
    "Pending",
    "count_operations",
    "sample_endpoints",
    "setting",
]
