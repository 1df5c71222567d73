from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.duration import format_duration, parse, parse_nanoseconds


class ParseTests(SynchronousTestCase):
    def test_as_go_reads(self) -> None:
        """What Go's documentation and tests give as durations is read to the nanosecond."""
        second = 10**9
        expected = {
            "0": 0,
            "+0": 0,
            "0s": 0,
            "5s": 5 * second,
            "-5s": -5 * second,
            "1h30m": 5400 * second,
            "0.5s": second // 2,
            ".5s": second // 2,
            "5.s": 5 * second,
            "250ms": second // 4,
            "10ns": 10,
            "11us": 11_000,
            "12µs": 12_000,
            "12\u03bcs": 12_000,
            "3h30m": 12600 * second,
            "10.5s4m": 250 * second + second // 2,
            "39h9m14.425s": 140_954_425 * 10**6,
            "0.3333333333333333333h": 1_200_000_000_000 - 1,
            "9223372036854775807ns": 2**63 - 1,
            "00000000000000000000000001s": second,
        }
        self.assertEqual({text: parse_nanoseconds(text) for text in expected}, expected)

    def test_refused(self) -> None:
        """What is no duration for Go raises ValueError and says what it was."""
        for text in (
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "5 s",
            "1,5s",
            "5S",
            "1e3s",
            "5s ",
            "\u0665s",
            "--5s",
        ):
            with self.assertRaises(ValueError, msg=repr(text)) as caught:
                parse(text)
            self.assertIn(repr(text) if text.strip("-") else "", str(caught.exception))

    def test_out_of_range(self) -> None:
        """More than 2**63 nanoseconds are out of range, however many digits it takes to say so."""
        for text in ("9223372036854775808ns", "3000000h", "9" * 100_000 + "s", "2562047h48m"):
            with self.assertRaisesRegex(ValueError, "out of range"):
                parse(text)

    def test_finer_than_a_microsecond(self) -> None:
        """What timedelta cannot hold is rounded away from zero: no duration vanishes or becomes rounder than it is."""
        self.assertEqual(parse("1ns"), timedelta(microseconds=1))
        self.assertEqual(parse("-1ns"), timedelta(microseconds=-1))
        self.assertEqual(parse("1ms1ns"), timedelta(microseconds=1001))

    @settings(derandomize=True)
    @given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
    def test_round_trip(self, duration: timedelta) -> None:
        """What is written is read back as it was."""
        self.assertEqual(parse(format_duration(duration)), duration)

    @settings(derandomize=True)
    @given(st.text("0123456789.hmsnuµ+- e", max_size=12))
    def test_only_value_errors(self, text: str) -> None:
        """No text makes anything but a duration or a ValueError."""
        try:
            parse(text)
        except ValueError:
            return
        self.assertTrue(text.endswith(("s", "m", "h", "0")))

    def test_format(self) -> None:
        """Durations are written in whole numbers, with the units that they need."""
        written = [format_duration(parse(text)) for text in ("0", "90m", "1.5s", "1500us", "-0.25s", "86400s")]
        self.assertEqual(written, ["0s", "1h30m", "1s500ms", "1ms500us", "-250ms", "24h"])
