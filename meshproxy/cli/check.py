"""``meshproxy check``: everything that is wrong with a configuration, without serving it.

It is the very load that ``twistd meshproxy`` makes at its start, so it finds the same and says it in the same words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from meshproxy.cli.arguments import EX_CONFIG, add_identity_arguments, load, wants_color
from meshproxy.cli.formats import Checked, as_github, as_json
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError, Diagnostic, Severity
from meshproxy.model import Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable

EX_FINDINGS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder of YAML, or - for standard input")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if there are warnings")
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="how findings are printed [default: text]"
    )
    add_identity_arguments(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Check, print the findings, and return the exit status."""
    registry = Registry.discover()
    for problem in registry.problems:
        stderr.write(f"meshproxy: {problem}\n")
    findings: Sequence[Diagnostic]
    try:
        snapshot = load(arguments.paths, arguments, registry, stdin)
    except ConfigError as error:
        checked, findings = None, error.diagnostics
    else:
        checked, findings = _checked(snapshot), snapshot.warnings
    stdout.write(_shown(findings, checked, arguments.format, wants_color(stdout)))
    if any(finding.severity is Severity.ERROR for finding in findings):
        return EX_CONFIG
    return EX_FINDINGS if findings and arguments.strict else 0


def _checked(snapshot: Snapshot) -> Checked:
    tables = [it.routes for it in snapshot.listeners if isinstance(it.routes, RouteTable)]
    routes = sum(len(host.routes) for table in tables for host in table.virtual_hosts)
    return Checked(snapshot.documents, len(snapshot.listeners), routes, len(snapshot.clusters))


def _shown(findings: Sequence[Diagnostic], checked: Checked | None, form: str, color: bool) -> str:
    if form == "json":
        return as_json(findings, checked)
    text = as_github(findings) if form == "github" else render(findings, color)
    return text if checked is None else f"{text}checked {checked}\n"
