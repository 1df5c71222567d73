"""Every setting of every bundled strategy, wrong in each way: one error, at the place of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from tests.config.loading import GATEWAY, ROUTE, SERVICE, findings, istio, warnings
from tests.config.test_backend_policy import policy

# What is wrong stands between these. They are taken out before the text is loaded.
_BEGIN, _END = "«", "»"
_BALANCER = "trafficPolicy: {{loadBalancer: {{consistentHash: {}}}}}"


class StrategySettingTests(SynchronousTestCase):
    def check(self, table: Sequence[tuple[str, str]]) -> None:
        """Each text is a ``loadBalancer`` that has one error, where the mark is, with the other text in it."""
        for marked, part in table:
            spec = f"host: app.test\ntrafficPolicy: {{loadBalancer: {{{marked}}}}}"
            text = istio("DestinationRule", "rule", spec)
            (indented,) = [it for it in text.splitlines() if _BEGIN in it]
            column = indented.index(_BEGIN) + 1
            text = text.replace(_BEGIN, "").replace(_END, "")
            found = [it for it in findings(GATEWAY, SERVICE, ROUTE, text) if it.severity is Severity.ERROR]
            self.assertEqual(len(found), 1, (marked, [str(it) for it in found]))
            self.assertIn(part, found[0].message + found[0].hint, marked)
            location = found[0].location
            assert location is not None
            self.assertEqual((location.column, location.file), (column, "mesh.yaml"), (marked, str(found[0])))

    def hashed(self, table: Sequence[tuple[str, str]], pattern: str = "{}") -> None:
        """As ``check``, of what stands in ``consistentHash``."""
        self.check([(f"consistentHash: {{{pattern.replace('{}', marked)}}}", part) for marked, part in table])

    def test_names(self) -> None:
        """``httpHeaderName`` and ``httpQueryParameterName`` are texts that are not empty."""
        for name in ("httpHeaderName", "httpQueryParameterName"):
            self.hashed(
                [
                    ("«''»", f"{name} may not be empty"),
                    ("«1»", 'must be a string, not the number 1write it in quotes: "1"'),
                    ("«true»", "must be a string, not the boolean true"),
                    ("«[a]»", "must be a string, not a list"),
                    ("«{a: b}»", "must be a string, not a mapping"),
                    ('«"a\\nb"»', "may not contain control characters"),
                ],
                f"{name}: {{}}",
            )

    def test_impossible_names(self) -> None:
        """What a strategy warns of is a warning of the load, of a policy's keys too."""
        for key in ("httpHeaderName: a b", "httpQueryParameterName: a=b", "httpCookie: {name: a=b}"):
            rule = istio("DestinationRule", "rule", "host: app.test\n" + _BALANCER.format(f"{{{key}}}"))
            keys = policy(f"host: app.test\nconsistentHash: {{keys: [{{{key}}}]}}")
            for texts in ([rule], [rule.replace(key, "httpHeaderName: x"), keys]):
                (warning,) = warnings(GATEWAY, SERVICE, ROUTE, *texts)
                self.assertRegex(warning, r"mesh\.yaml:\d+:\d+: (warning: )?no request has a \w+ named 'a.b'")

    def test_source_ip(self) -> None:
        """``useSourceIp`` is a boolean."""
        self.hashed(
            [
                ("«'true'»", "must be true or false, not the string 'true'remove the quotes"),
                ("«1»", "must be true or false, not the number 1"),
                ("«[]»", "must be true or false, not a list"),
                ("«{}»", "must be true or false, not a mapping"),
            ],
            "useSourceIp: {}",
        )

    def test_cookie(self) -> None:
        """Each field of ``httpCookie``, and of its attributes."""
        self.hashed(
            [
                ("«{}»", "httpCookie needs a name"),
                ("«{ttl: 60s}»", "httpCookie needs a name"),
                ("«sid»", "must be a mapping, not the string 'sid'"),
                ("«[]»", "must be a mapping, not a list"),
                ("{name: «''»}", "the cookie's name may not be empty"),
                ("{name: «1»}", "must be a string, not the number 1"),
                ('{name: «"a\\r\\nb"»}', "the cookie's name may not contain control characters"),
                ("{name: a, «name»: b}", "duplicate key 'name'"),
                ("{name: a, «paht»: /}", "has no field 'paht'did you mean 'path'?"),
                ("{name: a, path: «1»}", "must be a string, not the number 1"),
                ('{name: a, path: «"/\\r"»}', "the cookie's path may not contain control characters"),
                ("{name: a, ttl: «60»}", "must be a duration such as 5s or 250ms, not the number 60did you mean 60s?"),
                ("{name: a, ttl: «'60'»}", "is not a durationdid you mean 60s?"),
                ("{name: a, ttl: «1d»}", "'1d' is not a duration"),
                ("{name: a, ttl: «''»}", "a duration must not be empty"),
                ("{name: a, ttl: «-1s»}", "may not be less than 0s"),
                ("{name: a, ttl: «[]»}", "must be a duration such as 5s or 250ms, not a list"),
                ("{name: a, attributes: «{}»}", "must be a list, not a mapping"),
                ("{name: a, attributes: [«Secure»]}", "must be a mapping, not the string 'Secure'"),
                ("{name: a, attributes: [«null»]}", "may not be null"),
                ("{name: a, attributes: [«{value: x}»]}", "a cookie's attribute needs a name"),
                ("{name: a, attributes: [{name: «''»}]}", "the attribute's name may not be empty"),
                ("{name: a, attributes: [{name: «1»}]}", "must be a string, not the number 1"),
                ("{name: a, attributes: [{name: b}, {name: «b»}]}", "the cookie already has an attribute b"),
                ("{name: a, attributes: [{name: b, «vale»: c}]}", "has no field 'vale'did you mean 'value'?"),
                ("{name: a, attributes: [{name: b, value: «1»}]}", "must be a string, not the number 1"),
                ('{name: a, attributes: [{name: b, value: «"\\n"»}]}', "value may not contain control characters"),
            ],
            "httpCookie: {}",
        )

    def test_maglev(self) -> None:
        """``tableSize`` is required, a prime, and below Envoy's limit."""
        self.hashed(
            [
                ("«{}»", "maglev needs a tableSize, a prime numberEnvoy's default is 65537"),
                ("«{tableSize: null}»", "maglev needs a tableSize"),
                ("«1009»", "must be a mapping, not the number 1009"),
                ("«[]»", "must be a mapping, not a list"),
                ("{tableSize: «0»}", "must be between 1 and 5000010, not 0"),
                ("{tableSize: «-7»}", "must be between 1 and 5000010, not -7"),
                ("{tableSize: «5000011»}", "must be between 1 and 5000010, not 5000011"),
                ("{tableSize: «99999999999999999999»}", "must be between 1 and 5000010"),
                ("{tableSize: «4»}", "tableSize must be a prime number, 4 is not"),
                ("{tableSize: «65536»}", "tableSize must be a prime number, 65536 is not"),
                ("{tableSize: «4862021»}", "tableSize must be a prime number, 4862021 is not"),  # 2203 * 2207
                ("{tableSize: «'7'»}", "must be a whole number, not the string '7'remove the quotes"),
                ("{tableSize: «7.0»}", "must be a whole number, not the number 7.0did you mean 7?"),
                ("{tableSize: «7.5»}", "must be a whole number, not the number 7.5"),
                ("{tableSize: «1e3»}", "must be a whole number, not the number 1e3did you mean 1000?"),
                ("{tableSize: «true»}", "must be a whole number, not the boolean true"),
                ("{tableSize: «[]»}", "must be a whole number, not a list"),
                ("{«tablesize»: 7}", "has no field 'tablesize'did you mean 'tableSize'?"),
                ("{tableSize: 7, «minimumRingSize»: 7}", "has no field 'minimumRingSize'"),
            ],
            "httpHeaderName: x, maglev: {}",
        )

    def test_ring(self) -> None:
        """``minimumRingSize`` within Envoy's limit, where it belongs and where it once stood."""
        sizes = [
            ("«-1»", "must be between 0 and 8388608, not -1"),
            ("«8388609»", "must be between 0 and 8388608, not 8388609"),
            ("«'7'»", "must be a whole number, not the string '7'"),
            ("«1.5»", "must be a whole number, not the number 1.5"),
            ("«true»", "must be a whole number, not the boolean true"),
            ("«[]»", "must be a whole number, not a list"),
        ]
        self.hashed(sizes, "httpHeaderName: x, ringHash: {minimumRingSize: {}}")
        self.hashed(sizes, "httpHeaderName: x, minimumRingSize: {}")
        self.hashed(
            [
                ("«x»", "must be a mapping, not the string 'x'"),
                ("«[]»", "must be a mapping, not a list"),
                ("{«minimumringSize»: 7}", "did you mean 'minimumRingSize'?"),
                ("{«maximumRingSize»: 7}", "has no field 'maximumRingSize'"),
            ],
            "httpHeaderName: x, ringHash: {}",
        )

    def test_together(self) -> None:
        """Two keys, two balancers, a size beside a balancer; names that are not there, and simple ones in hashing."""
        self.hashed(
            [
                ("httpHeaderName: a, «httpQueryParameterName»: b", "may have only one hash key, not"),
                ("httpHeaderName: a, «useSourceIp»: false", "may have only one hash key, not"),
                ("httpCookie: {name: a}, «useSourceIp»: true", "may have only one hash key, not"),
                ("httpHeaderName: a, maglev: {tableSize: 7}, «ringHash»: {}", "may have only one load balancer, not"),
                ("httpHeaderName: a, ringHash: {}, «minimumRingSize»: 7", "may not stand beside ringHash"),
                ("httpHeaderName: a, maglev: {tableSize: 7}, «minimumRingSize»: 7", "may not stand beside maglev"),
                ("«httpHeader»: a", "has no field 'httpHeader'did you mean 'httpHeaderName'?"),
                ("httpHeaderName: a, «RANDOM»: {}", "has no field 'RANDOM'"),
                ("httpHeaderName: a, «example.com/none»: {}", "no plugin provides the strategy example.com/none"),
            ]
        )
        self.check(
            [
                ("consistentHash: «x»", "must be a mapping, not the string 'x'"),
                ("consistentHash: «[]»", "must be a mapping, not a list"),
            ]
        )

    def test_simple(self) -> None:
        """``simple`` is one of Istio's names or that of a plugin; none of them has settings."""
        self.check(
            [
                ("simple: «round_robin»", "must not be 'round_robin'did you mean 'ROUND_ROBIN'?"),
                ("simple: «maglev»", "must not be 'maglev'"),
                ("simple: «''»", "must not be ''one of LEAST_CONN"),
                ("simple: «1»", "must be a string, not the number 1"),
                ("simple: «[RANDOM]»", "must be a string, not a list"),
                ("simple: «example.com/none»", "no plugin provides the strategy example.com/none"),
                ("simple: «PASSTHROUGH»", "PASSTHROUGH is not served yet"),
            ]
        )

    def test_warmup(self) -> None:
        """Each field of ``warmup``, and the older one beside it."""
        self.check(
            [
                ("warmup: «{}»", "warmup.duration is required"),
                ("warmup: «5s»", "must be a mapping, not the string '5s'"),
                ("warmup: {duration: «0s»}", "may not be less than 1ms"),
                ("warmup: {duration: «5»}", "must be a duration such as 5s or 250ms, not the number 5"),
                ("warmup: {duration: 5s, aggression: «0»}", "aggression must be above 0"),
                ("warmup: {duration: 5s, aggression: «-1»}", "must be at least 0, not -1"),
                ("warmup: {duration: 5s, aggression: «x»}", "must be a number, not the string 'x'"),
                ("warmup: {duration: 5s, aggression: «.nan»}", "must be a finite number"),
                ("warmup: {duration: 5s, minimumPercent: «101»}", "must be between 0 and 100, not 101"),
                ("warmup: {duration: 5s, minimumPercent: «-1»}", "must be between 0 and 100, not -1"),
                ("warmup: {duration: 5s, «agression»: 1}", "did you mean 'aggression'?"),
                ("warmup: {duration: 5s}, «warmupDurationSecs»: 5s", "only one of warmup and warmupDurationSecs"),
                ("warmupDurationSecs: «5»", "must be a duration such as 5s or 250ms, not the number 5"),
            ]
        )
