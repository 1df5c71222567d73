"""A page in a browser that speaks WebSocket through the gateway."""

from __future__ import annotations

from tests.integration.chromium import browser
from tests.integration.websocket_endpoint import WebSocketEndpoint
from tests.processes import PATIENCE, ProcessTestCase, mesh

_SCRIPT = """
const [path, messages, code, reason, done] = arguments;
const received = [];
const socket = new WebSocket(`ws://${location.host}${path}`);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
  for (const message of messages) {
    socket.send(typeof message === "number" ? new Uint8Array(message).fill(7) : message);
  }
};
socket.onmessage = ({data}) => {
  received.push(typeof data === "string" ? data : data.byteLength);
  if (code && received.length >= messages.length) socket.close(code, reason);
};
socket.onclose = ({code, reason, wasClean}) => done({received, code, reason, wasClean});
"""


class BrowserTests(ProcessTestCase):
    def setUp(self) -> None:
        self.endpoints = [WebSocketEndpoint(f"endpoint-{number}") for number in range(3)]
        for endpoint in self.endpoints:
            self.addCleanup(endpoint.end)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh(self.endpoints, "'*'"))
        _, self.port, _ = self.gateway(config, "--access-log", "off")
        self.browser = browser()
        self.addCleanup(self.browser.quit)
        self.browser.set_script_timeout(PATIENCE)
        self.browser.get(f"http://127.0.0.1:{self.port}/")

    def talk(self, path: str, *messages: str | int, code: int = 1000, reason: str = "") -> dict[str, object]:
        """What became of a WebSocket of the page. A number stands for so many bytes."""
        found: dict[str, object] = self.browser.execute_async_script(_SCRIPT, path, messages, code, reason)
        return found

    def test_page(self) -> None:
        """A page gets back what it sends, learns how the server closed, and stays at the endpoint of its session."""
        self.assertEqual(self.browser.title, "A page that talks")
        self.assertEqual(
            self.talk("/echo", "hello", "κόσμε", 1 << 20, code=4001, reason="done"),
            {"received": ["hello", "κόσμε", 1 << 20], "code": 4001, "reason": "done", "wasClean": True},
        )
        self.assertEqual(
            self.talk("/close/4002/bye", code=0),
            {"received": [], "code": 4002, "reason": "bye", "wasClean": True},
        )
        self.assertEqual(self.talk("/vanish", code=0)["code"], 1006)
        names = [self.talk("/name")["received"] for _ in range(5)]
        served = self.browser.execute_async_script(
            "const done = arguments[0]; fetch('/').then((answer) => done(answer.headers.get('x-served-by')))"
        )
        self.assertEqual(names, [[served]] * 5)
