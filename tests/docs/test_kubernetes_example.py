"""``examples/kubernetes``: the manifests fit each other, and the gateway loads what they carry."""

from __future__ import annotations

from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load
from meshproxy.model import ProxyIdentity
from meshproxy.options import Options
from tests.config.loading import bundled, sources
from tests.packaging.checkout import ROOT


class ManifestTests(SynchronousTestCase):
    def setUp(self) -> None:
        documents: list[dict[str, Any]] = []
        for path in sorted((ROOT / "examples" / "kubernetes").iterdir()):
            documents += yaml.safe_load_all(path.read_text())
        self.found = {(it["kind"], it["metadata"]["name"]): it for it in documents}
        self.deployment = self.found["Deployment", "meshproxy"]
        self.pod = self.deployment["spec"]["template"]
        (self.container,) = self.pod["spec"]["containers"]

    def test_kinds(self) -> None:
        """There are these objects, all in one namespace, and none of them is about rights."""
        self.assertEqual(
            sorted(self.found),
            [
                ("ConfigMap", "meshproxy"),
                ("Deployment", "meshproxy"),
                ("Service", "meshproxy"),
                ("Service", "shop-pods"),
            ],
        )
        self.assertEqual({it["metadata"]["namespace"] for it in self.found.values()}, {"shop"})

    def test_configuration(self) -> None:
        """The ConfigMap's files load without a warning, and ask for the headless Service by its name."""
        (text,) = self.found["ConfigMap", "meshproxy"]["data"].values()
        snapshot = load(sources(text), bundled(), ProxyIdentity(), None)
        self.assertEqual([str(it) for it in snapshot.warnings], [])
        headless = self.found["Service", "shop-pods"]
        self.assertEqual(headless["spec"]["clusterIP"], "None")
        (cluster,) = snapshot.clusters
        (port,) = headless["spec"]["ports"]
        self.assertEqual(cluster, f"outbound|{port['port']}||shop-pods.shop.svc.cluster.local")

    def test_fit(self) -> None:
        """Selectors, ports, volumes and command lines mean what the other manifests have."""
        labels = self.pod["metadata"]["labels"]
        self.assertEqual(self.deployment["spec"]["selector"]["matchLabels"], labels)
        service = self.found["Service", "meshproxy"]["spec"]
        self.assertEqual(service["selector"], labels)
        ports = {it["name"]: it["containerPort"] for it in self.container["ports"]}
        options = Options()
        self.assertEqual(self.container["command"][-1], "meshproxy")
        options.parseOptions(self.container["args"])
        self.assertEqual([options["map_port"][it["port"]] for it in service["ports"]], list(ports.values()))
        self.assertEqual(service["ports"][0]["targetPort"], *ports)
        (volume,), (mount,) = self.pod["spec"]["volumes"], self.container["volumeMounts"]
        self.assertEqual(volume["name"], mount["name"])
        self.assertIn(("ConfigMap", volume["configMap"]["name"]), self.found)
        self.assertEqual(options["config"], [mount["mountPath"]])
        grace = self.pod["spec"]["terminationGracePeriodSeconds"]
        wait = int(self.container["lifecycle"]["preStop"]["exec"]["command"][-1])
        self.assertGreater(grace, options["drain_timeout"] + wait)
