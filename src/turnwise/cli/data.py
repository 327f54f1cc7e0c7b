"""`turnwise data`: look at and convert dialogue files."""

from __future__ import annotations

import typer

app = typer.Typer(help="Inspect and convert dialogue files.", no_args_is_help=True)
