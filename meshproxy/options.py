"""The options of ``twistd meshproxy``.

Rules: nothing imported here may import the reactor, for it is chosen when the options are known. Wrong usage is one
line on standard error and exit status 64.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import NoReturn, TypeVar

from twisted.copyright import version as twisted_version
from twisted.python import usage

from meshproxy import __version__, duration
from meshproxy.cli.identity import check_locality, split_label
from meshproxy.model import ProxyIdentity
from meshproxy.workers.cores import usable_cores

EX_USAGE = 64
MOST_WORKERS = 1024
DEFAULT_ADMIN = "tcp:15000:interface=127.0.0.1"

_T = TypeVar("_T")
_MORE_USAGE = """
Examples:
  twistd -n meshproxy --demo
      a sample mesh to play with
  twistd -n meshproxy -c mesh.yaml --map-port 80=8080
      in the foreground, without privileges
  twistd -n meshproxy -c /etc/mesh --workers 4 --access-log /var/log/mesh.log
      four processes, and a file for the access log
  twistd -n meshproxy -c /etc/mesh --admin unix:/run/meshproxy.sock
      an admin server that only the owner of the process can reach

Signals: SIGHUP reloads the configuration, SIGUSR1 reopens the access log,
SIGUSR2 starts a process that takes over, SIGTERM and SIGINT drain and end;
the second time they end at once.

