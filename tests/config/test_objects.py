"""Tests for kinds, versions and metadata, and for the kind ``Mesh``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, routes, warnings

MESH = "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {%s}\n---\n"


class KindTests(SynchronousTestCase):
    def test_other_kinds(self) -> None:
        """Kinds of other groups are ignored without a word, Istio's own others with a warning."""
        other = "apiVersion: %s\nkind: %s\nmetadata: {name: x, labels: {a: 1}}\nspec: {a: [}: 1}\n---\n".replace(
            "[}: 1", "1"
        )
        for version, kind in (("apps/v1", "Deployment"), ("gateway.networking.k8s.io/v1", "Gateway"), ("v1", "Node")):
            self.assertEqual(len(warnings(GATEWAY, SERVICE, ROUTE, other % (version, kind))), 0)
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, other % ("networking.istio.io/v1", "Sidecar"))
        self.assertIn("kind Sidecar has no effect here", found)

    def test_slip_in_a_group(self) -> None:
        """A document whose group is mistyped does not vanish without a word."""
        for text, hint in (
            (GATEWAY, "did you mean 'networking.istio.io'?"),
            (ROUTE, "did you mean 'networking.istio.io'?"),
        ):
            found = warnings(GATEWAY, SERVICE, ROUTE, "---\n" + text.replace("istio.io", "istoi.io"))
            self.assertTrue(any("has no effect here" in it and hint in it for it in found), found)
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, "---\n" + ROUTE.replace("networking.istio.io", "example.com"))
        self.assertIn("VirtualService of the group 'example.com' has no effect here", found)

    def test_unknown(self) -> None:
        """A kind that its group does not have is an error with what was meant."""
        (found,) = errors(GATEWAY, ROUTE.replace("VirtualService", "VirtualServise"))
        self.assertIn("networking.istio.io has no kind 'VirtualServise' (did you mean 'VirtualService'?)", found)
        self.assertIn("meshproxy.dev has no kind 'Mash'", errors(GATEWAY, MESH.replace("Mesh", "Mash") % "")[0])

    def test_no_kind(self) -> None:
        """A document needs a version and a kind, each a string."""
        for text, part in (
            ("kind: Gateway\n", "a document needs apiVersion"),
            ("apiVersion: v1\n", "a document needs kind"),
            ("apiVersion: 1\nkind: Gateway\n", "must be a string"),
            ("apiVersion: ''\nkind: Gateway\n", "a document needs apiVersion"),
        ):
            (found,) = errors(GATEWAY, text)
            self.assertIn(part, found)


class MetadataTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A name is needed; name, namespace and time have to be what they are."""
        for metadata, part in (
            ("{}", "metadata.name is required"),
            ("{name: 1}", "metadata.name must be a string"),
            ("{name: ''}", "metadata.name may not be empty"),
            ("{name: a, namespace: 1}", "metadata.namespace must be a string"),
            ("{name: a, creationTimestamp: yesterday}", "must be a time such as"),
            ("[]", "metadata must be a mapping"),
            ("null", "metadata is required"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE.replace("{name: vs}", metadata))
            self.assertEqual(len(found), 1, (metadata, found))
            self.assertIn(part, found[0])

    def test_fields_of_kubernetes(self) -> None:
        """What Kubernetes adds to metadata, and a status, are ignored."""
        metadata = "{name: vs, uid: 1, managedFields: [{a: b}], annotations: {a: '1'}, creationTimestamp: null}"
        text = ROUTE.replace("{name: vs}", metadata).replace("spec:", "status: {x: 1}\nspec:")
        self.assertEqual(errors(GATEWAY, SERVICE, text), [])

    def test_twice(self) -> None:
        """Of two documents with one name the last one counts, with a warning at the first."""
        second = ROUTE.replace("{route:", "{name: second, route:")
        (route,) = routes(compiled(GATEWAY, SERVICE, ROUTE, second), "*")
        self.assertEqual(route.name, "second")
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, second)
        self.assertIn("VirtualService default/vs is there again", found)


class MeshTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """The settings of the process, under Istio's names."""
        text = MESH % (
            "accessLogFile: /dev/stdout, connectTimeout: 2s, defaultConfig: {gatewayTopology: {numTrustedProxies: 2}}"
        )
        snapshot = compiled(GATEWAY, SERVICE, ROUTE, text)
        self.assertEqual((snapshot.mesh.access_log_file, snapshot.mesh.trusted_proxies), ("/dev/stdout", 2))
        self.assertEqual([it.connect_timeout for it in snapshot.clusters.values()], [2.0])
        self.assertIsNone(compiled(GATEWAY).mesh.access_log_file)
        self.assertEqual(compiled(GATEWAY, MESH % "accessLogFile: ''").mesh.access_log_file, "")

    def test_path_normalization(self) -> None:
        """The name of the normalization; Istio's default is BASE, whether that is said or not."""
        for spec, expected in (
            ("", "BASE"),
            ("pathNormalization: {}", "BASE"),
            ("pathNormalization: {normalization: DEFAULT}", "BASE"),
            ("pathNormalization: {normalization: NONE}", "NONE"),
            ("pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}", "DECODE_AND_MERGE_SLASHES"),
        ):
            self.assertEqual(compiled(GATEWAY, MESH % spec).mesh.path_normalization, expected)

    def test_retries(self) -> None:
        """The retries of routes that have none of their own; attempts of 0 switch them off."""
        own = ROUTE.replace("http: [{", "http: [{retries: {attempts: 7}, ")
        for spec, route, expected in (
            ("", ROUTE, 2),
            ("defaultHttpRetryPolicy: {attempts: 5, retryOn: reset}", ROUTE, 5),
            ("defaultHttpRetryPolicy: {attempts: 5}", own, 7),
            ("defaultHttpRetryPolicy: {attempts: 0}", ROUTE, None),
        ):
            (found,) = routes(compiled(GATEWAY, SERVICE, route, MESH % spec), "*")
            retries = found.action.retries
            self.assertEqual(None if retries is None else retries.attempts, expected, spec)

    def test_refused(self) -> None:
        """Unknown settings, those to come, wrong values and a second document are errors."""
        for spec, part in (
            ("acessLogFile: x", "did you mean 'accessLogFile'?"),
            ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "spec.outboundTrafficPolicy is not served yet"),
            ("localityLbSetting: {failover: [{from: eu, to: eu}]}", "must be from one region to another"),
            ("pathNormalization: {normalization: BASIC}", "must not be 'BASIC' (one of"),
            ("defaultHttpRetryPolicy: {attempts: -1}", "attempts must be between"),
            ("defaultConfig: {gatewayTopology: {numTrustedProxies: -1}}", "numTrustedProxies must be between"),
            ("connectTimeout: 0s", "may not be less than 1ms"),
        ):
            (found,) = errors(GATEWAY, MESH % spec)
            self.assertIn(part, found)
        (found,) = errors(GATEWAY, MESH % "", MESH.replace("name: mesh", "name: other") % "")
        self.assertIn("there may be only one Mesh document", found)
