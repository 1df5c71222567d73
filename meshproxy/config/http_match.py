"""The conditions of a route: the blocks of ``match``, as they are written and as they are compiled.

Source: Istio's translation of match blocks. A claim of a token is no header: nothing verifies tokens here, so that a
condition on a claim never holds and one on its absence always does.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import punctuation
from urllib.parse import quote

from attrs import field

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.names import gateway_name
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_token, regex_problem
from meshproxy.config.values import sole_string
from meshproxy.errors import Location
from meshproxy.records import record
from meshproxy.regex import literal_starts
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch

_COMPARISONS = {it.value: it for it in (Comparison.EXACT, Comparison.PREFIX, Comparison.REGEX)}
_PSEUDO_HEADERS = (":method", ":scheme", ":authority", ":path", ":status")
_LONGEST_NAME = 1_000
_CONNECT = "CONNECT"
_CLAIM = "@request.auth.claims"
_PRESENT = TextMatch()
_EMPTY_PREFIX = TextMatch(Comparison.PREFIX, "")
_FIELDS = frozenset(
    {
        "name",
        "statPrefix",
        "uri",
        "ignoreUriCase",
        "scheme",
        "method",
        "authority",
        "headers",
        "withoutHeaders",
        "queryParams",
        "port",
        "gateways",
        "sourceLabels",
        "sourceNamespace",
    }
)


@record(eq=False)
class Match:
    """One block of a route's ``match``; None and empty stand for no condition.

    Names of headers are as written. ``gateways`` are qualified names.
    """

    location: Location
    name: str = ""
    uri: PathMatch | None = None
    ignore_uri_case: bool = False
    scheme: TextMatch | None = None
    method: TextMatch | None = None
    authority: TextMatch | None = None
    headers: Mapping[str, TextMatch] = {}
    without_headers: Mapping[str, TextMatch] = {}
    query: Mapping[str, TextMatch] = {}
    port: int | None = None
    gateways: frozenset[str] | None = None
    source_labels: Mapping[str, str] = {}
    source_namespace: str = ""
    _compiled: RouteMatch = field(init=False, repr=False)

    @property
    def everywhere(self) -> bool:
        """Whether nothing is asked of the gateway, its port or the proxy."""
        return self.port is None and self.gateways is None and not self.source_labels and not self.source_namespace

    @property
    def may_exclude(self) -> bool:
        """Whether there are conditions that depend on the gateway or its hosts, or that may contradict each other."""
        return (
            self.scheme is not None or self.authority is not None or (bool(self.headers) and bool(self.without_headers))
        )

    @property
    def identity(self) -> object:
        """Equal for blocks that hold for the same requests."""
        maps: tuple[Mapping[str, object], ...] = (self.headers, self.without_headers, self.query, self.source_labels)
        texts = (self.uri, self.scheme, self.method, self.authority)
        entries = tuple(frozenset(it.items()) for it in maps)
        return (texts, self.ignore_uri_case, entries, self.port, self.gateways, self.source_namespace)

    def compiled(self) -> RouteMatch:
        """The conditions on a request; those on the port, the gateway and the source are not among them."""
        return self._compiled

    @_compiled.default
    def _compile(self) -> RouteMatch:
        path = self.uri or PathMatch()
        if not self.headers and not self.without_headers and not self.query:
            return RouteMatch(path, self.method, self.scheme, self.authority)
        present = [HeaderMatch(_header_key(name), text) for name, text in self.headers.items() if not is_claim(name)]
        absent = [
            # No request can have a header of a claim's name: the condition holds, but the route is no catch-all.
            HeaderMatch(_header_key(name), _PRESENT if is_claim(name) else text, inverted=True)
            for name, text in self.without_headers.items()
        ]
        return RouteMatch(
            path,
            self.method,
            self.scheme,
            self.authority,
            (*present, *absent),
            tuple(QueryMatch(name.encode(), text) for name, text in self.query.items()),
            impossible=any(map(is_claim, self.headers)),
        )


def decode(node: Node, namespace: str, findings: Findings, in_mesh: bool) -> Match:
    """A block without the conditions that are wrong. ``in_mesh``: its virtual service is for sidecars, too."""
    path = _usual_path(node)
    if path is not None:
        return Match(node.location, "", path)
    fields = Fields(node, findings, _FIELDS)
    if "statPrefix" in fields:
        fields.string("statPrefix")  # names statistics only
    references = checks.gateway_references(fields, "gateways") if "gateways" in fields else ()
    ignore_case = fields.boolean("ignoreUriCase") or False
    method = fields.read("method", text_match)
    if method is not None:
        _warn_of_method(method, fields)
    return Match(
        node.location,
        decode_name(fields),
        _path_match(fields, ignore_case),
        ignore_case,
        fields.read("scheme", text_match),
        method,
        fields.read("authority", text_match),
        _header_matches(fields, "headers", in_mesh),
        _header_matches(fields, "withoutHeaders", in_mesh),
        _text_matches(fields, "queryParams"),
        fields.integer("port", 0, checks.LARGEST_PORT) or None,
        frozenset(gateway_name(text, namespace) for text, _ in references) if references else None,
        checks.labels(fields, "sourceLabels") if "sourceLabels" in fields else {},
        fields.text("sourceNamespace", checks.dns_label) or "",
    )


def _usual_path(node: Node) -> PathMatch | None:
    """The condition of a block with nothing but one on the path, about which nothing is to be said; None for others."""
    entries = node.raw_entries
    if len(entries) != 1 or "uri" not in entries:
        return None
    condition = sole_string(entries["uri"][2], _COMPARISONS)
    if condition is None or not _looks_like_path(condition[1]) or _problem(*condition):
        return None
    return PathMatch(_COMPARISONS[condition[0]], condition[1])


def decode_name(fields: Fields) -> str:
    """The ``name`` of an entry or a block. Both together are the name of a route, of which there may be many."""
    name = fields.string("name")
    if len(name) > _LONGEST_NAME:
        message = f"{fields.path_of('name')} may have at most {_LONGEST_NAME:,} characters"
        fields.findings.error(fields.location_of("name"), message)
        return ""
    return name


def text_match(node: Node, empty_prefix: bool = False, star: bool = False) -> TextMatch:
    """A condition on a text; one without anything in it means that the text has to be there.

    ``empty_prefix``: a prefix may be empty. ``star``: the regex ``*`` is taken, and means the same as no condition.
    """
    name, text = _comparison(node)
    if star and text == "*" and name == "regex":
        return _PRESENT
    problem = _problem(name, text)
    if problem or (name == "prefix" and not text and not empty_prefix):
        value = node.get(name)
        assert value is not None
        value.fail(f"{value.path} {problem or 'may not be empty'}", "every text: .*" if text == "*" else "")
    return TextMatch(_COMPARISONS[name], text) if name else _PRESENT


def _problem(name: str, text: str) -> str:
    """What is wrong with the text of a condition of a kind, "" if nothing is."""
    return regex_problem(text) if name == "regex" else ""


def _comparison(node: Node) -> tuple[str, str]:
    """The kind of a condition and its text; empty where there is none."""
    found = node.fields(*_COMPARISONS)
    if len(found) > 1:
        node.fail(f"{node.path} may have only one of {', '.join(found)}")
    for name, value in found.items():
        return name, value.string()
    return "", ""


def is_claim(name: str) -> bool:
    """Whether a name in ``headers`` stands for a claim of the request's token."""
    rest = name[len(_CLAIM) :]
    return name[: len(_CLAIM)].lower() == _CLAIM and (rest[:1] == "." or (rest[:1] == "[" and rest[-1:] == "]"))


