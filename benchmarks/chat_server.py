"""A chat server that is fast enough not to be what is measured: a latency, a cap, and the same words back.

The latency is one for all, or lies between two and is decided by the last 2,000 bytes of the request. `GET /v1/models`
also says how many requests it has `answered`.

Usage: python chat_server.py PORT LATENCY_SECONDS[-LATENCY_SECONDS] CAP
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib


def _http(status: str, body: dict) -> bytes:
    content = json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode()
        + content
    )


ANSWER = _http(
    "200 OK",
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The answer is clear and complete. " * 20 + "[[7]]"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 120, "total_tokens": 820},
    },
)
TOO_MANY = _http("429 Too Many Requests", {"error": {"message": "too many at once"}})


class Chat(asyncio.Protocol):
    """One connection; requests come one after another."""

    latency = (0.2, 0.2)
    cap = 64
    at_work = 0
    answered = 0

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        body = self.buffer[end + 4 : end + 4 + length]
        self.buffer = self.buffer[end + 4 + length :]
        if head.startswith(b"get"):
            served = {"object": "list", "data": [{"id": "m", "object": "model"}], "answered": Chat.answered}
            self.transport.write(_http("200 OK", served))
        elif Chat.at_work >= Chat.cap:
            self.transport.write(TOO_MANY)
        else:
            Chat.at_work += 1
            shortest, longest = Chat.latency
            latency = shortest + (longest - shortest) * (zlib.crc32(body[-2000:]) % 1000) / 1000
            asyncio.get_running_loop().call_later(latency, self.answer)

    def answer(self):
        Chat.at_work -= 1
        Chat.answered += 1
        self.transport.write(ANSWER)


async def main() -> None:
    shortest, _, longest = sys.argv[2].partition("-")
    Chat.latency, Chat.cap = (float(shortest), float(longest or shortest)), int(sys.argv[3])
    server = await asyncio.get_running_loop().create_server(Chat, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
