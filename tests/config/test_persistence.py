"""Tests for ``persistence`` and ``stickyWeights`` of a BackendPolicy, and for the kind ``Secret``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import Loader
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity
from meshproxy.policies import Persistence, SessionCookie
from meshproxy.routes import Forward
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled, compiled, errors, findings, routes, sources, warnings
from tests.config.test_backend_policy import HASH, NAME, SPLIT, policy

KEY = b"kept-by-a-kubernetes-secret"
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: cookie}
data: {a: a2VwdC1ieS1hLWt1YmVybmV0ZXMtc2VjcmV0, short: c2hvcnQ=}
stringData: {b: "another-one-of-that-secret"}
---
"""
A = "{secretRef: {name: cookie, key: a}}"


def keeping(cookie: str, secrets: str = A) -> str:
    return policy(f"host: app.test\npersistence: {{cookie: {{{cookie}}}, secrets: [{secrets}]}}")


def kept(*texts: str) -> Persistence:
    found = compiled(GATEWAY, SERVICE, ROUTE, SECRET, *texts).clusters[NAME].persistence
    assert found is not None
    return found


class PersistenceTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """All settings have their effect."""
        cookie = (
            "name: __Secure-s, path: /a, domain: app.test, maxAge: 8h, secure: true, httpOnly: false,"
            " sameSite: None, partitioned: true"
        )
        expected = SessionCookie("__Secure-s", "/a", "app.test", 28800, True, False, "None", True)
        found = kept(keeping(cookie, f"{A}, {{secretRef: {{name: cookie, key: b}}}}"))
        self.assertEqual(found, Persistence(expected, "app.test", (KEY, b"another-one-of-that-secret")))
        self.assertEqual(kept(keeping("name: s")).cookie, SessionCookie("s", "/", "", None, False, True, "", False))

    def test_places_of_secrets(self) -> None:
        """A secret may be in a file or an environment variable too; the end of a file's line is no part of it."""
        path = Path(self.mktemp()).resolve()
        path.write_bytes(KEY + b"\n")
        self.assertEqual(kept(keeping("name: s", f"{{file: {path}}}")).secrets, (KEY,))
        os.environ["MESH_TEST_SECRET"] = KEY.decode()
        self.addCleanup(os.environ.pop, "MESH_TEST_SECRET")
        self.assertEqual(kept(keeping("name: s", "{environment: MESH_TEST_SECRET}")).secrets, (KEY,))

    def test_files_of_secrets(self) -> None:
        """A load tells which files it asked for and what they held, and reads no file that its sources have already."""
        path = Path(self.mktemp()).resolve()
        path.write_bytes(KEY)
        texts = (GATEWAY, SERVICE, ROUTE, keeping("name: s", f"{{file: {path}}}, {{file: {path}.other}}"))
        loader = Loader(bundled(), ProxyIdentity())
        self.assertRaises(ConfigError, loader.load, sources(*texts))
        self.assertEqual(loader.secret_files, {str(path): KEY, f"{path}.other": None})
        found = {str(path): b"sixteen bytes or more", f"{path}.other": b"that nobody has seen"}
        snapshot = loader.load(evolve(sources(*texts), secret_files=found))
        persistence = snapshot.clusters[NAME].persistence
        assert persistence is not None
        self.assertEqual(persistence.secrets, tuple(found.values()))
        self.assertEqual(loader.secret_files, found)
        self.assertRaises(ConfigError, loader.load, sources("a: ["))
        self.assertEqual(loader.secret_files, {})

    def test_reload(self) -> None:
        """A cluster is the same object as long as its secrets are, and has the same balancer in any case."""
        before = compiled(GATEWAY, SERVICE, ROUTE, SECRET, keeping("name: s"))
        same = compiled(GATEWAY, SERVICE, ROUTE, SECRET, keeping("name: s"), previous=before)
        self.assertIs(same.clusters[NAME], before.clusters[NAME])
        other = SECRET.replace("a2VwdC1i", "a2VwdC1j")
        after = compiled(GATEWAY, SERVICE, ROUTE, other, keeping("name: s"), previous=before)
        self.assertNotEqual(after.clusters[NAME].persistence, before.clusters[NAME].persistence)
        self.assertIs(after.clusters[NAME].balancer, before.clusters[NAME].balancer)

    def test_refused(self) -> None:
        """What is wrong is an error with its place, once each."""
        for cookie, secrets, part in (
            ("", A, "spec.persistence.cookie.name is required"),
            ("name: 'a b'", A, "must be the name of a cookie"),
            ("name: a, path: app", A, "must be a path that starts with '/'"),
            ("name: a, path: '/;x'", A, "must be a path that starts with '/'"),
            ("name: a, domain: 'a b'", A, "must be a domain"),
            ("name: a, maxAge: 0s", A, "may not be less than 1s"),
            ("name: a, maxAge: 1500ms", A, "must be a whole number of seconds"),
            ("name: a, maxAge: 60", A, "did you mean 60s?"),
            ("name: a, sameSite: none", A, "must not be 'none'"),
            ("name: a, sameSite: None", A, "sameSite needs secure: true"),
            ("name: a, partitioned: true", A, "partitioned needs secure: true"),
            ("name: __Secure-a", A, "needs secure: true, or browsers"),
            ("name: __host-a, secure: true, path: /a", A, "needs secure: true, path: / and no domain"),
            ("name: __Host-a, secure: true, domain: a.test", A, "needs secure: true, path: / and no domain"),
            ("name: __Http-a, secure: true, httpOnly: false", A, "needs secure: true and httpOnly, or browsers"),
            ("name: __Http-a", A, "needs secure: true and httpOnly, or browsers"),
            ("name: __Host-Http-a, secure: true, httpOnly: false", A, "needs httpOnly, or browsers"),
            ("name: a, max-age: 1s", A, "did you mean 'maxAge'?"),
            ("name: a, secure: 1", A, "must be true or false"),
            ("name: a", "", "needs at least one secret"),
            ("name: a", "{}", "must have exactly one of file, environment, secretRef"),
            ("name: a", "{file: /a, environment: B}", "must have exactly one of"),
            ("name: a", "{file: key}", "must be an absolute path"),
            ("name: a", '{file: "/a\\0b"}', "must be an absolute path"),
            ("name: a", "{file: /}", "/ is no regular file"),
            ("name: a", "{file: /no/such/file}", "/no/such/file cannot be read: No such file"),
            ("name: a", "{environment: NO_SUCH_VARIABLE}", "there is no environment variable NO_SUCH_VARIABLE"),
            ("name: a", "{secretRef: {name: other, key: a}}", "there is no Secret default/other"),
            ("name: a", "{secretRef: {name: cookie, key: c}}", "has no key c"),
            ("name: a", "{secretRef: {name: cookie}}", "secretRef.key is required"),
            ("name: a", "{secretRef: {name: cookie, key: short}}", "is too short for a secret"),
            ("name: a", f"{A}, {A}", "this is the same secret as one before it"),
            ("name: a", ", ".join([A] * 5), "may have at most 4 secrets"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE, SECRET, keeping(cookie, secrets))
            found = [it for it in found if "same secret" not in it] or found
            self.assertEqual(len(found), 1, (cookie, secrets, found))
            self.assertIn(part, found[0])
            self.assertTrue(found[0].startswith("mesh.yaml:"))

    def test_too_long_for_browsers(self) -> None:
        """A lifetime that no browser grants is a warning."""
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, SECRET, keeping("name: a, maxAge: 10000h"))
        self.assertIn("longer than browsers keep any cookie", found)


