"""What several commands share: options, and loading the configuration that they are about."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import BinaryIO, TextIO, TypeVar

from meshproxy import config, garbage
from meshproxy.cli.identity import check_locality, identity, split_label
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry

EX_USAGE = 64
EX_CONFIG = 78
_STANDARD_INPUT = "-"
_SHOWN_AS = "<stdin>"
_T = TypeVar("_T")


PATH_HELP = "a file, a folder (its *.yaml, *.yml and *.json), or - for standard input"


def add_format_argument(parser: argparse.ArgumentParser, *more: str) -> None:
    """The option that says for whom something is printed; of ``more``, the first word is one more choice."""
    kinds = ("text for people", "json for programs (its keys are kept over releases)", *more)
    choices = [kind.partition(" ")[0] for kind in kinds]
    help_text = f"{', '.join(kinds)} [default: text]"
    parser.add_argument("--format", choices=choices, default="text", help=help_text)


def add_config_argument(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The option that names the configuration."""
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        required=required,
        metavar="PATH",
        help=f"{PATH_HELP}; repeatable, all of them are one configuration",
    )


def add_identity_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say who the gateway is."""
    group = parser.add_argument_group("who the gateway is", "as to twistd meshproxy")
    group.add_argument(
        "--proxy-namespace",
        default=ProxyIdentity().namespace,
        metavar="N",
        type=_not_empty,
        help="its namespace, for exportTo, sourceNamespace and the like [default: %(default)s]",
    )
    group.add_argument(
        "--proxy-label",
        action="append",
        default=[],
        metavar="K=V",
        type=_reading(split_label),
        help="one of its labels, for a Gateway's selector, such as istio=edge; repeatable "
        "[default: istio=ingressgateway, app=istio-ingressgateway]",
    )
    group.add_argument(
        "--proxy-locality",
        metavar="REGION/ZONE/SUBZONE",
        type=_reading(check_locality),
        help="where it is, for localityLbSetting, such as eu/west/a [default: unknown]",
    )


def names_a_gateway(arguments: argparse.Namespace) -> bool:
    """Whether anything of ``add_config_argument`` or ``add_identity_arguments`` was given."""
    others = arguments.config or arguments.proxy_label or arguments.proxy_locality
    return bool(others) or arguments.proxy_namespace != ProxyIdentity().namespace


def load(paths: Sequence[str], arguments: argparse.Namespace, registry: Registry, stdin: BinaryIO) -> Snapshot:
    """The configuration of files, folders and ``-``, for the gateway of ``add_identity_arguments``.

    Raises ``ConfigError``.
    """
    proxy = identity(arguments.proxy_namespace, dict(arguments.proxy_label), arguments.proxy_locality or "")
    piped = stdin if _STANDARD_INPUT in paths else None
    sources = config.read([path for path in paths if path != _STANDARD_INPUT], piped, _SHOWN_AS)
    with garbage.held():
        return config.load(sources, registry, proxy)


def reason(error: Exception) -> str:
    """An error in words, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def wants_color(stream: TextIO) -> bool:
    """Whether colours show on a stream and nobody minds them."""
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
