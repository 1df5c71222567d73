"""Sessions by a claim of a token."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import TestCase

from example_strategies.jwt_claim import JwtClaimKey, from_config

from meshproxy.errors import ConfigError
from meshproxy.interfaces import IHashKey, IRequest
from meshproxy.testing import FakeRequest, HashKeyContract, setting
from tests.tokens import bearer


class JwtClaimTests(HashKeyContract, TestCase):
    def make_key(self) -> IHashKey:
        return JwtClaimKey("sub")

    def requests_with_key(self) -> Sequence[IRequest]:
        return [FakeRequest([bearer(sub=value, iss="x")]) for value in ("ann", "bob", "Zoë", 7, "")]

    def requests_without_key(self) -> Sequence[IRequest]:
        values = (
            b"",
            b"Bearer",
            b"Bearer a.b",
            b"Bearer a.!.c",
            b"Bearer a.W10.c",
            b"Basic YTpi",
            b"Bearer " + b"x" * 9000,
        )
        claims = ({}, {"sub": None}, {"sub": True}, {"sub": ["ann"]}, {"Sub": "ann"})
        return [
            FakeRequest(),
            *(FakeRequest([(b"authorization", value)]) for value in values),
            *(FakeRequest([bearer(**each)]) for each in claims),
        ]

    def test_scheme_in_any_case(self) -> None:
        """The scheme's name has no case."""
        name, value = bearer(sub="ann")
        request = FakeRequest([(name, value.replace(b"Bearer", b"bEARER"))])
        self.assertEqual(self.make_key().evaluate(request), self.make_key().evaluate(FakeRequest([(name, value)])))

    def test_setting(self) -> None:
        """The claim has a name, and there is nothing else to say."""
        self.assertEqual(from_config(setting("{claim: sub}")), JwtClaimKey("sub"))
        for text in ("{}", "{claim: ''}", "{claim: 1}", "{cliam: sub}", "sub"):
            with self.assertRaises(ConfigError):
                from_config(setting(text))
