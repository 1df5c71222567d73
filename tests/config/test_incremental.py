"""A load that takes over what did not change gives what one from scratch gives: routes, clusters, findings, places."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import Loader, effort, parts
from meshproxy.config import findings as findings_module
from meshproxy.config.effects import unreachable
from meshproxy.config.effects.covering import Budget
from meshproxy.config.sources import Source, Sources
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.routing import RouteTable
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled, istio, load
from tests.config.pictures import difference, outcome
from tests.config.test_robustness import changed, changes
from tests.properties import steady
from tests.routed import Request

TO_APP = "route: [{destination: {host: app.test}}]"


def service(name: str, path: str, host: str = "a.test") -> str:
    """A virtual service with one path."""
    http = f"http: [{{match: [{{uri: {{exact: {path}}}}}], {TO_APP}}}]"
    return istio("VirtualService", name, f"hosts: [{host}]\ngateways: [gw]\n{http}")


# Documents that have to do with each other, several variants of each, and things that are wrong.
SMALL = [
    GATEWAY,
    GATEWAY.replace("'*'", "a.test, '*.b.test'").replace("port: {", "tls: {httpsRedirect: true}\n    port: {"),
    SERVICE,
    SERVICE.replace("app.test", "other.test").replace("name: app", "name: other"),
    SERVICE.replace("address: 10.0.0.1, ", ""),
    ROUTE,
    *(service(f"s{number}", f"/{number % 3}", host) for number in range(4) for host in ("a.test", "c.b.test", "'*'")),
    service("wrong", "1", "a.test"),
    istio("VirtualService", "root", "hosts: [a.test]\ngateways: [gw]\nhttp: [{delegate: {name: inner}}]"),
    istio("VirtualService", "inner", f"http: [{{match: [{{uri: {{prefix: /i}}}}], {TO_APP}}}]"),
    istio("VirtualService", "inner", f"http: [{{match: [{{uri: {{prefix: /j}}}}], {TO_APP}}}]"),
    istio("VirtualService", "inner", "hosts: [x.test]\nhttp: [{redirect: {uri: /}}]"),
    *(
        istio("DestinationRule", name, f"host: app.test\ntrafficPolicy: {{loadBalancer: {balancing}}}")
        for name in ("one", "two")
        for balancing in ("{simple: RANDOM}", "{consistentHash: {useSourceIp: true}}", "{simple: NONE}")
    ),
    "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\nspec: {connectTimeout: 3s}\n---\n",
    "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\n"
    "spec: {defaultHttpRetryPolicy: {attempts: 5, retryOn: 5xx}}\n---\n",
    "# a remark\n",
    "---\n",
    "a: @\n---\n",
    "a: 1\na: 2\n---\n",
    "a: &a [1, 2, 3, 4]\nb: [*a, *a, *a, *a]\n---\n",
    "%TAG ! tag:x.test,2000:\n---\n",
    "kind: VirtualServiceList\napiVersion: networking.istio.io/v1\nitems:\n"
    + "".join(f"- {json.dumps(next(yaml.safe_load_all(service(name, '/l'))))}\n" for name in ("listed", "s1"))
    + "---\n",
]

# Documents of which each takes something of what is limited for all of them together.
COSTLY = [
    *(
        istio("VirtualService", f"regex{number}", f"hosts: [r{number}.test]\ngateways: [gw]\n{http}")
        for number in range(3)
        for http in [f"http: [{{match: [{{uri: {{regex: '/{number}(?:[a-z]{{1,9}}){{30}}'}}}}], {TO_APP}}}]"]
    ),
    *(f"a{number}: &a [1, 2, 3, 4]\nb: [*a, *a, *a, *a]\nlong: {'x' * 40}\n---\n" for number in range(3)),
    *(istio("Gateway", f"gw{number}", "servrs: []\nserverss: []\nslector: {}") for number in range(3)),
    *(
        istio("VirtualService", f"many{number}", f"hosts: [m{number}.test]\ngateways: [gw]\nhttp: [{{{http}}}]")
        for number in range(3)
        for names in [["v0", "v1", "v2", "v3", "v0, y: {}"[: 2 + 9 * (number % 2)]]]
        for matches in [", ".join(f"{{uri: {{prefix: /}}, headers: {{x: {{exact: {it}}}}}}}" for it in names)]
        for http in [f"match: [{matches}], {TO_APP}"]
    ),
]

edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "insert", "insert", "remove", "move", "split", "join"]),
        st.integers(0, 1000),
        st.integers(0, 1000),
        st.sampled_from(SMALL),
    ),
    min_size=1,
    max_size=4,
)


def edited(files: list[list[str]], changes: list[tuple[str, int, int, str]]) -> list[list[str]]:
    """The texts of some files, after a few changes."""
    files = [list(texts) for texts in files]
    for what, first, second, text in changes:
        texts = files[first % len(files)]
        if what == "insert":
            texts.insert(second % (len(texts) + 1), text)
        elif what == "remove" and texts:
            del texts[second % len(texts)]
        elif what == "move" and texts:
            files[second % len(files)].append(texts.pop(second % len(texts)))
        elif what == "split" and len(files) < 3:
            files.append(texts[second % (len(texts) + 1) :])
            del texts[second % (len(texts) + 1) :]
        elif what == "join" and len(files) > 1:
            files[first % len(files) - 1] += files.pop(first % len(files))
    return files


def sources(files: list[list[str]]) -> Sources:
    return Sources(tuple(Source(f"{number}.yaml", "".join(texts)) for number, texts in enumerate(files)), "digest")


class IncrementalTests(SynchronousTestCase):
    def assert_as_from_scratch(self, versions: list[Sources]) -> None:
        loader = Loader(bundled(), ProxyIdentity())
        served: Snapshot | None = None
        for version in versions:
            expected, _ = outcome(partial(load, version, bundled(), ProxyIdentity()))
            found, snapshot = outcome(partial(loader.load, version, served))
            self.assertEqual(difference(found, expected), "")
            served = snapshot or served

    @settings(steady, max_examples=150)
    @given(st.lists(edits, min_size=1, max_size=5))
    def test_edits(self, steps: list[list[tuple[str, int, int, str]]]) -> None:
        """Documents come, go, move within and between files, and break."""
        files = [[GATEWAY, SERVICE, service("s0", "/0"), service("s1", "/1")]]
        versions = [sources(files)]
        for step in steps:
            files = edited(files, step)
            versions.append(sources(files))
        self.assert_as_from_scratch(versions)

    @settings(steady, max_examples=30)
    @given(st.lists(changes, min_size=1, max_size=3))
    def test_changed_documents(self, steps: list[list[tuple[tuple[Any, ...], Any, str]]]) -> None:
        """Any value of a configuration that says nearly everything changes, and changes back."""
        texts = ["".join(f"---\n{json.dumps(it)}\n" for it in changed(step)) for step in [[], *steps, []]]
        self.assert_as_from_scratch([sources([[text]]) for text in texts])

    @settings(steady, max_examples=100)
    @given(
        st.lists(st.lists(st.sampled_from(COSTLY), max_size=6), min_size=2, max_size=4),
        st.tuples(*(st.integers(0, most) for most in (60, 900, 30, 60))),
        st.integers(2, 8),
    )
    def test_limits(self, versions: list[list[str]], left: tuple[int, int, int, int], most: int) -> None:
        """What is limited for all documents together runs out at the same place, whatever was taken over."""
        suggestions, regexes, expansion, comparisons = left
        patches = [
            self.patch(effort, "ALLOWED", {effort.SUGGESTIONS: suggestions, effort.REGEXES: regexes}),
            self.patch(parts, "EXPANSION", expansion),
            self.patch(unreachable, "Budget", lambda: Budget(comparisons)),
            self.patch(findings_module, "MOST", most),
            self.patch(parts, "MOST", most),
        ]
        try:
            self.assert_as_from_scratch([sources([[GATEWAY, SERVICE, *texts]]) for texts in versions])
        finally:
            for patch in patches:
                patch.restore()


class TakingOverTests(SynchronousTestCase):
    """What is the same is not only equal: it is not made again."""

    def setUp(self) -> None:
        self.loader = Loader(bundled(), ProxyIdentity())
        self.files = [
            GATEWAY,
            SERVICE,
            *(service(f"s{number}", f"/{number}", f"h{number}.test") for number in range(9)),
        ]

    def load(self, *texts: str) -> RouteTable:
        (listener,) = self.loader.load(sources([list(texts)])).listeners
        assert isinstance(listener.routes, RouteTable)
        return listener.routes

    def test_one_route(self) -> None:
        """After a change of one virtual service all others' virtual hosts are the same objects."""
        before = self.load(*self.files)
        changed = [text.replace("/3", "/x") for text in self.files]
        after = self.load(*changed)
        kept = set(before.virtual_hosts) & set(after.virtual_hosts)
        self.assertEqual({it.host for it in before.virtual_hosts} - {it.host for it in kept}, {"h3.test"})
        self.assertEqual(str(after.find(Request(b"/x", b"h3.test")).match.path.value), "/x")  # type: ignore[union-attr]
        self.assertIsNone(after.find(Request(b"/3", b"h3.test")))

    def test_moved_documents(self) -> None:
        """A document that has moved is the same, but knows its new place."""
        before = self.load(*self.files)
        route = before.find(Request(b"/3", b"h3.test"))
        assert route is not None
        assert route.location is not None
        line = route.location.line
        after = self.load("# one\n# two\n", *self.files)
        self.assertIs(after.find(Request(b"/3", b"h3.test")), route)
        self.assertEqual(route.location.line, line + 2)

    def test_work(self) -> None:
        """Nothing of a document that did not change is composed or decoded again."""
        composed: list[str] = []

        def compose(text: str, *arguments: Any) -> Any:
            composed.append(text)
            return original(text, *arguments)

        original = parts.compose
        self.patch(parts, "compose", compose)
        self.load(*self.files)
        self.assertEqual(len(composed), 12)
        self.load(*self.files[:4], self.files[4].replace("/2", "/y"), *self.files[5:])
        self.assertEqual(len(composed), 13)
        self.assertIn("/y", composed[-1])
