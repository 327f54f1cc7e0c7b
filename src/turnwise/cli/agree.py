"""`turnwise agree`: how far judgments agree with people, with themselves, and with the length of answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, SeedOption, note, print_json, print_table, progress

if TYPE_CHECKING:
    from turnwise.judging.agreement import AgreementRow
    from turnwise.judging.votes import Vote


def agree(
    judgments: Annotated[
        Path,
        typer.Argument(
            metavar="JUDGMENTS", help="judgments.jsonl or its run folder, a FastChat judgment file, or a table."
        ),
    ],
    human: Annotated[
        Path | None, typer.Argument(metavar="[HUMAN]", help="Ratings of people, in any of these forms.")
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option("--answers", metavar="FILE", help="Answers, for the length bias; may be given several times."),
    ] = None,
    criterion: Annotated[
        str | None, typer.Option("--criterion", metavar="NAME", help="Only judgments and ratings of this criterion.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of the bootstrap.")] = 1000,
    seed: SeedOption = 0,
    json_: JsonFlag = False,
) -> None:
    """Agreement statistics with 95 % intervals, each over whole items.

    Without HUMAN, what one file can say of itself: how far repeated judgments differ, how often a comparison's verdict
    changes with the order of the answers. Tables are CSV, JSON Lines, JSON or Parquet, with the columns item, turn,
    model, criterion, rater, and score or winner.

    Example: turnwise agree runs/mt/judgments.jsonl ratings.csv
    """
    from turnwise.errors import ConfigError
    from turnwise.judging.agreement import Agreement, Agreements
    from turnwise.judging.votes import read_lengths, read_votes

    statistics = Agreements(seed=seed, draws=draws)
    with progress.status("reading"):
        judged = _of(read_votes(judgments), criterion, judgments)
        rated = _of(read_votes(human), criterion, human) if human is not None else None
        lengths: dict[Any, float] = {}
        for path in answers or []:
            lengths.update(read_lengths(path))
    with progress.status("computing"):
        found = Agreement() if rated is None else statistics.with_people(judged, rated)
        found.rows += statistics.with_itself(judged)
        without_length = 0
        if lengths:
            rows, without_length = statistics.with_length(judged, lengths)
            found.rows += rows
    if not found.rows:
        raise ConfigError(
            "nothing to compare: no ratings, no repeated judgments, no comparisons in both orders",
            hint="give a file of human ratings, or --answers for the length bias",
        )
    _print(found.rows)
    if rated is None:
        found.unscored = sum(vote.is_unscored for vote in judged)
    else:
        note(f"joined by {', '.join(found.joined_by)}")
    for count, what in (
        (found.only_judged, "judged answers have no rating"),
        (found.only_rated, "rated answers have no judgment"),
        (found.unscored, "judgments or ratings have no score"),
        (without_length, "judged answers are not among --answers"),
    ):
        if count:
            note(f"{count} {what}")
    if json_:
        print_json({**found.to_dict(), "judgments": len(judged), "without_length": without_length})


def _of(votes: list[Vote], criterion: str | None, path: Path) -> list[Vote]:
    """The votes of one criterion; a file that names none is taken as it is."""
    from turnwise.errors import DataError

    if criterion is None or all(vote.criterion is None for vote in votes):
        return votes
    kept = [vote for vote in votes if vote.criterion == criterion]
    if not kept:
        known = ", ".join(sorted({str(vote.criterion) for vote in votes}))
        raise DataError(f"expected the criterion {criterion!r}, found {known}", path=path)
    return kept


def _print(rows: list[AgreementRow]) -> None:
    print_table(
        "agreement, with 95 % intervals over items",
        ["judge", "statistic", "value", "low", "high", "n", "items"],
        [
            [
                row.about,
                row.statistic,
                row.figure.value,
                row.figure.low,
                row.figure.high,
                row.figure.n,
                row.figure.items,
            ]
            for row in rows
        ],
    )
