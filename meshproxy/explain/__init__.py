"""Why a request goes where it goes: the decisions of the data path, told without taking them.

Everything is asked of the very objects that serve requests (route tables, plans, hash keys, balancers, host states), so
an explanation cannot differ from what the gateway does. Nothing is sent and no state changes.
"""

from meshproxy.explain.asked import Asked, parse_asked
from meshproxy.explain.explaining import explain
from meshproxy.explain.values import Explanation

__all__ = ["Asked", "Explanation", "explain", "parse_asked"]