NAMED = '"metadata": {"name": "one-line"}'
PASSWORD = '"stringData": {"password": "hunter2hunter2"}'


class SecretTests(SynchronousTestCase):
    def test_nothing_shows(self) -> None:
        """Whatever is wrong with a Secret, nothing that is said about it quotes its values."""
        for broken, part in (
            (SECRET.replace("\ndata: {", "\npassword: hunter2hunter2\ndata: {"), "has no field 'password'"),
            (SECRET.replace("{b: ", "{b: [hunter2hunter2], c: "), "stringData has plain texts"),
            (SECRET.replace("{b: ", "{n: 1234567890123456, b: "), "stringData has plain texts"),
            (SECRET.replace("c2hvcnQ=", "c2hvcnQ"), "data has texts in base64"),
            (SECRET.replace("short: ", "a: "), "duplicate key 'a'"),
            (SECRET.replace("c2hvcnQ=", "*hunter2"), "no anchor"),
            (SECRET.replace("c2hvcnQ=", "!hunter2 x"), "this tag has no meaning"),
            (SECRET.replace("c2hvcnQ=", "!!int hunter2 "), "does not fit its tag"),
            (SECRET.replace("c2hvcnQ=", "a: hunter2").replace("kind: Secret", "kind:\n  Secret"), "a ',' or '}'"),
            (SECRET.replace("c2hvcnQ=", "a: hunter2").replace("Secret", "!!str Secret"), "a ',' or '}'"),
            (f'{{"apiVersion": "v1", "kind": "Secret", {NAMED}, "hint": "", {PASSWORD}}}', "has no field 'hint'"),
            (f"{{apiVersion: v1, kind: List, items: [{{kind: Secret, {NAMED}, {PASSWORD}}}]}}", "needs apiVersion"),
            (f"{{apiVersion: v2, kind: Secret, {NAMED}, {PASSWORD}}}", "Secret has no version v2"),
        ):
            said = render(findings(GATEWAY, SERVICE, ROUTE, broken))
            self.assertIn(part, said)
            for value in ("hunter2", "1234567890", "a2VwdC1ieS1h", "another-one"):
                self.assertNotIn(value, said)

    def test_unused(self) -> None:
        """A Secret that nobody asks for is fine: they come with the output of kubectl."""
        self.assertEqual(findings(GATEWAY, SERVICE, ROUTE, SECRET), ())


class StickyWeightTests(SynchronousTestCase):
    def test_switch(self) -> None:
        """Weights are sticky where all destinations of a route say so."""
        for text, sticky in (
            ("stickyWeights: true", True),
            ("stickyWeights: false", False),
            ("subset: v1\nstickyWeights: true", False),
        ):
            (route,) = routes(compiled(GATEWAY, SERVICE, SPLIT, HASH, policy(f"host: app.test\n{text}")), "*")
            self.assertEqual(cast(Forward, route.action).sticky, sticky, text)

    def test_warnings(self) -> None:
        """Sticky weights silence the warning about lost sessions, and are warned about where they do nothing."""
        without = HASH.replace("{consistentHash: {useSourceIp: true}}", "{simple: RANDOM}")
        on = "host: app.test\nstickyWeights: true"
        for rule, text, part in (
            (HASH, "host: app.test", "set stickyWeights in a BackendPolicy"),
            (HASH, on, ""),
            (without, on, "stickyWeights has no effect: its requests have no hash key"),
            (HASH, on + "\nsubset: v1", "stickyWeights has no effect: not all destinations"),
        ):
            found = [it for it in warnings(GATEWAY, SERVICE, SPLIT, rule, policy(text)) if "no block" not in it]
            self.assertEqual(len(found), 1 if part else 0, found)
            self.assertIn(part, "".join(found))
