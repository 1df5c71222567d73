"""All figures of a gateway for Prometheus, collected when they are asked for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from twisted.copyright import version as twisted_version

from meshproxy import __version__
from meshproxy.admin.requestmetrics import request_metrics
from meshproxy.admin.served import Served
from meshproxy.model import Cluster

_END_OF_OPENMETRICS = b"# EOF\n"


class MeshCollector(Collector):
    """The figures of a gateway as of its last ``gather``."""

    def __init__(self, service: Served) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        yield from self._service.traffic()
        yield from self._configuration()
        yield from self._processes()
        yield GaugeMetricFamily("meshproxy_ready", "1 while requests are served.", float(self._service.ready))
        yield GaugeMetricFamily("meshproxy_listeners", "Ports that are open.", self._service.listeners)
        build = GaugeMetricFamily(
            "meshproxy_build_info", "What is running; always 1.", labels=["version", "twisted", "python"]
        )
        build.add_metric([__version__, twisted_version, platform.python_version()], 1)
        yield build

    def _processes(self) -> Iterator[Metric]:
        processes = self._service.processes
        yield GaugeMetricFamily("meshproxy_workers_wanted", "Processes that should serve.", processes.wanted)
        yield GaugeMetricFamily("meshproxy_workers_active", "Processes that serve.", processes.serving)
        restarts = processes.restarts
        yield CounterMetricFamily("meshproxy_worker_restarts", "Worker processes that were replaced.", restarts)

    def _configuration(self) -> Iterator[Metric]:
        reload = self._service.reload
        yield GaugeMetricFamily(
            "meshproxy_config_last_reload_successful",
            "1 if the files as they were last read are what is served.",
            float(reload.last_error is None),
        )
        yield GaugeMetricFamily(
            "meshproxy_config_last_reload_success_timestamp_seconds",
            "When the configuration that is served was installed, in Unix time.",
            reload.last_success_at or 0,
        )
        yield GaugeMetricFamily("meshproxy_config_generation", "Configurations installed so far.", reload.generation)
        reloads = CounterMetricFamily("meshproxy_config_reloads", "Reloads by how they ended.", labels=["result"])
        for result, number in reload.results.items():
            reloads.add_metric([result.value], number)
        yield reloads
        info = GaugeMetricFamily(
            "meshproxy_config_info", "The digest of the files that are served; always 1.", labels=["digest"]
        )
        if reload.snapshot is not None:
            info.add_metric([reload.snapshot.digest], 1)
            warnings = len(reload.snapshot.warnings)
            yield GaugeMetricFamily("meshproxy_config_warnings", "Warnings of what is served.", warnings)
        yield info


def registry_for(service: Served) -> CollectorRegistry:
    """A registry with the figures of the service and of this process (memory, CPU, descriptors)."""
    registry = CollectorRegistry()
    registry.register(MeshCollector(service))
    ProcessCollector(registry=registry)
    return registry


def exposition(service: Served, registry: CollectorRegistry, accept: str) -> tuple[Callable[[], bytes], str]:
    """What renders all figures as of the last ``gather``, and their type; ``accept`` is the header of that name."""
    encode, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    end = _END_OF_OPENMETRICS if openmetrics else b""

    def cluster_of(name: str) -> Cluster | None:
        snapshot = service.reload.snapshot
        return None if snapshot is None else snapshot.clusters.get(name)

    def render() -> bytes:
        text: bytes = encode(registry)
        requests = request_metrics(service.requests(), cluster_of, service.identity, openmetrics)
        return text.removesuffix(end) + requests.encode("utf-8") + end

    return render, content_type
