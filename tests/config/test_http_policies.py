"""Tests for timeouts, retries, faults, mirrors' shares and CORS."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from meshproxy.routes import ALWAYS, Comparison, CorsPolicy, Fault, Mirror, RetryPolicy, TextMatch
from tests.config.loading import GATEWAY, SERVICE, compiled, istio, routes
from tests.config.routing import TO_APP, compiled_route, entry, forward, said

APP = "outbound|80||app.test"
RULE = istio(
    "DestinationRule", "dr", "host: app.test\ntrafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}"
)


class RetryTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without a block there are two retries on Istio's default conditions."""
        self.assertEqual(forward("name: x").retries, RetryPolicy())
        self.assertEqual(forward("name: x").timeout, None)

    def test_fields(self) -> None:
        """Each field; conditions that are statuses are apart, and bring their word with them."""
        fields = "attempts: 3, perTryTimeout: 250ms, retryOn: '5xx,503,reset', backoff: 1s, retryRemoteLocalities: true"
        self.assertEqual(
            forward(f"timeout: 1.5s, retries: {{{fields}}}").retries,
            RetryPolicy(
                3,
                frozenset({"5xx", "reset", "retriable-status-codes"}),
                frozenset({503}),
                per_try_timeout=0.25,
                backoff=1.0,
                remote_localities=True,
            ),
        )
        self.assertEqual(forward("timeout: 1.5s").timeout, 1.5)
        self.assertEqual(forward("retries: {attempts: 1}").retries, RetryPolicy(1))
        self.assertEqual(forward("retries: {attempts: 1, retryOn: ''}").retries, RetryPolicy(1))

    def test_switched_off(self) -> None:
        """No attempts, given or not, are no retries."""
        for fields in ("attempts: 0", "", "backoff: 1s"):
            self.assertIsNone(forward(f"retries: {{{fields}}}").retries, fields)
        self.assertIn("switches retries off", " ".join(said(f"retries: {{backoff: 1s}}, {TO_APP}")))

    def test_previous_hosts(self) -> None:
        """Hosts that were tried are avoided unless the only destination has a consistentHash; the field overrides."""
        several = "route: [{destination: {host: app.test}, weight: 1}, {destination: {host: app.test}, weight: 1}]"
        for fields, expected in (
            (TO_APP, False),
            (several, True),
            (f"retries: {{attempts: 1, retryIgnorePreviousHosts: true}}, {TO_APP}", True),
            (f"retries: {{attempts: 1, retryIgnorePreviousHosts: false}}, {several}", False),
        ):
            (route,) = routes(compiled(GATEWAY, SERVICE, RULE, entry(fields)), "*")
            self.assertEqual(route.action.retries.avoid_previous_hosts, expected, fields)

    def test_conditions_without_effect(self) -> None:
        """Conditions that never hold are warned about."""
        for word in ("retriable-headers", "http3-post-connect-failure", "retriable-status-codes"):
            found = said(f"retries: {{attempts: 1, retryOn: '{word}'}}, {TO_APP}")
            self.assertEqual(len(found), 1, word)
            self.assertIn(f"{word!r} has no effect", found[0])

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("retries: {attempts: -1}", "attempts must be between 0"),
            ("retries: {attempts: 0, retryOn: 5xx}", "has retryOn, but its attempts are 0"),
            ("retries: {perTryTimeout: 1s}", "has perTryTimeout, but its attempts are 0"),
            ("retries: {attempts: 0, retryRemoteLocalities: false}", "has retryRemoteLocalities"),
            ("retries: {attempts: 1, retryOn: always}", "'always' is neither a condition nor a known status"),
            ("retries: {attempts: 1, retryOn: '5xx, reset'}", "write no blanks"),
            ("retries: {attempts: 1, retryOn: '599'}", "'599' is neither"),
            ("retries: {attempts: 1, perTryTimeout: 0s}", "may not be less than 1ms"),
            ("timeout: 0s", "may not be less than 1ms"),
            ("timeout: 5", "did you mean 5s?"),
        ):
            found = said(f"{fields}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])


class FaultTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Delay and abort with their shares, which are parts of a million."""
        delay = "delay: {fixedDelay: 1s, percentage: {value: 0.0001}}"
        for fields, expected in (
            (delay, Fault(delay=1.0, delay_share=1)),
            ("abort: {httpStatus: 503, percentage: {value: 12.5}}", Fault(abort_status=503, abort_share=125_000)),
            (
                "abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}",
                Fault(abort_grpc_status=14, abort_share=ALWAYS),
            ),
            ("delay: {fixedDelay: 1s, percent: 50}", Fault(delay=1.0, delay_share=500_000)),
            ("delay: {fixedDelay: 1s, percent: -1}", Fault(delay=1.0, delay_share=ALWAYS)),
            ("delay: {fixedDelay: 1s, percent: 50, percentage: {value: 1}}", Fault(delay=1.0, delay_share=10_000)),
            ("abort: {httpStatus: 600, percentage: {value: 100}}", Fault(abort_status=500, abort_share=ALWAYS)),
        ):
            self.assertEqual(compiled_route(f"fault: {{{fields}}}, {TO_APP}").fault, expected, fields)

    def test_never(self) -> None:
        """A fault without percentage, or without an effect, never comes about; what is not said openly is a warning."""
        for fields, part in (
            ("abort: {httpStatus: 500}", "fault.abort has no percentage, which means 0"),
            ("delay: {fixedDelay: 1s}", "fault.delay has no percentage, which means 0"),
            ("abort: {httpStatus: 500, percentage: {}}", "percentage says no value, which means 0"),
            ("abort: {percentage: {value: 1}}", "says neither httpStatus nor grpcStatus [IST0133]"),
            ("delay: {percentage: {value: 1}}", "says no fixedDelay"),
        ):
            self.assertIsNone(compiled_route(f"fault: {{{fields}}}, {TO_APP}").fault, fields)
            found = said(f"fault: {{{fields}}}, {TO_APP}")
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
        self.assertEqual(said(f"fault: {{abort: {{httpStatus: 500, percentage: {{value: 0}}}}}}, {TO_APP}"), [])

    def test_deprecated_percent(self) -> None:
        """The old form of a delay's percentage is a warning with Istio's code."""
        self.assertIn("IST0002", " ".join(said(f"fault: {{delay: {{fixedDelay: 1s, percent: 1}}}}, {TO_APP}")))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("", "needs delay or abort"),
            ("abort: {httpStatus: 100}", "between 200 and 600"),
            ("abort: {httpStatus: 500, grpcStatus: OK}", "may not have both httpStatus and grpcStatus"),
            ("abort: {grpcStatus: NOPE}", "grpcStatus must not be 'NOPE'"),
            ("abort: {http2Error: x}", "http2Error is not supported"),
            ("abort: {httpStatus: 500, percentage: {value: 101}}", "between 0 and 100"),
            ("abort: {httpStatus: 500, percentage: {value: 0.00001}}", "must be 0 or at least 0.0001"),
            ("delay: {exponentialDelay: 1s}", "exponentialDelay is not supported"),
            ("delay: {fixedDelay: 0.5ms}", "may not be less than 1ms"),
        ):
            found = said(f"fault: {{{fields}}}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])


class MirrorTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """All requests by default, none with an explicit 0; mirrorPercentage goes before the deprecated fields."""
        mirror = "mirror: {host: app.test}"
        for fields, shares in (
            (mirror, [ALWAYS]),
            (f"{mirror}, mirrorPercentage: {{value: 0.5}}", [5_000]),
            (f"{mirror}, mirrorPercentage: {{value: 0}}", []),
            (f"{mirror}, mirrorPercent: 50", [500_000]),
            (f"{mirror}, mirror_percent: 0", []),
            (f"{mirror}, mirrorPercent: 50, mirrorPercentage: {{value: 1}}", [10_000]),
            (
                "mirrors: [{destination: {host: app.test}}, {destination: {host: app.test}, percentage: {value: 1}}]",
                [ALWAYS, 10_000],
            ),
            ("mirrors: [{destination: {host: app.test}, percentage: {value: 0}}]", []),
        ):
            self.assertEqual(
                [(it.cluster, it.share) for it in forward(fields).mirrors], [(APP, it) for it in shares], fields
            )

    def test_cluster(self) -> None:
        """A mirror's cluster is made as a destination's is, also where nothing else uses it; an unknown one is said."""
        other = SERVICE.replace("app.test", "m.test").replace("name: app", "name: m")
        snapshot = compiled(GATEWAY, SERVICE, other, entry(f"mirror: {{host: m.test}}, {TO_APP}"))
        self.assertEqual(set(snapshot.clusters), {APP, "outbound|80||m.test"})
        self.assertIsInstance(routes(snapshot, "*")[0].action.mirrors[0], Mirror)
        self.assertIn(
            "no service nobody.test: nothing is mirrored to it",
            " ".join(said(f"mirror: {{host: nobody.test}}, {TO_APP}")),
        )

    def test_said(self) -> None:
        """Deprecated fields, and percentages of no mirror, are warned about."""
        self.assertIn(
            "mirrorPercent is deprecated [IST0133]",
            " ".join(said(f"mirror: {{host: app.test}}, mirrorPercent: 1, {TO_APP}")),
        )
        self.assertIn("no effect without mirror", " ".join(said(f"mirrorPercentage: {{value: 1}}, {TO_APP}")))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("mirror: {host: a.b}, mirrors: [{destination: {host: a.b}}]", "may not have both mirror and mirrors"),
            ("mirror: {host: '*'}", "mirror.host may not be '*'"),
            ("mirror: {}", "mirror.host is required"),
            ("mirrors: [{}]", "mirrors[0].destination is required"),
            ("mirror: {host: a.b}, mirrorPercentage: {value: 101}", "between 0 and 100"),
            ("mirror: {host: a.b}, mirrorPercent: 101", "between 0 and 100"),
            ("mirror: {host: a.b}, mirrorPercent: 1, mirror_percent: 1", "may not have both"),
            ("mirrors: [null]", "may not be null"),
        ):
            found = said(f"{fields}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])


class CorsTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Each field; a star among the origins admits all of them."""
        origins = "allowOrigins: [{exact: a.com}, {prefix: 'http://b'}, {regex: '.*c'}, {exact: '*'}]"
        lists = "allowMethods: [GET, '*'], allowHeaders: [X-A], exposeHeaders: ['*']"
        fields = f"{origins}, {lists}, maxAge: 24h, allowCredentials: true, unmatchedPreflights: IGNORE"
        self.assertEqual(
            forward(f"corsPolicy: {{{fields}}}").cors,
            CorsPolicy(
                (
                    TextMatch(Comparison.EXACT, "a.com"),
                    TextMatch(Comparison.PREFIX, "http://b"),
                    TextMatch(Comparison.REGEX, ".*c"),
                    TextMatch(),
                ),
                ("GET", "*"),
                ("X-A",),
                ("*",),
                86_400,
                credentials=True,
                forward_unmatched=False,
            ),
        )
        plain = CorsPolicy((TextMatch(Comparison.EXACT, "a"),))
        self.assertEqual(forward("corsPolicy: {allowOrigins: [{exact: a}], unmatchedPreflights: FORWARD}").cors, plain)

    def test_deprecated_origins(self) -> None:
        """The old list of origins counts only where there is no new one; both are warned about."""
        new, old = TextMatch(Comparison.EXACT, "new"), TextMatch(Comparison.EXACT, "old")
        self.assertEqual(forward("corsPolicy: {allowOrigin: [old, '*']}").cors, CorsPolicy((old, TextMatch())))
        both = "corsPolicy: {allowOrigin: [old], allowOrigins: [{exact: new}]}"
        self.assertEqual(forward(both).cors, CorsPolicy((new,)))
        self.assertIn("has no effect beside allowOrigins", " ".join(said(f"{both}, {TO_APP}")))

    def test_nobody(self) -> None:
        """A policy without an origin has no effect, which is said."""
        self.assertIn("it allows no origin", " ".join(said(f"corsPolicy: {{allowMethods: [GET]}}, {TO_APP}")))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("allowOrigins: [{}]", "needs a non-empty exact, prefix or regex"),
            ("allowOrigins: [{exact: ''}]", "needs a non-empty exact, prefix or regex"),
            ("allowOrigins: [{regex: '('}]", "not a regular expression of RE2"),
            ("allowOrigins: [{exact: a}], allowMethods: [get]", "allowMethods[0] must not be 'get'"),
            ("allowOrigins: [{exact: a}], allowHeaders: ['a b']", "must be the name of a header"),
            ("allowOrigins: [{exact: a}], exposeHeaders: ['']", "must be the name of a header"),
            ("allowOrigins: [{exact: a}], maxAge: 1.5s", "whole number of seconds"),
            ("allowOrigins: [{exact: a}], unmatchedPreflights: DROP", "unmatchedPreflights must not be 'DROP'"),
        ):
            found = said(f"corsPolicy: {{{fields}}}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
