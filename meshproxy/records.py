"""Values of which a large configuration makes very many.

``record`` is ``attrs.frozen`` to the type checker, which is who keeps them from being changed. At run time it is
``attrs.define`` with the equality and the hash of a frozen class: what guards a frozen one takes as long for each
attribute that is set at the beginning as a call of a function, which came to a tenth of a load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    from attrs import define

    def record(cls=None, *, eq=True):
        """A class decorator. ``eq``: equal by value, and hashable; else each one is equal only to itself."""
        # Without a word about it, a class that has a hash of its own keeps that.
        return define(cls, eq=eq, unsafe_hash=True if eq and "__hash__" not in vars(cls) else None)


__all__ = ["record"]
