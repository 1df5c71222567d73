"""What a route does with a request, in details that no recorded case has."""

from __future__ import annotations

from tests.routing_cases.details import WORLD, A, B, C, DetailCase, Outcome, gateway, service, to, virtual_service


class ActionTests(DetailCase):
    def test_redirects(self) -> None:
        """What is not said stays as in the request, the port too; a default port of the scheme that is left goes."""
        for fields, request, status, location in (
            ("scheme: https", "x.com:80 /p?q", "301", "https://x.com/p?q"),
            ("scheme: https", "X.com:8085 /p", "301", "https://X.com:8085/p"),
            ("port: 77", "x.com:9 /", "301", "http://x.com:77/"),
            ("authority: 'o:99', port: 77", "x.com /", "301", "http://o:99:77/"),
            ("uri: '/n?z=1'", "x.com /p?q=2", "301", "http://x.com/n?z=1"),
            ("uri: /n, redirectCode: 307", "x.com /p?q=2", "307", "http://x.com/n?q=2"),
        ):
            config = WORLD + virtual_service("a", "x.com", f"redirect: {{{fields}}}")
            self.check(config, {f"GET {request}": (status, {"location": location})})
        entry = "match: [{uri: {prefix: /OLD}, ignoreUriCase: true}], redirect: {prefixRewrite: /new}"
        found: dict[str, Outcome] = {"GET x.com /old/p?q=2": ("301", {"location": "http://x.com/new/p?q=2"})}
        self.check(WORLD + virtual_service("a", "x.com", entry), found)

    def test_rewrites(self) -> None:
        """A prefix is replaced as text, any other match as a whole; a regular expression wherever it fits."""
        routes = (
            f"{to(A, '{uri: {prefix: /w}}')}, rewrite: {{uri: /}}",
            f"{to(A, '{uri: {regex: /r.*}}')}, rewrite: {{uri: /z}}",
            f"{to(A, '{uri: {prefix: /s}}')}, rewrite: {{uriRegexRewrite: {{match: '/([a-z])', rewrite: '/\\1\\0'}}}}",
            f"{to(B)}, rewrite: {{uri: /root}}",
        )
        self.check(
            WORLD + virtual_service("a", "x.com", *routes),
            {
                "GET x.com /w/abc": (A, {"path": "//abc"}),
                "GET x.com /wabc?q": (A, {"path": "/abc?q"}),
                "GET x.com /r/1?q": (A, {"path": "/z?q"}),
                "GET x.com /s/b?c=/d": (A, {"path": "/s/s/b/b?c=/d"}),
                "GET x.com /any": (B, {"path": "/rootany", ">x-envoy-original-path": "/any"}),
            },
        )

    def test_authority(self) -> None:
        """A rewrite wins over the route's headers, these win over the destination's."""
        inner = f"route: [{{destination: {{host: {A}}}, headers: {{request: {{set: {{host: d}}}}}}}}]"
        routes = (
            f"match: [{{uri: {{prefix: /1}}}}], rewrite: {{authority: r}}, {inner}",
            f"match: [{{uri: {{prefix: /2}}}}], headers: {{request: {{add: {{':authority': h}}}}}}, {inner}",
            inner,
        )
        self.check(
            WORLD + virtual_service("a", "x.com", *routes),
            {
                "GET x.com /1": (A, {"host": "r"}),
                "GET x.com /2": (A, {"host": "h"}),
                "GET x.com /3": (A, {"host": "d", ">x-envoy-original-host": "x.com"}),
            },
        )

    def test_authority_among_several(self) -> None:
        """Of several destinations, one's authority leaves no trace, and is the original one to the route's level."""
        ends = ", ".join(
            f"{{destination: {{host: {A}}}, weight: 1, headers: {{request: {{set: {{host: d}}}}}}}}" for _ in "12"
        )
        seen = "set: {x-seen: '%REQ(:authority)%'}"
        routes = (
            f"match: [{{uri: {{prefix: /1}}}}], rewrite: {{authority: r}}, route: [{ends}]",
            f"match: [{{uri: {{prefix: /2}}}}], headers: {{request: {{add: {{host: h}}, {seen}}}}}, route: [{ends}]",
            f"rewrite: {{uri: /new}}, route: [{ends}]",
        )
        self.check(
            WORLD + virtual_service("a", "x.com", *routes),
            {
                "GET x.com /1": (A, {"host": "r", ">x-envoy-original-host": "d"}),
                "GET x.com /2": (A, {"host": "h", ">x-envoy-original-host": "d", ">x-seen": "d"}),
                "GET x.com /3": (A, {"host": "d", ">x-envoy-original-host": None}),
            },
        )

    def test_headers(self) -> None:
        """Operators see the request as it came; a value that comes out empty does nothing; removing comes first."""
        request = (
            "{set: {x-a: '%REQ(:PATH)%|%%', x-e: '%REQ(x-no)%'}, add: {x-b: '2', x-r: new}, remove: [x-r, x-gone]}"
        )
        entry = f"headers: {{request: {request}, response: {{set: {{x-q: '%RESPONSE_CODE%'}}}}}}, {to(A)}"
        facts: dict[str, object] = {
            **{">x-a": "/p|%", ">x-b": "1, 2", ">x-r": "new", ">x-gone": None, ">x-e": "kept"},
            **{"x-q": "200", "server": "istio-envoy"},
        }
        rows: dict[str, Outcome] = {"GET x.com /p x-b:1 x-r:old x-gone:1 x-e:kept": (A, facts)}
        self.check(WORLD + virtual_service("a", "x.com", entry), rows)

    def test_direct_responses(self) -> None:
        """With a body or without any."""
        routes = (
            "match: [{uri: {prefix: /b}}], directResponse: {status: 201, body: {bytes: aGk=}}",
            "directResponse: {status: 503}, headers: {response: {set: {x-a: b}}}",
        )
        self.check(
            WORLD + virtual_service("a", "x.com", *routes),
            {
                "GET x.com /b": ("201", {"body": "hi", "content-type": "text/plain"}),
                "GET x.com /": ("503", {"body": "", "content-type": None, "x-a": "b"}),
            },
        )

    def test_retries_and_timeouts(self) -> None:
        """A 503 is tried again only where ``retryOn`` says so."""
        routes = (
            f"{to(A, '{uri: {prefix: /n}}')}, retries: {{attempts: 2}}",
            f"{to(A, '{uri: {prefix: /t}}')}, timeout: 1s",
            f"{to(A)}, retries: {{attempts: 1, retryOn: '503'}}",
        )
        self.check(
            WORLD + virtual_service("a", "x.com", *routes),
            {
                "GET x.com /n x-test-fail-times:1,503,k1": "503",
                "GET x.com /y x-test-fail-times:1,503,k2": (A, {">x-envoy-attempt-count": "2"}),
                "GET x.com /y x-test-fail-times:2,503,k3": ("503", {"flags": "URX"}),
                "GET x.com /y x-test-fail-times:1,502,k4": "502",
                "GET x.com /t x-test-delay-ms:2000": ("504", {"body": "upstream request timeout", "flags": "UT"}),
                "GET x.com /t": (A, {">x-envoy-expected-rq-timeout-ms": "1000"}),
            },
        )

    def test_cors(self) -> None:
        """A preflight needs an origin and a method; what is asked for is not looked at, ``*`` repeats it."""
        policy = (
            "{allowOrigins: [{exact: 'http://o'}, {regex: 'http://r[0-9]'}], allowMethods: [GET, PUT],"
            " allowHeaders: ['*'], maxAge: 1m, exposeHeaders: [x-y]}"
        )
        asked = "access-control-request-method:GET"
        self.check(
            WORLD + virtual_service("a", "x.com", f"corsPolicy: {policy}, {to(A)}"),
            {
                f"OPTIONS x.com / origin:http://o {asked} access-control-request-headers:x-z": (
                    "200",
                    {
                        "body": "",
                        "access-control-allow-origin": "http://o",
                        "access-control-allow-methods": "GET,PUT",
                        "access-control-allow-headers": "x-z",
                        "access-control-max-age": "60",
                    },
                ),
                f"OPTIONS x.com / origin:http://no {asked}": (A, {"access-control-allow-origin": None}),
                "OPTIONS x.com / origin:http://o": (A, {"access-control-allow-origin": "http://o"}),
                "GET x.com / origin:http://r12": (A, {"access-control-allow-origin": None}),
                "GET x.com / origin:http://r1 x-test-resp-access-control-allow-origin:z": (
                    A,
                    {"access-control-allow-origin": "http://r1", "access-control-expose-headers": "x-y", "vary": None},
                ),
            },
        )

    def test_redirect_to_https(self) -> None:
        """It comes before all routes and keeps the port, for the hosts of its server only."""
        servers = gateway(hosts="x.com", tls=", tls: {httpsRedirect: true}") + gateway("other", hosts="y.com")
        routes = virtual_service("a", "x.com, y.com", to(A), gateways="gw, other")
        rows: dict[str, Outcome] = {
            "POST x.com:80 /p?q": ("301", {"location": "https://x.com:80/p?q"}),
            "GET y.com /": A,
        }
        self.check(servers + service(A) + routes, rows)