Exit status: 0 after a clean stop, 1 where the machine refuses something (such
as a port in use), 64 for wrong usage, 78 for a configuration that does not
load. meshproxy check finds what is wrong with one beforehand.
"""


class Options(usage.Options):
    """The options; after parsing, ``self`` has their values under the names below."""

    synopsis = "-c PATH [options]"
    longdesc = "Serves what Istio's networking YAML describes, until a signal ends it."
    optFlags = (["demo", None, "Serve a sample mesh with three replicas inside this process, instead of -c."],)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.update(
            config=[],
            map_port={},
            listen_address="",
            admin=DEFAULT_ADMIN,
            admin_token_file=None,
            access_log=None,
            proxy_namespace=ProxyIdentity().namespace,
            proxy_labels={},
            proxy_locality="",
            drain_timeout=30.0,
            workers=None,
        )

    def opt_config(self, path: str) -> None:
        """A file, or a folder with *.yaml, *.yml and *.json; repeatable, all of them are one configuration."""
        self["config"].append(os.path.abspath(_not_empty("--config", path)))

    opt_c = opt_config

    def opt_map_port(self, ports: str) -> None:
        """P=Q: listen on port Q where the configuration says P, such as 80=8080; 80=0 takes a free one; repeatable."""
        from_text, equals, to_text = ports.partition("=")
        source, target = _port(from_text), _port(to_text)
        if not equals or not source or target is None:
            raise usage.UsageError(f"--map-port {ports}: not two ports as in 80=8080")
        if source in self["map_port"]:
            raise usage.UsageError(f"--map-port {ports}: port {source} is mapped already")
        self["map_port"][source] = target

    def opt_listen_address(self, address: str) -> None:
        """IP to listen on where a server has no `bind`, such as 127.0.0.1 or :: [default: all IPv4 addresses]"""
        try:
            self["listen_address"] = str(ip_address(address))
        except ValueError:
            raise usage.UsageError(f"--listen-address {address}: not an IP address") from None

    def opt_workers(self, number: str) -> None:
        """How many processes serve; auto is one for each usable core, 1 is this one [default: auto; with --demo 1]"""
        if number == "auto":
            self["workers"] = usable_cores()
        elif number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST_WORKERS:
            self["workers"] = int(number)
        else:
            raise usage.UsageError(f"--workers {number}: neither a number from 1 to {MOST_WORKERS} nor auto")

    def opt_admin(self, endpoint: str) -> None:
        """Endpoint of the admin server, such as unix:/run/mesh.sock, or off [default: tcp:15000:interface=127.0.0.1]"""
        self["admin"] = _not_empty("--admin", endpoint)

    def opt_admin_token_file(self, path: str) -> None:
        """File with the token that meshproxy drain and reload need over TCP [default: none, they are refused]"""
        self["admin_token_file"] = os.path.abspath(_not_empty("--admin-token-file", path))

    def opt_access_log(self, path: str) -> None:
        """File for the access log, - for standard output, or off [default: accessLogFile of a Mesh document, else -]"""
        self["access_log"] = path if _not_empty("--access-log", path) in ("-", "off") else os.path.abspath(path)

    def opt_proxy_namespace(self, namespace: str) -> None:
        """The namespace of this gateway, for exportTo, sourceNamespace and the like [default: istio-system]"""
        self["proxy_namespace"] = _not_empty("--proxy-namespace", namespace)

    def opt_proxy_label(self, label: str) -> None:
        """K=V: a label of this gateway, for a Gateway's selector; repeatable [default: those of Istio's gateway]"""
        key, value = _of_identity("--proxy-label", label, split_label)
        self["proxy_labels"][key] = value

    def opt_proxy_locality(self, locality: str) -> None:
        """REGION/ZONE/SUBZONE: where this gateway is, such as eu/west/a, for localityLbSetting [default: unknown]"""
        self["proxy_locality"] = _of_identity("--proxy-locality", locality, check_locality)

    def opt_drain_timeout(self, text: str) -> None:
        """How long a stopping process serves what it has begun, such as 90s or 1m30s [default: 30s]"""
        try:
            seconds = duration.parse(text).total_seconds()
        except ValueError as error:
            raise usage.UsageError(f"--drain-timeout: {error}") from None
        if seconds < 0:
            raise usage.UsageError(f"--drain-timeout {text}: must not be negative")
        self["drain_timeout"] = seconds

    def getUsage(self, width: int | None = None) -> str:
        """See ``usage.Options``; with examples, signals and exit statuses."""
        text: str = super().getUsage(width)
        return text + _MORE_USAGE

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"meshproxy {__version__} (Twisted {twisted_version}, Python {sys.version.split()[0]})")
        raise SystemExit(0)

    def parseArgs(self, *arguments: str) -> None:
        """There are no arguments beside options."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}; a configuration is named with -c")

    def postOptions(self) -> None:
        """Check what concerns several options, and install the lean reactor where nobody chose one."""
        if self["workers"] is None:
            self["workers"] = 1 if self["demo"] else usable_cores()
        if self["demo"] and self["config"]:
            raise usage.UsageError("--demo brings its own configuration; leave out -c")
        if not self["demo"] and not self["config"]:
            raise usage.UsageError("-c PATH is missing: the file or folder with the configuration (or try --demo)")
        _check_endpoint(self["admin"])
        if self["admin"] == "off" and self["admin_token_file"] is not None:
            raise usage.UsageError("--admin-token-file has no effect with --admin off")
        _install_reactor()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; wrong usage is one line on standard error and exit status 64."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            die(f"meshproxy: {error} (twistd meshproxy --help shows all options)\n", EX_USAGE)


def _of_identity(option: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise usage.UsageError(f"{option} {text}: {error}") from None


def _not_empty(option: str, value: str) -> str:
    if not value:
        raise usage.UsageError(f"{option} must not be empty")
    return value


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 65536
    return number if number < 65536 else None


def _check_endpoint(description: str) -> None:
    from twisted.internet.endpoints import serverFromString

    if description == "off":
        return
    try:
        serverFromString(None, description)
    except Exception as error:  # noqa: BLE001 - endpoint plugins raise what they like
        raise usage.UsageError(
            f"--admin {description}: not an endpoint as in {DEFAULT_ADMIN}, nor off ({error})"
        ) from None


def _install_reactor() -> None:
    if "twisted.internet.reactor" in sys.modules:
        return
    try:
        from meshproxy.net.lean_reactor import install
    except ImportError:
        return  # no epoll here: Twisted chooses
    install()


def die(text: str, status: int) -> NoReturn:
    """End the process with a text on standard error."""
    sys.stderr.write(text)
    raise SystemExit(status)


__all__ = ["DEFAULT_ADMIN", "EX_USAGE", "Options", "die"]
