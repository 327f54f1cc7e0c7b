"""A chat server that misbehaves on purpose: real HTTP, in a process of its own, every fault decided by script and seed.

What it does with a try of a request is decided in this order: `plan` (by a text in the request, one fault per try, the
last one for all further tries), then `shares` (drawn from seed, request and number of the try), else it answers. What
the answer *is* depends on the request alone (`verdict_of`), so a test knows every right score. As a `teacher` it writes
dialogues instead of scores, and the kinds of its answers are those of `scripted_teacher`.

Every try is one line in the log, written before the reply leaves: `{"request": digest, "did": fault or "answer"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

_OTHER_NAME = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
_ONE_VALUE = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
ANSWERED = ("answer", "two_choices")  # what a client can use


@dataclass
class Script:
    """How the server behaves.

    Attributes:
        seed: Of the draws.
        shares: Share of the tries by fault.
        plan: From a text that occurs in the request to the faults of its first, second, ... try.
        always: Share of the requests whose answer itself is `refused`, `truncated`, `garbled` or `echo`; of a teacher,
            one of `scripted_teacher.FAULTS`.
        teacher: Whether it answers our prompts of synthesis.
        latency_s: Seconds before any reply.
        most_at_once: With more requests than this at work, status 429.
        key: The key that is asked for; None asks for none.
        models: The models served.
    """

    seed: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    plan: dict[str, list[str]] = field(default_factory=dict)
    always: dict[str, float] = field(default_factory=dict)
    latency_s: float = 0.0
    slow_s: float = 30.0
    most_at_once: int = 10_000
    key: str | None = None
    models: list[str] = field(default_factory=lambda: ["m"])
    teacher: bool = False


def digest_of(body: dict[str, Any]) -> str:
    """What makes two bodies the same request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int(hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:8], 16) / 2**32


def _drawn(shares: dict[str, float], number: float, otherwise: str) -> str:
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return otherwise


def verdict_of(digest: str, script: Script) -> tuple[str, int]:
    """Kind of the answer to a request (`plain`, or one of `always`) and its score from 1 to 10."""
    kind = _drawn(script.always, _share("kind", script.seed, digest), "plain")
    return kind, int(digest[:6], 16) % 10 + 1


def _completion(
    text: Any, *, finish: str = "stop", choices: int = 1, refusal: str | None = None, thoughts: str = ""
) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if refusal:
        message["refusal"] = refusal
    if thoughts:
        message["reasoning_content"] = thoughts
    words = len(str(text or "").split())
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-2026-01-01",
        "choices": [{"index": number, "message": message, "finish_reason": finish} for number in range(choices)],
        "usage": {"prompt_tokens": 100, "completion_tokens": words, "total_tokens": 100 + words},
    }
    return json.dumps(body).encode()


def _answer(body: dict[str, Any], script: Script, *, choices: int = 1) -> bytes:
    kind, score = verdict_of(digest_of(body), script)
    if script.teacher:
        from scripted_teacher import teacher_reply

        return _completion(teacher_reply(body["messages"], kind), finish="length" if kind == "cut" else "stop")
    if "response_format" in body:
        return _completion(json.dumps({"score": score}), choices=choices)
    if kind == "refused":
        return _completion(None, refusal="I cannot judge this.")
    if kind == "truncated":
        return _completion(f"The answer, which says [[{score % 10 + 1}]], is", finish="length")
    if kind == "garbled":
        return _completion("I would call it good.", choices=choices)
    quoted = f"The answer claims [[{score % 10 + 1}]] for itself. " if kind == "echo" else ""
    return _completion(f"{quoted}It is clear.\nRating: [[{score}]]", choices=choices)


