"""Hashes agree with Envoy's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.hashing import MASK, chain, mix, murmur2, vary, xxh64
from tests.vectors import load


class HashingTests(SynchronousTestCase):
    def test_xxh64(self) -> None:
        """XXH64 of every stated text and seed is the stated number."""
        for case in load("unit-hash")["xxh64"]:
            self.assertEqual(xxh64(case["text"].encode(), case["seed"]), int(case["hash"]), case)

    def test_chain(self) -> None:
        """Each value is hashed with the hash before it as its seed, in the order given."""
        for case in load("unit-hash")["xxh64_chain"]:
            self.assertEqual(chain(value.encode() for value in case["values"]), int(case["hash"]), case)

    def test_chain_of_one(self) -> None:
        """A single value's chain is its plain hash."""
        self.assertEqual(chain([b"foo"]), xxh64(b"foo"))

    def test_murmur2(self) -> None:
        """MurmurHash2 of every stated text, of lengths below, at and above a word, is the stated number."""
        for case in load("unit-hash")["murmur2"]:
            self.assertEqual(murmur2(case["text"].encode()), int(case["hash"]), case)

    def test_mix_rotates(self) -> None:
        """The highest bit of the total comes back as the lowest, and the result stays within 64 bits."""
        self.assertEqual(mix(1 << 63, 0), 1)
        self.assertEqual(mix(MASK, MASK), 0)
        self.assertEqual(mix(0b101, 0b1), 0b1011)

    def test_vary(self) -> None:
        """Attempt 0 has the hash itself, each further attempt a number of its own."""
        self.assertEqual(vary(42, 0), 42)
        self.assertEqual(len({vary(42, attempt) for attempt in range(100)}), 100)
        self.assertNotEqual(vary(42, 1), vary(43, 1))
