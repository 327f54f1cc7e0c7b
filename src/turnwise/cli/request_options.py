"""Options of the commands that ask models: what may be spent, and where paid replies are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL_FORMS = "a folder, local:NAME, MODEL@http://host/v1, http://host/v1, openai:MODEL, scripted:FILE"

CacheOption = Annotated[Path | None, typer.Option(help="File of answered requests. Default: OUTPUT/requests.sqlite.")]
MaxCostOption = Annotated[float | None, typer.Option(min=0, help="Stop asking at this cost; needs prices.")]
MaxRequestsOption = Annotated[int | None, typer.Option(min=0, help="Stop asking after as many requests.")]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Scripts in place of all models: nothing is asked or paid.")
]
ConfigOption = Annotated[Path | None, typer.Option(help="Configuration file; options win over it.")]
