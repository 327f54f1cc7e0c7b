"""`turnwise data mix`: several sources in, one file of dialogues out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.data import list_failures
from turnwise.cli.output import JsonFlag, OverwriteFlag, SetOption, note, print_json, print_table, progress
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from turnwise.data.mix_files import WrittenMixture


def mix(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="MIX.yaml", help="Configuration file, or the .manifest.json of a mixture to build it again."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .jsonl, .jsonl.gz or .parquet.", show_default=False)
    ],
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of every draw and of the order.")] = None,
    settings: SetOption = None,
    overwrite: OverwriteFlag = False,
    json_: JsonFlag = False,
) -> None:
    """Mix dialogues of several sources: by weight, in shares, without duplicates, with labelled noise.

    OUTPUT.manifest.json holds the configuration, the hashes of all inputs and what became of every source. Given in
    place of a configuration, it builds the same file again, and refuses when an input has changed.

    Example: turnwise data mix mix.yaml --output mixed.jsonl
    """
    from turnwise.config import load_config
    from turnwise.data.mix_config import MixConfig
    from turnwise.data.mix_files import rebuild_mixture, write_mixture

    with progress.status(f"mixing to {output}"):
        if config.name.endswith("manifest.json"):
            if settings or seed is not None:
                raise ConfigError("a mixture that is built again from its manifest takes no --set and no --seed")
            done = rebuild_mixture(config, output, overwrite=overwrite)
        else:
            chosen = load_config(MixConfig, config, overrides=settings or (), values={"seed": seed})
            done = write_mixture(chosen, output, overwrite=overwrite)
    list_failures(done.mixture.failures)
    passed_over = sum(len(report.passed_over) for report in done.mixture.reports)
    if passed_over:
        note(f"passed over {passed_over} files that are no data by their suffix")
    _print_counts(done)
    if json_:
        print_json(
            {
                "output": str(done.output),
                "manifest": str(done.manifest),
                "written": done.written,
                "content_sha256": done.content_sha256,
                "sources": [counts.to_dict() for counts in done.mixture.counts],
                "failures": [failure.to_dict() for failure in done.mixture.failures],
            }
        )


def _print_counts(done: WrittenMixture) -> None:
    sources = done.mixture.counts
    reasons = list(dict.fromkeys(reason for counts in sources for reason in counts.dropped))
    labelled = any(counts.noise for counts in sources)
    columns = ["source", "tier", "found", *reasons, "repeated", "written", *["noise"] * labelled, "share"]
    rows: list[list[Any]] = [
        [
            *(counts.name, counts.tier, counts.found),
            *(counts.dropped[reason] for reason in reasons),
            *(counts.repeated, counts.written),
            *[counts.noise.total() - counts.noise["clean"]] * labelled,
            f"{counts.written / done.written:.1%}",
        ]
        for counts in sources
    ]
    print_table(f"wrote {done.output}: {done.written:,} dialogues", columns, rows)
