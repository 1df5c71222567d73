"""``meshproxy distribution``: how evenly the sessions of each cluster are spread over its endpoints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

from attrs import asdict

from meshproxy.cli.arguments import (
    EX_USAGE,
    add_config_argument,
    add_format_argument,
    add_identity_arguments,
    load,
    reason,
)
from meshproxy.cli.helptext import NOT_LOADED, Help
from meshproxy.config.diagnostics import suggest, visible
from meshproxy.explain.drawing import shares_svg
from meshproxy.explain.keyspace import SAMPLES, Shares, sample_hashes, shares
from meshproxy.hashing import xxh64
from meshproxy.model import Cluster
from meshproxy.registry import Registry

EX_FINDINGS = 1
HELP = Help(
    "tell how evenly sessions are spread over endpoints",
    """\
Shows for each cluster that chooses by hash what share of the sessions each
endpoint gets, and how far the most and the least loaded are from their even
share.""",
    (
        ("meshproxy distribution -c mesh.yaml", "all clusters"),
        ("meshproxy distribution -c mesh.yaml --cluster shop --svg shop.svg", "a picture of one"),
        ("meshproxy distribution -c mesh.yaml --keys users.txt", "for keys that there are"),
    ),
    {0: "told", 1: "no cluster is meant, or a file cannot be read or written", **NOT_LOADED},
)
_BAR = 40
_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_config_argument(parser)
    parser.add_argument("--cluster", metavar="PART", help="only clusters whose name contains this [default: all]")
    parser.add_argument("--keys", metavar="FILE", help="keys of real sessions, one in a line, instead of even samples")
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES,
        metavar="N",
        help="how many hashes are looked at; shares are right to about 1 in N [default: %(default)s]",
    )
    add_format_argument(parser)
    parser.add_argument("--svg", metavar="FILE", help="a picture to write of the one cluster that --cluster leaves")
    add_identity_arguments(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Print the shares, and return the exit status. Raises ``ConfigError``."""
    if arguments.samples < 1:
        stderr.write(f"meshproxy distribution: --samples {arguments.samples}: must be at least 1\n")
        return EX_USAGE
    snapshot = load(arguments.config, arguments, Registry.discover(), stdin)
    try:
        hashes = _hashes(arguments)
        clusters = _wanted(snapshot.clusters, arguments.cluster)
        found = {it.name: shares(it.balancer, it.endpoints, hashes) for it in clusters}
        if arguments.svg:
            _draw(found, arguments.svg)
    except (OSError, ValueError) as error:
        stderr.write(f"meshproxy distribution: {reason(error)}\n")
        return EX_FINDINGS
    if arguments.format == "json":
        report = {"version": _VERSION, "hashes": len(hashes), "clusters": [_object(*it) for it in found.items()]}
        stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        stdout.write("".join(f"{line}\n" for name, it in found.items() for line in _lines(name, it)))
    return 0


def _hashes(arguments: argparse.Namespace) -> list[int]:
    if arguments.keys is None:
        return sample_hashes(arguments.samples)
    keys = Path(arguments.keys).read_bytes().splitlines()
    hashes = [xxh64(key) for key in keys if key]
    if not hashes:
        raise ValueError(f"there is no key in {arguments.keys}")
    return hashes


def _wanted(clusters: Mapping[str, Cluster], part: str | None) -> list[Cluster]:
    """The clusters that choose by a hash and have endpoints; raises ``ValueError`` where there are none."""
    hashed = {name: it for name, it in clusters.items() if it.balancer.uses_hash and it.endpoints}
    wanted = [it for name, it in hashed.items() if part is None or part in name]
    if not wanted:
        hint = suggest(part, list(hashed)) if part is not None else ""
        names = "; they are " + ", ".join(list(hashed)[:5]) if hashed and part is not None else ""
        named = "" if part is None else f" and has {part!r} in its name"
        raise ValueError(f"no cluster chooses by a hash{named}{f'; {hint}' if hint else names}")
    return wanted


def _draw(found: Mapping[str, Shares], path: str) -> None:
    if len(found) != 1:
        raise ValueError(f"--svg draws one cluster, and there are {len(found)}: choose one with --cluster")
    ((name, it),) = found.items()
    Path(path).write_text(shares_svg(name, it), "utf-8")


def _object(name: str, found: Shares) -> dict[str, object]:
    return {"name": name, **asdict(found), "most_loaded": found.most_loaded, "least_loaded": found.least_loaded}


def _lines(name: str, found: Shares) -> Iterable[str]:
    yield f"{visible(name)}: {len(found.by_endpoint)} endpoints"
    yield f"  most loaded {found.most_loaded:.3f} times its even share, least loaded {found.least_loaded:.3f}"
    width = max(len(visible(key)) for key in found.by_endpoint)
    largest = max(found.by_endpoint.values())
    for key, share in found.by_endpoint.items():
        bar = "#" * round(_BAR * share / largest)
        yield f"  {visible(key):<{width}} {100 * share:6.2f}% of {100 * found.even[key]:.2f}%  {bar}".rstrip()