def _header_key(name: str) -> bytes:
    return name.lower().encode()


def _path_match(fields: Fields, ignore_case: bool) -> PathMatch | None:
    text = fields.read("uri", _uri_match)
    compared = text is not None and text.comparison in (Comparison.EXACT, Comparison.PREFIX)
    if ignore_case and not compared and (text is not None or "uri" not in fields):
        place = fields.node.key_location("ignoreUriCase")
        fields.findings.warning(place, "ignoreUriCase has no effect: it is for exact and prefix conditions of uri")
    if text is None:
        return None
    if not _looks_like_path(text.value):
        _warn_of_no_path(text, fields)
    return PathMatch(text.comparison, text.value, ignore_case and compared)


def _looks_like_path(text: str) -> bool:
    """Whether a condition on a path is one that some path meets, without a closer look."""
    return text[:1] == "/" and "?" not in text and "#" not in text and text.isascii() and " " not in text


def _warn_of_no_path(text: TextMatch, fields: Fields) -> None:
    """Report a condition that no path meets, as far as that is certain."""
    if text.comparison is Comparison.PRESENT or text == _EMPTY_PREFIX:
        return
    if text.comparison is Comparison.REGEX:
        starts = [literal.decode() for literal in literal_starts(text.value)[0]]
    else:
        starts = [text.value]
    if all(start[:1] != "/" for start in starts) and (text.comparison is not Comparison.REGEX or all(starts)):
        _warn_of_never(fields, "uri", text, "every path begins with '/'")
    elif all("?" in start or "#" in start for start in starts):
        hint = "queryParams has conditions on the query" if all("?" in start for start in starts) else ""
        _warn_of_never(fields, "uri", text, "a path has neither query nor fragment", hint)
    elif text.comparison is not Comparison.REGEX:
        hint = f"write {quote(text.value, punctuation)}"
        _warn_of_never(fields, "uri", text, "in a path, blanks and what is not ASCII are encoded", hint)


