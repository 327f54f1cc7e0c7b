"""Converting files to canonical dialogues, with a manifest that says what became of every record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwise.data.dedup import DuplicateCounter
from turnwise.data.dedup import drop_duplicates as without_duplicates
from turnwise.data.formats.common import Side, TreePaths
from turnwise.data.read import Failure, OnError, ReadReport, read_dialogues
from turnwise.data.write import check_output, encode_json, write_dialogues
from turnwise.dialogue import Dialogue
from turnwise.run import Manifest, atomic_path


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did.

    Attributes:
        written: Dialogues written.
        duplicates: Dialogues dropped because an earlier one says the same.
        report: What was read and skipped.
        manifest: The manifest's path.
    """

    written: int
    duplicates: int
    report: ReadReport
    manifest: Path


def convert_dialogues(
    paths: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    source: str | None = None,
    tier: str | None = None,
    drop_duplicates: bool = False,
    format: str | None = None,  # noqa: A002
    roles: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    side: Side = "chosen",
    tree_paths: TreePaths = "all",
) -> Conversion:
    """Read dialogues, write them to `output`, and leave `OUTPUT.manifest.json` beside it.

    Skipped records are listed in `OUTPUT.skipped.jsonl` (path, line, reason). An error leaves no new file.

    Args:
        paths: As in `read_dialogues`.
        output: A `.jsonl`, `.jsonl.gz` or `.parquet` file.
        overwrite: Replace an existing output.
        source: Set on every dialogue.
        tier: Set on every dialogue.
        drop_duplicates: Keep only the first of dialogues that say the same.
        format: As in `read_dialogues`.
        roles: As in `read_dialogues`.
        on_error: As in `read_dialogues`.
        limit: As in `read_dialogues`.
        split: As in `read_dialogues`.
        side: As in `read_dialogues`.
        tree_paths: As in `read_dialogues`.

    Raises:
        DataError: The output exists or has another suffix; or as `read_dialogues`.
    """
    output = check_output(output, overwrite=overwrite)
    manifest_path, skipped_path = (
        output.with_name(output.name + suffix) for suffix in (".manifest.json", ".skipped.jsonl")
    )
    config = {
        "paths": [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)],
        "format": format,
        "roles": dict(roles or {}),
        "on_error": on_error,
        "limit": limit,
        "split": split,
        "side": side,
        "tree_paths": tree_paths,
        "source": source,
        "tier": tier,
        "drop_duplicates": drop_duplicates,
    }
    manifest = Manifest("data convert", config=config)
    report, counter = ReadReport(), DuplicateCounter()
    dialogues = read_dialogues(
        paths,
        format=format,
        roles=roles,
        on_error=on_error,
        limit=limit,
        split=split,
        side=side,
        tree_paths=tree_paths,
        report=report,
    )
    dialogues = _labelled(dialogues, source, tier)
    if drop_duplicates:
        dialogues = without_duplicates(dialogues, counter)
    written = write_dialogues(dialogues, output, overwrite=overwrite)
    dropped = Counter(failure.reason for failure in report.failures)
    if drop_duplicates:
        dropped["duplicate"] = counter.copies
    for file in report.files:
        manifest.add_input(file.path, file.read)
    manifest.add_output(output, report.read + report.skipped, written, dropped)
    write_skipped(report.failures, skipped_path)
    manifest.finish()
    manifest.write(manifest_path)
    return Conversion(written, counter.copies, report, manifest_path)


def _labelled(dialogues: Iterator[Dialogue], source: str | None, tier: str | None) -> Iterator[Dialogue]:
    for dialogue in dialogues:
        if source is not None:
            dialogue.source = source
        if tier is not None:
            dialogue.tier = tier
        yield dialogue


def write_skipped(failures: Sequence[Failure], path: Path) -> None:
    """Write what could not be read as JSON Lines, atomically; remove an earlier list where there is nothing to say."""
    if not failures:
        # A list of an earlier conversion would speak of records that this one did not skip.
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as partial, partial.open("wb") as stream:
        for failure in failures:
            stream.write(encode_json(failure.to_dict()) + b"\n")
