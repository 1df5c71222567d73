"""Cases of WebSocket traffic, byte by byte, in the manner of the Autobahn test suite: framing, fragmentation, control
frames, UTF-8, closing, compression; most of it right, some of it wrong.

Source of the rules that they try: RFC 6455 and RFC 7692.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

from attrs import frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK = b"\x37\xfa\x21\x3d"
_SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20)
_DEFLATE = "permessage-deflate"
_GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
_BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
_BAD_TEXTS = (
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"\xfe",
    b"\x80",
    b"\xe2\x82",
    b"\xf8\x88\x80\x80\x80",
)
_TEXT = "Hello-µ@ßöäüàá-UTF-8!! κόσμε 𐍈".encode()


@frozen
class Case:
    """What a client sends after the opening handshake. ``chop``: how many bytes at once; 0: everything.

    ``extensions`` is what it offers in the handshake. ``half_closes``: it ends its direction after the last byte.
    """

    name: str
    sent: bytes
    path: str = "/echo"
    extensions: str = ""
    chop: int = 0
    half_closes: bool = False


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        length = bytes([size | masked << 7])
    elif size < 65536:
        length = struct.pack("!BH", 126 | masked << 7, size)
    else:
        length = struct.pack("!BQ", 127 | masked << 7, size)
    start = bytes([fin << 7 | reserved << 4 | opcode]) + length
    return start + _MASK + _mask(payload) if masked else start + payload


def _mask(payload: bytes) -> bytes:
    key = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def closing(code: int = 1000, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def fragments(opcode: int, pieces: Sequence[bytes], between: bytes = b"", reserved: int = 0) -> bytes:
    """A message in pieces, with something in between."""
    last = len(pieces) - 1
    frames = [
        frame(CONTINUATION if at else opcode, piece, fin=at == last, reserved=0 if at else reserved)
        for at, piece in enumerate(pieces)
    ]
    return between.join(frames)


def deflated(data: bytes) -> bytes:
    """A compressed payload: RFC 7692, 7.2.1."""
    compress = zlib.compressobj(wbits=-15)
    return (compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cases() -> Iterator[Case]:
    """All cases. Each makes the server end the connection."""
    yield from _framing()
    yield from _control()
    yield from _reserved()
    yield from _fragmented()
    yield from _text()
    yield from _closing()
    yield from _compressed()


def _framing() -> Iterator[Case]:
    for size in _SIZES:
        for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
            payload = b"*" * size if opcode == TEXT else bytes(n & 255 for n in range(size))
            yield Case(f"{kind} of {size} bytes", frame(opcode, payload) + closing())
    for chop in (1, 2, 997):
        sent = frame(TEXT, b"x" * 4000) + frame(BINARY, b"y" * 200) + closing()
        yield Case(f"{chop} bytes at once", sent, chop=chop)
    yield Case("many messages", b"".join(frame(TEXT, b"%d" % n) for n in range(300)) + closing())
    yield Case("unmasked frame", frame(TEXT, b"x", masked=False) + closing())
    yield Case("longer length than needed", b"\x81\xfe\x00\x05" + _MASK + _mask(b"hello") + closing())
    yield Case("length with the highest bit", b"\x81\xff\x80" + bytes(7) + _MASK)
    endless = b"\x82\xff" + struct.pack("!Q", 1 << 40) + _MASK + bytes(1 << 20)
    yield Case("message that is not finished", endless, half_closes=True)


def _control() -> Iterator[Case]:
    for size in (0, 1, 125):
        yield Case(f"ping of {size} bytes", frame(PING, b"p" * size) + closing())
    yield Case("ping of 126 bytes", frame(PING, b"p" * 126) + closing())
    yield Case("fragmented ping", frame(PING, b"p", fin=False) + closing())
    yield Case("ten pings", b"".join(frame(PING, b"%d" % n) for n in range(10)) + closing())
    yield Case("pings in bits", b"".join(frame(PING, b"%d" % n) for n in range(10)) + closing(), chop=1)
    yield Case("pong that nobody asked for", frame(PONG, b"x") + frame(TEXT, b"y") + closing())


def _reserved() -> Iterator[Case]:
    for reserved in range(1, 8):
        yield Case(f"reserved bits {reserved}", frame(TEXT, b"x", reserved=reserved) + closing())
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"opcode {opcode}", frame(TEXT, b"x") + frame(opcode, b"y") + closing())


def _fragmented() -> Iterator[Case]:
    for path in ("/echo", "/fragments"):
        for pieces in ([b"a", b"b"], [b"", b"", b""], [b"a" * 125, b"b" * 126], [b"x" * 1000] * 64):
            name = f"{len(pieces)} fragments of {len(pieces[0])} bytes to {path}"
            yield Case(name, fragments(TEXT, pieces) + closing(), path)
            yield Case(f"{name}, pings between", fragments(BINARY, pieces, frame(PING, b"p")) + closing(), path)
    yield Case("fragments in bits", fragments(TEXT, [b"ab", b"cd", b"ef"], frame(PING)) + closing(), chop=1)
    yield Case("continuation of nothing", frame(CONTINUATION, b"x") + closing())
    yield Case("text within fragments", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b") + closing())
    yield Case("close within fragments", frame(TEXT, b"a", fin=False) + closing())
    yield Case("end within fragments", frame(TEXT, b"a", fin=False), half_closes=True)


def _text() -> Iterator[Case]:
    yield Case("text beyond ASCII", frame(TEXT, _TEXT) + closing())
    pieces = [_TEXT[at : at + 1] for at in range(len(_TEXT))]
    yield Case("text cut within characters", fragments(TEXT, pieces) + closing())
    for bad in _BAD_TEXTS:
        yield Case(f"not UTF-8: {bad.hex()}", frame(TEXT, bad) + closing())
        yield Case(f"not UTF-8 in fragments: {bad.hex()}", fragments(TEXT, [b"ok", bad, b"ok"]) + closing())


def _closing() -> Iterator[Case]:
    for code in _GOOD_CODES:
        yield Case(f"close {code}", closing(code, b"because"))
        yield Case(f"server's close {code}", closing(code), f"/close/{code}/bye")
    for code in _BAD_CODES:
        yield Case(f"wrong close {code}", closing(code))
    yield Case("close without code", frame(CLOSE))
    yield Case("close of one byte", frame(CLOSE, b"\x03"))
    yield Case("close with a long reason", closing(1000, b"r" * 123))
    yield Case("close with too long a reason", closing(1000, b"r" * 124))
    yield Case("close for a reason that is not UTF-8", closing(1000, b"\xce\xba\xe1\xbd"))
    yield Case("message after close", closing() + frame(TEXT, b"late"))
    yield Case("close twice", closing() + closing())
    yield Case("close, then end of direction", frame(TEXT, b"x" * 100_000) + closing(), half_closes=True)
    yield Case("end without close", frame(TEXT, b"x"), half_closes=True)
    yield Case("end at once", b"", half_closes=True)
    yield Case("server's end without close", b"", "/vanish")


def _compressed() -> Iterator[Case]:
    offers = (
        _DEFLATE,
        f"{_DEFLATE}; client_max_window_bits",
        f"{_DEFLATE}; server_no_context_takeover; client_no_context_takeover",
        f"{_DEFLATE}; server_max_window_bits=9; client_max_window_bits=9",
    )
    for offer in offers:
        for size in (0, 10, 1000, 100_000):
            data = b"deflate " * (size // 8)
            sent = frame(TEXT, deflated(data), reserved=4) + frame(BINARY, data) + closing()
            yield Case(f"{offer}: {size} bytes", sent, extensions=offer)
    pieces = deflated(b"fragment " * 1000)
    cut = [pieces[:10], pieces[10:20], pieces[20:]]
    yield Case("compressed fragments", fragments(TEXT, cut, frame(PING), 4) + closing(), extensions=_DEFLATE)
    yield Case("compression that was not agreed on", frame(TEXT, deflated(b"x"), reserved=4) + closing())
    yield Case("no deflate data", frame(BINARY, b"\xff" * 20, reserved=4) + closing(), extensions=_DEFLATE)
    yield Case("unknown extension", frame(TEXT, b"x") + closing(), extensions="x-unknown; a=1")
