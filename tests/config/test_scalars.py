import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.scalars import key_text, resolve


class ResolveTests(SynchronousTestCase):
    def test_as_go_reads(self) -> None:
        """Unquoted scalars have the type that Go's reader gives them."""
        expected = {
            "": None,
            "~": None,
            "Null": None,
            "nULL": "nULL",
            "yes": True,
            "y": "y",
            "On": True,
            "TRUE": True,
            "n": "n",
            "off": False,
            "oN": "oN",
            "1": 1,
            "+1": 1,
            "-12": -12,
            "1_000": 1000,
            "010": 8,
            "0o10": 8,
            "-0x1F": -31,
            "0b101": 5,
            "08": 8.0,
            "1e3": 1000.0,
            "1.": 1.0,
            ".5": 0.5,
            "-.5e-1": -0.05,
            "1.10": 1.1,
            "80.0": 80.0,
            "99999999999999999999": 99999999999999999999,
            "._5": "._5",
            "1:30": "1:30",
            "1:02:03": "1:02:03",
            "2024-01-01": "2024-01-01",
            "2024-01-01T00:00:00Z": "2024-01-01T00:00:00Z",
            "10.0.0.1": "10.0.0.1",
            "1e999": "1e999",
            "0x": "0x",
            "0b2": "0b2",
            "-": "-",
            "+": "+",
            "...": "...",
            "=": "=",
            "\u0661": "\u0661",
        }
        found = {text: resolve(text) for text in expected}
        self.assertEqual(found, expected)
        self.assertEqual([type(value) for value in found.values()], [type(value) for value in expected.values()])
        self.assertEqual([resolve(".inf"), resolve("-.Inf")], [math.inf, -math.inf])

    @settings(derandomize=True)
    @given(st.integers(), st.sampled_from((str, hex, bin, oct)))
    def test_integers(self, number: int, written: type) -> None:
        """Whole numbers are read in all four bases."""
        self.assertEqual(resolve(written(number)), number)

    def test_enormous_numbers(self) -> None:
        """Neither thousands of digits nor thousands of underscores are too much."""
        self.assertIsInstance(resolve("1" * 100_000), float)
        self.assertEqual(resolve("1" + "_" * 100_000), 1)

    def test_keys(self) -> None:
        """An unquoted key is the text that its value has in JSON."""
        keys = {
            "a": "a",
            "yes": "true",
            "n": "n",
            "0x10": "16",
            "1.10": "1.1",
            "1e3": "1000",
            "2024-01-01": "2024-01-01",
        }
        self.assertEqual({text: key_text(text) for text in keys}, keys)
        self.assertEqual(
            [key_text(text) for text in (".inf", "~", "1e300", "3.4028235e38")], [".inf", None, ".inf", "3.4028235e+38"]
        )
