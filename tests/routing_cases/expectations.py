"""What a case expects, compared with what happened: each function gives complaints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.routing_cases.world import Answer

Expect = dict[str, Any]

_LOGGED = {"flags": "flags", "details": "details", "route_name": "route_name", "downstream_remote": "logged_remote"}


def complaints(expect: Expect, answers: Sequence[Answer], seen: Sequence[Sequence[str]]) -> list[str]:
    """Everything that is not as it should be; ``seen``: the requests that reached backends."""
    if "connect" in expect:
        return [] if answers[0].refused else [f"connected, want {expect['connect']}"]
    if any(answer.response is None for answer in answers):
        return [f"no answer to {sum(answer.response is None for answer in answers)} of {len(answers)} requests"]
    found = list(_spread(expect, answers))
    found += _answer(expect, answers[-1])
    found += _upstream(expect.get("upstream", {}), answers[-1])
    found += _log(expect, answers[-1].logged)
    if "mirrored" in expect:
        mirrored = {name: rest for name, *rest in seen if name != expect["backend"]}
        if mirrored != expect["mirrored"]:
            found.append(f"mirrored {mirrored}, want {expect['mirrored']}")
    return found


def _spread(expect: Expect, answers: Sequence[Answer]) -> Iterator[str]:
    counts = Counter(answer.outcome for answer in answers)
    if "counts_between" in expect:
        for name, (least, most) in expect["counts_between"].items():
            if not least <= counts[name] <= most:
                yield f"{name} {counts[name]} times, want {least} to {most}"
        return
    if expect.get("same_backend") and len(counts) != 1:
        yield f"not one backend: {dict(counts)}"
    for name, share in expect.get("distribution", {}).items():
        if abs(counts[name] / len(answers) - share) > expect["tolerance"]:
            yield f"{name} {counts[name]} times of {len(answers)}, want a share of {share}"
    if "distribution" not in expect and "status" in expect:
        statuses = {answer.response.status for answer in answers if answer.response is not None}
        if statuses != {expect["status"]}:
            yield f"status {statuses}, want {expect['status']}"
    if "backend" in expect and {answer.backend for answer in answers} != {expect["backend"]}:
        yield f"backend {dict(counts)}, want {expect['backend']}"


def _answer(expect: Expect, answer: Answer) -> Iterator[str]:
    response = answer.response
    assert response is not None

    def values(name: str) -> list[str]:
        return [value.decode("latin-1") for value in response.values(name.encode())]

    wanted = dict(expect.get("response", {}))
    if "location" in expect:
        wanted["location"] = [expect["location"]]
    for name, texts in wanted.items():
        if values(name) != texts:
            yield f"response {name} {values(name)}, want {texts}"
    for name, pattern in expect.get("response_regex", {}).items():
        if not any(re.match(pattern, value) for value in values(name)):
            yield f"response {name} {values(name)}, want a match of {pattern}"
    for name in expect.get("response_absent", ()):
        if values(name):
            yield f"response has {name}: {values(name)}"
    for name in expect.get("response_present", ()):
        if not values(name):
            yield f"response lacks {name}"
    if "body" in expect and response.body.decode("latin-1") != expect["body"]:
        yield f"body {response.body[:100]!r}, want {expect['body']!r}"
    if expect.get("no_backend") and answer.backend:
        yield f"reached backend {answer.backend}"
    if answer.seconds < expect.get("min_seconds", 0.0) - 0.02:
        yield f"took {answer.seconds:.3f} s, want at least {expect['min_seconds']} s"
    if answer.seconds > expect.get("max_seconds", 60.0) + 0.02:
        yield f"took {answer.seconds:.3f} s, want at most {expect['max_seconds']} s"


def _upstream(wanted: Expect, answer: Answer) -> Iterator[str]:
    if not wanted:
        return
    if not answer.echo:
        yield "no answer of a backend to look into"
        return
    received: dict[str, list[str]] = {}
    for name, value in answer.echo["headers"]:
        received.setdefault(name, []).append(value)
    for key in ("path", "host", "proto"):
        if key in wanted and answer.echo[key] != wanted[key]:
            yield f"upstream {key} {answer.echo[key]!r}, want {wanted[key]!r}"
    for name, texts in wanted.get("headers", {}).items():
        if received.get(name) != texts:
            yield f"upstream {name} {received.get(name)}, want {texts}"
    for name in wanted.get("absent", ()):
        if name in received:
            yield f"upstream has {name}: {received[name]}"
    for name in wanted.get("present", ()):
        if name not in received:
            yield f"upstream lacks {name}"
    for name, text in wanted.get("not_equal", {}).items():
        if received.get(name) == [text]:
            yield f"upstream {name} is still {text}"
    forwarded = received.get("x-forwarded-for", [""])[0].split(",")
    if len(forwarded) != wanted.get("xff_parts", len(forwarded)):
        yield f"upstream x-forwarded-for {forwarded}, want {wanted['xff_parts']} parts"


def _log(expect: Expect, exchange: Any) -> Iterator[str]:
    if exchange is None:
        if "log" in expect:
            yield "no line in the access log"
        return
    if "destination" in expect:
        place = expect["destination"]
        cluster = f"outbound|{place['port']}|{place['subset']}|{place['host']}"
        if exchange.upstream_cluster.decode() != cluster:
            yield f"cluster {exchange.upstream_cluster.decode()}, want {cluster}"
    for key, wanted in expect.get("log", {}).items():
        if key in _LOGGED:
            found = getattr(exchange, _LOGGED[key]).decode() or "-"
            if found != wanted:
                yield f"logged {key} {found}, want {wanted}"
