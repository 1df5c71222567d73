"""What the size of a configuration adds to the routing of one request.

Usage: bench_routing.py [HOSTS]

Routes requests through a table with one virtual host and through one with HOSTS (1000) of them, each with 20 routes, in
turns, and prints for each kind of path the processor time per request of both and their difference; the mean of the
differences has a limit. Requests go to all hosts in random order, so the large table also pays for the processor's
caches. Hosts are alike (as those from one template are) or all different (each has its own paths and patterns, the most
that there can be to keep in caches). Times are the least of several rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from statistics import fmean
from time import process_time

from attrs import define

from meshproxy.routes import (
    Comparison,
    Forward,
    HeaderMatch,
    PathMatch,
    Route,
    RouteMatch,
    TextMatch,
    VirtualHost,
    WeightedDestination,
)
from meshproxy.routing import RouteTable

ROUNDS = 10
REQUESTS = 10_000
PIECE = 500
LIMIT = 2.0
HEADERS = [(b"x-header-%d" % number, b"value") for number in range(11)] + [(b"x-canary", b"no")]


@define
class Request:
    """A request with 12 headers."""

    authority: bytes
    route_path: bytes
    path: bytes
    method: bytes = b"GET"
    scheme: bytes = b"http"

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """As an exchange finds them."""
        return [value for header, value in HEADERS if header == name]


def matches(host: int) -> Iterator[RouteMatch]:
    """The 20 match blocks of a host: exact paths, prefixes, regular expressions and conditions on more than the path.

    Hosts with different numbers have different paths and patterns.
    """

    def path(comparison: Comparison, value: str, ignore_case: bool = False) -> PathMatch:
        return PathMatch(comparison, value, ignore_case)

    canary = HeaderMatch(b"x-canary", TextMatch(Comparison.EXACT, "yes"))
    for number in range(6):
        yield RouteMatch(path(Comparison.EXACT, f"/s{host}/page{number}"))
    for number in range(6):
        yield RouteMatch(path(Comparison.PREFIX, f"/s{host}/api/v{number}/"))
    yield RouteMatch(path(Comparison.PREFIX, f"/s{host}/api/"), method=TextMatch(Comparison.EXACT, "PUT"))
    yield RouteMatch(path(Comparison.PREFIX, f"/s{host}/shop"), headers=(canary,))
    yield RouteMatch(path(Comparison.PREFIX, f"/s{host}/shop"))
    yield RouteMatch(path(Comparison.REGEX, f"/s{host}/item/[0-9]+"))
    yield RouteMatch(path(Comparison.REGEX, f"/s{host}/(a|b)/.*"))
    yield RouteMatch(path(Comparison.REGEX, f"/s{host}/static/.*"))
    yield RouteMatch(path(Comparison.PREFIX, f"/S{host}/Old", ignore_case=True))
    yield RouteMatch(path(Comparison.PREFIX, "/"))


PATHS = ("page3", "api/v4/users", "api/x", "shop/cart", "item/123", "b/c", "static/app.js", "OLD/page", "nowhere")


def virtual_host(host: int, blocks: Iterable[RouteMatch]) -> VirtualHost:
    """A host with a route for each block."""
    routes = (Route(block, Forward((WeightedDestination("cluster"),))) for block in blocks)
    return VirtualHost(f"host{host}.test", tuple(routes))


def request(host: int, part: int, path: str) -> Request:
    """A request for a host, objects of its own included."""
    target = f"/s{part}/{path}".encode()
    return Request(f"host{host}.test".encode(), target, target)


def microseconds(table: RouteTable, asked: list[Request]) -> list[float]:
    """The processor time per request, loop included, of each piece of a round."""
    find, times = table.find, []
    for start in range(0, len(asked), PIECE):
        piece = asked[start : start + PIECE]
        began = process_time()
        for request in piece:
            find(request)
        times.append((process_time() - began) / len(piece) * 1e6)
    return times


def best_of(rounds: Iterable[list[float]]) -> float:
    """The mean of each piece's best time: what it costs while nothing else has the processor."""
    return fmean(map(min, zip(*rounds, strict=True)))


def main() -> None:
    """Measure and print; exit status 1 if a difference is above the limit."""
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    exceeded = False
    for title, part in (("hosts alike", lambda host: 0), ("hosts different", lambda host: host)):
        described = [virtual_host(host, matches(part(host))) for host in range(hosts)]
        began = process_time()
        large = RouteTable(described)
        built = process_time() - began
        small = RouteTable([virtual_host(0, matches(0))])
        print(f"{title}: {hosts} built in {built * 1000:.0f} ms; µs per request with 1, with {hosts}, difference")
        rows = []
        for path in PATHS:
            few = [request(0, 0, path) for _ in range(REQUESTS)]
            many = [request(number % hosts, part(number % hosts), path) for number in range(REQUESTS)]
            Random(1).shuffle(many)
            times = [(microseconds(small, few), microseconds(large, many)) for _ in range(ROUNDS)]
            one, all_of_them = map(best_of, zip(*times, strict=True))
            rows.append((path, one, all_of_them))
        rows.append(("mean", fmean(row[1] for row in rows), fmean(row[2] for row in rows)))
        for path, one, all_of_them in rows:
            print(f"  {path:14}{one:6.2f}{all_of_them:6.2f}{all_of_them - one:6.2f}")
        exceeded |= rows[-1][2] - rows[-1][1] > LIMIT
    bare = RouteTable([virtual_host(0, [RouteMatch()])])
    rounds = [microseconds(bare, [request(0, 0, "any")] * REQUESTS) for _ in range(ROUNDS)]
    print(f"a single catch-all route: {best_of(rounds):.2f} µs per request")
    raise SystemExit(exceeded)


if __name__ == "__main__":
    main()
