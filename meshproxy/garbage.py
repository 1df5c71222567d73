"""When the cyclic garbage collector runs: neither while a configuration is loaded nor over what lives long.

A full collection walks every object that there is: modules, routes and tables of tens of thousands of entries, while
requests wait. What is *frozen* is not walked again. Nothing of a snapshot is in a cycle, so what an old one leaves
behind is freed without the collector; what else is there when a load ends, such as connections, breaks its cycles when
it ends. So freezing costs no memory, and takes no time however much there is.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """No collections meanwhile, and what is there at the end is frozen.

    A collection during a load would walk what has been made so far, again and again, which takes as long as the load
    itself and stops all threads each time; the first one after it would walk all of it at once.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle() -> None:
    """Collect what starting the process has left behind, and freeze the rest."""
    gc.collect()
    gc.freeze()
