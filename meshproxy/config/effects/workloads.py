"""Workloads that no selector chooses or none can use, and selectors that choose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.labelled import Labelled
from meshproxy.config.pods import Pod
from meshproxy.config.service_entry import Resolution, ServiceEntry
from meshproxy.config.workload import WorkloadEntry


@frozen(eq=False)
class _Selecting:
    """Entries with equal selectors: the first one, whether one of them takes names, and the names of their ports."""

    first: ServiceEntry
    by_name: bool
    ports: frozenset[str]


def warn_of_workloads(compiled: Compiled, findings: Findings) -> None:
    """Report workload entries and selectors that come to nothing."""
    objects = compiled.objects
    entries: dict[str, list[tuple[ServiceEntry, Mapping[str, str]]]] = {}
    for entry in objects.service_entries:
        if entry.selector is not None and entry.resolution is not Resolution.NONE:
            entries.setdefault(entry.metadata.namespace, []).append((entry, entry.selector))
    workloads: dict[str, list[WorkloadEntry]] = {}
    for workload in objects.workloads:
        if workload.metadata not in compiled.faulty:
            workloads.setdefault(workload.metadata.namespace, []).append(workload)
    if "ServiceEntry" not in objects.broken:
        for namespace, listed in workloads.items():
            _warn_of_unselected(listed, [selector for _, selector in entries.get(namespace, ())], findings)
            _warn_of_unusable(listed, entries.get(namespace, ()), findings)
    if entries and not objects.broken & {"WorkloadEntry", "Pod"}:
        pods: dict[str, list[Pod]] = {}
        for pod in objects.pods:
            pods.setdefault(pod.metadata.namespace, []).append(pod)
        for namespace, selecting in entries.items():
            _warn_of_selectors(selecting, workloads.get(namespace, ()), pods.get(namespace, ()), compiled, findings)


def _warn_of_unselected(
    workloads: Sequence[WorkloadEntry], selectors: Sequence[Mapping[str, str]], findings: Findings
) -> None:
    for workload in _labelled(workloads).without_any(selectors):
        message = f"{workload.metadata} has no effect: no ServiceEntry of its namespace selects it"
        hint = "a workloadSelector has to have no other labels than it has"
        findings.warning(workload.metadata.location, message, hint)


def _warn_of_unusable(
    workloads: Sequence[WorkloadEntry],
    entries: Sequence[tuple[ServiceEntry, Mapping[str, str]]],
    findings: Findings,
) -> None:
    """Those that have a name or a UNIX socket for an address, and ports of no entry that selects them."""
    odd = [it for it in workloads if it.workload.is_name or it.workload.is_unix or it.workload.ports]
    if not odd:
        return
    labelled = _labelled(odd)
    same: dict[frozenset[tuple[str, str]], list[ServiceEntry]] = {}
    for entry, selector in entries:
        same.setdefault(frozenset(selector.items()), []).append(entry)
    selecting: dict[WorkloadEntry, list[_Selecting]] = {}
    for chosen, alike in same.items():
        names = frozenset(port.name for entry in alike for port in entry.ports)
        group = _Selecting(alike[0], any(entry.resolution.by_name for entry in alike), names)
        for workload in labelled.with_labels(dict(chosen)):
            selecting.setdefault(workload, []).append(group)
    for workload, groups in selecting.items():
        it, first = workload.workload, groups[0].first
        if (it.is_name or it.is_unix) and not any(group.by_name for group in groups):
            kind = "a host name" if it.is_name else "a UNIX socket"
            message = f"{workload.metadata} has no effect: its address is {kind}, and {first.metadata} takes only IPs"
            hint = f"see {first.location}: only an entry with resolution DNS takes it"
            findings.warning(workload.metadata.location, message, hint)
            continue
        lost = sorted(it.ports.keys() - frozenset().union(*(group.ports for group in groups)))
        if lost:
            message = f"{', '.join(map(repr, lost))} in ports of {workload.metadata} is no name of a port of"
            findings.warning(it.location, f"{message} {first.metadata}, which selects it", f"see {first.location}")


def _warn_of_selectors(
    entries: Sequence[tuple[ServiceEntry, Mapping[str, str]]],
    workloads: Sequence[WorkloadEntry],
    pods: Sequence[Pod],
    compiled: Compiled,
    findings: Findings,
) -> None:
    """Those that choose nothing, of entries that no route leads to: what others lack is told where they are used."""
    labelled = _labelled(workloads)
    of_pods = Labelled(pods, lambda it: it.metadata.labels.items())
    for entry, selector in entries:
        if entry.metadata in compiled.faulty or any(host in compiled.used for host, _ in entry.hosts):
            continue
        if not labelled.has_any(selector) and not of_pods.has_any(selector):
            text = ", ".join(f"{key}={value}" for key, value in sorted(selector.items())) or "any at all"
            message = f"{entry.metadata} has no endpoint: nothing in its namespace has the labels its selector asks for"
            findings.warning(entry.metadata.location, message, f"they are {text}")


def _labelled(workloads: Sequence[WorkloadEntry]) -> Labelled[WorkloadEntry]:
    return Labelled(workloads, lambda it: it.workload.labels.items())