def build_app(script: Script, log: Path) -> FastAPI:
    """The application."""
    app = FastAPI()
    tries: Counter[str] = Counter()
    at_work = 0
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # unbuffered: this process outlives its clients

    def note(digest: str, did: str) -> None:
        os.write(handle, json.dumps({"request": digest, "did": did}).encode() + b"\n")

    def error(status: int, message: str, code: str | None = None, **headers: str) -> Response:
        return JSONResponse({"error": {"message": message, "code": code}}, status, headers)

    def torn(content: bytes) -> Response:
        async def half():
            yield content[: len(content) // 2]
            raise ConnectionError("torn on purpose")

        return StreamingResponse(half(), headers={"content-length": str(len(content))}, media_type="application/json")

    def whole(content: bytes, status: int = 200) -> Response:
        return Response(content, status, media_type="application/json")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in script.models]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        nonlocal at_work
        body = json.loads(await request.body())
        given = request.headers.get("authorization", "")
        if script.key is not None and given != f"Bearer {script.key}":
            return error(401, f"Incorrect API key provided: {given}", "invalid_api_key")
        if body["model"] not in script.models:
            return error(404, f"The model {body['model']} does not exist; your key is {given}", "model_not_found")
        digest = digest_of(body)
        number = tries[digest]
        tries[digest] += 1
        text = json.dumps(body["messages"])
        planned = next((faults for mark, faults in script.plan.items() if mark in text), None)
        did = planned[min(number, len(planned) - 1)] if planned else ""
        did = did or _drawn(script.shares, _share("fault", script.seed, digest, number), "answer")
        at_work += 1
        try:
            did = "too_many" if at_work > script.most_at_once else did
            await asyncio.sleep(script.slow_s if did == "slow" else script.latency_s)
        finally:
            at_work -= 1
        note(digest, did)
        return reply_of(did, body, given)

    def reply_of(did: str, body: dict[str, Any], given: str) -> Response:
        content = _answer(body, script)
        made = {
            "answer": lambda: whole(content),
            "two_choices": lambda: whole(_answer(body, script, choices=2)),
            "no_choices": lambda: whole(_completion("x", choices=0)),
            "too_many": lambda: error(429, "too many at once"),
            "429": lambda: error(429, "slow down"),
            "429_ms": lambda: error(429, "slow down", **{"retry-after-ms": "20"}),
            "429_seconds": lambda: error(429, "slow down", **{"retry-after": "1"}),
            "429_forever": lambda: error(429, "slow down", **{"retry-after": "86400"}),
            "quota": lambda: error(429, "You exceeded your current quota", "insufficient_quota"),
            "500": lambda: error(500, "internal error"),
            "503": lambda: error(503, "overloaded", **{"retry-after-ms": "20"}),
            "400": lambda: error(400, "the context is too long", "context_length_exceeded"),
            "400_filter": lambda: error(400, "against the policy", "content_filter"),
            "400_limit_name": lambda: whole(content) if "max_tokens" not in body else error(400, _OTHER_NAME, "x"),
            "400_temperature": lambda: whole(content) if "temperature" not in body else error(400, _ONE_VALUE, "x"),
            "thinking": lambda: whole(_completion("<think>\nIs it [[1]]? No.\n</think>\n\nClear.\nRating: [[8]]")),
            "reasoning_content": lambda: whole(_completion("Rating: [[8]]", thoughts="Is it [[1]]? No.")),
            "only_reasoning": lambda: whole(_completion(None, thoughts="Is it [[1]]?")),
            "400_format": lambda: error(400, "response_format json_schema is not supported"),
            "403": lambda: error(403, "flagged"),
            "redirect": lambda: Response(status_code=307, headers={"location": "http://elsewhere.invalid/v1"}),
            "error_in_200": lambda: whole(json.dumps({"error": {"code": 502, "message": "upstream"}}).encode()),
            "torn": lambda: torn(content),
            "slow": lambda: whole(content),
            "invalid_json": lambda: whole(content[:-9] + b"}"),
            "web_page": lambda: whole(b"<!doctype html><p>Welcome"),
            "not_an_object": lambda: whole(b"[1, 2]"),
            "empty": lambda: whole(_completion("  \n")),
            "null": lambda: whole(_completion(None)),
            "refusal": lambda: whole(_completion(None, refusal="I cannot help with that.")),
            "filtered": lambda: whole(_completion("I was say", finish="content_filter")),
            "length": lambda: whole(_completion("cut sho", finish="length")),
            "ignore_stop": lambda: whole(_completion("before END after END")),
            "ignore_schema": lambda: whole(_completion("The score is 7.")),
            "parts": lambda: whole(_completion([{"type": "text", "text": "[[4]]"}])),
            "leak": lambda: whole(_completion(f"you sent {given} [[5]]")),
            "leak_escaped": lambda: whole(_completion(f"you sent {given} [[5]]").replace(b"sk-", b"\\u0073k-")),
            "leak_500": lambda: error(500, f"cannot reach the upstream with {given}"),
            "leak_400": lambda: error(400, f"bad request, headers: authorization={given}"),
        }
        return made[did]()

    return app


class FaultyServer:
    """The server in a process of its own; a context manager.

    Attributes:
        url: Base of the API.
    """

    def __init__(self, folder: Path, script: Script) -> None:
        self.script = script
        self._folder = folder
        self.url = ""

    def __enter__(self) -> FaultyServer:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "script.json").write_text(json.dumps(asdict(self.script)))
        self._process = subprocess.Popen([sys.executable, __file__, str(self._folder)], stdin=subprocess.DEVNULL)
        port = self._folder / "port"
        while not port.exists():
            if self._process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port.read_text()}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def log(self) -> list[dict[str, str]]:
        """Every try so far, in order."""
        path = self._folder / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]


def main(folder: Path) -> None:
    """Serve until killed; the port is written once the socket listens."""
    import socket

    import uvicorn

    # The protocol by name: otherwise asyncio does not know TCP, leaves Nagle's algorithm on, and replies take 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    script = Script(**json.loads((folder / "script.json").read_text()))
    app = build_app(script, folder / "log.jsonl")
    partial = folder / "port.partial"
    partial.write_text(str(listening.getsockname()[1]))
    partial.rename(folder / "port")
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_keep_alive=60)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
