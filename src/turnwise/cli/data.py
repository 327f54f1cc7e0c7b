"""`turnwise data`: look at and convert dialogue files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.output import JsonFlag, note, print_json, print_table, progress
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.data.inspect import Inspection
    from turnwise.data.read import Failure, ReadReport

app = typer.Typer(help="Inspect and convert dialogue files.", no_args_is_help=True)

_SHOWN_FAILURES = 20
_SHOWN_TURNS = 10
_SHOWN_PLACES = 3
_SHOWN_SHARE = 0.0005


class OnError(StrEnum):
    """What to do about a record that cannot be read."""

    stop = "stop"
    skip = "skip"


class Side(StrEnum):
    """The sides of a preference pair."""

    chosen = "chosen"
    rejected = "rejected"


class Paths(StrEnum):
    """Which paths of a message tree become dialogues."""

    all = "all"
    best = "best"


Inputs = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="Files, folders (read recursively), or hub data sets as hf://OWNER/NAME."),
]
FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="Force a format instead of detecting it by content.")
]
RolesOption = Annotated[
    str | None,
    typer.Option(
        "--roles",
        metavar="user=NAME,assistant=NAME",
        help="Who is who: speaker names or labels, or the words first and second.",
    ),
]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="stop at the first unreadable record, or skip it, count it and list it.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Read at most this many dialogues.")]
SplitOption = Annotated[str, typer.Option("--split", help="Split of a hub data set.")]
SideOption = Annotated[Side, typer.Option("--side", help="Side of preference pairs that becomes the dialogue.")]
PathsOption = Annotated[
    Paths, typer.Option("--paths", help="Message trees: a dialogue per leaf, or the best-ranked path only.")
]
_FORMATS_HELP = (
    "Formats, detected by content: messages, sharegpt, alpaca, prompt-response, turn-pairs, transcript, preference, "
    "ranked, oasst-tree, oasst-flat, speakers, labelled-text; in JSON, JSON Lines, Parquet, gzip or text."
)


@app.command("inspect", epilog=_FORMATS_HELP)
def inspect_(
    paths: Inputs,
    format_: FormatOption = None,
    roles: RolesOption = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Show the share of dialogues of at most this many tokens.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="NAME", help="Count tokens with this tokenizer.")
    ] = None,
    on_error: OnErrorOption = OnError.stop,
    limit: LimitOption = None,
    split: SplitOption = "train",
    side: SideOption = Side.chosen,
    tree_paths: PathsOption = Paths.all,
    json_: JsonFlag = False,
) -> None:
    """Show what dialogue files hold: counts, turns, roles, scripts, lengths, duplicates, and problems by file:line.

    Without --tokenizer, token counts are estimates and are called so.
    """
    from turnwise.data.dedup import DuplicateCounter
    from turnwise.data.inspect import inspect_input
    from turnwise.data.length import ESTIMATE, with_tokenizer

    length = ESTIMATE if tokenizer is None else with_tokenizer(tokenizer)
    overall = DuplicateCounter()
    found: list[Inspection] = []
    for path in paths:
        with progress.status(f"reading {path}"):
            found.append(
                inspect_input(
                    path,
                    format=format_,
                    roles=parse_roles(roles),
                    on_error=on_error.value,
                    limit=limit,
                    split=split,
                    side=side.value,
                    tree_paths=tree_paths.value,
                    length=length,
                    overall=overall,
                )
            )
    for inspection in found:
        _print_inspection(inspection, max_length)
        list_failures(inspection.failures)
    if len(found) > 1:
        total = sum(inspection.dialogues for inspection in found)
        print(f"all inputs: {total:,} dialogues, {overall.copies:,} of them exact copies of an earlier one")
    if json_:
        summary = {
            "inputs": [inspection.to_dict(max_length) for inspection in found],
            "dialogues": sum(inspection.dialogues for inspection in found),
            "duplicates": {"copies": overall.copies, "groups": overall.groups},
        }
        print_json(summary)


@app.command(epilog=_FORMATS_HELP)
def convert(
    paths: Inputs,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .jsonl, .jsonl.gz or .parquet.", show_default=False)
    ],
    format_: FormatOption = None,
    roles: RolesOption = None,
    source: Annotated[str | None, typer.Option("--source", help="Set 'source' of every dialogue.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Set 'tier' (such as high, normal, low) of each.")] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep the first of dialogues that say the same.")
    ] = False,
    on_error: OnErrorOption = OnError.stop,
    limit: LimitOption = None,
    split: SplitOption = "train",
    side: SideOption = Side.chosen,
    tree_paths: PathsOption = Paths.all,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Write dialogues of any known format as canonical 'messages' records, with a manifest beside them.

    OUTPUT.manifest.json says what was read, written and dropped. With --on-error skip, OUTPUT.skipped.jsonl lists
    every skipped record with its place and reason. Nothing of the input is lost: unknown keys go to 'metadata'.
    """
    from turnwise.data.convert import convert_dialogues

    with progress.status(f"converting to {output}"):
        done = convert_dialogues(
            paths,
            output,
            overwrite=overwrite,
            source=source,
            tier=tier,
            drop_duplicates=drop_duplicates,
            format=format_,
            roles=parse_roles(roles),
            on_error=on_error.value,
            limit=limit,
            split=split,
            side=side.value,
            tree_paths=tree_paths.value,
        )
    report: ReadReport = done.report
    list_failures(report.failures)
    if report.passed_over:
        note(f"passed over {len(report.passed_over)} files that are no data by their suffix")
    formats = Counter(file.format for file in report.files if file.format is not None)
    print_table(
        f"wrote {output}",
        ["read", "skipped", "duplicates dropped", "written", "formats"],
        [[report.read, report.skipped, done.duplicates, done.written, _files(formats)]],
    )
    if json_:
        summary: dict[str, Any] = {
            "output": str(output),
            "manifest": str(done.manifest),
            "read": report.read,
            "skipped": report.skipped,
            "duplicates_dropped": done.duplicates,
            "written": done.written,
            "formats": dict(formats),
            "failures": [failure.to_dict() for failure in report.failures],
        }
        print_json(summary)


