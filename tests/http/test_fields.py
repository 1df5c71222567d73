"""Shapes of header fields."""

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.fields import Shapes
from meshproxy.http.names import REQUEST_MEANINGS, Meaning


def shapes() -> Shapes:
    return Shapes(REQUEST_MEANINGS)


class ShapeTests(SynchronousTestCase):
    def test_what_is_passed_on(self) -> None:
        """Names come out in lower case and in order, without those that are not passed on."""
        shape = shapes().of((b"Host", b"X-One", b"Keep-Alive", b"COOKIE", b"x-one"))
        kept = shape.pick([b"h", b"1", b"k", b"c", b"2"])
        self.assertEqual(shape.names, (b"x-one", b"cookie", b"x-one"))
        self.assertEqual(kept, (b"1", b"c", b"2"))
        self.assertEqual(shape.index, {b"x-one": (0, 2), b"cookie": (1,)})
        self.assertEqual(shape.template % kept, b"x-one: 1\r\ncookie: c\r\nx-one: 2\r\n")
        self.assertEqual(shape.special, ((0, Meaning.HOST),))
        self.assertEqual(shape.count, 5)

    def test_none_and_one(self) -> None:
        """Picking gives a tuple also for no field and for one."""
        self.assertEqual(shapes().of((b"Host",)).pick([b"h"]), ())
        self.assertEqual(shapes().of((b"Host", b"A")).pick([b"h", b"a"]), (b"a",))

    def test_percent_in_a_name(self) -> None:
        """A percent sign, which a token may hold, is no conversion."""
        shape = shapes().of((b"x%d",))
        self.assertEqual(shape.template % (b"v",), b"x%d: v\r\n")

    def test_joining(self) -> None:
        """Repeated lines of a header that is one value are joined where it came first; others stay apart."""
        known = shapes()
        shape = known.of((b"Accept", b"X-A", b"accept", b"x-a"))
        self.assertTrue(shape.repeats)
        self.assertFalse(known.of((b"accept", b"x-a", b"x-a")).repeats)
        joined, values = known.joined(shape, (b"1", b"2", b"3", b"4"))
        self.assertEqual(joined.names, (b"accept", b"x-a", b"x-a"))
        self.assertEqual(values, (b"1,3", b"2", b"4"))

    def test_bounded(self) -> None:
        """Strangers cannot make it grow without end, neither with many shapes nor with long ones."""
        known = shapes()
        for number in range(5000):
            known.of((b"x-%d" % number,))
        self.assertLessEqual(len(known._known), 1024)
        before = len(known._known)
        known.of((b"x" * 70,) * 30)
        self.assertEqual(len(known._known), before)

    def test_spellings(self) -> None:
        """Every spelling of a name has its meaning."""
        self.assertEqual(shapes().of((b"CONTENT-length",)).special, ((0, Meaning.CONTENT_LENGTH),))
