"""The contract of hash keys, as a test case that anybody's hash key can be put through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from meshproxy.hashing import BITS
from meshproxy.interfaces import IHashKey, IRequest, IShowsKey
from meshproxy.selection import evaluate
from meshproxy.testing.elsewhere import decided_elsewhere
from meshproxy.testing.operations import count_operations
from meshproxy.testing.requests import FakeRequest

if TYPE_CHECKING:
    from unittest import TestCase as _TestCase
else:
    _TestCase = object


class HashKeyContract(_TestCase):
    """Mix this into a ``unittest.TestCase`` that says how to make the key, and which requests have one::

    class ClaimTests(HashKeyContract, TestCase):
        def make_key(self):
            return ClaimKey("sub")

        def requests_with_key(self):
            return [FakeRequest([(b"authorization", token(sub=name))]) for name in ("ann", "bob")]
    """

    most_operations = 2_000
    """How many instructions one evaluation may execute, reading the request included."""

    def make_key(self) -> IHashKey:
        """The hash key. It is asked for again and again, and is to be the same one each time."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_key")

    def requests_with_key(self) -> Sequence[IRequest]:
        """Requests with a key, of which no two have the same one; at least two."""
        raise NotImplementedError(f"{type(self).__name__} has to define requests_with_key")

    def requests_without_key(self) -> Sequence[IRequest]:
        """Requests that have no key. By default one that has nothing but a path."""
        return [FakeRequest(source_ip=b"", path=b"/")]

    def decisions(self) -> list[list[int | None]]:
        """What is compared between processes: the hash of each request."""
        requests = (self.requests_with_key(), self.requests_without_key())
        return [[evaluate([self.make_key()], request)[0] for request in found] for found in requests]

    def test_interface(self) -> None:
        """It has all that ``IHashKey`` asks for, and ``terminal`` is a boolean."""
        key = self.make_key()
        verifyObject(IHashKey, key)
        self.assertIsInstance(key.terminal, bool)

    def test_hashes(self) -> None:
        """Each request with a key has an unsigned 64-bit hash, and another key another one."""
        requests = self.requests_with_key()
        self.assertGreaterEqual(len(requests), 2, "requests_with_key has to return at least two")
        hashes = []
        for request in requests:
            found = self.make_key().evaluate(request)
            assert found is not None, f"no hash for {request!r}"
            self.assertIs(type(found.hash), int, f"{request!r}")
            self.assertEqual(found.hash >> BITS, 0, f"the hash {found.hash} of {request!r} is not within 64 bits")
            hashes.append(found.hash)
        self.assertEqual(len(set(hashes)), len(hashes), f"some keys share a hash: {hashes}")

    def test_no_key(self) -> None:
        """A request without the key has no hash; that is no error."""
        for request in self.requests_without_key():
            self.assertIsNone(self.make_key().evaluate(request), f"{request!r}")

    def test_pure(self) -> None:
        """An evaluation changes neither the key nor the request: in any order and number, they say the same."""
        key, requests = self.make_key(), [*self.requests_with_key(), *self.requests_without_key()]
        seen = [repr(request) for request in requests]
        first = [key.evaluate(request) for request in requests]
        self.assertEqual([key.evaluate(request) for request in reversed(requests)], first[::-1])
        self.assertEqual([self.make_key().evaluate(request) for request in requests], first)
        self.assertEqual([repr(request) for request in requests], seen)

    def test_equal(self) -> None:
        """Keys with the same settings are equal, so that a reload sees that nothing changed."""
        self.assertEqual(self.make_key(), self.make_key())

    def test_other_process(self) -> None:
        """Another process, and so another worker or machine, finds the same hashes."""
        found = decided_elsewhere(self)
        if found is not None:
            self.assertEqual(found, self.decisions())

    def test_cookies(self) -> None:
        """A cookie that a key makes fits into a header line; a client that sends it back has the same hash."""
        key = self.make_key()
        for request in [*self.requests_with_key(), *self.requests_without_key()]:
            number, cookies = evaluate([key], request)
            for cookie in cookies:
                pair = cookie.partition(b";")[0]
                self.assertEqual(evaluate([key], FakeRequest([(b"cookie", pair)])), (number, ()), f"{pair!r}")

    def test_shown_key(self) -> None:
        """A key that can be shown is text where there is a hash, and None where there is none."""
        key = IShowsKey(self.make_key(), None)
        if key is not None:
            for request in self.requests_with_key():
                self.assertIsInstance(key.key_text(request), bytes, f"{request!r}")
            for request in self.requests_without_key():
                self.assertIsNone(key.key_text(request), f"{request!r}")

    def test_cost(self) -> None:
        """An evaluation takes no more operations than ``most_operations``."""
        key = self.make_key()
        for request in [*self.requests_with_key(), *self.requests_without_key()]:

            def once(request: IRequest = request) -> object:
                return key.evaluate(request)

            once()
            counted = count_operations(once)
            told = f"{counted} operations for {request!r}; a test case may have most_operations of its own"
            self.assertLessEqual(counted, self.most_operations, told)
