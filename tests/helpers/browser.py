"""Pages in headless Chromium, and texts that would run something on a careless one."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
]


def dom(page: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the browser logged."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def hostile_texts(url: str) -> list[str]:
    return [
        f"<script>document.title='PWNED';fetch('{url}/script')</script>",
        f"</script><script>document.title='PWNED';fetch('{url}/closed')</script>",
        f"\"><img src='{url}/image' onerror=\"document.title='PWNED'\">",
        f"<link rel=stylesheet href='{url}/style'><iframe src='{url}/frame'></iframe>",
    ]


def measured(page: Path, driver: str, profile: Path) -> tuple[Any, str]:
    """What a script that is appended to the page finds there, and the log; its hash is added to the policy.

    The script is the body of a function that returns a JSON value, or a promise of one.
    """
    source = page.read_text(encoding="utf-8")
    found = f"Promise.resolve((() => {{ {driver} }})())"
    driver = f"{found}.then((value) => document.body.append(`RESULT${{JSON.stringify(value)}}END`));"
    digest = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    source = source.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{driver}</script></body>"
    )
    page.write_text(source, encoding="utf-8")
    after, log = dom(page, profile)
    return json.loads(html.unescape(re.findall(r"RESULT(\{.*?\})END", after)[-1])), log
