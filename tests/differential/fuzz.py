"""Damage known messages at random, for a bounded time, and see that nobody reads them differently.

    python -m tests.differential.fuzz [SECONDS [SEED]]

Each case begins with one of ``seeds``, or with one that was accepted earlier, and is damaged a little; bytes of other
messages are mixed in. A case that fails is printed with what to call to see it again; one that takes longer than ten
seconds ends the run with the place where it hangs. Exit status: 0 if all agreed, 1 if one did not.
"""

from __future__ import annotations

import faulthandler
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from tests.differential.agreement import check_requests, check_response
from tests.differential.seeds import REQUESTS, RESPONSES

_HANG_SECONDS = 10
_MOST_KEPT = 2000
_BITS = (
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x80",
    b":",
    b",",
    b";",
    b"0",
    b"-1",
    b"chunked",
    b"\r\n\r\n",
)


def _damaged(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((0, 1, 1, 2, 8)))
        other = rng.choice(others)
        start = rng.randint(0, len(other))
        new = rng.choice((b"", rng.choice(_BITS), rng.randbytes(1), data[at:end] * 2, other[start : start + 30]))
        data = data[:at] + new + data[end:]
    return data


def fuzz(seconds: float, seed: int) -> int:
    """Run; the exit status."""
    rng = random.Random(seed)
    kinds: tuple[tuple[Callable[..., None], list[bytes]], ...] = (
        (check_requests, list(REQUESTS)),
        (check_response, list(RESPONSES)),
    )
    cases = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check, known = rng.choice(kinds)
        data = _damaged(rng.choice(known), known, rng)
        cuts = [rng.randint(0, 400) for _ in range(rng.randint(0, 3))]
        faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        try:
            check(data, cuts)
        except Exception:  # noqa: BLE001 - any exception at all is what is looked for
            traceback.print_exc()
            print(f"case {cases} of seed {seed}: {check.__name__}({data!r}, {cuts})", file=sys.stderr)
            return 1
        cases += 1
        if len(data) < 600 and len(known) < _MOST_KEPT:
            known.append(data)
    faulthandler.cancel_dump_traceback_later()
    print(f"{cases} cases of seed {seed}: all read as h11 reads them, or refused")
    return 0


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().getrandbits(32)
    return fuzz(seconds, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
