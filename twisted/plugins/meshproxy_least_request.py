"""``simple: LEAST_REQUEST``: the less busy one of two random endpoints."""

from meshproxy.plugin import LoadBalancerPlugin

least_request = LoadBalancerPlugin("LEAST_REQUEST", "meshproxy.strategies.least_request:from_config")
