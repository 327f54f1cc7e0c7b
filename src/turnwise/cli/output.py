"""What every command prints, and where: progress to stderr, results to stdout, `--json` as the last line of stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
    progress.print(escape(text), soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table to stdout. Cells are shown as they are (no markup); floats with four significant digits."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) or row[number] is None for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(format_cell(cell)) for cell in row))
    # Piped or in a log there is no terminal to fit; 80 columns would fold most tables.
    width = None if sys.stdout.isatty() else 140
    Console(file=sys.stdout, highlight=False, width=width).print(table)


def format_cell(cell: Any) -> str:
    """A cell as text: four significant digits for floats, a dash for None."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object as one line on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
