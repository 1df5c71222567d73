"""``consistentHash.ringHash``: a hash ring."""

from meshproxy.plugin import LoadBalancerPlugin

ring_hash = LoadBalancerPlugin("ringHash", "meshproxy.strategies.ring_hash:from_config")
