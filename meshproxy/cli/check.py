"""``meshproxy check``: everything that is wrong with a configuration, without serving it.

It is the very load that ``twistd meshproxy`` makes at its start, so it finds the same and says it in the same words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from meshproxy.cli.arguments import (
    EX_CONFIG,
    PATH_HELP,
    add_format_argument,
    add_identity_arguments,
    load,
    wants_color,
)
from meshproxy.cli.formats import Checked, as_github, as_json
from meshproxy.cli.helptext import NOT_LOADED, Help
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError, Diagnostic, Severity
from meshproxy.model import Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable

EX_FINDINGS = 1
HELP = Help(
    "print all that is wrong with a configuration, or has no effect",
    """\
Prints everything that is wrong with a configuration, and everything in it
that has no effect, each with file, line and column. It makes the very load
that twistd meshproxy makes, but opens no port and needs no gateway.""",
    (
        ("meshproxy check mesh.yaml", "before it is put in force"),
        ("kubectl get gw,vs,dr,se,svc,endpointslices -A -o yaml | meshproxy check -", "what a cluster has"),
        ("meshproxy check --strict --format github deploy/mesh", "as a step of a GitHub workflow"),
    ),
    {0: "it loads; there may be warnings", 1: "it loads with warnings, and --strict was given", **NOT_LOADED},
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help=f"{PATH_HELP}; all of them are one configuration")
    parser.add_argument("--strict", action="store_true", help="let warnings, too, end it with status 1")
    add_format_argument(parser, "github for annotations of a GitHub workflow")
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
