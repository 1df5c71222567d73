"""A WebSocket server that does one thing after the other, so that the same bytes always have the same outcome.

(A server with threads for reading and writing may close before it has echoed what came before the close.)
"""

from __future__ import annotations

import socket
from queue import SimpleQueue
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import unquote

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Message, Ping, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from tests.processes import PATIENCE


class Heard(NamedTuple):
    """What a server has of a connection that is over: its path, the messages, and how it was closed."""

    path: str
    messages: list[str | bytes]
    code: int | None
    reason: str | None


class EchoServer:
    """See the head of this module. ``/echo`` sends each message back, ``/fragments`` each fragment.

    ``/close/CODE/REASON`` closes at once, ``/vanish`` ends the connection without a word.
    """

    def __init__(self) -> None:
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        heard = self._heard

        class Connection(StreamRequestHandler):
            disable_nagle_algorithm = True
            timeout = PATIENCE

            def handle(self) -> None:
                heard.put(_Conversation(self.connection).hold())

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def last_heard(self) -> Heard:
        """What there is of the next connection that is over; waits for it."""
        return self._heard.get(timeout=PATIENCE)


class _Conversation:
    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._state = WSConnection(ConnectionType.SERVER)
        self._path = ""
        self._messages: list[str | bytes] = []
        self._pieces: list[str | bytes] = []
        self._end: CloseConnection | None = None

    def hold(self) -> Heard:
        """Talk until one side has closed."""
        try:
            while self._end is None:
                self._state.receive_data(self._peer.recv(65536) or None)
                for event in self._state.events():
                    self._react(event)
                    if self._end is not None:
                        break
        except ConnectionError:
            pass
        self._close()
        end = self._end or CloseConnection(1006)
        return Heard(self._path, self._messages, end.code, end.reason)

    def _send(self, event: Event) -> None:
        self._peer.sendall(self._state.send(event))

    def _react(self, event: Event) -> None:
        if isinstance(event, Request):
            self._accept(event.target)
        elif isinstance(event, Message):
            self._echo(event)
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._end = event
            if self._state.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                self._send(event.response())

    def _accept(self, path: str) -> None:
        self._path = path
        self._send(AcceptConnection(extensions=[PerMessageDeflate()]))
        _, what, *arguments = path.split("/")
        if what == "close":
            self._send(CloseConnection(int(arguments[0]), unquote(arguments[1])))
        elif what == "vanish":
            self._end = CloseConnection(1006)

    def _echo(self, event: Message) -> None:
        self._pieces.append(event.data)
        whole = event.frame_finished if self._path == "/fragments" else event.message_finished
        if not whole:
            return
        pieces, self._pieces = self._pieces, []
        kind = TextMessage if isinstance(event, TextMessage) else BytesMessage
        data = type(event.data)().join(pieces)
        self._messages.append(data)
        if self._state.state is ConnectionState.OPEN:
            self._send(kind(data, message_finished=event.message_finished))

    def _close(self) -> None:
        """End our direction, and wait for the other's end: closing with unread bytes would destroy sent ones."""
        try:
            self._peer.shutdown(socket.SHUT_WR)
            while self._peer.recv(65536):
                pass
        except OSError:
            pass
