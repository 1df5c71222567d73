"""Requests, settings, messages and counts that tests are made of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import meshproxy.testing
from meshproxy.errors import ConfigError
from meshproxy.interfaces import IConfig, IRequest
from meshproxy.testing import FakeRequest, count_operations, sample_endpoints, setting
from meshproxy.testing.messages import read_request, read_responses


class RequestTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is a request as hash keys see it, with the headers that HTTP/2 made of the request line."""
        request = FakeRequest(path=b"/x?y", method=b"PUT", scheme=b"https", authority=b"a.test")
        verifyObject(IRequest, request)
        names = (b":method", b":path", b":scheme", b":authority", b"host", b"x")
        expected = [[b"PUT"], [b"/x?y"], [b"https"], [b"a.test"], [b"a.test"], []]
        self.assertEqual([list(request.header_values(name)) for name in names], expected)

    def test_headers(self) -> None:
        """Names in any case, values without blanks; lines of some headers are one value."""
        request = FakeRequest([(b"X-User", b" a "), (b"x-user", b"b"), (b"Via", b"1"), (b"via", b"2")])
        self.assertEqual(list(request.header_values(b"x-user")), [b"a", b"b"])
        self.assertEqual(list(request.header_values(b"via")), [b"1,2"])


class SettingTests(SynchronousTestCase):
    def test_setting(self) -> None:
        """It is a value of a configuration, with its place."""
        node = setting("{name: x}")
        verifyObject(IConfig, node)
        self.assertEqual(node.fields("name")["name"].string(), "x")
        self.assertEqual(str(node.location), "mesh.yaml:1:8")
        self.assertEqual(setting("\n  name: x").location.line, 2)

    def test_none(self) -> None:
        """What is no YAML, and null, which no strategy is asked about, are refused."""
        self.assertRaises(ConfigError, setting, "[")
        self.assertRaises(ValueError, setting, "null")


class CountTests(SynchronousTestCase):
    def test_count(self) -> None:
        """The count grows with what is done, in functions that are called too, and is the same each time."""

        def inner(count: int) -> int:
            return sum(number for number in range(count))

        first, second, third = (count_operations(lambda count=count: inner(count)) for count in (10, 10, 100))
        self.assertEqual(first, second)
        self.assertGreater(third, first + 90 * 3)

    def test_failure(self) -> None:
        """What the call raises is raised, and nothing is counted after it."""
        self.assertRaises(ZeroDivisionError, count_operations, lambda: 1 / 0)
        self.assertGreater(count_operations(lambda: None), 0)


class EndpointTests(SynchronousTestCase):
    def test_endpoints(self) -> None:
        """Endpoints are distinct, and weights come in turn."""
        found = sample_endpoints(300, (1, 5))
        self.assertEqual(len({endpoint.key for endpoint in found}), 300)
        self.assertEqual([endpoint.weight for endpoint in found[:3]], [1, 5, 1])


class MessageTests(SynchronousTestCase):
    def test_requests(self) -> None:
        """A request is read when it is whole, however its body is framed."""
        for head, body in (
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
            (b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
            (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
        ):
            request, rest = read_request(head + b"GET /next")
            assert request is not None
            self.assertEqual((request.body, rest), (body, b"GET /next"))
            for end in range(len(head)):
                self.assertEqual(read_request(head[:end]), (None, head[:end]))

    def test_responses(self) -> None:
        """Responses are read one by one; what is cut is not complete; what is no response is refused."""
        whole = (
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        )
        self.assertEqual([(it.status, it.body, it.complete) for it in read_responses(whole)][1], (200, b"ok", True))
        (cut,) = read_responses(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok")
        self.assertFalse(cut.complete)
        for nonsense in (b"HTTP/1.1 200 OK\r\n", b"hello\r\n\r\n", b"a b c\r\n\r\n"):
            self.assertRaises(ValueError, read_responses, nonsense)


class ModuleTests(SynchronousTestCase):
    def test_public_names(self) -> None:
        """Everything that is promised is there, and has a docstring."""
        for name in meshproxy.testing.__all__:
            self.assertTrue(getattr(meshproxy.testing, name).__doc__, name)
