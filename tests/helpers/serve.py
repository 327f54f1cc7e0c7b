"""`transformers serve` with a small model on the CPU: a real OpenAI-compatible server that is not ours."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 120
_OPTIONS = ("--device", "cpu", "--dtype", "float32", "--continuous-batching")
# Without these two the server sizes its memory by the machine's and is not reachable for minutes.
_SMALL = ("--cb-num-blocks", "64", "--cb-max-batch-tokens", "512")


@contextlib.contextmanager
def transformers_serve(model: Path, log: Path) -> Iterator[str]:
    """Serve a model; gives the name to open it by (`PATH@http://127.0.0.1:PORT/v1`), and ends the server after.

    Args:
        model: The model's folder.
        log: Where the server's output goes.
    """
    port = _free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), *_OPTIONS, *_SMALL]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
        yield f"{model}@http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError), direct.open(address, timeout=5) as reply:
            if reply.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"transformers serve did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
