"""The routes that the status tells: all that helps to find one, nothing that is secret, and no end of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import routelist
from meshproxy.admin.turns import Turns
from meshproxy.errors import Location
from meshproxy.model import Listener, Snapshot
from meshproxy.routes import (
    Comparison,
    DirectResponse,
    Fault,
    HeaderMatch,
    HeaderOperations,
    KeyOrigin,
    PathMatch,
    QueryMatch,
    Redirect,
    Route,
    RouteMatch,
    TextMatch,
    VirtualHost,
)
from meshproxy.routing import RouteTable
from tests.fakes import CLUSTER, CountedCookie, answer, route

SECRET = "cuttlefish"


class RouteListTests(SynchronousTestCase):
    def listed(self, *hosts: VirtualHost) -> list[dict[str, Any]]:
        snapshot = Snapshot((Listener("", 80, RouteTable(hosts), Location("mesh.yaml", 2, 3)),), {})
        found: list[dict[str, Any]] = self.successResultOf(
            Deferred.fromCoroutine(routelist.listeners(snapshot, Turns(Clock())))
        )
        json.dumps(found)
        return found

    def words(self, *routes: Route) -> list[tuple[str, str]]:
        ((host,),) = (it["virtual_hosts"] for it in self.listed(VirtualHost("shop.example", routes)))
        return [(it["matches"], it["does"]) for it in host["route_list"]]

    def test_places(self) -> None:
        """Listeners and routes say where they were written; routes are numbered as they are tried."""
        at = Location("mesh.yaml", 12, 5)
        made = Route(RouteMatch(), DirectResponse(404), "last", at)
        (listener,) = self.listed(VirtualHost("shop.example", (route("/a"), made)))
        self.assertEqual((listener["at"], listener["routes"]), ("mesh.yaml:2:3", 2))
        (host,) = listener["virtual_hosts"]
        self.assertEqual(host["host"], "shop.example")
        last = host["route_list"][1]
        self.assertEqual((last["number"], last["name"], last["at"]), (2, "last", "mesh.yaml:12:5"))

    def test_words(self) -> None:
        """What a route takes and where it sends that is told in few words."""
        key = {"hash_policy": (CountedCookie(),), "key_origins": (KeyOrigin("httpCookie", Location("m", 1)),)}
        self.assertEqual(
            self.words(
                route("/a", fault=Fault(delay=2, delay_share=100_000), **key),
                answer(Redirect(301, authority="other.example")),
                Route(RouteMatch(), DirectResponse(404, b"gone")),
            ),
            [
                ('path starts with "/a"', f"delay 2 s for 10%, to {CLUSTER}, keyed by httpCookie"),
                ('path starts with "/"', "redirect with 301 to other.example"),
                ("every request", "answer 404 with a body of 4 bytes"),
            ],
        )

    def test_no_secret(self) -> None:
        """No value of a header that a route sets shows, nor one that is compared with what has credentials."""
        exact = TextMatch(Comparison.EXACT, SECRET)
        credentials = RouteMatch(
            headers=(HeaderMatch(b"x-api-key", exact), HeaderMatch(b"authorization", exact, inverted=True)),
            query=(QueryMatch(b"token", exact),),
        )
        operations = HeaderOperations(set=((b"authorization", SECRET),), add=((b"x-password", SECRET),))
        setting = route(destination={"request_headers": (operations,), "response_headers": (operations,)})
        words = self.words(Route(credentials, DirectResponse(200)), setting)
        self.assertNotIn(SECRET, repr(words))
        self.assertIn("header x-api-key has a value (not shown)", words[0][0])
        plain = RouteMatch(headers=(HeaderMatch(b"x-version", TextMatch(Comparison.EXACT, "v2")),))
        self.assertEqual(self.words(Route(plain, DirectResponse(200)))[0][0], 'header x-version is "v2"')

    def test_bounds(self) -> None:
        """Routes and virtual hosts beyond a number are only counted, and long words are cut."""
        self.patch(routelist, "MOST_ROUTES", 3)
        self.patch(routelist, "MOST_HOSTS", 2)
        long = Route(RouteMatch(path=PathMatch(Comparison.PREFIX, "/" + "x" * 10_000)), DirectResponse(200))
        (listener,) = self.listed(*(VirtualHost(f"{it}.example", (long, long)) for it in "abc"))
        self.assertEqual((listener["routes"], listener["virtual_hosts_left_out"]), (6, 1))
        counts = [(len(it["route_list"]), it["routes_left_out"]) for it in listener["virtual_hosts"]]
        self.assertEqual(counts, [(2, 0), (1, 1)])
        self.assertLess(len(listener["virtual_hosts"][0]["route_list"][0]["matches"]), 400)
