"""What a route does other than choosing a destination: ``redirect``, ``directResponse`` and ``rewrite``.

Each is read once and compiled for each match, since what is replaced depends on how the path was matched, and the
port of a redirect may be that of the gateway.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as InvalidBase64

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import regex_problem
from meshproxy.regex import compile_regex
from meshproxy.routes import Comparison, DirectResponse, PathMatch, Redirect, Rewrite

LARGEST_STATUS = 599
UNUSABLE = DirectResponse(500)
"""What a route answers that Istio accepts and Envoy refuses."""

_LARGEST_BODY = 2**20
_LARGE_BODY = 100 * 2**10
_WITHOUT_BODY = (204, 304)
_REDIRECT_STATUSES = (301, 302, 303, 307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FROM_REQUEST_PORT = "FROM_REQUEST_PORT"
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


@frozen
class RedirectSettings:
    """A ``redirect``; empty and None for what is not given. ``status`` may be one that cannot be served."""

    uri: str = ""
    prefix_rewrite: str = ""
    authority: str = ""
    scheme: str = ""
    port: int | None = None
    from_request_port: bool = False
    status: int = 301

    def compiled(self, path: PathMatch | None, gateway_port: int) -> Redirect | DirectResponse:
        """The redirect of a route with this path condition at a port where HTTP is not encrypted."""
        if self.status not in _REDIRECT_STATUSES:
            return UNUSABLE
        port = gateway_port if self.from_request_port else self.port
        if port == _DEFAULT_PORTS[self.scheme or "http"]:
            port = None
        length = matched_length(path) if self.prefix_rewrite and not self.uri else None
        target = self.uri or self.prefix_rewrite or None
        return Redirect(self.status, self.scheme or None, self.authority or None, port, target, length)


@frozen
class RewriteSettings:
    """A ``rewrite``; empty for what is not given."""

    uri: str = ""
    authority: str = ""
    regex: str = ""
    substitution: str = ""

    def compiled(self, path: PathMatch | None, authority: str | None) -> Rewrite | None:
        """The rewrite of a route with this path condition; ``authority`` comes from header operations."""
        authority = self.authority or authority
        if self.regex:
            return Rewrite(regex=self.regex, substitution=self.substitution, authority=authority)
        if not self.uri:
            return None if authority is None else Rewrite(authority=authority)
        if path is not None and path.comparison in (Comparison.EXACT, Comparison.REGEX):
            return Rewrite(self.uri, whole=True, authority=authority)
        return Rewrite(self.uri, prefix_length=matched_length(path) or 0, authority=authority)


def matched_length(path: PathMatch | None) -> int | None:
    """How many bytes at the start of a path a condition has matched; None: all of them."""
    if path is None or path.comparison is Comparison.PRESENT:
        return 1  # as the prefix "/"
    return None if path.comparison is Comparison.REGEX else len(path.value.encode())


def decode_redirect(node: Node, findings: Findings) -> RedirectSettings:
    """A ``redirect`` without what is wrong with it."""
    names = ("uri", "prefixRewrite", "authority", "scheme", "port", "derivePort", "redirectCode")
    fields = Fields(node, findings, names)
    settings = RedirectSettings(
        fields.string("uri"),
        fields.string("prefixRewrite"),
        fields.string("authority"),
        fields.read("scheme", _scheme) or "",
        fields.read("port", checks.port_number),
        fields.read("derivePort", _derive_port) == _FROM_REQUEST_PORT,
        _redirect_status(fields),
    )
    for name in ("uri", "prefixRewrite"):
        _warn_of_relative_path(fields, name)
    given = (settings.uri, settings.prefix_rewrite, settings.authority, settings.scheme)
    if "port" in fields and "derivePort" in fields:
        findings.error(node.key_location("derivePort"), f"{node.path} may not have both port and derivePort")
    elif settings.uri and settings.prefix_rewrite:
        findings.error(node.key_location("prefixRewrite"), f"{node.path} may not have both uri and prefixRewrite")
    elif not any(given) and not any(name in fields for name in ("scheme", "port", "derivePort")):
        findings.error(node.location, f"{node.path} needs uri, prefixRewrite, authority, scheme, port or derivePort")
    return settings


def decode_direct_response(node: Node, findings: Findings) -> DirectResponse:
    """A ``directResponse``; one without body where that is wrong."""
    fields = Fields(node, findings, ("status", "body"))
    fields.required("status")
    status = fields.integer("status", 200, LARGEST_STATUS + 1) or LARGEST_STATUS
    body_node = fields.get("body")
    body = None if body_node is None else _body(body_node, findings)
    if status > LARGEST_STATUS:
        warn_of_status(fields, "status")
        return UNUSABLE
    if body and status in _WITHOUT_BODY:
        message = f"{node.path}.body has no effect: {status} is a status without body"
        findings.warning(node.key_location("body"), message)
    return DirectResponse(status, body or None)


def decode_rewrite(node: Node, findings: Findings) -> RewriteSettings:
    """A ``rewrite`` without what is wrong with it."""
    fields = Fields(node, findings, ("uri", "authority", "uriRegexRewrite"))
    uri, authority = fields.string("uri"), fields.string("authority")
    _warn_of_relative_path(fields, "uri")
    regex_node = fields.get("uriRegexRewrite")
    regex, substitution = ("", "") if regex_node is None else _regex_rewrite(regex_node, findings)
    if uri and regex_node is not None:
        findings.error(node.key_location("uriRegexRewrite"), f"{node.path} may not have both uri and uriRegexRewrite")
    elif not (uri or authority or regex_node is not None):
        findings.error(node.location, f"{node.path} needs uri, uriRegexRewrite or authority")
    return RewriteSettings(uri, authority, regex, substitution)


def _warn_of_relative_path(fields: Fields, name: str) -> None:
    text = fields.string(name)
    if text and not text.startswith("/"):
        message = f"{fields.path_of(name)} {text!r} is no path: '/' is put in front of it"
        hint = "scheme and authority have fields of their own" if "://" in text else ""
        fields.findings.warning(fields.location_of(name), message, hint)


def warn_of_status(fields: Fields, name: str) -> None:
    """Say that the status in a field passes Istio's validation, but is none."""
    message = f"{fields.path_of(name)}: there is no status {LARGEST_STATUS + 1}, these requests are answered 500"
    fields.findings.warning(fields.location_of(name), message, "Envoy refuses a configuration with it")


