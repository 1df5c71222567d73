"""Settings of property tests: the same examples in each run, and no clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that is busy with something else is no fault of a test.
steady = settings(
    derandomize=True, deadline=None, database=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
