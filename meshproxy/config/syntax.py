"""What Istio takes for a name, a host, an address, a label: predicates on text.

Source: Istio's own validation rules; where it and the Kubernetes schema differ, the stricter of the two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

import re2

from meshproxy.config.effort import REGEXES, spend
from meshproxy.regex import compile_regex, is_plain

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\Z")
_WILDCARD_LABEL = re.compile(r"(\*|(\*-?)?[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)\Z")
_TAG_KEY = re.compile(r"([-_.A-Za-z0-9]+/)?[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?\Z")
_TAG_VALUE = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?\Z")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_LONGEST_HOST = 255
_LONGEST_REGEX = 1024
_LONGEST_TAG = 63
_USUAL_GROWTH = 10  # instructions for each character
_SIZE_OF_TOO_LARGE = 100_000

HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})
PROTOCOLS = HTTP_PROTOCOLS | TLS_PROTOCOLS | {"TCP", "UDP", "MONGO", "REDIS", "MYSQL"}


def is_dns_label(text: str) -> bool:
    """One label of a host name; upper case and leading digits pass, an underscore does not."""
    return _LABEL.match(text) is not None


def is_fqdn(text: str) -> bool:
    """A host name, with or without a dot at its end. A single label is one, an IPv4 address is not."""
    return len(text) <= _LONGEST_HOST and _is_domain(text, _LABEL)


def is_wildcard_domain(text: str) -> bool:
    """A host name whose first label may be ``*`` or begin with it, and all digits where it is the only one."""
    return len(text) <= _LONGEST_HOST and (_is_domain(text, _WILDCARD_LABEL) or is_dns_label(text))


def is_partial_wildcard(text: str) -> bool:
    """A wildcard that stands for a part of a label only, such as ``*foo.com``."""
    return "*" in text and text != "*" and not text.startswith("*.")


def canonical_ip(text: str) -> str | None:
    """The canonical text of an IP address (IPv6 without brackets), None if it is none. Zones are refused."""
    try:
        if ":" in text:
            return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
        inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return None
    return text


def is_ip_or_cidr(text: str) -> bool:
    """An address or a range of them, whose host bits may be set."""
    if canonical_ip(text) is not None:
        return True
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return text.rpartition("/")[2].isdigit()


def is_label_key(text: str) -> bool:
    """The key of a Kubernetes label."""
    return _TAG_KEY.match(text) is not None and len(text.rpartition("/")[2]) <= _LONGEST_TAG


def is_label_value(text: str) -> bool:
    """The value of a Kubernetes label; it may be empty."""
    return _TAG_VALUE.match(text) is not None and len(text) <= _LONGEST_TAG


def is_token(text: str) -> bool:
    """A token of HTTP, such as the name of a header."""
    return _TOKEN.match(text) is not None


def regex_problem(pattern: str) -> str:
    """What is wrong with an RE2 pattern, "" if nothing is."""
    if not pattern:
        return "may not be empty"
    if len(pattern) > _LONGEST_REGEX:
        return f"may have at most {_LONGEST_REGEX} characters"
    if not spend(REGEXES, 0):
        return "comes behind so many large regular expressions that no more are taken"
    if is_plain(pattern):
        return ""
    problem, size = _compiled(pattern)
    # What is no larger than its text lets expect costs no more than the text.
    spend(REGEXES, max(0, size - _USUAL_GROWTH * len(pattern)))
    return problem


@lru_cache(1024)
def _compiled(pattern: str) -> tuple[str, int]:
    """What is wrong with a pattern, and the size of its program."""
    try:
        return "", compile_regex(pattern).programsize
    except re2.error as error:
        reason = error.args[0] if error.args else error
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"is not a regular expression of RE2: {shown}", _SIZE_OF_TOO_LARGE if "large" in shown else 0


@lru_cache(4096)  # most hosts are named again and again
def _is_domain(text: str, first_label: re.Pattern[str]) -> bool:
    first, *rest = text.removesuffix(".").split(".")
    last = rest[-1] if rest else first
    return first_label.match(first) is not None and all(map(_LABEL.match, rest)) and not last.isdigit()
