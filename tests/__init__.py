"""The tests of meshproxy.

What hypothesis makes up is the same in each run, and how long that takes is no matter of the tests; ``make fuzz`` makes
up other things each time.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
