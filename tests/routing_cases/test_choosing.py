"""Which virtual host and which route a request gets, in details that no recorded case has."""

from __future__ import annotations

from tests.routing_cases.details import WORLD, A, B, C, DetailCase, gateway, service, to, virtual_service


class HostTests(DetailCase):
    def test_choice(self) -> None:
        """The longest suffix, which leaves something to the star; a port and letter case do not count."""
        hosts = {"a": "'*.x.com'", "b": "'*-p.x.com'", "c": "'*'"}
        services = "".join(virtual_service(name, host, to(f"{name}.test")) for name, host in hosts.items())
        self.check(
            WORLD + services,
            {
                "GET q.x.com /": A,
                "GET Q.X.COM:8080 /": A,
                "GET a.b.x.com /": A,
                "GET q-p.x.com /": B,
                "GET -p.x.com /": A,
                "GET .x.com /": C,
                "GET x.com /": C,
                "GET x.com: /": C,
                "GET q.x.com. /": C,
                "GET [::1]:80 /": C,
            },
        )

    def test_folding(self) -> None:
        """No request falls through to a wildcard, unless the server lists the exact host, too."""
        services = virtual_service("a", "'*.x.com'", to(A)) + virtual_service(
            "b", "q.x.com", to(B, "{uri: {exact: /b}}")
        )
        self.check(WORLD + services, {"GET q.x.com /b": B, "GET q.x.com /": "404", "GET r.x.com /": A})
        listed = gateway(hosts="q.x.com, '*.x.com'") + service(A, B)
        self.check(listed + services, {"GET q.x.com /b": B, "GET q.x.com /": A})

    def test_namespaces_of_hosts(self) -> None:
        """A part before the slash restricts who may use a host."""
        services = "".join(
            virtual_service(name, "x.com, y.com, z.com", to(f"{name}.test"), namespace=namespace)
            for name, namespace in (("a", "default"), ("b", "apps"))
        )
        hosts = gateway(hosts="apps/x.com, ./y.com, '*/z.com'") + service(A, B)
        self.check(hosts + services, {"GET x.com /": B, "GET y.com /": A, "GET z.com /": A})

    def test_case_of_hosts(self) -> None:
        """A gateway's and a virtual service's hosts have to be written alike; then their case does not count."""
        for written, expected in (("q.com", "404"), ("Q.com", A)):
            config = gateway(hosts="Q.com") + service(A) + virtual_service("a", written, to(A))
            self.check(config, {"GET q.com /": expected, "GET Q.COM /": expected})

    def test_order(self) -> None:
        """Private virtual services come first, then those exported to the proxy's namespace, then public ones."""
        private = virtual_service("c", "x.com", to(C), namespace="istio-system", more="exportTo: [.]")
        exported = virtual_service("b", "x.com", to(B), namespace="apps", more="exportTo: [istio-system]")
        public, hidden = (
            virtual_service("a", "x.com", to(A), namespace="apps", more=more) for more in ("", "exportTo: [.]")
        )
        self.check(WORLD + hidden + exported, {"GET x.com /": B})
        self.check(WORLD + private + hidden, {"GET x.com /": C})
        self.check(WORLD + public, {"GET x.com /": A})


class OrderTests(DetailCase):
    def test_catch_alls(self) -> None:
        """``/`` and ``.*`` without further conditions come last among all virtual services of a host; no others do."""
        for match, caught in (
            ("{uri: {prefix: /}}", False),
            ("{uri: {regex: '.*'}}", False),
            ("{uri: {prefix: ''}}", True),
            ("{uri: {prefix: /}, headers: {x: {}}}", True),
        ):
            config = (
                WORLD
                + virtual_service("a", "x.com", to(A, match))
                + virtual_service("b", "x.com", to(B, "{uri: {exact: /b}}"))
            )
            self.check(config, {"GET x.com /b x:1": A if caught else B})

    def test_end_of_a_list(self) -> None:
        """Nothing behind a catch-all of the same virtual service counts."""
        entries = (to(A, "{uri: {prefix: /}}"), to(B, "{uri: {exact: /b}}"))
        self.check(WORLD + virtual_service("a", "x.com", *entries), {"GET x.com /b": A})

    def test_where(self) -> None:
        """Ports, gateways and the source: ``gateways`` makes the source irrelevant."""
        two = gateway() + gateway("other", port=8080) + service(A, B)
        for match in ("{port: 8080}", "{gateways: [other], sourceNamespace: nope}"):
            entries = (to(A, match), to(B))
            routes = virtual_service("a", "x.com", *entries, gateways="gw, other")
            self.check(two + routes, {"GET x.com@8080 /": A, "GET x.com /": B})
        entries = (to(A, "{sourceLabels: {app: nope}}"), to(B, "{sourceLabels: {istio: ingressgateway}}"))
        self.check(WORLD + virtual_service("a", "x.com", *entries), {"GET x.com /": B})