def _warn_of_method(text: TextMatch, fields: Fields) -> None:
    """Report a condition that no method meets, such as one in lower case, with which a request is refused."""
    if text.comparison is Comparison.EXACT and text.value in ("", _CONNECT):
        reason = "this gateway is no proxy for CONNECT" if text.value else "a method is not empty"
        _warn_of_never(fields, "method", text, reason)
        return
    regex = text.comparison is Comparison.REGEX
    starts = [literal.decode() for literal in literal_starts(text.value)[0]] if regex else [text.value]
    if all(start != start.upper() for start in starts):
        _warn_of_never(fields, "method", text, "methods are in upper case")


def _warn_of_never(fields: Fields, name: str, text: TextMatch, reason: str, hint: str = "") -> None:
    node = fields.get(name)
    value = None if node is None else node.get(text.comparison.value)
    if value is not None:
        fields.findings.warning(value.location, f"no request meets {value.path} {text.value!r}: {reason}", hint)


def _uri_match(node: Node) -> TextMatch:
    return text_match(node, empty_prefix=True)


def _header_matches(fields: Fields, name: str, in_mesh: bool) -> dict[str, TextMatch]:
    parent = fields.get(name)
    if parent is None:
        return {}
    found = {}
    inverted = name == "withoutHeaders"
    for header, node in fields.entries(name):
        text = fields.findings.attempt(text_match, node, star=inverted)
        place = parent.key_location(header)
        if is_claim(header):
            _check_claim(header, place, inverted, in_mesh, fields.findings)
        elif header in _PSEUDO_HEADERS:
            if header == ":status":
                fields.findings.warning(place, "a request has no :status, so this condition says nothing about it")
        elif not is_token(header):
            fields.findings.error(place, f"{header!r} in {fields.path_of(name)} is no name of a header")
            continue
        if text is not None:
            found[header] = text
    return found


def _check_claim(name: str, place: Location, inverted: bool, in_mesh: bool, findings: Findings) -> None:
    if in_mesh:
        findings.error(place, f"{name!r}: claims are only for gateways", "name them in spec.gateways, and not mesh")
        return
    outcome = "always holds" if inverted else "never holds"
    message = f"a condition on {name!r} {outcome} here: no RequestAuthentication verifies a token"
    findings.warning(place, message, code="IST0149")


def _text_matches(fields: Fields, name: str) -> dict[str, TextMatch]:
    if name not in fields:
        return {}
    read = ((key, fields.findings.attempt(text_match, node)) for key, node in fields.entries(name))
    return {key: text for key, text in read if text is not None}
