"""Templates to a page.

The page is one file with no outside reference: its style and its script are inside it and named by hash in a content
security policy that forbids everything else, so even text that escaped escaping could load and run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from turnwise._version import __version__
from turnwise.report.text import MISSING, number, percent, visible


def render_page(template: str, *, scripts: Sequence[str] = ("report.js",), **values: Any) -> str:
    """A template of this package with the style, the scripts as one, and the policy that allows these two alone."""
    style, script = _asset("report.css"), "\n".join(_asset(name) for name in scripts)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),  # noqa: S704 - packaged with this module, holds no data
            script=Markup(script),  # noqa: S704
            version=__version__,
            **values,
        )
    )


def embedded_json(value: Any) -> Markup:
    """A value as JSON that may stand in a script element of type `application/json`: it cannot end the element.

    Texts pass `visible`. Nothing runs it: the page's script parses it as data.
    """
    text = json.dumps(_visible_texts(value), ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - it holds none of the characters that markup is made of


def _visible_texts(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {key: _visible_texts(one) for key, one in value.items()}
    return [_visible_texts(one) for one in value] if isinstance(value, list | tuple) else value


def _environment() -> jinja2.Environment:
    """Autoescape on for every template; undefined names are errors; text passes `visible` before it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("turnwise.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent)
    return environment


def _finalize(value: Any) -> Any:
    if value is None:
        return MISSING
    return visible(value) if isinstance(value, str) else value


def _asset(name: str) -> str:
    text = resources.files("turnwise.report").joinpath("templates", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
