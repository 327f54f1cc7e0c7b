"""The readable text of an HTML page, by the standard library's parser: no script, no style, nothing hidden."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

_DROPPED = frozenset(
    ("script", "style", "nav", "noscript", "template", "svg", "iframe", "object", "canvas", "select", "button", "title")
)
_BLOCKS = frozenset(
    re.findall(
        r"\S+",
        "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 "
        "h5 h6 header hr html main ol p pre section summary table tbody tfoot thead tr ul li",
    )
)
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_ENDS_ITSELF = {"p": _BLOCKS, "li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "tr": {"tr"}}
_CELLS = ("td", "th")
_ITEM = "- "
_KEPT = "\0"
"""Stands for a space of preformatted text until all others are collapsed."""
_SPACE = re.compile(r"[^\S\xa0]+|\xa0+")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def html_text(html: str) -> tuple[str, str | None]:
    """The text that a reader of a page sees, and its title.

    Left out are scripts, styles, navigation, comments and what the page itself hides (`hidden`, `aria-hidden`,
    `display: none`): a text that no reader sees could speak to a model alone. Paragraphs and headings are separated by
    blank lines, list items start with `- `, cells of a row are separated by ` | `.

    Args:
        html: The page; broken markup is read as far as it goes.

    Returns:
        (text, title): the title is that of the page, else its first `h1`, else None.
    """
    parser = _Reader()
    parser.feed(html)
    parser.close()
    return parser.text(), parser.title()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, bool]] = []
        self._inside: Counter[str] = Counter()
        self._pieces: list[str] = []
        self._breaks = 0
        self._title: list[str] = []
        self._headings: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self._open and tag in _ENDS_ITSELF.get(self._open[-1][0], ()):
            self._close_to(len(self._open) - 1)
        dropping = self._dropping or tag in _DROPPED or _is_hidden(dict(attrs))
        if not dropping:
            self._begin(tag)
        if tag not in _VOID:
            self._open.append((tag, dropping))
            self._inside[tag] += 1

    def _begin(self, tag: str) -> None:
        if tag == "br":
            self._breaks = min(2, self._breaks + 1)
        elif tag in _BLOCKS:
            self._break_before(tag)
        elif tag in _CELLS and not self._breaks:
            self._pieces.append(" | ")
        if tag == "li":
            self._write(_ITEM)
        elif tag == "h1":
            self._headings.append([])

    def handle_endtag(self, tag: str) -> None:
        if self._inside[tag]:
            place = len(self._open) - 1
            while self._open[place][0] != tag:
                place -= 1
            self._close_to(place)

    def handle_data(self, data: str) -> None:
        inside = self._inside
        if inside["title"] and not inside["svg"]:
            self._title.append(data)
        if self._dropping:
            return
        if inside["h1"]:
            self._headings[-1].append(data)
        if inside["pre"]:
            self._write((data.removeprefix("\n") if self._breaks else data).replace(" ", _KEPT))
            return
        text = _SPACE.sub(" ", data)
        if self._breaks:
            text = text.lstrip(" ")
        if text:
            self._write(text)

    def text(self) -> str:
        lines = "".join(self._pieces).split("\n")
        joined = "\n".join(re.sub(" {2,}", " ", line).strip(" ").replace(_KEPT, " ").rstrip() for line in lines)
        return re.sub(r"\n{3,}", "\n\n", joined).strip("\n")

    def title(self) -> str | None:
        for found in (self._title, *self._headings):
            name = " ".join("".join(found).split())
            if name:
                return name
        return None

    @property
    def _dropping(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _close_to(self, place: int) -> None:
        for tag, dropped in reversed(self._open[place:]):
            if tag in _BLOCKS and not dropped:
                self._break_before(tag)
            self._inside[tag] -= 1
        del self._open[place:]

    def _break_before(self, tag: str) -> None:
        close = tag in ("li", "tr") or (tag == "p" and self._inside["li"] > 0)
        self._breaks = max(self._breaks, 1 if close else 2)

    def _write(self, text: str) -> None:
        if self._pieces and self._pieces[-1] != _ITEM:
            self._pieces.append("\n" * self._breaks)
        self._breaks = 0
        self._pieces.append(text)


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = attributes.get("style") or ""
    return "hidden" in attributes or attributes.get("aria-hidden") == "true" or bool(_HIDDEN_STYLE.search(style))
