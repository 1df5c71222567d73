"""``simple: ROUND_ROBIN``: endpoints in turn."""

from meshproxy.plugin import LoadBalancerPlugin

round_robin = LoadBalancerPlugin("ROUND_ROBIN", "meshproxy.strategies.round_robin:from_config")
