"""turnwise's client beside distilabel and bespokelabs-curator: the same prompts for dialogues, the same server.

Usage: python benchmarks/peers_synthesis.py DOCUMENTS... [--distilabel PYTHON] [--curator PYTHON] [--runs 3]

DOCUMENTS are files that `turnwise.data.read.read_documents` reads; each document becomes one prompt. PYTHON is an
interpreter that has the tool. Each run is a process of its own, the tools alternate, and the clock runs inside, without
the import of the tool but with everything that it does to be safe (turnwise: every reply committed to its cache;
distilabel: its pipeline with batches written to its cache; curator: every response in its file). A run with few
requests shows what is spent once. Then each is killed (SIGKILL, with its child processes) at half of the answers and
started again. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers_llm import Server

CAP = 64
LATENCY = "0.05-0.2"
FEW = 16
HANGS_AFTER = 90
"""Seconds after which a run that was started again, and has half of its work left, is said to hang."""
TEMPLATE = """Write a conversation of eight turns between a user and an assistant about the document below. The user
asks, states or doubts something about it; the assistant answers from the document alone. Answer with one JSON object:
{{"turns": [{{"user": "...", "assistant": "..."}}]}}

Document:

{text}"""


def write_prompts(paths: list[str], number: int, target: Path) -> int:
    from turnwise.data.read import read_documents

    texts = list(dict.fromkeys(TEMPLATE.format(text=one.text) for one in read_documents(paths)))[:number]
    target.write_text(json.dumps(texts), encoding="utf-8")
    return len(texts)


def run_turnwise(url: str, texts: list[str], folder: str) -> int:
    from turnwise import open_model
    from turnwise.llm.chat import ChatRequest, Sampling
    from turnwise.llm.drive import run_all, run_one
    from turnwise.llm.settings import ClientConfig

    def request(text: str) -> ChatRequest:
        return ChatRequest([{"role": "user", "content": text}], Sampling(temperature=0, max_tokens=2048))

    model = open_model(f"m@{url}", ClientConfig(max_concurrency=CAP), cache=Path(folder) / "replies.sqlite")
    answered = sum(reply.failure is None for reply in run_all(lambda text: model.reply(request(text)), texts))
    run_one(model.close())
    return answered


def run_distilabel(url: str, texts: list[str], folder: str) -> int:
    from distilabel.models.llms import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="dialogues", cache_dir=folder) as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": text} for text in texts], batch_size=CAP)
        model = OpenAILLM(
            model="m", base_url=url, api_key="none", generation_kwargs={"temperature": 0, "max_new_tokens": 2048}
        )
        load >> TextGeneration(llm=model, input_batch_size=CAP, name="write")
    done = pipeline.run(use_cache=True)
    return sum(bool(row["generation"]) for row in done["default"]["train"])


def run_curator(url: str, texts: list[str], folder: str) -> int:
    from bespokelabs import curator

    model = curator.LLM(
        model_name="m",
        backend="openai",
        generation_params={"temperature": 0, "max_tokens": 2048},
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_concurrent_requests": CAP,
            "max_requests_per_minute": 1_000_000,
            "max_tokens_per_minute": 1_000_000_000,
        },
    )
    done = model(texts, working_dir=folder)
    return sum(bool(row["response"]) for row in getattr(done, "dataset", done))


RUNNERS = {"turnwise": run_turnwise, "distilabel": run_distilabel, "curator": run_curator}
IMPORTS = {"turnwise": "turnwise", "distilabel": "distilabel.pipeline", "curator": "bespokelabs.curator"}


def work(tool: str, url: str, texts: list[str], folder: str) -> dict[str, float]:
    """One run in this process: wall time, processor time of it and its children, answers."""
    os.environ.update(
        OPENAI_API_KEY="none",
        HF_HUB_OFFLINE="1",
        HF_HOME=folder,
        HF_DATASETS_CACHE=f"{folder}/hf",
        TELEMETRY_ENABLED="0",
        CURATOR_DISABLE_RICH_DISPLAY="1",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    if tool == "curator":
        # It counts tokens with a table that it would download; litellm, which it depends on, brings the same file.
        tables = Path(importlib.util.find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers"
        os.environ["TIKTOKEN_CACHE_DIR"] = str(tables)
    importlib.import_module(IMPORTS[tool])
    wall, before = time.perf_counter(), os.times()
    answered = RUNNERS[tool](url, texts, folder)
    wall, after = time.perf_counter() - wall, os.times()
    return {"wall": wall, "cpu": sum(after[:4]) - sum(before[:4]), "answered": answered}


def start(tool: str, python: str, url: str, prompts: Path, number: int, folder: str) -> subprocess.Popen:
    command = [python, "-W", "ignore", __file__, "--worker", tool, "--url", url, "--folder", folder]
    return subprocess.Popen(
        [*command, "--prompts", str(prompts), "--items", str(number)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # so that a kill takes the tool's own processes with it
    )


def measured(process: subprocess.Popen, limit: float = 300) -> dict[str, float]:
    try:
        out, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, out
    return json.loads(out.strip().splitlines()[-1])


def killed(tool: str, python: str, server: Server, prompts: Path, number: int) -> dict[str, float]:
    """Kill at half of the answers, start again: how many requests the two parts took together."""
    with tempfile.TemporaryDirectory() as folder:
        before = server.answered()
        process = start(tool, python, server.url, prompts, number, folder)
        while server.answered() - before < number // 2:
            assert process.poll() is None, "ended before it was killed"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(0.5)
        first = server.answered() - before
        try:
            again = measured(start(tool, python, server.url, prompts, number, folder), HANGS_AFTER)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            second = server.answered() - before - first
            return {"first": first, "second": second, "not_resumed": type(error).__name__}
        second = server.answered() - before - first
        return {"first": first, "second": second, "again": first + second - number, "answered": again["answered"]}


def compare(tools: dict[str, str], server: Server, prompts: Path, number: int, runs: int) -> dict[str, object]:
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    loads = [os.getloadavg()[0]]
    for _ in range(runs):
        for tool, python in tools.items():
            for size in (FEW, number):
                with tempfile.TemporaryDirectory() as folder:
                    one = measured(start(tool, python, server.url, prompts, size, folder))
                found.setdefault((tool, size), []).append(one)
        loads.append(os.getloadavg()[0])
    result: dict[str, object] = {}
    for tool in tools:
        middle = {
            (size, key): statistics.median(run[key] for run in found[tool, size])
            for size in (FEW, number)
            for key in ("wall", "cpu")
        }
        walls = [run["wall"] for run in found[tool, number]]
        result[tool] = {
            "requests_per_second": round(number / middle[number, "wall"], 1),
            "lowest_and_highest": [round(number / max(walls), 1), round(number / min(walls), 1)],
            "wall_seconds": round(middle[number, "wall"], 2),
            "wall_seconds_of_16": round(middle[FEW, "wall"], 2),
            "cpu_ms_per_request": round(middle[number, "cpu"] / number * 1000, 2),
            "cpu_ms_per_further_request": round(
                (middle[number, "cpu"] - middle[FEW, "cpu"]) / (number - FEW) * 1000, 2
            ),
            "wall_ms_per_further_request": round(
                (middle[number, "wall"] - middle[FEW, "wall"]) / (number - FEW) * 1000, 2
            ),
            "answered": min(run["answered"] for run in found[tool, number]),
        }
    result["load_average"] = [round(min(loads), 1), round(max(loads), 1)]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", nargs="*")
    parser.add_argument("--distilabel", metavar="PYTHON")
    parser.add_argument("--curator", metavar="PYTHON")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--port", type=int, default=8970)
    parser.add_argument("--worker", choices=RUNNERS)
    parser.add_argument("--url")
    parser.add_argument("--folder")
    parser.add_argument("--prompts", type=Path)
    given = parser.parse_args()
    if given.worker:
        texts = json.loads(given.prompts.read_text(encoding="utf-8"))[: given.items]
        print(json.dumps(work(given.worker, given.url, texts, given.folder)))
        return
    tools = {"turnwise": sys.executable, "distilabel": given.distilabel, "curator": given.curator}
    tools = {tool: python for tool, python in tools.items() if python}
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.json"
        number = write_prompts(given.documents, given.items, prompts)
        result: dict[str, object] = {"items": number, "runs": given.runs}
        for place, latency in enumerate((LATENCY, "0")):
            server = Server(latency, given.port + place)
            try:
                if given.runs:
                    result[f"at_{latency}_s"] = compare(tools, server, prompts, number, given.runs)
                if place == 0:
                    result["killed"] = {
                        tool: [killed(tool, python, server, prompts, number) for _ in range(given.kills)]
                        for tool, python in tools.items()
                    }
            finally:
                server.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
