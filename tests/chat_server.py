"""A small chat endpoint on loopback that answers, fails and dies as a test asks."""

import base64
import io
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Answer:
    """What the server does with one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    drip_s: float = 0.0
    """Seconds between two bytes of the body."""
    cut: bool = False
    """Close the connection in the middle of the body."""


def completion(
    text: str | None, *, finish: str = "stop", usage: tuple[int, int] | None = (50, 10), **message: object
) -> Answer:
    """Return a whole chat completion."""
    body: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
        ],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Answer(body=json.dumps(body).encode())


def packed_gibibyte() -> Answer:
    """Return an answer of about one megabyte that unpacks to 1 GiB of blanks."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    mebibyte = b" " * (1 << 20)
    body = b"".join(packer.compress(mebibyte) for _ in range(1 << 10)) + packer.flush()
    return Answer(body=body, headers={"Content-Encoding": "gzip"})


def picture_of(body: dict[str, Any]) -> Image.Image:
    """Return the picture that a request shows."""
    parts = body["messages"][-1]["content"]
    uri = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def describe(body: dict[str, Any]) -> Answer:
    """Answer by the picture alone: the samples of `picture_folder` have one red tone each."""
    red = picture_of(body).convert("RGB").getpixel((0, 0))[0]  # type: ignore[index]
    return completion(f"A dog and a cat number {red // 20} are on the lawn.")


Behaviour = Callable[[int, dict[str, Any]], Answer]
"""From the number of the request (from 0) and its body to what happens."""


class ChatServer:
    """Listens on one port of loopback for as long as it lives; may die and come back there."""

    def __init__(self, behave: Behaviour | None = None) -> None:
        self.behave: Behaviour = behave or (lambda _, body: describe(body))
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def name(self) -> str:
        """The model's name on the command line."""
        return f"openai/tiny@http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Begin to listen."""
        chat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def setup(self) -> None:
                super().setup()
                with chat._lock:
                    chat._open.add(self.connection)

            def do_GET(self) -> None:
                self._send(Answer(body=b'{"object": "list", "data": []}'))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with chat._lock:
                    number = len(chat.bodies)
                    chat.bodies.append(body)
                    chat.times.append(time.monotonic())
                    chat.authorizations.append(self.headers["Authorization"])
                    chat.at_once += 1
                    chat.most_at_once = max(chat.most_at_once, chat.at_once)
                try:
                    self._send(chat.behave(number, body))
                except OSError:
                    self.close_connection = True
                finally:
                    with chat._lock:
                        chat.at_once -= 1

            def _send(self, answer: Answer) -> None:
                time.sleep(answer.hang_s)
                self.send_response(answer.status)
                headers = {"Content-Type": "application/json", **answer.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if answer.cut:
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif answer.drip_s:
                    for byte in answer.body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(answer.drip_s)
                else:
                    self.wfile.write(answer.body)

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """Stop listening and break every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.socket.close()
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def chat_server(behave: Behaviour | None = None) -> Iterator[ChatServer]:
    """Run a server while the block does."""
    server = ChatServer(behave)
    server.start()
    try:
        yield server
    finally:
        server.die()
