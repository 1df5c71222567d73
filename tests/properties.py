"""Settings of property tests: the same examples in each run, and no clock."""

from __future__ import annotations

from hypothesis import settings

steady = settings(derandomize=True, deadline=None, database=None, max_examples=50)