def _redirect_status(fields: Fields) -> int:
    status = fields.read("redirectCode", _redirect_code) or _REDIRECT_STATUSES[0]
    if status not in _REDIRECT_STATUSES:
        path = fields.path_of("redirectCode")
        usable = ", ".join(map(str, _REDIRECT_STATUSES))
        message = f"{path}: no redirect is made with {status}, these requests are answered 500"
        fields.findings.warning(fields.location_of("redirectCode"), message, f"use one of {usable}")
    return status


def _redirect_code(node: Node) -> int:
    status = node.integer(0)
    if status and not 300 <= status <= 399:
        node.fail(f"{node.path} must be between 300 and 399, not {status}")
    return status


def _scheme(node: Node) -> str:
    return checks.one_of(node, tuple(_DEFAULT_PORTS)) if node.string() else ""


def _derive_port(node: Node) -> str:
    return checks.one_of(node, ("FROM_PROTOCOL_DEFAULT", _FROM_REQUEST_PORT))


def _body(node: Node, findings: Findings) -> bytes | None:
    fields = Fields(node, findings, ("string", "bytes"))
    if len(fields) > 1:
        findings.error(node.key_location("bytes"), f"{node.path} may not have both string and bytes")
        return None
    text = fields.read("string", Node.string)
    body = fields.read("bytes", _base64) if text is None else text.encode()
    if body is not None and len(body) > _LARGEST_BODY:
        findings.error(node.location, f"{node.path} may have at most {_LARGEST_BODY} bytes, not {len(body)}")
        return None
    if body is not None and len(body) > _LARGE_BODY:
        findings.warning(node.location, f"{node.path} has {len(body)} bytes, which is much to keep", code="IST0133")
    return body


def _base64(node: Node) -> bytes:
    """Bytes as protobuf's JSON has them: either alphabet, with or without padding."""
    text = node.string().translate(_STANDARD_ALPHABET).rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (InvalidBase64, ValueError):
        node.fail(f"{node.path} must be base64")


def _regex_rewrite(node: Node, findings: Findings) -> tuple[str, str]:
    fields = Fields(node, findings, ("match", "rewrite"))
    regex = fields.read("match", _regex) or ""
    substitution = fields.string("rewrite")
    missing = [name for name in ("match", "rewrite") if name not in fields or not fields.read(name, Node.string)]
    for name in missing:
        findings.error(fields.location_of(name), f"{fields.path_of(name)} is required and may not be empty")
    if regex and not missing:
        problem = _substitution_problem(regex, substitution)
        if problem:
            message = f"{fields.path_of('rewrite')} {problem}, so no path is changed"
            findings.warning(fields.location_of("rewrite"), message)
            return regex, r"\0"
    return regex, substitution


def _regex(node: Node) -> str:
    text = node.string()
    problem = regex_problem(text) if text else ""
    if problem:
        node.fail(f"{node.path} {problem}")
    return text


def _substitution_problem(regex: str, substitution: str) -> str:
    groups = compile_regex(regex).groups
    for reference in _REFERENCE.finditer(substitution):
        if reference[1].isascii() and reference[1].isdigit():
            if int(reference[1]) > groups:
                return f"refers to group {reference[1]}, but match has {groups}"
        elif reference[1] != "\\":
            return f"has {reference[0]!r}, which is neither a group such as \\1 nor an escaped backslash"
    return ""
