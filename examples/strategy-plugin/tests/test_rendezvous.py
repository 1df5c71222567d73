"""Rendezvous hashing."""

from __future__ import annotations

from unittest import TestCase

from example_strategies.rendezvous import RendezvousBuilder, from_config

from meshproxy.errors import ConfigError
from meshproxy.interfaces import ILoadBalancerBuilder
from meshproxy.testing import LoadBalancerContract, sample_endpoints, setting


class RendezvousTests(LoadBalancerContract, TestCase):
    most_loaded = 1.1
    most_movement = 1.0
    order_matters = False
    most_operations = 50_000  # every one of the 1,000 endpoints is asked for its score

    def make_builder(self) -> ILoadBalancerBuilder:
        return RendezvousBuilder()

    def test_salt(self) -> None:
        """Another salt chooses anew."""
        endpoints = sample_endpoints(10)
        first, second = (RendezvousBuilder(salt).build(endpoints) for salt in (1, 2))
        same = sum(first.pick(number, 0) == second.pick(number, 0) for number in range(1000))
        self.assertLess(same, 150)

    def test_setting(self) -> None:
        """A salt may be given, and there is nothing else to say."""
        self.assertEqual(from_config(None), from_config(setting("{}")))
        self.assertNotEqual(from_config(setting("{salt: a}")), from_config(setting("{salt: b}")))
        for text in ("{salt: 1}", "{slat: a}", "a"):
            with self.assertRaises(ConfigError):
                from_config(setting(text))
