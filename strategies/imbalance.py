"""How unevenly a ring of hashes is to be expected to spread, before it is built.

Entries lie at random on the ring. So what lies in front of one of them has nearly an exponential distribution, and an
endpoint with k entries has the sum of k such parts: a gamma distribution of shape k, whose standard deviation is
1/sqrt(k) of its mean. Sources: Karger and others, Consistent Hashing and Random Trees (1997), for the number of
entries that has to grow with the logarithm of that of endpoints; Wilson and Hilferty, The Distribution of Chi-Square
(1931), for the tail of the gamma distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import erfc, exp, log, sqrt

_LARGEST = 100.0
_STEPS = 40
_EVEN_CHANCE = log(2)  # of so many endpoints that are above something, as likely as not there is none


def most_loaded(entries: Iterable[float]) -> float:
    """The largest share of an endpoint relative to its even one that is as likely as not to be exceeded.

    ``entries`` is how many each endpoint has, 1 at least.
    """
    counts = Counter(entries)
    low, high = 1.0, _LARGEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = sum(hosts * _tail(count, middle) for count, hosts in counts.items())
        low, high = (middle, high) if above > _EVEN_CHANCE else (low, middle)
    return high


def is_even(fewest: float, endpoints: int, limit: float) -> bool:
    """Whether so many endpoints with at least so many entries are sure to have ``most_loaded`` below a limit above 1.

    Much cheaper than that; False says nothing. Source: Chernoff's bound for the gamma distribution.
    """
    return endpoints * exp(-fewest * (limit - 1 - log(limit))) < _EVEN_CHANCE


def _tail(shape: float, ratio: float) -> float:
    """The chance that a gamma variable is more than ``ratio`` times its mean."""
    spread = 1 / (9 * shape)
    return erfc((ratio ** (1 / 3) - (1 - spread)) / sqrt(2 * spread)) / 2
