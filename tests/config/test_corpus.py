"""A corpus of Istio's own documents, where it lies beside the checkout: what is accepted and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load, read
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Diagnostic, Severity
from meshproxy.model import ProxyIdentity
from tests.config.loading import bundled

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
# Istio ignores a field that it does not have; for meshproxy it is an error, as it is for kubectl.
UNKNOWN_FIELDS = {"rule-websocket-route.yaml"}
# Files of which only kinds or fields are wrong that are not served yet.
OUT_OF_SCOPE = {"workloadentry-invalid.yaml", "authorizationpolicies.yaml"}


def errors(sources: Sources) -> list[Diagnostic]:
    """The errors of a load but for those that a fragment of a configuration cannot avoid."""
    try:
        load(sources, bundled(), ProxyIdentity())
    except ConfigError as error:
        found = [it for it in error.diagnostics if it.severity is Severity.ERROR]
        return [it for it in found if not it.message.startswith("nothing to serve")]
    return []


def real(found: list[Diagnostic]) -> list[Diagnostic]:
    """The errors that are none of ours."""
    return [it for it in found if not it.message.endswith("is not served yet")]


class CorpusTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not CORPUS.is_dir():
            raise SkipTest(f"there is no corpus at {CORPUS}")

    def test_valid_files(self) -> None:
        """What Istio accepts loads, or fails only because something is not served yet."""
        files = sorted(CORPUS.glob("valid/**/*.yaml"))
        self.assertGreater(len(files), 200)
        for file in files:
            found = real(errors(read([file])))
            if file.name in UNKNOWN_FIELDS:
                self.assertEqual([it for it in found if "has no field" not in it.message], [])
                self.assertTrue(found)
            else:
                self.assertEqual(list(map(str, found)), [])

    def test_invalid_files(self) -> None:
        """What Istio refuses is refused, and for a reason of Istio's unless all reasons concern what is not served."""
        files = sorted(CORPUS.glob("invalid/**/*.yaml"))
        self.assertGreater(len(files), 15)
        for file in files:
            found = errors(read([file]))
            self.assertTrue(found, file)
            if file.name not in OUT_OF_SCOPE:
                self.assertTrue(real(found), file)

    def test_rules(self) -> None:
        """Of a document for each rule of validation: what has to be refused is, all else is not."""
        with open(CORPUS / "rules.yaml", encoding="utf-8") as file:
            rules: list[dict[str, Any]] = yaml.load(file, Loader=yaml.CSafeLoader)
        refused = later = 0
        for rule in rules:
            found = errors(Sources((Source("rule.yaml", yaml.safe_dump(rule["document"])),), rule["id"]))
            if rule["verdict"] == "error":
                self.assertTrue(found, rule["id"])
                refused += bool(real(found))
                later += not real(found)
            else:
                self.assertEqual(list(map(str, real(found))), [], rule["id"])
        # Of 178 rules these are about fields that are served; the others are refused as not served yet.
        self.assertGreaterEqual(refused, 89)
        self.assertEqual(refused + later, 178)