class DestinationTests(DetailCase):
    def test_unknown(self) -> None:
        """A host, subset or port that is not there is a 503 without body."""
        for destination in ("host: nope.test", f"host: {A}, subset: v1", f"host: {A}, port: {{number: 81}}"):
            config = WORLD + virtual_service("a", "x.com", f"route: [{{destination: {{{destination}}}}}]")
            self.check(config, {"GET x.com /": ("503", {"flags": "NC", "body": ""})})

    def test_ports(self) -> None:
        """The only port of a service is used; of several, the one with the number of the gateway's."""
        several = "{number: 8080, name: http, protocol: HTTP}, {number: 81, name: other, protocol: HTTP}"
        for served in (service(A), service(A, ports=several)):
            config = gateway(port=8080) + served + virtual_service("a", "x.com", to(A))
            self.check(config, {"GET x.com@8080 /": A})

    def test_short_names(self) -> None:
        """A short name is that of a service of the namespace of the virtual service."""
        config = gateway() + service("a.apps.svc.cluster.local")
        routes = virtual_service("a", "x.com", to("a"), namespace="apps")
        self.check(config + routes, {"GET x.com /": "a.apps.svc.cluster.local"})

    def test_weights(self) -> None:
        """A destination without weight gets nothing beside one with."""
        entry = f"route: [{{destination: {{host: {A}}}, weight: 0}}, {{destination: {{host: {B}}}, weight: 1}}]"
        self.check(WORLD + virtual_service("a", "x.com", entry), {f"GET x.com /{number}": B for number in range(5)})

    def test_delegates(self) -> None:
        """Conditions of both hold; what excludes each other leaves the delegate's route out; names are joined."""
        root = (
            "name: r, match: [{uri: {prefix: /a}, headers: {h: {exact: '1'}}}], timeout: 1s,"
            " delegate: {name: inner, namespace: apps}"
        )
        inner = (
            f"name: in, {to(A, '{name: m, uri: {prefix: /a/b}}')}",
            to(B, "{headers: {h: {exact: '2'}}}"),
            to(B, "{method: {exact: PUT}}"),
        )
        delegate = virtual_service("inner", "", *inner, namespace="apps", gateways="")
        self.check(
            WORLD + virtual_service("root", "x.com", root, to(C)) + delegate,
            {
                "GET x.com /a/b h:1": (A, {"route": "r-in.m", ">x-envoy-expected-rq-timeout-ms": "1000"}),
                "GET x.com /a/b": C,
                "PUT x.com /a/x h:1": B,
                "GET x.com /a/x h:2": C,
            },
        )
