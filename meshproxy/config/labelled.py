"""Things with labels, so that those that have some of them are found in a time that hardly grows with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Generic, TypeVar

_T = TypeVar("_T")
Label = tuple[str, str]

_BITS = bytes.maketrans(b"01", b"\0\1")


class Labelled(Generic[_T]):
    """A list of things. ``labels`` tells what labels one has.

    Those with a label are a number in which each of them is a bit, so that having several labels is one operation.
    """

    __slots__ = ("_chosen", "_masks", "_places", "_things")

    def __init__(self, things: Sequence[_T], labels: Callable[[_T], Iterable[Label]]) -> None:
        self._things = things
        self._places: dict[Label, list[int]] = {}
        for place, thing in enumerate(things):
            for label in labels(thing):
                self._places.setdefault(label, []).append(place)
        self._masks: dict[Label, int] = {}
        self._chosen: dict[int, tuple[_T, ...]] = {}

    def with_labels(self, wanted: Mapping[str, str]) -> tuple[_T, ...]:
        """Those that have all of these labels, in order; for the same ones it is the same tuple."""
        return self._chosen_by(self._common(wanted))

    def _chosen_by(self, mask: int) -> tuple[_T, ...]:
        chosen = self._chosen.get(mask)
        if chosen is None:
            bits = format(mask, "b").encode().translate(_BITS)[::-1]
            chosen = self._chosen[mask] = tuple(compress(self._things, bits))
        return chosen

    def has_any(self, wanted: Mapping[str, str]) -> bool:
        """Whether there is one that has all of these labels."""
        return self._common(wanted) != 0

    def without_any(self, selectors: Iterable[Mapping[str, str]]) -> tuple[_T, ...]:
        """Those that have all labels of none of the selectors, in order."""
        left = (1 << len(self._things)) - 1
        for wanted in selectors:
            left &= ~self._common(wanted)
        return self._chosen_by(left)

    def _common(self, wanted: Mapping[str, str]) -> int:
        mask = (1 << len(self._things)) - 1
        for label in wanted.items():
            mask &= self._mask(label)
        return mask

    def _mask(self, label: Label) -> int:
        mask = self._masks.get(label)
        if mask is None:
            bits = bytearray(len(self._things) // 8 + 1)
            for place in self._places.get(label, ()):
                bits[place // 8] |= 1 << place % 8
            mask = self._masks[label] = int.from_bytes(bits, "little")
        return mask
