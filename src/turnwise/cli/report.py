"""`turnwise report`: write the page of a run folder again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.output import JsonFlag, print_json


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or the folder of a study.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the page. Default: RUN/report.html.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Build the report of a run or of a study: one HTML file that opens offline."""
    from turnwise.report import build_report

    path = build_report(run, output)
    print(path)
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
