"""``simple: RANDOM``: any endpoint."""

from meshproxy.plugin import LoadBalancerPlugin

random = LoadBalancerPlugin("RANDOM", "meshproxy.strategies.random_choice:from_config")
