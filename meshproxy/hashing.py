"""Hash functions and the ways in which hashes combine.

Rules: a hash is an unsigned 64-bit integer; text is hashed as bytes. XXH64 is what requests, rings and tables go by;
MurmurHash2 is a choice for the entries of a ring only. Sources: the xxHash specification; for MurmurHash2 the 64-bit
``_Hash_bytes`` of GNU libstdc++; for chaining and mixing Envoy's hash policy.
"""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh64_intdigest

BITS = 64
MASK = (1 << BITS) - 1

_MURMUR_FACTOR = 0xC6A4A7935BD1E995
_MURMUR_SEED = 0xC70F6907

# ``xxh64(data, seed=0)``; the very function of the C module, since it runs for each request.
xxh64 = xxh64_intdigest


def chain(values: Iterable[bytes]) -> int:
    """XXH64 of several values, each seeded with the hash before it; the first with 0. One value: its XXH64."""
    result = 0
    for value in values:
        result = xxh64(value, result)
    return result


def mix(total: int, hash: int) -> int:
    """The hash of keys so far, and the next key's hash: rotate left by one bit, then exclusive or."""
    return ((total << 1 & MASK) | total >> (BITS - 1)) ^ hash


def vary(hash: int, attempt: int) -> int:
    """A number for each attempt that tells nothing about those of others. Attempt 0 has the hash itself."""
    return xxh64(hash.to_bytes(8, "little"), attempt) if attempt else hash


def murmur2(data: bytes, seed: int = _MURMUR_SEED) -> int:
    """MurmurHash2 in the 64-bit variant of GNU libstdc++."""
    whole = len(data) & ~7
    result = seed ^ (len(data) * _MURMUR_FACTOR & MASK)
    for start in range(0, whole, 8):
        word = int.from_bytes(data[start : start + 8], "little") * _MURMUR_FACTOR & MASK
        word = (word ^ word >> 47) * _MURMUR_FACTOR & MASK
        result = (result ^ word) * _MURMUR_FACTOR & MASK
    if whole < len(data):
        result = (result ^ int.from_bytes(data[whole:], "little")) * _MURMUR_FACTOR & MASK
    result = (result ^ result >> 47) * _MURMUR_FACTOR & MASK
    return result ^ result >> 47
