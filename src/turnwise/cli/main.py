"""The `turnwise` command: one subcommand per stage, each in its own file beside this one."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from turnwise._version import __version__
from turnwise.cli import data, ledger, quickstart, report, train
from turnwise.cli.output import progress
from turnwise.errors import TurnwiseError

app = typer.Typer(
    name="turnwise",
    help="Fine-tune language models on multi-turn dialogues of mixed quality, and see which supervision was "
    "unreliable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("ledger")(ledger.ledger)
app.command("report")(report.report)
app.command("quickstart")(quickstart.quickstart)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"turnwise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a stated limit was passed, 2 change something, 130 interrupted."""
    try:
        app()
    except TurnwiseError as error:
        progress.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        progress.print("interrupted; --resume continues a run", soft_wrap=True)
        sys.exit(130)
