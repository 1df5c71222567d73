"""``meshproxy diff``: what a change of the configuration changes for requests, and how many sessions it moves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from attrs import asdict
from twisted.internet.task import Clock

from meshproxy.cli.arguments import (
    PATH_HELP,
    add_format_argument,
    add_identity_arguments,
    load,
    reason,
    wants_color,
)
from meshproxy.cli.helptext import NOT_LOADED, Help
from meshproxy.config.diagnostics import visible
from meshproxy.explain.difference import ClusterChange, Difference, RouteChange, difference
from meshproxy.explain.drawing import movement_svg
from meshproxy.explain.keyspace import SAMPLES
from meshproxy.explain.replay import Replayed, replay
from meshproxy.http.gateway import Gateway
from meshproxy.model import Snapshot
from meshproxy.registry import Registry

EX_MOVED = 1
HELP = Help(
    "tell what a change does to requests and sessions",
    """\
Compares two configurations by what requests would notice: listeners, routes,
policies and endpoints, and for each cluster that chooses by hash the share of
its sessions that moves, beside the share that has to.""",
    (
        ("meshproxy diff mesh.yaml mesh-new.yaml", "before a change"),
        ("git show HEAD:mesh.yaml | meshproxy diff - mesh.yaml", "what is not committed"),
        ("meshproxy diff --max-moved 10% old/ new/", "as a gate of a pipeline"),
        (
            "meshproxy diff --access-log access.log --log-header Cookie=cookie old/ new/",
            "for the requests that there were",
        ),
    ),
    {
        0: "compared, whatever came of it",
        1: "more moves than --max-moved, or a file cannot be read or written",
        **NOT_LOADED,
    },
)
_MOST_PAIRS = 10
_MOST_HOSTS = 5
_RESET, _RED, _GREEN, _BOLD = "\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[1m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("old", metavar="OLD", help=PATH_HELP)
    parser.add_argument("new", metavar="NEW", help="the same for what is to come")
    parser.add_argument(
        "--max-moved",
        type=_percent,
        metavar="P%",
        help="a gate: end with status 1 if more than this, such as 10%%, moves of some cluster's sessions or, with "
        "--access-log, of the log's requests",
    )
    parser.add_argument(
        "--access-log",
        metavar="FILE",
        help="an access log in Istio's text format or in JSON; both configurations are asked for its requests",
    )
    parser.add_argument(
        "--log-header",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=KEY",
        help="under which key a JSON log has a header that matters, such as Cookie=cookie; repeatable",
    )
    parser.add_argument(
        "--samples",
        type=_positive,
        default=SAMPLES,
        metavar="N",
        help="how many hashes are compared in each cluster; shares are right to about 1 in N [default: %(default)s]",
    )
    add_format_argument(parser)
    parser.add_argument("--svg", metavar="FILE", help="a picture to write of the cluster in which most moves")
    add_identity_arguments(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Print the difference, and return the exit status. Raises ``ConfigError``."""
    registry = Registry.discover()
    old, new = (load([path], arguments, registry, stdin) for path in (arguments.old, arguments.new))
    found = difference(old, new, arguments.samples)
    try:
        replayed = _replayed(old, new, arguments)
        if arguments.svg:
            _draw(found, arguments.svg)
    except (OSError, ValueError) as error:
        stderr.write(f"meshproxy diff: {reason(error)}\n")
        return EX_MOVED
    if arguments.format == "json":
        stdout.write(json.dumps(_object(found, replayed), indent=2) + "\n")
    else:
        stdout.write("".join(f"{line}\n" for line in _lines(found, wants_color(stdout))))
        if replayed is not None:
            stdout.write("".join(f"{line}\n" for line in _replay_lines(replayed)))
    limit, most, whose = arguments.max_moved, found.most_moved, "a cluster's sessions"
    if replayed is not None:
        most, whose = replayed.share, "the requests of the log"
    if limit is not None and most > limit:
        stderr.write(f"meshproxy diff: {100 * most:.2f}% of {whose} move, more than {100 * limit:g}%\n")
        return EX_MOVED
    return 0


def _replayed(old: Snapshot, new: Snapshot, arguments: argparse.Namespace) -> Replayed | None:
    if arguments.access_log is None:
        return None
    before, after = Gateway(Clock()), Gateway(Clock())
    before.install(old)
    after.install(new)
    with open(arguments.access_log, encoding="utf-8", errors="replace") as lines:
        replayed = replay(before, after, lines, {key: name for name, key in arguments.log_header})
    if not replayed.requests:
        raise ValueError(f"{arguments.access_log} has no request in a format that is known")
    return replayed


def _object(found: Difference, replayed: Replayed | None) -> dict[str, Any]:
    if replayed is None:
        return {**found.as_json(), "replayed": None}
    pairs = [{"from": old, "to": new, "requests": count} for (old, new), count in replayed.pairs.items()]
    return {**found.as_json(), "replayed": {**asdict(replayed), "pairs": pairs}}


