"""What every command prints, and where: progress to stderr, results to stdout, `--json` as the last line of stdout."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

progress = Console(stderr=True, highlight=False)
"""Progress and notes. Never results."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, for example trainer.learning_rate=1e-5."),
]
ResumeFlag = Annotated[bool, typer.Option("--resume", help="Continue the run that the output holds.")]
OverwriteFlag = Annotated[bool, typer.Option("--overwrite", help="Replace what the output holds.")]


def note(text: str) -> None:
    """Print one line of progress; the text is shown as it is (no markup, no wrapping: it may hold a path)."""
    progress.print(plain(text), soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """Text to print as it is: no markup, no emoji names; control characters, which could steer a terminal, escaped."""
    shown = "".join(
        char if char == "\n" or not (unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI) else _escaped(char)
        for char in text
    )
    return Text(shown, style=style)


_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of everything printed after them."""


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table to stdout. Cells are shown as they are (no markup); floats with four significant digits."""
    table = Table(show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) or row[number] is None for row in rows)
        table.add_column(plain(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(format_cell(cell)) for cell in row))
    # Piped or in a log there is no terminal to fit; 80 columns would fold most tables. COLUMNS wins, as in rich.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
    console = Console(file=sys.stdout, highlight=False, width=width)
    console.print(plain(title, "italic"), soft_wrap=True)  # apart from the table, which would wrap a path in it
    console.print(table)


def format_cell(cell: Any) -> str:
    """A cell as text: four significant digits for floats, a dash for None."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object as one line on stdout; escaped where the terminal's encoding cannot show its text."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
