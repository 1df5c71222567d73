"""Limits of a ``Mesh`` document, and what Istio calls variables of its proxy."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.limits import Limits, Underscores
from meshproxy.model import MeshSettings
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, warnings
from tests.packaging.checkout import ROOT

_MESH = "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec:\n  %s\n---\n"
_ALL = """limits:
    requestHeadersTimeout: 1m30s
    streamIdleTimeout: 250ms
    maxConnections: 5
    maxRequestsPerConnection: 6
    maxPipelinedRequests: 7
    maxHeadersKb: 8
    maxHeadersCount: 9
    perConnectionBufferLimitBytes: 10000
    headersWithUnderscoresAction: DROP_HEADER"""


def mesh(spec: str) -> MeshSettings:
    return compiled(GATEWAY, SERVICE, ROUTE, _MESH % spec).mesh


def metadata(text: str) -> str:
    return f"defaultConfig: {{proxyMetadata: {{{text}}}}}"


class LimitTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """Without a word, Istio's own; and where Istio leaves a client without limit, what harms none."""
        expected = MeshSettings(limits=Limits())
        for text in ("limits: {}", metadata("")):
            self.assertEqual(mesh(text).limits, expected.limits)
        self.assertEqual(
            (Limits().idle_timeout, Limits().stream_idle_timeout, Limits().max_headers_bytes), (3600, 0, 61440)
        )

    def test_all(self) -> None:
        """Each field reaches the limit that it names, in seconds and bytes."""
        expected = Limits(90, 3600, 0.25, 5, 6, 7, 8192, 9, 10000, Underscores.DROP_HEADER)
        self.assertEqual(mesh(_ALL).limits, expected)

    def test_none(self) -> None:
        """0 takes a limit away, where there can be none."""
        found = mesh("limits: {requestHeadersTimeout: 0s, streamIdleTimeout: 0s, maxConnections: 0}").limits
        self.assertEqual((found.request_headers_timeout, found.stream_idle_timeout, found.max_connections), (0, 0, 0))

    def test_wrong(self) -> None:
        """What is wrong is said with its place, all of it at once."""
        text = """limits:
    requestHeadersTimeout: 5
    streamIdleTimeout: -1s
    maxConnections: -1
    maxPipelinedRequests: 0
    maxHeadersKb: 8193
    perConnectionBufferLimitBytes: 1
    headersWithUnderscoresAction: DROP
    maxHeaderCount: 5"""
        found = errors(GATEWAY, _MESH % text)
        self.assertEqual([line.split(": ")[0] for line in found], [f"mesh.yaml:{n}:{c}" for n, c in _PLACES])
        self.assertIn("must be a duration such as 5s", found[0])
        self.assertIn("must be between 1 and 8192, not 8193", found[4])

    def test_variables(self) -> None:
        """HTTP/1.0 and the idle timeout are switched as in Istio, where 1 is on and 0s is no limit."""
        self.assertTrue(mesh(metadata("ISTIO_META_HTTP10: '1'")).accept_http10)
        self.assertFalse(mesh(metadata("ISTIO_META_HTTP10: '0'")).accept_http10)
        self.assertEqual(mesh(metadata("ISTIO_META_IDLE_TIMEOUT: 90s")).limits.idle_timeout, 90)
        self.assertEqual(mesh(metadata("ISTIO_META_IDLE_TIMEOUT: 0s")).limits.idle_timeout, 0)

    def test_variables_without_effect(self) -> None:
        """What does not do what it seems to is a warning, what is no value an error."""
        texts = (GATEWAY, SERVICE, ROUTE)
        (found,) = warnings(*texts, _MESH % metadata("ISTIO_META_HTTP10: 'true'"))
        self.assertIn("ISTIO_META_HTTP10 is 'true', which is off", found)
        (found,) = warnings(*texts, _MESH % metadata("ISTIO_META_DNS_CAPTURE: 'true'"))
        self.assertIn("proxyMetadata.ISTIO_META_DNS_CAPTURE has no effect here", found)
        (found,) = errors(*texts, _MESH % metadata("ISTIO_META_IDLE_TIMEOUT: soon"))
        self.assertIn("'soon' is not a duration", found)
        (found,) = errors(*texts, _MESH % metadata("ISTIO_META_HTTP10: 1"))
        self.assertIn("must be a string, not the number 1", found)

    def test_hardened_example(self) -> None:
        """The example loads without a word and leaves nothing without a limit."""
        text = Path(ROOT, "examples", "hardened-mesh.yaml").read_text() + "---\n"
        self.assertEqual(warnings(GATEWAY, SERVICE, ROUTE, text), [])
        limits = compiled(GATEWAY, SERVICE, ROUTE, text).mesh.limits
        self.assertTrue(limits.stream_idle_timeout and limits.max_connections and limits.max_requests_per_connection)
        self.assertLess(limits.request_headers_timeout, Limits().request_headers_timeout)
        self.assertIs(limits.underscores, Underscores.REJECT_REQUEST)


_PLACES = [(15, 28), (16, 24), (17, 21), (18, 27), (19, 19), (20, 36), (21, 35), (22, 5)]