def _draw(found: Difference, path: str) -> None:
    moving = [it for it in found.clusters if it.movement is not None and it.movement.pairs]
    if not moving:
        raise ValueError("there is nothing to draw: no session moves from one endpoint to another")
    most = max(moving, key=lambda it: 0.0 if it.movement is None else it.movement.moved)
    assert most.before is not None
    assert most.after is not None
    assert most.movement is not None
    Path(path).write_text(movement_svg(most.name, most.before, most.after, most.movement), "utf-8")


def _lines(found: Difference, color: bool) -> Iterable[str]:
    def paint(style: str, words: str) -> str:
        return f"{style}{words}{_RESET}" if color else words

    if found.is_empty:
        yield "no request could notice a difference"
    yield from (paint(_GREEN if line.startswith("+") else _RED, visible(line)) for line in found.listeners)
    for where, changes in _by_hosts(found.routes).items():
        yield paint(_BOLD, f"routes of {where}")
        for route, other in _paired(changes):
            if other is None:
                yield paint(_RED if route.removed else _GREEN, _route(route))
            else:
                places = f"  ({route.place} -> {other.place})" if route.place and other.place else ""
                yield f"  ~ {visible(route.condition)}{places}"
                yield from (paint(_RED, f"      - {visible(it)}") for it in route.parts if it not in other.parts)
                yield from (paint(_GREEN, f"      + {visible(it)}") for it in other.parts if it not in route.parts)
                if sorted(route.parts) == sorted(other.parts):
                    yield "      the same, at another place or in another order"
    for cluster in found.clusters:
        yield paint(_BOLD, f"cluster {visible(cluster.name)}")
        yield from _cluster(cluster)


def _by_hosts(routes: Iterable[RouteChange]) -> dict[str, list[RouteChange]]:
    """The changes of routes by the virtual hosts that have them, hosts with the same changes together."""
    by_host: dict[tuple[str, str], list[RouteChange]] = {}
    for route in routes:
        by_host.setdefault((route.listener, route.virtual_host), []).append(route)
    alike: dict[tuple[str, tuple[tuple[bool, str, str, str], ...]], list[str]] = {}
    for (listener, host), changes in by_host.items():
        same = tuple((it.removed, it.condition, it.action, it.place) for it in changes)
        alike.setdefault((listener, same), []).append(host)
    found = {}
    for (listener, _), hosts in alike.items():
        more = f" and {len(hosts) - _MOST_HOSTS} more" if len(hosts) > _MOST_HOSTS else ""
        where = f"{visible(', '.join(hosts[:_MOST_HOSTS]))}{more} at {listener}"
        found[where] = by_host[listener, hosts[0]]
    return found


def _paired(changes: Iterable[RouteChange]) -> list[tuple[RouteChange, RouteChange | None]]:
    """Each change alone, or a route that goes together with the one that comes for the same requests."""
    found: list[tuple[RouteChange, RouteChange | None]] = []
    alone: dict[tuple[bool, str], list[int]] = {}
    for change in changes:
        partners = alone.get((not change.removed, change.condition))
        if partners:
            at = partners.pop(0)
            partner = found[at][0]
            found[at] = (change, partner) if change.removed else (partner, change)
        else:
            alone.setdefault((change.removed, change.condition), []).append(len(found))
            found.append((change, None))
    return found


def _route(route: RouteChange) -> str:
    sign = "-" if route.removed else "+"
    return f"  {sign} {visible(route.condition)}: {visible(route.action)}" + (
        f"  ({route.place})" if route.place else ""
    )


def _cluster(cluster: ClusterChange) -> Iterable[str]:
    yield from (f"  {visible(words)}" for words in cluster.words)
    moved = cluster.movement
    if moved is None:
        return
    yield f"  {100 * moved.moved:.2f}% of the sessions move; {100 * moved.minimum:.2f}% have to"
    for (old, new), share in list(moved.pairs.items())[:_MOST_PAIRS]:
        yield f"    {100 * share:6.2f}%  {visible(old)} -> {visible(new)}"
    if len(moved.pairs) > _MOST_PAIRS:
        rest = sum(list(moved.pairs.values())[_MOST_PAIRS:])
        yield f"    {100 * rest:6.2f}%  in {len(moved.pairs) - _MOST_PAIRS} other pairs"


def _replay_lines(replayed: Replayed) -> Iterable[str]:
    unread = f", {replayed.unread} lines are no requests" if replayed.unread else ""
    yield f"access log: {replayed.requests} requests{unread}"
    yield f"  {replayed.moved} go to another endpoint, {replayed.changed} to another cluster or answer"
    if replayed.undecided:
        yield f"  {replayed.undecided} do not say which endpoint they get"
    for (old, new), count in list(replayed.pairs.items())[:_MOST_PAIRS]:
        yield f"    {count:6}  {visible(old)} -> {visible(new)}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, key = text.partition("=")
    if not name or not equals or not key:
        raise argparse.ArgumentTypeError(f"{text}: not a header and a key as in Cookie=cookie")
    return name, key


def _percent(text: str) -> float:
    number = float(text.removesuffix("%"))
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text}: not a share as in 10%")
    return number / 100


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return number
