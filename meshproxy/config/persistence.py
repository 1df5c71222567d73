"""``persistence`` of a BackendPolicy: sessions that stay at their endpoint by a cookie of the gateway's own.

Source of the rules for attributes: RFC 6265bis (``SameSite``, name prefixes, ``__Http-`` among the newest), and what
browsers make of it.
"""

from __future__ import annotations

import re
from datetime import timedelta

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.secrets import Secrets, SecretSource, decode_source
from meshproxy.config.syntax import is_fqdn, is_token
from meshproxy.errors import Location
from meshproxy.policies import Persistence, SessionCookie

_ATTRIBUTES = ("name", "path", "domain", "maxAge", "secure", "httpOnly", "sameSite", "partitioned")
_SAME_SITE = ("Strict", "Lax", "None")
_PATH = re.compile(r"/[ -:<-~]*")
_MOST_SECRETS = 4
_LONGEST_AGE = 400 * 24 * 3600  # browsers shorten what is longer


@frozen(eq=False)
class Persisting:
    """The block. What the secrets are is found out with each load anew, as they may change where no policy does."""

    location: Location
    cookie: SessionCookie | None
    secrets: tuple[SecretSource, ...]
    namespace: str

    def policy(self, scope: str, secrets: Secrets, findings: Findings) -> Persistence | None:
        """The policy for a service, in a scope of its own; None if anything is missing, which is reported."""
        found: list[bytes] = []
        for source in self.secrets:
            value = secrets.value(source, self.namespace, findings)
            if value is None:
                return None
            if value in found:
                findings.error(source.location, "this is the same secret as one before it")
            found.append(value)
        if self.cookie is None or not found:
            return None
        return Persistence(self.cookie, scope, tuple(found))


def decode(node: Node, namespace: str, findings: Findings) -> Persisting:
    """The block of a document in a namespace, without what is wrong with it."""
    fields = Fields(node, findings, ("cookie", "secrets"))
    cookie = fields.required("cookie")
    fields.required("secrets")
    secrets = fields.items("secrets")
    if "secrets" in fields and fields.is_empty("secrets"):
        findings.error(fields.location_of("secrets"), f"{fields.path_of('secrets')} needs at least one secret")
    if len(secrets) > _MOST_SECRETS:
        message = f"{fields.path_of('secrets')} may have at most {_MOST_SECRETS} secrets"
        findings.error(fields.location_of("secrets"), message)
    sources = [decode_source(item, findings) for item in secrets]
    return Persisting(
        node.location,
        None if cookie is None else _cookie(cookie, findings),
        tuple(source for source in sources if source is not None),
        namespace,
    )


def _cookie(node: Node, findings: Findings) -> SessionCookie | None:
    fields = Fields(node, findings, _ATTRIBUTES)
    fields.required("name")
    name = fields.read("name", _token)
    path = fields.read("path", _path) or "/"
    domain = fields.read("domain", _domain) or ""
    secure, http_only = fields.boolean("secure") or False, fields.boolean("httpOnly") is not False
    same_site = fields.read("sameSite", lambda found: checks.one_of(found, _SAME_SITE)) or ""
    partitioned = fields.boolean("partitioned") or False
    for attribute, present in (("sameSite", same_site == "None"), ("partitioned", partitioned)):
        if present and not secure:
            message = f"{fields.path_of(attribute)} needs secure: true, or browsers throw the cookie away"
            findings.error(node.key_location(attribute), message)
    if name is None:
        return None
    for prefix, holds, what in (
        ("__secure-", secure, "secure: true"),
        ("__host-", secure and path == "/" and domain == "", "secure: true, path: / and no domain"),
        ("__http-", secure and http_only, "secure: true and httpOnly"),
        ("__host-http-", http_only, "httpOnly"),
    ):
        # Browsers compare these without regard to case.
        if name.lower().startswith(prefix) and not holds:
            message = f"a cookie {name!r} needs {what}, or browsers throw it away"
            findings.error(fields.location_of("name"), message)
    age = fields.read("maxAge", _whole_seconds)
    if age is not None and age > _LONGEST_AGE:
        message = f"{fields.path_of('maxAge')} is longer than browsers keep any cookie, which is 400 days"
        findings.warning(fields.location_of("maxAge"), message)
    return SessionCookie(name, path, domain, age, secure, http_only, same_site, partitioned)


def _token(node: Node) -> str:
    text = node.string()
    if not is_token(text):
        node.fail(f"{node.path} must be the name of a cookie, not {text!r}", "letters, digits and !#$%&'*+.^_`|~-")
    return text


def _path(node: Node) -> str:
    text = node.string()
    if not _PATH.fullmatch(text):
        node.fail(f"{node.path} must be a path that starts with '/', without ';', not {text!r}")
    return text


def _domain(node: Node) -> str:
    text = node.string()
    if not is_fqdn(text.removeprefix(".")):
        node.fail(f"{node.path} must be a domain, not {text!r}")
    return text


def _whole_seconds(node: Node) -> int:
    found = node.duration(timedelta(seconds=1))
    if found % timedelta(seconds=1):
        node.fail(f"{node.path} must be a whole number of seconds")
    return found // timedelta(seconds=1)