class MatchTests(DetailCase):
    def matching(self, *matches: str) -> str:
        """Virtual services with a match for each backend; what is left goes to the last one."""
        entries = [to(host, match) for host, match in zip((A, B), matches, strict=False)]
        return WORLD + virtual_service("a", "x.com", *entries, to(C))

    def test_headers(self) -> None:
        """Values are compared one by one; a missing header meets no condition but those of absence."""
        self.check(
            self.matching("{headers: {X-A: {exact: v}}}", "{withoutHeaders: {x-b: {exact: w}}}"),
            {
                "GET x.com / x-a:v": A,
                "GET x.com / x-a:u x-a:v": A,
                "GET x.com / x-a:u,v x-b:w": C,
                "GET x.com / x-a:V": B,
                "GET x.com /": B,
            },
        )
        self.check(
            self.matching("{withoutHeaders: {x-b: {regex: '.*'}}}", "{withoutHeaders: {x-b: {}}}"),
            {"GET x.com /": B, "GET x.com / x-b:": C, "GET x.com / x-b:1": C},
        )
        self.check(
            self.matching("{headers: {x-b: {}}}", "{withoutHeaders: {x-c: {regex: '*'}}}"),
            {"GET x.com / x-b:": A, "GET x.com /": B, "GET x.com / x-c:": C},
        )

    def test_pseudo_headers(self) -> None:
        """``:path`` has the query, ``:authority`` the port."""
        self.check(
            self.matching("{headers: {':path': {exact: '/p?q=1'}}}", "{headers: {':authority': {regex: 'x.com:8.'}}}"),
            {"GET x.com /p?q=1": A, "GET x.com /p": C, "GET x.com:80 /": B},
        )

    def test_query(self) -> None:
        """The first value of a name, as it is written; no value is an empty one."""
        self.check(
            self.matching("{queryParams: {p: {exact: '1'}}}", "{queryParams: {e: {}}}"),
            {
                "GET x.com /?p=1": A,
                "GET x.com /?&&p=1": A,
                "GET x.com /?p=2&p=1": C,
                "GET x.com /?P=1": C,
                "GET x.com /?p=%31": C,
                "GET x.com /?p=1=2": C,
                "GET x.com /?e": B,
                "GET x.com /?e=": B,
                "GET x.com /?a;e=1": C,
            },
        )
        self.check(
            self.matching("{queryParams: {p: {exact: ''}}}", "{queryParams: {r: {regex: a+}}}"),
            {"GET x.com /?p": A, "GET x.com /?p=1": C, "GET x.com /": C, "GET x.com /?r=aa": B, "GET x.com /?r=ab": C},
        )

    def test_paths(self) -> None:
        """A prefix knows no segments, a regular expression fits the whole path; both see it normalized."""
        self.check(
            self.matching(
                "{uri: {exact: /A}, ignoreUriCase: true}, {uri: {prefix: /foo}}", "{uri: {regex: '/r[0-9]'}}"
            ),
            {
                "GET x.com /a?x": A,
                "GET x.com /foobar": A,
                "GET x.com /FOO": C,
                "GET x.com //foo": C,
                "GET x.com /x/../%66oo": (A, {"path": "/foo"}),
                "GET x.com /f%2Foo": C,
                "GET x.com /r1?y=2": B,
                "GET x.com /r12": C,
            },
        )

    def test_method_authority_and_scheme(self) -> None:
        """The authority is compared as it was sent; a client's word about the scheme does not count."""
        self.check(
            self.matching("{authority: {exact: 'X.com:80'}}", "{method: {regex: P.*}}"),
            {"GET X.com:80 /": A, "GET x.com:80 /": C, "POST x.com /": B},
        )
        self.check(self.matching("{scheme: {exact: https}}"), {"GET x.com / x-forwarded-proto:https": C})

    def test_claims(self) -> None:
        """Nothing verifies a token: a condition on its claims never holds, one on their absence always does."""
        claim = "{'@request.auth.claims.g': {exact: x}}"
        self.check(
            self.matching(f"{{headers: {claim}}}", f"{{withoutHeaders: {claim}, uri: {{prefix: /w}}}}"),
            {"GET x.com /": C, "GET x.com /w": B},
        )
