"""Throughput of the client against a server of known latency, and replay from the cache. Prints one JSON object.

Usage: python benchmarks/llm_client.py [--runs 5] [--requests 5120] [--replies 50000] [--sdk]

The server (chat_server.py, a process of its own) answers after 200 ms, at most 64 at once; more get status 429. Ideal
is 64 / 0.2 s = 320 requests per second. With `--sdk`, the openai package is measured the same way, without cache.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turnwise import open_model
from turnwise.llm.cache import ReplyCache
from turnwise.llm.chat import ChatReply, ChatRequest, Sampling
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.settings import ClientConfig
from turnwise.llm.usage import Usage

LATENCY, CAP = 0.2, 64
PROMPT = "Please judge the answer of the assistant below, and say why. " * 50


def request(number: int) -> ChatRequest:
    return ChatRequest(
        [{"role": "system", "content": "You are a judge."}, {"role": "user", "content": f"{number}: {PROMPT}"}],
        Sampling(temperature=0, max_tokens=512),
    )


def server(latency: float = LATENCY, cap: int = CAP) -> tuple[subprocess.Popen, str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("chat_server.py")), str(port), str(latency), str(cap)]
    process = subprocess.Popen(command)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.02)
    return process, f"http://127.0.0.1:{port}/v1"


def ours(url: str, requests: int, cache: Path | None) -> dict[str, float]:
    usage = Usage()
    model = open_model(f"m@{url}", ClientConfig(max_concurrency=CAP), cache=cache, usage=usage)
    wall, cpu = time.perf_counter(), time.process_time()
    failed = sum(reply.failure is not None for reply in run_all(lambda n: model.reply(request(n)), range(requests)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    run_one(model.close())
    return {
        "share_of_ideal": requests / wall / (CAP / LATENCY),
        "cpu_ms_per_request": cpu / requests * 1000,
        "failed": failed,
        "rate_limited": usage.rate_limited,
    }


def sdk(url: str, requests: int) -> dict[str, float]:
    """The openai package with 64 at once and nothing else: no cache, no throttle."""
    import asyncio

    from openai import AsyncOpenAI

    async def scene() -> int:
        client = AsyncOpenAI(api_key="none", base_url=url, max_retries=0, timeout=60)
        numbers = iter(range(requests))

        async def worker() -> int:
            failed = 0
            for number in numbers:
                wanted = request(number)
                reply = await client.chat.completions.create(
                    model="m", messages=[dict(one) for one in wanted.messages], temperature=0, max_tokens=512
                )
                failed += not reply.choices[0].message.content
            return failed

        done = await asyncio.gather(*(worker() for _ in range(CAP)))
        await client.close()
        return sum(done)

    wall, cpu = time.perf_counter(), time.process_time()
    failed = asyncio.run(scene())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "share_of_ideal": requests / wall / (CAP / LATENCY),
        "cpu_ms_per_request": cpu / requests * 1000,
        "failed": failed,
    }


def replay(path: Path, url: str, replies: int) -> dict[str, float]:
    """Fill a cache, then ask for everything in it through the whole client."""
    cache = ReplyCache(path)
    name = open_model(f"m@{url}").name
    began = time.perf_counter()
    for number in range(replies):
        cache.put(
            request(number).key(name), name, ChatReply("The answer is clear. " * 30 + "[[7]]", finish_reason="stop")
        )
    filled = time.perf_counter() - began
    cache.close()
    usage = Usage()
    model = open_model(f"m@{url}", cache=path, usage=usage)
    began, cpu = time.perf_counter(), time.process_time()
    for reply in run_all(lambda number: model.reply(request(number)), range(replies)):
        assert reply.cached
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    run_one(model.close())
    return {"replies": replies, "seconds": wall, "cpu_seconds": cpu, "sent": usage.sent, "fill_seconds": filled}


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median of every figure over the runs; the worst and best share too."""
    figures = {key: round(statistics.median(run[key] for run in runs), 4) for key in runs[0]}
    shares = sorted(round(run["share_of_ideal"], 4) for run in runs)
    return {**figures, "share_lowest": shares[0], "share_highest": shares[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5120)
    parser.add_argument("--replies", type=int, default=50_000)
    parser.add_argument("--sdk", action="store_true")
    given = parser.parse_args()
    process, url = server()
    try:
        found: dict[str, list[dict[str, float]]] = {"with_cache": [], "without_cache": []}
        with tempfile.TemporaryDirectory() as folder:
            for run in range(given.runs):  # alternating, so that a busy moment of the machine hits all alike
                found["with_cache"].append(ours(url, given.requests, Path(folder) / f"{run}.sqlite"))
                found["without_cache"].append(ours(url, given.requests, None))
                if given.sdk:
                    found.setdefault("openai_sdk", []).append(sdk(url, given.requests))
            replayed = replay(Path(folder) / "replay.sqlite", url, given.replies)
        result = {
            "ideal_per_second": CAP / LATENCY,
            "requests": given.requests,
            "runs": given.runs,
            "load_average": os.getloadavg()[0],
            **{name: middle(runs) for name, runs in found.items()},
            "replay": {key: round(value, 3) for key, value in replayed.items()},
        }
        print(json.dumps(result, indent=2))
    finally:
        process.kill()


if __name__ == "__main__":
    main()
