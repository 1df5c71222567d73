"""Tells meshproxy the names of this package's strategies. Every twistd imports it, so it imports no more than this."""

from meshproxy.plugin import HashKeyPlugin, LoadBalancerPlugin

jwt_claim = HashKeyPlugin("example.com/jwtClaim", "example_strategies.jwt_claim:from_config")
rendezvous = LoadBalancerPlugin("example.com/rendezvous", "example_strategies.rendezvous:from_config")
