"""Cookies that name endpoints: who can read, make, keep and lose them."""

from __future__ import annotations

from base64 import urlsafe_b64decode

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from meshproxy.persistence import MOST_KNOWN, Sessions
from meshproxy.policies import Persistence, SessionCookie
from tests.properties import steady

A, B, C = (Endpoint(f"10.0.0.{number}", 8080) for number in (1, 2, 3))
POLICY = Persistence(SessionCookie("sid"), "app.test", (b"first secret of many", b"an older one of them"))
NOW = 1_800_000_000.0


def sessions(policy: Persistence = POLICY, *endpoints: Endpoint) -> Sessions:
    found = Sessions(policy)
    found.follow(endpoints or (A, B))
    return found


def given_by(found: Sessions, endpoint: Endpoint, now: float = NOW) -> bytes:
    """The cookie as a client sends it back."""
    return found.set_cookie(endpoint, now).partition(b";")[0]


class CookieTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """A cookie leads to its endpoint, wherever it stands among others, also when it is remembered."""
        found = sessions()
        for endpoint in (A, B, A, B):
            cookie = given_by(found, endpoint)
            self.assertEqual(found.endpoint([b"x=1; " + cookie + b"; y=2"], NOW), endpoint)
        self.assertIsNone(found.endpoint([b"x=1"], NOW))
        self.assertIsNone(found.endpoint([b"sid="], NOW))

    def test_every_gateway_agrees(self) -> None:
        """Another process with the same policy takes the cookie, whatever else it knows."""
        self.assertEqual(sessions(POLICY, C, B, A).endpoint([given_by(sessions(), A)], NOW), A)

    def test_opaque(self) -> None:
        """Neither address nor port can be read from a cookie, and cookies of endpoints are alike."""
        one, other = (urlsafe_b64decode(given_by(sessions(), it).partition(b"=")[2]) for it in (A, B))
        for readable in (b"10.0.0.1", b"8080", bytes([10, 0, 0, 1]), (8080).to_bytes(2, "big")):
            self.assertNotIn(readable, one[5:])
        self.assertEqual(len(one), len(other))
        self.assertNotEqual(one[5:17], other[5:17])

    def test_gone(self) -> None:
        """A cookie for an endpoint that is gone is as good as none, and good again when it comes back."""
        found = sessions()
        cookie = given_by(found, A)
        self.assertEqual(found.endpoint([cookie], NOW), A)
        found.follow([B, C])
        self.assertIsNone(found.endpoint([cookie], NOW))
        found.follow([A, B, C])
        self.assertEqual(found.endpoint([cookie], NOW), A)

    @steady
    @given(st.lists(st.sets(st.integers(1, 9), min_size=1), min_size=1, max_size=6), st.integers(1, 9))
    def test_whatever_comes_and_goes(self, members: list[set[int]], at: int) -> None:
        """A session is its endpoint's at any time at which that is there, and nobody's at others."""
        own = Endpoint("10.0.0.1", at)
        cookie = given_by(sessions(POLICY, own), own)
        found = sessions()
        for ports in members:
            found.follow(Endpoint("10.0.0.1", port) for port in sorted(ports))
            self.assertEqual(found.endpoint([cookie], NOW), own if at in ports else None)

    def test_rotation(self) -> None:
        """New cookies are by the first secret, old ones count as long as theirs is there."""
        old = sessions(evolve(POLICY, secrets=(POLICY.secrets[1],)))
        new = sessions(evolve(POLICY, secrets=(POLICY.secrets[0],)))
        cookie = given_by(old, B)
        self.assertEqual(sessions().endpoint([cookie], NOW), B)
        self.assertIsNone(new.endpoint([cookie], NOW))
        self.assertEqual(given_by(sessions(), B), given_by(new, B))

    def test_scope(self) -> None:
        """A cookie of another service means nothing, even with the same secret and address."""
        self.assertIsNone(sessions(evolve(POLICY, scope="b.test")).endpoint([given_by(sessions(), A)], NOW))

    def test_lifetime(self) -> None:
        """A cookie with a lifetime is good until its end, whatever the browser does; one without is for ever."""
        found = sessions(evolve(POLICY, cookie=SessionCookie("sid", max_age=60)))
        cookie = given_by(found, A)
        for _ in range(2):  # not remembered, and remembered
            self.assertEqual(found.endpoint([cookie], NOW + 59), A)
            self.assertIsNone(found.endpoint([cookie], NOW + 60))
        self.assertEqual(sessions().endpoint([given_by(sessions(), A)], NOW * 2), A)

    def test_identity(self) -> None:
        """An endpoint with a name of its own keeps its sessions when its address changes."""
        before, after = (Endpoint(address, 80, hash_key="web-0") for address in ("10.0.0.1", "10.0.0.9"))
        cookie = given_by(sessions(POLICY, before), before)
        self.assertEqual(sessions(POLICY, after).endpoint([cookie], NOW), after)

    @steady
    @given(st.integers(0, 43), st.integers(0, 63))
    def test_forged(self, at: int, letter: int) -> None:
        """A cookie with one letter changed is as good as none."""
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        found = sessions()
        cookie = bytearray(given_by(found, A))
        if cookie[4 + at] != alphabet[letter]:
            cookie[4 + at] = alphabet[letter]
            self.assertIsNone(found.endpoint([bytes(cookie)], NOW))

    @steady
    @given(st.binary(max_size=60))
    def test_garbage(self, value: bytes) -> None:
        """Whatever a client sends, nothing fails and nothing is believed."""
        self.assertIsNone(sessions().endpoint([b"sid=" + value], NOW))

    def test_bounded(self) -> None:
        """No more than so many cookies are remembered, the latest among them; forgotten ones are still good."""
        found = sessions(evolve(POLICY, cookie=SessionCookie("sid", max_age=60)))
        cookies = [given_by(found, A, NOW + number) for number in range(MOST_KNOWN + 5)]
        for cookie in (*cookies, cookies[0]):
            self.assertEqual(found.endpoint([cookie], NOW), A)
        self.assertLessEqual(len(found._known), MOST_KNOWN)
        self.assertIn(cookies[-1].partition(b"=")[2], found._known)

    def test_attributes(self) -> None:
        """All attributes stand in the Set-Cookie line; what is not wanted does not."""
        self.assertTrue(sessions().set_cookie(A, NOW).endswith(b"; Path=/; HttpOnly"))
        cookie = SessionCookie("__Secure-a", "/app", "shop.test", 60, True, False, "None", True)
        line = sessions(evolve(POLICY, cookie=cookie)).set_cookie(A, NOW)
        self.assertTrue(line.startswith(b"__Secure-a="))
        wanted = b"; Max-Age=60; Path=/app; Domain=shop.test; Secure; SameSite=None; Partitioned"
        self.assertTrue(line.endswith(wanted), line)

    def test_secrets_are_not_shown(self) -> None:
        """No secret appears where a policy is printed."""
        self.assertNotIn("secret of many", repr(POLICY))
