"""Messages to read: some that are right, and ways of making them not quite so."""

from __future__ import annotations

from hypothesis import strategies as st

_TOKEN = st.text("abcxyzABC019-_.!#$%&'*+^`|~", min_size=1, max_size=12).map(str.encode)
_VALUE = st.one_of(
    st.text("abc ,;=\"'()/:\t%", max_size=20).map(lambda text: text.strip().encode()),
    st.binary(max_size=10),
)
_NAMES = st.one_of(
    st.sampled_from(
        b"Accept Connection Content-Length Content-Type Cookie Date Expect Host Keep-Alive Set-Cookie TE Trailer "
        b"Transfer-Encoding User-Agent X-A X-Forwarded-For".split()
    ),
    _TOKEN,
)
_VALUES = st.one_of(
    st.sampled_from((b"chunked", b"close", b"keep-alive", b"0", b"5", b"+5", b"5, 5", b"x-a", b"100-continue", b"a")),
    _VALUE,
)
_LINES = st.lists(st.tuples(_NAMES, _VALUES), max_size=5).map(
    lambda fields: b"".join(b"%b: %b\r\n" % pair for pair in fields)
)
_TARGETS = st.one_of(
    st.sampled_from((b"/", b"/a/../b", b"/a?b=c#d", b"http://h/p", b"*", b"/%zz", b"h:80", b"/a\\b", b"//x")),
    st.text("/abc.%?#=&~", max_size=12).map(lambda text: b"/" + text.encode()),
)
_METHODS = st.sampled_from((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND"))
_VERSIONS = st.sampled_from((b"HTTP/1.1",) * 6 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1"))
_BODIES = st.binary(max_size=30)


def _chunked(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


@st.composite
def _framed(draw: st.DrawFn, first: bytes, host: bytes) -> bytes:
    """A message whose body is framed in one of the ways there are."""
    lines, body = draw(_LINES), draw(_BODIES)
    way = draw(st.sampled_from(("none", "length", "chunked", "loose")))
    if way == "length":
        lines += b"Content-Length: %d\r\n" % len(body)
    elif way == "chunked":
        lines += b"Transfer-Encoding: chunked\r\n"
        body = _chunked(draw(st.lists(_BODIES, max_size=3)))
    elif way == "none":
        body = b""
    return first + b"\r\n" + host + lines + b"\r\n" + body


@st.composite
def _request(draw: st.DrawFn) -> bytes:
    host = draw(st.sampled_from((b"Host: a\r\n",) * 8 + (b"", b"host: a:80\r\n", b"Host: a b\r\n")))
    first = b"%b %b %b" % (draw(_METHODS), draw(_TARGETS), draw(_VERSIONS))
    return draw(_framed(first, host))


@st.composite
def _response(draw: st.DrawFn) -> bytes:
    interim = draw(st.sampled_from((b"",) * 4 + (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nX: 1\r\n\r\n")))
    status = draw(st.sampled_from((b"200 OK", b"204 No", b"304 Not", b"404", b"500 ", b"999 Odd", b"101 Up", b"20 O")))
    return interim + draw(_framed(b"%b %b" % (draw(_VERSIONS), status), b""))


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A message with a few bytes of it replaced, taken away or doubled."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 3))
        data[at:end] = draw(
            st.sampled_from((b"", b"\r", b"\n", b" ", b"\t", b"\0", b":", b"\xff", b"0", bytes(data[at:end]) * 2))
        )
    return bytes(data)


requests = st.lists(_request(), min_size=1, max_size=3).map(b"".join).flatmap(_damaged)
"""One to three requests, perhaps damaged."""

responses = _response().flatmap(_damaged)
"""A response, perhaps damaged."""

cuts = st.lists(st.integers(0, 400), max_size=4)
"""Where to cut what is sent."""
