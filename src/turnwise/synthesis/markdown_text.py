"""The readable text of a Markdown file, by the parser that rich brings along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from turnwise.synthesis.html_text import html_text

_FRONT = re.compile(r"\A---[^\S\n]*\n(.*?)(?:^|\n)(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_HAN_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")


def markdown_text(markdown: str) -> tuple[str, str | None, dict[str, Any]]:
    """The text of a Markdown file without its markup.

    Paragraphs and headings are separated by blank lines and each stands on one line; list items start with `- ` or
    their number, cells of a row are separated by ` | `, code stands as it is; links and images leave their text.

    Args:
        markdown: CommonMark with tables; a front matter in YAML may come first.

    Returns:
        (text, title, front matter): the title is the front matter's `title`, else the first heading, else None; the
        front matter is empty where there is none, or none that is a YAML mapping (it is then text).
    """
    from markdown_it import MarkdownIt

    front, body = _front_matter(markdown)
    blocks: list[str] = []
    first_heading: str | None = None
    prefix = ""
    row: list[str] | None = None
    depth: list[str] = []
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    for place, token in enumerate(tokens):
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            depth.append(kind)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            depth.pop()
        elif kind == "list_item_open":
            mark = f"{token.info}{token.markup}" if token.info else "-"
            prefix = "  " * (len(depth) - 1) + mark + " "
        elif kind == "tr_open":
            row = []
        elif kind == "tr_close" and row is not None:
            blocks += ["\n" if _in_table(tokens, place) else "\n\n", " | ".join(row)]
            row = None
        elif kind in ("inline", "fence", "code_block", "html_block"):
            text = _inline(token.children or []) if kind == "inline" else token.content.strip("\n")
            text = html_text(text)[0] if kind == "html_block" else text
            if row is not None:
                row.append(text)
                continue
            if kind == "inline" and first_heading is None and tokens[place - 1].type == "heading_open":
                first_heading = text
            if text:
                blocks += ["\n" if prefix and blocks and depth and _follows_item(blocks) else "\n\n", prefix + text]
                prefix = ""
    given = front.get("title")
    title = str(given).strip() if isinstance(given, str | int | float) and str(given).strip() else first_heading
    return "".join(blocks).strip("\n"), title or None, front


def _front_matter(markdown: str) -> tuple[dict[str, Any], str]:
    found = _FRONT.match(markdown)
    if found is None:
        return {}, markdown
    try:
        front = yaml.safe_load(found.group(1))
    except yaml.YAMLError:
        return {}, markdown
    return (front, markdown[found.end() :]) if isinstance(front, dict) else ({}, markdown)


def _inline(children: Sequence[Any]) -> str:
    pieces = []
    for child in children:
        if child.type in ("text", "code_inline"):
            pieces.append(child.content)
        elif child.type == "softbreak":
            pieces.append("\n")
        elif child.type == "hardbreak":
            pieces.append("\x00")
        elif child.type == "image":
            pieces.append(_inline(child.children or []))
    text = _HAN_BREAK.sub("", "".join(pieces)).replace("\n", " ")
    return text.replace("\x00", "\n").strip()


def _follows_item(blocks: Sequence[str]) -> bool:
    return bool(re.match(r"\s*(?:-|\d+[.)])\s", blocks[-1]))


def _in_table(tokens: Sequence[Any], place: int) -> bool:
    """Whether a row stands before this one in its table."""
    while tokens[place].type != "table_open":
        place -= 1
        if tokens[place].type == "tr_close":
            return True
    return False
