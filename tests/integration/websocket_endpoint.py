"""A WebSocket server in a thread, as an endpoint for tests."""

from __future__ import annotations

import socket
from http import HTTPStatus
from queue import SimpleQueue
from threading import Thread
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.integration.websocket_echo import Heard
from tests.processes import PATIENCE

LARGEST = 32 << 20
PAGE = b"<!DOCTYPE html><title>A page that talks</title>"


class WebSocketEndpoint:
    """See the head of this module. What it does is in the path; to a plain request it gives a page.

    ``/echo`` sends each message back, ``/fragments`` each fragment as it comes, ``/ping`` pings and tells whether that
    was answered, ``/close/CODE/REASON`` closes, ``/vanish`` ends the connection without a word, ``/wait`` does nothing.
    """

    def __init__(self, name: str = "endpoint") -> None:
        self.heard: SimpleQueue[Heard] = SimpleQueue()
        self._name = name
        self._server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._page, max_size=LARGEST, ping_interval=None
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def last_heard(self) -> Heard:
        """What there is of the next connection that is over; waits for it."""
        return self.heard.get(timeout=PATIENCE)

    def _page(self, connection: ServerConnection, request: Request) -> Response | None:
        if "upgrade" in request.headers:
            return None
        headers = {"content-type": "text/html", "content-length": str(len(PAGE)), "x-served-by": self._name}
        return Response(HTTPStatus.OK, "OK", Headers(headers), PAGE)

    def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        messages: list[str | bytes] = []
        try:
            self._act(connection, path, messages)
        except ConnectionClosed:
            pass
        connection.close()
        self.heard.put(Heard(path, messages, connection.close_code, connection.close_reason))

    def _act(self, connection: ServerConnection, path: str, messages: list[str | bytes]) -> None:
        _, what, *arguments = path.split("/")
        if what == "fragments":
            while True:
                connection.send(connection.recv_streaming())
        elif what == "ping":
            answered = connection.ping(b"are you there").wait(PATIENCE)
            connection.send("answered" if answered else "not answered")
        elif what == "name":
            connection.send(self._name)
        elif what == "close":
            code, reason = arguments
            connection.close(int(code), unquote(reason))
        elif what == "vanish":
            connection.socket.shutdown(socket.SHUT_RDWR)
        for message in connection:
            messages.append(message)
            if what == "echo":
                connection.send(message)
