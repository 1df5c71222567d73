"""``docs/strategies.md`` has every interface with every member, every bundled strategy, and the figures of the code."""

from __future__ import annotations

import re
import runpy
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.interface import InterfaceClass, Method

from meshproxy import interfaces
from meshproxy.interfaces import IBoundsLoad, IWarmsUp, IWeighsLocalities
from meshproxy.registry import Registry
from meshproxy.strategies import maglev, ring_hash
from tests.packaging.checkout import ROOT

PAGE = (ROOT / "docs" / "strategies.md").read_text()
FIGURE = ROOT / "docs" / "maglev-comparison.svg"
_LARGEST_FIGURE = 60 * 1024


def described() -> dict[str, list[str]]:
    """The interfaces of the page, each with what the first column of its table has."""
    found = {}
    for section in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        if re.fullmatch(r"I[A-Z]\w+", title):
            found[title] = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    return found


def members(interface: InterfaceClass) -> list[str]:
    """The members that an interface adds to those that it extends, methods with their arguments."""
    found = []
    for name in interface.names():
        member = interface[name]
        found.append(f"{name}{member.getSignatureString()}" if isinstance(member, Method) else name)
    return found


class InterfaceTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """All interfaces are there, each with all members, arguments included, and with nothing else."""
        public = {
            name: sorted(members(interface))
            for name, interface in vars(interfaces).items()
            if isinstance(interface, InterfaceClass) and interface is not Interface
        }
        self.assertGreater(len(public), 10)
        self.assertEqual({name: sorted(listed) for name, listed in described().items()}, public)

    def test_version(self) -> None:
        """The page is about the version of the code."""
        self.assertIn(f"The version of this API is {interfaces.API_VERSION}.", PAGE)


class BundledTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every bundled strategy has a row."""
        registry = Registry.discover()
        bundled = [name for name in (*registry.hash_keys, *registry.load_balancers) if "/" not in name]
        for name in bundled:
            self.assertRegex(PAGE, rf"(?m)^\| `{name}` \|")

    def test_limits(self) -> None:
        """Defaults and limits are those of the code."""
        (ring,) = re.findall(r"(?m)^\| `ringHash` \|.*$", PAGE)
        (table,) = re.findall(r"(?m)^\| `maglev` \|.*$", PAGE)
        for row, number in (
            (ring, ring_hash.MINIMUM_SIZE),
            (ring, ring_hash.MAXIMUM_SIZE),
            (table, maglev.TABLE_SIZE),
            (table, maglev.LARGEST_TABLE),
        ):
            self.assertIn(f"{number:,}", row)

    def test_abilities(self) -> None:
        """What has an effect with which strategy is what their builders can do."""
        (head,) = re.findall(r"(?m)^\| Setting \|(.*)\|$", PAGE)
        columns = [re.findall(r"`(\w+)`", cell) for cell in head.split("|")]
        for setting, ability in (("warmup", IWarmsUp), ("hashBalanceFactor", IBoundsLoad)):
            (row,) = re.findall(rf"(?m)^\| `{setting}` \|(.*)\|$", PAGE)
            for names, cell in zip(columns, row.split("|"), strict=True):
                for name in names:
                    builder = Registry.discover().load_balancers[name].from_config(None)
                    self.assertEqual("no effect" not in cell, ability.providedBy(builder), (setting, name))
                    self.assertTrue(IWeighsLocalities.providedBy(builder), name)


class FigureTests(SynchronousTestCase):
    def test_figure(self) -> None:
        """The page shows the figure that the example draws, and it is small."""
        self.assertIn(f"]({FIGURE.name})", PAGE)
        self.assertLess(FIGURE.stat().st_size, _LARGEST_FIGURE)
        title = re.search("<title>(.*)</title>", FIGURE.read_text())
        assert title is not None
        self.assertEqual(title[1], "Rings and a Maglev table with 1,000 backends")

    def test_comparison(self) -> None:
        """The example tells and draws what a small mesh comes to: the table is more even than the ring."""
        script = ROOT / "examples" / "maglev-comparison" / "compare.py"
        found = runpy.run_path(str(script), run_name="compared")
        small, large, table = found["compared"](20, 1009)
        self.assertLess(table.loads[0], 1.05)
        self.assertGreater(large.loads[0], table.loads[0])
        for method in (small, large, table):
            self.assertAlmostEqual(sum(method.loads), 20.0)
            self.assertEqual(len(method.disturbed), len(found["FAILED_PERCENT"]))
            self.assertTrue(all(0 <= share < 1 for share in method.disturbed), method)
        drawn = found["drawing"]((small, large, table), 20)
        self.assertEqual(drawn.count("<path"), 9)
        self.assertIn("20 backends", drawn)
        output = self.mktemp()
        self.patch(sys, "argv", ["compare.py", "--backends", "5", "--table", "31", "--output", output])
        with redirect_stdout(StringIO()) as printed:
            found["main"]()
        self.assertIn("Maglev, 31 slots: busiest 1.", printed.getvalue())
        self.assertIn("5 backends", Path(output).read_text())

    def test_disturbed(self) -> None:
        """What moves from one survivor to another is counted, by its length; a failed one's own is not."""
        script = ROOT / "examples" / "maglev-comparison" / "compare.py"
        disturbed = runpy.run_path(str(script), run_name="compared")["disturbed"]
        quarter = 1 << 62
        before = [(quarter, 0), (2 * quarter, 1), (3 * quarter, 2), (4 * quarter, 0)]
        after = [(quarter, 1), (2 * quarter, 0), (4 * quarter, 1)]  # owners 0 and 2 survived, in this order
        self.assertEqual(disturbed(before, after, [0, 2]), 0.5)
