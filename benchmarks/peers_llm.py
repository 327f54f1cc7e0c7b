"""turnwise's client beside inspect_ai on the same stored judge prompts and the same server. Prints one JSON object.

Usage: python benchmarks/peers_llm.py PROMPTS.jsonl --peer PATH_TO_PYTHON_WITH_INSPECT_AI [--runs 5] [--items 640]

Each run is a process of its own, the two tools alternate, and the clock runs inside: without start-up, with everything
that each does to be safe (turnwise: every reply committed to its cache; inspect_ai: log and sample buffer of an
`eval_set`, or the cache of its `generate`). Then each is killed (SIGKILL) halfway and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CAP = 64


def prompts(path: str, items: int) -> list[str]:
    """Stored prompts of judgments, distinct, in the order of the file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(json.loads(line)["user_prompt"] for line in lines))[:items]


def run_turnwise(url: str, texts: list[str], folder: str) -> dict[str, float]:
    from turnwise import open_model
    from turnwise.llm.chat import ChatRequest, Sampling
    from turnwise.llm.drive import run_all, run_one
    from turnwise.llm.settings import ClientConfig

    def request(text: str) -> ChatRequest:
        return ChatRequest([{"role": "user", "content": text}], Sampling(temperature=0, max_tokens=2048))

    model = open_model(f"m@{url}", ClientConfig(max_concurrency=CAP), cache=Path(folder) / "replies.sqlite")
    wall, cpu = time.perf_counter(), time.process_time()
    failed = sum(reply.failure is not None for reply in run_all(lambda text: model.reply(request(text)), texts))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    run_one(model.close())
    return {"wall": wall, "cpu": cpu, "failed": failed}


def run_inspect(url: str, texts: list[str], folder: str) -> dict[str, float]:
    os.environ.update(LOCAL_BASE_URL=url, LOCAL_API_KEY="none", INSPECT_DISPLAY="none", INSPECT_CACHE_DIR=folder)
    from inspect_ai import Task, eval_set
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig
    from inspect_ai.solver import generate

    task = Task(
        dataset=[Sample(input=text, id=number + 1) for number, text in enumerate(texts)],
        solver=generate(),
        config=GenerateConfig(temperature=0, max_tokens=2048, max_connections=CAP),
        name="judge_prompts",
    )
    wall, cpu = time.perf_counter(), time.process_time()
    settings = {"model": "openai-api/local/m", "max_samples": 2 * CAP, "display": "none", "retry_attempts": 1}
    done, logs = eval_set(task, log_dir=f"{folder}/logs", **settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    answered = sum(log.results.completed_samples for log in logs if log.results)
    return {"wall": wall, "cpu": cpu, "failed": len(texts) - answered if done else len(texts)}


def run_inspect_generate(url: str, texts: list[str], folder: str) -> dict[str, float]:
    """Its model interface alone, with its cache, outside any evaluation: no log, no transcript."""
    os.environ.update(LOCAL_BASE_URL=url, LOCAL_API_KEY="none", INSPECT_CACHE_DIR=folder)
    import asyncio

    from inspect_ai.model import GenerateConfig, get_model

    async def scene() -> int:
        config = GenerateConfig(temperature=0, max_tokens=2048, max_connections=CAP)
        async with get_model("openai-api/local/m", config=config) as model:
            replies = await asyncio.gather(*(model.generate(text, cache=True) for text in texts))
            return sum(not reply.completion for reply in replies)

    wall, cpu = time.perf_counter(), time.process_time()
    failed = asyncio.run(scene())
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "failed": failed}


RUNNERS = {"turnwise": run_turnwise, "inspect_ai_eval": run_inspect, "inspect_ai_generate": run_inspect_generate}


class Server:
    """chat_server.py in a process of its own."""

    def __init__(self, latency: float | str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        script = str(Path(__file__).with_name("chat_server.py"))
        self._process = subprocess.Popen([sys.executable, script, str(port), str(latency), str(CAP)])
        while True:
            try:
                self.answered()
                return
            except OSError:
                time.sleep(0.02)

    def answered(self) -> int:
        with urllib.request.urlopen(self.url + "/models") as reply:  # noqa: S310 - our own server
            return json.loads(reply.read())["answered"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def start(tool: str, python: str, url: str, given: argparse.Namespace, folder: str) -> subprocess.Popen:
    command = [python, __file__, given.prompts, "--worker", tool, "--url", url, "--folder", folder]
    return subprocess.Popen([*command, "--items", str(given.items)], stdout=subprocess.PIPE, text=True)


def measured(process: subprocess.Popen) -> dict[str, float]:
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return json.loads(out.strip().splitlines()[-1])


def killed(tool: str, python: str, server: Server, given: argparse.Namespace, folder: str) -> dict[str, int]:
    """Kill at half of the answers, start again: how many requests the two parts took together."""
    before = server.answered()
    process = start(tool, python, server.url, given, folder)
    while server.answered() - before < given.items // 2:
        assert process.poll() is None, "ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(1.0)
    first = server.answered() - before
    again = measured(start(tool, python, server.url, given, folder))
    return {"first": first, "second": server.answered() - before - first, "failed": int(again["failed"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts")
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--items", type=int, default=640)
    parser.add_argument("--port", type=int, default=8950)
    parser.add_argument("--worker", choices=RUNNERS)
    parser.add_argument("--url")
    parser.add_argument("--folder")
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(RUNNERS[given.worker](given.url, prompts(given.prompts, given.items), given.folder)))
        return
    tools = {tool: sys.executable if tool == "turnwise" else given.peer for tool in RUNNERS}
    given.items = len(prompts(given.prompts, given.items))
    result: dict[str, object] = {"items": given.items, "runs": given.runs}
    for number, latency in enumerate((0.2, 0.0)):
        server = Server(latency, given.port + number)
        runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
        try:
            for _ in range(given.runs):
                for tool, python in tools.items():
                    with tempfile.TemporaryDirectory() as folder:
                        runs[tool].append(measured(start(tool, python, server.url, given, folder)))
            if latency:
                for tool, python in tools.items():
                    with tempfile.TemporaryDirectory() as folder:
                        result[f"killed_{tool}"] = killed(tool, python, server, given, folder)
        finally:
            server.close()
        for tool, found in runs.items():
            wall, cpu = (statistics.median(run[key] for run in found) for key in ("wall", "cpu"))
            result[f"{tool}_at_{latency:g}_s"] = {
                "requests_per_second": round(given.items / wall, 1),
                "wall_ms_per_request": round(wall / given.items * 1000, 3),
                "cpu_ms_per_request": round(cpu / given.items * 1000, 3),
                "failed": max(run["failed"] for run in found),
            }
    result["load_average"] = os.getloadavg()[0]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