def parse_roles(text: str | None) -> dict[str, str]:
    """`user=A,assistant=B` as a mapping; None gives none.

    Raises:
        ConfigError: It has another form, or names a role twice.
    """
    roles: dict[str, str] = {}
    for part in text.split(",") if text else []:
        role, sign, name = part.partition("=")
        if not sign or not role.strip() or not name.strip() or role.strip() in roles:
            raise ConfigError(f"expected --roles user=NAME,assistant=NAME, found {text!r}")
        roles[role.strip()] = name.strip()
    return roles


def _print_inspection(inspection: Inspection, max_length: int | None) -> None:
    tokens = inspection.to_dict(max_length)["tokens"]
    about = "~" if inspection.is_estimate else ""
    scripts = [f"{script} {share:.1%}" for script, share in inspection.script_shares.items() if share >= _SHOWN_SHARE]
    rows = [
        ["format", _files(inspection.formats)],
        ["dialogues", f"{inspection.dialogues:,}"],
        ["messages", f"{inspection.messages:,} ({_counted(inspection.roles)})"],
        ["characters", f"{inspection.characters:,}"],
        ["dialogues by turns", _turns(inspection.turns)],
        ["letters by script", ", ".join(scripts) or "-"],
        ["exact copies", f"{inspection.duplicates.copies:,} (of {inspection.duplicates.groups:,} dialogues)"],
        ["tokens", f"median {about}{tokens['median']:,.0f}, max {about}{tokens['max']:,}; {inspection.length_measure}"],
    ]
    if max_length is not None:
        label = f"{inspection.share_that_fits(max_length):.1%} of the dialogues"
        rows.append([f"fits {max_length:,} tokens", label + (" (estimate)" if inspection.is_estimate else "")])
    if inspection.failures:
        rows.append(["skipped", f"{len(inspection.failures):,} unreadable"])
    if inspection.passed_over:
        rows.append(["passed over", f"{len(inspection.passed_over):,} files that are no data by their suffix"])
    print_table(inspection.path, ["what", "found"], rows)
    for problem in inspection.ordered_problems:
        print(f"problem: {problem.kind}: {problem.count:,} dialogue{'s' if problem.count != 1 else ''}")
        # One place per line and never wrapped, so that a terminal or an editor can open it.
        for place in problem.places[:_SHOWN_PLACES]:
            print(f"  {place}")
        if problem.count > _SHOWN_PLACES:
            print(f"  and {problem.count - _SHOWN_PLACES:,} more")
    if any(kind.startswith("role not known") for kind in inspection.problems):
        print("who is who? --roles user=first,assistant=second (or speaker names) says it")
    print()


def _turns(turns: Mapping[int, int]) -> str:
    ordered = sorted(turns.items())
    shown = [f"{number}: {count:,}" for number, count in ordered[:_SHOWN_TURNS]]
    rest = ordered[_SHOWN_TURNS:]
    if rest:
        span = f"{rest[0][0]} to {rest[-1][0]}" if len(rest) > 1 else str(rest[0][0])
        shown.append(f"{span}: {sum(count for _, count in rest):,}")
    return ", ".join(shown)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _files(formats: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,} file{'s' if count != 1 else ''})" for name, count in formats.items())


def list_failures(failures: list[Failure]) -> None:
    """Note the first records that could not be read, with place and reason, and how many more there are."""
    for failure in failures[:_SHOWN_FAILURES]:
        place = failure.path if failure.line is None else f"{failure.path}:{failure.line}"
        note(f"skipped {place}: {failure.reason}")
    if len(failures) > _SHOWN_FAILURES:
        note(f"skipped {len(failures) - _SHOWN_FAILURES:,} more")
