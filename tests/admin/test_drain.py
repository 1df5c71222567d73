"""The drain page."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from meshproxy.admin import pages
from meshproxy.policies import Drain
from tests.admin.test_pages import PagesTestCase
from tests.fakes import endpoints
from tests.fakes import snapshot as served


class DrainPageTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service.gateway.install(served())
        self.upstreams = self.service.gateway.upstreams
        self.patch(pages.time, "time", lambda: 1_903_867_200.0)
        self.address = endpoints()[0].address

    def drain(self, method: str = "POST", **asked: str) -> tuple[int, Any]:
        status, body = self.answer(method, "/drain?" + urlencode(asked))
        return status, json.loads(body)

    def test_start_and_stop(self) -> None:
        """A drain begins, gets an end, is listed, and is over."""
        status, found = self.drain(address=self.address)
        self.assertEqual((status, found["done"]), (200, f"{self.address} drains"))
        self.drain(address=self.address, **{"for": "10m"})
        self.assertEqual(self.upstreams.drains.all, (Drain(self.address, None, 1_903_867_800.0),))
        (listed,) = self.drain("GET")[1]["draining"]
        self.assertEqual(listed, {"drain": self.address, "until": "2030-05-01T12:10:00+00:00"})
        self.assertIn("takes new sessions again", self.drain(address=self.address, stop="true")[1]["done"])
        self.assertEqual(self.drain("GET")[1], {"draining": []})
        self.assertIn("was not draining", self.drain(address=self.address, stop="true")[1]["done"])

    def test_until(self) -> None:
        """A drain may end at a time, and be for one port."""
        self.drain(address=self.address, port="80", until="2030-05-01T14:00:00+02:00")
        self.assertEqual(self.upstreams.drains.all, (Drain(self.address, 80, 1_903_867_200.0),))

    def test_refused(self) -> None:
        """What cannot be understood changes nothing and is told."""
        for asked, part in (
            ({}, "address must be an IP address"),
            ({"address": "app"}, "address must be an IP address"),
            ({"address": "10.0.0.1", "port": "0"}, "port must be a number"),
            ({"address": "10.0.0.1", "until": "2030-05-01"}, "until must be a time with its zone"),
            ({"address": "10.0.0.1", "until": "x"}, "until must be a time with its zone"),
            ({"address": "10.0.0.1", "until": "9999-12-31T23:59:59-01:00"}, "until must be a time with its zone"),
            ({"address": "10.0.0.1", "for": "ten"}, "duration"),
            ({"address": "10.0.0.1", "for": "-1s"}, "for must not be negative"),
            ({"address": "10.0.0.1", "for": "1s", "until": "x"}, "only one of until and for"),
            ({"address": "10.0.0.1", "stop": "yes"}, "stop must be true or false"),
            ({"address": "10.0.0.1", "stop": "true", "for": "1s"}, "stop stands for itself"),
            ({"adress": "10.0.0.1"}, "there is no 'adress'"),
        ):
            status, found = self.drain(**asked)
            self.assertEqual(status, 422, asked)
            self.assertIn(part, found["error"])
        self.assertEqual(self.upstreams.drains.all, ())

    def test_safety(self) -> None:
        """GET changes nothing, nor does a page of another site."""
        path = f"/drain?address={self.address}"
        self.answer("GET", path)
        self.assertEqual(self.answer("POST", path, "evil.test")[0], 403)
        self.assertEqual(self.answer("POST", path, origin="http://evil.test")[0], 403)
        self.assertEqual(self.upstreams.drains.all, ())
