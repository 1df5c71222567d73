"""``meshproxy check``: everything that is wrong with a configuration, without serving it.

It is the very load that ``twistd meshproxy`` makes at its start, so it finds the same and says it in the same words.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import BinaryIO, TextIO, TypeVar

from meshproxy import config
from meshproxy.cli.formats import Checked, as_github, as_json
from meshproxy.cli.identity import check_locality, identity, split_label
from meshproxy.config.diagnostics import render
from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError, Diagnostic, Severity
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable

EX_FINDINGS = 1
EX_CONFIG = 78
_STANDARD_INPUT = "-"
_SHOWN_AS = "<stdin>"
_T = TypeVar("_T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder of YAML, or - for standard input")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if there are warnings")
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="how findings are printed [default: text]"
    )
    parser.add_argument(
        "--proxy-namespace",
        default=ProxyIdentity().namespace,
        metavar="N",
        type=_not_empty,
        help="the namespace of the gateway, for exportTo and the like [default: %(default)s]",
    )
    parser.add_argument(
        "--proxy-label",
        action="append",
        default=[],
        metavar="K=V",
        type=_reading(split_label),
        help="a label of the gateway, for a Gateway's selector; repeatable [default: those of Istio's gateway]",
    )
    parser.add_argument(
        "--proxy-locality",
        metavar="REGION/ZONE/SUBZONE",
        type=_reading(check_locality),
        help="where the gateway is, for localityLbSetting [default: unknown]",
    )


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Check, print the findings, and return the exit status."""
    registry = Registry.discover()
    for problem in registry.problems:
        stderr.write(f"meshproxy: {problem}\n")
    proxy = identity(arguments.proxy_namespace, dict(arguments.proxy_label), arguments.proxy_locality or "")
    findings: Sequence[Diagnostic]
    try:
        snapshot = config.load(_read(arguments.paths, stdin), registry, proxy)
    except ConfigError as error:
        checked, findings = None, error.diagnostics
    else:
        checked, findings = _checked(snapshot), snapshot.warnings
    stdout.write(_shown(findings, checked, arguments.format, _color(stdout)))
    if any(finding.severity is Severity.ERROR for finding in findings):
        return EX_CONFIG
    return EX_FINDINGS if findings and arguments.strict else 0


def _read(paths: Sequence[str], stdin: BinaryIO) -> Sources:
    piped = stdin if _STANDARD_INPUT in paths else None
    return config.read([path for path in paths if path != _STANDARD_INPUT], piped, _SHOWN_AS)


def _checked(snapshot: Snapshot) -> Checked:
    tables = [it.routes for it in snapshot.listeners if isinstance(it.routes, RouteTable)]
    routes = sum(len(host.routes) for table in tables for host in table.virtual_hosts)
    return Checked(snapshot.documents, len(snapshot.listeners), routes, len(snapshot.clusters))


def _shown(findings: Sequence[Diagnostic], checked: Checked | None, form: str, color: bool) -> str:
    if form == "json":
        return as_json(findings, checked)
    text = as_github(findings) if form == "github" else render(findings, color)
    return text if checked is None else f"{text}checked {checked}\n"


def _color(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ


def _reading(read: Callable[[str], _T]) -> Callable[[str], _T]:
    def converted(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from None

    return converted


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text
