"""`turnwise stats`: the statistics of a study on numbers of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, note, print_json, print_table
from turnwise.errors import ConfigError, DataError

if TYPE_CHECKING:
    from turnwise.statistics.correlation import Correlation

app = typer.Typer(help="Statistics for few points and few seeds.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `spearman` a subcommand while it is the only one."""


@app.command()
def spearman(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A table: CSV, JSON Lines, JSON or Parquet.", show_default=False),
    ] = None,
    x: Annotated[str | None, typer.Option("--x", metavar="COLUMN", help="For example a complexity.")] = None,
    y: Annotated[str | None, typer.Option("--y", metavar="COLUMN", help="For example a quality score.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="One correlation per value of it.")] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="A,B,...",
            help="Instead of a file: y, in order of x = 1, 2, ... Given twice: x, then y.",
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Rank correlation with ties, with the exact two-sided permutation p-value up to 10 points."""
    from turnwise.statistics.correlation import spearman as correlate

    groups = _from_values(values, file, (x, y, by)) if values else _from_file(file, x, y, by)
    found = {name: correlate(xs, ys) for name, (xs, ys) in groups.items()}
    print_table(
        f"Spearman correlation of {x or 'order'} and {y or 'values'}",
        (by or "series", "rho", "p", "smallest p", "n"),
        [(name, one.rho, one.p, one.smallest_p, one.n) for name, one in found.items()],
    )
    for name, one in found.items():
        if one.reason is not None:
            note(f"{name}: no correlation, {one.reason}")
        elif one.smallest_p is not None and one.smallest_p > 0.05:
            note(f"{name}: with {one.n} points p cannot be below {one.smallest_p:.3g}")
        elif not one.exact:
            note(f"{name}: p is the t approximation, as there are more than 10 points")
    if json:
        print_json({"spearman": [_row(name, one) for name, one in found.items()]})


Groups = dict[str, tuple[list[float], list[float]]]


def _from_values(values: list[str], file: Path | None, columns: tuple[str | None, ...]) -> Groups:
    if file is not None or any(columns):
        raise ConfigError("--values stands instead of a file and its columns; found both")
    if len(values) > 2:
        raise ConfigError(f"expected --values once (y) or twice (x, then y), found it {len(values)} times")
    try:
        lists = [[float(text) for text in one.split(",")] for one in values]
    except ValueError as error:
        raise ConfigError(f"--values: expected numbers separated by commas ({error})") from None
    ys = lists[-1]
    xs = lists[0] if len(lists) == 2 else [float(place) for place in range(1, len(ys) + 1)]
    if len(xs) != len(ys):
        raise ConfigError(f"--values: expected as many x as y, found {len(xs)} and {len(ys)}")
    return {"values": (xs, ys)}


def _from_file(file: Path | None, x: str | None, y: str | None, by: str | None) -> Groups:
    from turnwise.data.columns import as_value, read_rows

    if file is None or x is None or y is None:
        raise ConfigError("expected FILE with --x and --y, or --values")
    groups: Groups = {}
    for line, row in read_rows(file, [x, y] if by is None else [x, y, by]):
        xs, ys = groups.setdefault("all" if by is None else str(row[by]), ([], []))
        xs.append(as_value(row[x], x, file, line))
        ys.append(as_value(row[y], y, file, line))
    if not groups:
        raise DataError("expected at least one row, found none", path=file)
    return groups


def _row(name: str, one: Correlation) -> dict[str, Any]:
    return {
        "series": name,
        "rho": one.rho,
        "p": one.p,
        "smallest_p": one.smallest_p,
        "n": one.n,
        "exact": one.exact,
        "reason": one.reason,
    }
