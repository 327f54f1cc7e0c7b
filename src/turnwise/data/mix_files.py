"""Writing a mixture with its manifest, and building the same mixture again from the manifest alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.config import load_config
from turnwise.data.convert import write_skipped
from turnwise.data.corruption import donor_files
from turnwise.data.mix_config import MixConfig
from turnwise.data.mixture import Mixture, mix_dialogues
from turnwise.data.records import HUB
from turnwise.data.write import check_output, encode_json, write_dialogues
from turnwise.dialogue import Dialogue
from turnwise.errors import DataError, RunError
from turnwise.run import Manifest, file_digest, read_manifest

COMMAND = "data mix"


@dataclass(frozen=True, slots=True)
class WrittenMixture:
    """A mixture that was written.

    Attributes:
        mixture: Its counts, files and failures; its dialogues are in the output.
        written: Dialogues in the output.
        output: The file.
        manifest: The manifest's path.
        content_sha256: SHA-256 of the dialogues as JSON Lines: what `sha256sum` says of a `.jsonl` output, and the
            same for the other forms.
    """

    mixture: Mixture
    written: int
    output: Path
    manifest: Path
    content_sha256: str


def write_mixture(config: MixConfig, output: str | Path, *, overwrite: bool = False) -> WrittenMixture:
    """Mix dialogues, write them to `output`, and leave `OUTPUT.manifest.json` beside it.

    Records that could not be read are listed in `OUTPUT.skipped.jsonl`. An error leaves no new file.

    Args:
        config: What to mix.
        output: A `.jsonl`, `.jsonl.gz` or `.parquet` file.
        overwrite: Replace an existing output.

    Raises:
        DataError: The output exists, has another suffix, or is one of the sources; or as `mix_dialogues`.
    """
    return _write(config, output, overwrite, None)


def rebuild_mixture(manifest: str | Path, output: str | Path, *, overwrite: bool = False) -> WrittenMixture:
    """Write the mixture that a manifest describes once more, and make sure that it is the same.

    Args:
        manifest: The `.manifest.json` of a mixture.
        output: As in `write_mixture`; the form may differ from the first one's.
        overwrite: Replace an existing output.

    Raises:
        RunError: It is no manifest of a mixture, an input has changed since, or the result is not the same.
        DataError: As `write_mixture`.
    """
    earlier = read_manifest(manifest)
    if earlier.get("command") != COMMAND:
        raise RunError(f"{manifest}: expected a manifest of 'turnwise {COMMAND}', found {earlier.get('command')!r}")
    for entry in earlier["inputs"]:
        _check_unchanged(entry, manifest)
    return _write(load_config(MixConfig, values=earlier["config"]), output, overwrite, (str(manifest), earlier))


def _check_unchanged(entry: dict[str, Any], manifest: str | Path) -> None:
    path = Path(entry["path"])
    if entry["sha256"] is None:  # a hub data set: only the result can tell
        return
    if not path.is_file():
        raise RunError(
            f"{path}: this input of {manifest} is not there", hint="paths are relative to where the mix was made"
        )
    if file_digest(path) != entry["sha256"]:
        raise RunError(
            f"{path}: this input has changed since {manifest} was written",
            hint="restore the file, or mix anew from the configuration",
        )


def _write(
    config: MixConfig, output: str | Path, overwrite: bool, earlier: tuple[str, dict[str, Any]] | None
) -> WrittenMixture:
    output = check_output(output, overwrite=overwrite)
    _check_apart(config, output)
    manifest = Manifest(COMMAND, config=config.model_dump(mode="json"), seeds={"seed": config.seed})
    manifest_path, skipped_path = (
        output.with_name(output.name + suffix) for suffix in (".manifest.json", ".skipped.jsonl")
    )
    mixture = mix_dialogues(config)
    digest = hashlib.sha256()

    def passing() -> Iterator[Dialogue]:
        for dialogue in mixture.dialogues:
            digest.update(encode_json(dialogue.to_dict()) + b"\n")
            yield dialogue
        # Raised inside the write, so that a mixture which is not the same leaves no file.
        if earlier is not None:
            _check_same(*earlier, digest.hexdigest(), mixture)

    written = write_dialogues(passing(), output, overwrite=overwrite)
    records: dict[str, int] = {}
    for file in mixture.files:
        records[file.path] = max(file.read, records.get(file.path, 0))
    for path, count in records.items():
        manifest.add_input(path, count)
    donors = {file for source in config.sources for noise in source.corrupt for file in donor_files(noise)}
    for donor in sorted(donors):
        manifest.add_input(donor)
    dropped: Counter[str] = sum((counts.dropped for counts in mixture.counts), Counter())
    manifest.add_output(output, sum(counts.found for counts in mixture.counts), written, dropped)
    manifest.outputs[0]["content_sha256"] = digest.hexdigest()
    manifest.outputs[0]["sources"] = [counts.to_dict() for counts in mixture.counts]
    write_skipped(mixture.failures, skipped_path)
    manifest.finish()
    manifest.write(manifest_path)
    return WrittenMixture(mixture, written, output, manifest_path, digest.hexdigest())


def _check_same(manifest: str, earlier: dict[str, Any], found: str, mixture: Mixture) -> None:
    (before,) = earlier["outputs"]
    if before.get("content_sha256") == found:
        return
    known = {entry["path"] for entry in earlier["inputs"]}
    new = [file.path for file in mixture.files if file.path not in known]
    why = f"a folder now holds {new[0]}" if new else "the inputs' files are the same"
    raise RunError(
        f"{manifest}: the mixture came out differently; {why}",
        hint="versions that the manifest lists and those installed may differ, or a hub data set has changed",
    )


def _check_apart(config: MixConfig, output: Path) -> None:
    """Refuse an output that is a source, or would be one the next time."""
    target = output.resolve()
    for source in config.sources:
        if source.path is None or source.path.startswith(HUB):
            continue
        path = Path(source.path).resolve()
        if path == target or path in target.parents:
            raise DataError(f"the output is, or lies in, the source {source.path}", path=output)
