"""``consistentHash.maglev``: a Maglev table."""

from meshproxy.plugin import LoadBalancerPlugin

maglev = LoadBalancerPlugin("maglev", "meshproxy.strategies.maglev:from_config")
