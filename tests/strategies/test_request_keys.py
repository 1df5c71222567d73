"""Headers, query parameters and addresses are hashed as Envoy hashes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.hashing import chain, xxh64
from meshproxy.headers import JOINED_HEADERS
from meshproxy.interfaces import IHashKey
from meshproxy.strategies import http_header_name, http_query_parameter_name, use_source_ip
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.use_source_ip import SourceIpKey
from meshproxy.testing import FakeRequest, setting
from tests.properties import steady
from tests.vectors import load


class HeaderTests(SynchronousTestCase):
    def test_absent_and_empty(self) -> None:
        """An absent header has no hash, an empty one that of the empty text."""
        self.assertIsNone(HeaderKey("x-user").evaluate(FakeRequest()))
        self.assertEqual(HeaderKey("x-user").evaluate(FakeRequest([(b"x-user", b"")])), (xxh64(b""), None))

    def test_name_in_any_case(self) -> None:
        """The configured name's case does not matter, the value's does."""
        lower, upper = (FakeRequest([(b"X-User", value)]) for value in (b"a", b"A"))
        self.assertEqual(HeaderKey("X-USER").evaluate(lower).hash, xxh64(b"a"))
        self.assertEqual(HeaderKey("X-USER").evaluate(upper).hash, xxh64(b"A"))

    @steady
    @given(st.lists(st.binary(max_size=6), min_size=1, max_size=4))
    def test_several_lines(self, values: list[bytes]) -> None:
        """Several lines are sorted as bytes and chained, so that their order does not matter."""
        values = [value.strip(b" \t") for value in values]
        request = FakeRequest([(b"x-user", value) for value in values])
        self.assertEqual(HeaderKey("x-user").evaluate(request).hash, chain(sorted(values)))

    def test_joined_lines(self) -> None:
        """Lines of a header that is one value are hashed as one, in their order, without those that are empty."""
        for values, text in (([b"b", b"", b"a"], b"b,a"), ([b"", b"a"], b"a"), ([b"", b""], b"")):
            request = FakeRequest([(b"Via", value) for value in values])
            self.assertEqual(HeaderKey("via").evaluate(request).hash, xxh64(text))

    def test_joined_headers(self) -> None:
        """Of the recorded names those are joined that a client can send, and none of the separate ones."""
        recorded = load("header-joining")
        joined = {name.encode() for name in recorded["joined"] if not name.startswith("x-envoy-")}
        self.assertEqual(joined, JOINED_HEADERS)
        self.assertFalse(JOINED_HEADERS & {name.encode() for name in recorded["separate"]})

    def test_setting(self) -> None:
        """The setting is a name; no name and what no header line could carry are refused."""
        self.assertEqual(http_header_name.from_config(setting("x-user")), HeaderKey("x-user"))
        for text in ('""', "1", "[x]", '"x\\n"'):
            self.assertRaises(ConfigError, http_header_name.from_config, setting(f"{text}"))

    def test_impossible_names(self) -> None:
        """A name that no header can have is warned of, one that a request's head has in another place is not."""
        for text, warned in (("X-User", 0), ("':Authority'", 0), ("host", 0), ("x user", 1), ("é", 1), ("':x'", 1)):
            made = setting(text)
            http_header_name.from_config(made)
            self.assertEqual(len(made.warnings), warned, text)


class QueryTests(SynchronousTestCase):
    def test_first_piece_decides(self) -> None:
        """The text after the first ``=`` of the first piece of that name counts, nothing is decoded."""
        for path, value in (
            (b"/?id=a&id=b", b"a"),
            (b"/?x=1&id=a=b+%41", b"a=b+%41"),
            (b"/?id", b""),
            (b"/?id=", b""),
            (b"/?x?id=1&id=2", b"2"),
            (b"/?id=1;id=2", b"1;id=2"),
        ):
            self.assertEqual(QueryParameterKey("id").evaluate(FakeRequest(path=path)), (xxh64(value), None), path)

    def test_absent(self) -> None:
        """Without such a piece there is no hash: other case, escaped, in the path, part of a name."""
        for path in (b"/", b"/id=1", b"/?ID=1", b"/?%69d=1", b"/?xid=1&idx=1", b"/?x=id"):
            self.assertIsNone(QueryParameterKey("id").evaluate(FakeRequest(path=path)), path)

    def test_setting(self) -> None:
        """The setting is a name, which may not be empty."""
        made = http_query_parameter_name.from_config(setting("id"))
        self.assertEqual(made, QueryParameterKey("id"))
        self.assertRaises(ConfigError, http_query_parameter_name.from_config, setting('""'))

    def test_impossible_names(self) -> None:
        """A name that no parameter can have is warned of."""
        for text, warned in (("id", 0), ("i%3Dd", 0), ("'?x'", 0), ("a=b", 1), ("'a&b'", 1), ("a b", 1)):
            made = setting(text)
            http_query_parameter_name.from_config(made)
            self.assertEqual(len(made.warnings), warned, text)


class SourceIpTests(SynchronousTestCase):
    def test_address(self) -> None:
        """The address is hashed as it stands; a peer without one has no hash."""
        request = FakeRequest(source_ip=b"2001:db8::1", remote=b"[::1]:5000")
        self.assertEqual(SourceIpKey().evaluate(request), (xxh64(b"2001:db8::1"), None))
        self.assertIsNone(SourceIpKey().evaluate(FakeRequest(source_ip=b"")))

    def test_setting(self) -> None:
        """``true`` makes a key, ``false`` none, anything else is refused."""
        self.assertEqual(use_source_ip.from_config(setting("true")), SourceIpKey())
        self.assertIsNone(use_source_ip.from_config(setting("false")))
        self.assertRaises(ConfigError, use_source_ip.from_config, setting('"true"'))


class StatedHashTests(SynchronousTestCase):
    def test_what_is_hashed(self) -> None:
        """Each stated policy hashes the stated text."""
        for case in load("unit-cookie")["hash"]:
            if case["policy"] == "query":
                found = QueryParameterKey(case["name"]).evaluate(FakeRequest(path=case["path"].encode()))
                self.assertEqual(found.hash, xxh64(case["hashed"].encode()))
            elif case["policy"] == "source_ip":
                found = SourceIpKey().evaluate(FakeRequest(source_ip=case["ip"].encode()))
                self.assertEqual(found.hash, xxh64(case["hashed"].encode()))
            elif case["policy"] == "header":
                request = FakeRequest([(b"x-test", value.encode()) for value in case["values"]])
                expected = chain(value.encode() for value in case["values"])
                self.assertEqual(HeaderKey("x-test").evaluate(request).hash, expected)

    def test_interfaces(self) -> None:
        """Each key provides what it says."""
        for key in (HeaderKey("x"), QueryParameterKey("x"), SourceIpKey()):
            verifyObject(IHashKey, key)
