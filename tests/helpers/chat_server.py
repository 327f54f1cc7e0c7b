"""A small OpenAI-compatible server in a thread: it answers by a function and remembers every request."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[dict[str, Any]], str | tuple[int, dict[str, Any]]]


@dataclass
class ChatServer:
    """What the server was asked.

    Attributes:
        url: Its address, ending in `/v1`.
        asked: How often each request body came, as canonical JSON.
        headers: Of the last request.
    """

    url: str
    asked: Counter[str] = field(default_factory=Counter)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.asked.values())


@contextmanager
def chat_server(answer: Answer, *, delay: float = 0.0) -> Iterator[ChatServer]:
    """Serve while the block runs; `answer` gives the reply's text, or a status and an error body."""
    guard = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with guard:
                served.asked[json.dumps(body, sort_keys=True)] += 1
                served.headers = dict(self.headers)
            time.sleep(delay)
            said = answer(body)
            status, content = (200, completion(body["model"], said)) if isinstance(said, str) else said
            data = json.dumps(content).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # who asked is gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that are killed in the middle of a request are what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    served = ChatServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(model: str, text: str) -> dict[str, Any]:
    """A reply as `/chat/completions` gives it."""
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": f"{model}-0613",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
