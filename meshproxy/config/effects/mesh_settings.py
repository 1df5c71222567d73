"""What the ``Mesh`` document asks for and no destination makes use of."""

from __future__ import annotations

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings


def warn_of_mesh_settings(compiled: Compiled, findings: Findings) -> None:
    """Report a failover of the mesh where no cluster can find endpoints unhealthy."""
    setting = compiled.objects.mesh.locality
    if setting is None or not setting.enabled or not (setting.failover or setting.labels):
        return
    clusters = compiled.clusters.clusters.values()
    if clusters and all(cluster.outliers is None for cluster in clusters):
        message = "localityLbSetting has no effect, since no destination has outlierDetection"
        findings.warning(setting.location, message, code="IST0133")
