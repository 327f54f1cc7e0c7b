"""What a mixture is made of, as a configuration file says it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from turnwise.config import PathText, StrictModel
from turnwise.data.corruption import CorruptConfig
from turnwise.data.records import HUB
from turnwise.data.world import WorldConfig

Order = Literal["shuffle", "interleave", "concatenate"]
Duplicates = Literal["keep", "exact", "near"]


class MixSource(StrictModel):
    """One source of a mixture: a file, a folder, a hub data set, or dialogues of the checkable world."""

    path: PathText | None = Field(None, description="A file, a folder, or hf://OWNER/NAME; this or `world`.")
    world: WorldConfig | None = Field(None, description="Dialogues of the checkable world in place of a path.")
    format: str | None = Field(None, description="Force a format; null detects it.")
    roles: dict[str, str] | None = Field(None, description="Speaker labels by role, for data without roles.")
    split: str = Field("train", description="Split of a hub data set.")
    side: Literal["chosen", "rejected"] = Field("chosen", description="Which side of preference pairs to take.")
    tree_paths: Literal["all", "best"] = Field("all", description="Paths of message trees that become dialogues.")
    name: str | None = Field(
        None, description="Recorded as the dialogues' source; null keeps the data's own, or takes the file's name."
    )
    tier: str | None = Field(None, description="Quality label such as high, normal, low; null keeps the data's own.")
    skip: int = Field(0, ge=0, description="Pass over this many dialogues first.")
    limit: int | None = Field(None, gt=0, description="Read at most this many after those.")
    sample: int | float | None = Field(
        None, description="Draw this many (2000) or this share (0.5) of what was read, without replacement."
    )
    weight: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Part of `size`, or of every stretch when interleaving; null is 1."
    )
    cap: int | None = Field(None, gt=0, description="At most this many end up in the mix, drawn by the seed.")
    repeat: int = Field(1, ge=1, description="How often each dialogue may occur; copies get ids of their own.")
    corrupt: list[CorruptConfig] = Field(
        default_factory=list, description="Labelled noise to make in what is taken of this source, in this order."
    )

    @field_validator("sample", mode="before")
    @classmethod
    def _check_sample(cls, value: Any) -> Any:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        is_share = isinstance(value, float) and 0 < value <= 1
        if value is not None and not is_count and not is_share:
            raise ValueError("expected a whole number from 1, or a share with a decimal point above 0 and up to 1.0")
        return value

    @model_validator(mode="after")
    def _check_origin(self) -> MixSource:
        if (self.path is None) == (self.world is None):
            raise ValueError("expected either 'path' or 'world' in a source")
        of_paths = {"format", "roles", "split", "side", "tree_paths"} & self.model_fields_set
        idle = sorted(key for key in of_paths if getattr(self, key) != type(self).model_fields[key].default)
        if self.world is not None and idle:
            raise ValueError(f"'{idle[0]}' says how to read a path; this source is a world")
        return self

    @property
    def label(self) -> str:
        """What the source is called: its name, else the file's or folder's without suffixes, or `world`."""
        if self.name is not None:
            return self.name
        if self.path is None:
            return "world"
        if self.path.startswith(HUB):
            return self.path.removeprefix(HUB)
        name = PurePath(self.path).name or self.path
        for suffix in (".gz", ".jsonl", ".json", ".ndjson", ".parquet", ".txt"):
            name = name.removesuffix(suffix)
        return name


class MixConfig(StrictModel):
    """Everything that `turnwise data mix` can be told."""

    sources: list[MixSource] = Field(min_length=1, description="What to mix, in this order.")
    size: int | None = Field(
        None, gt=0, description="Dialogues in all, drawn from the sources in proportion to their weights."
    )
    order: Order = Field("shuffle", description="How the sources are put together.")
    duplicates: Duplicates = Field("keep", description="Dialogues to drop that repeat an earlier one.")
    near_threshold: float = Field(
        0.8, gt=0, le=1, description="Share of common word 5-grams from which dialogues are near duplicates."
    )
    on_error: Literal["stop", "skip"] = Field("stop", description="What a broken record does; skipped ones are listed.")
    stream: bool = Field(False, description="Work in bounded memory, for sources larger than it.")
    shuffle_buffer: int = Field(10_000, ge=1, description="Streaming: how many dialogues are shuffled at a time.")
    seed: int = Field(0, description="Seed of every draw and of the order.")

    @field_validator("sources", mode="before")
    @classmethod
    def _accept_paths(cls, value: Any) -> Any:
        entries = value if isinstance(value, list) else [value]
        return [{"path": entry} if isinstance(entry, str) else entry for entry in entries]

    @model_validator(mode="after")
    def _check_together(self) -> MixConfig:
        """Refuse settings that could only be ignored, or that streaming cannot keep."""
        if self.size is not None and any(source.cap is not None for source in self.sources):
            raise ValueError("'cap' and 'size' exclude each other: with 'size', weights say how many of each source")
        if self.size is None and self.order != "interleave" and any(source.weight for source in self.sources):
            raise ValueError("'weight' needs 'size' or 'order: interleave'; without them a source is taken whole")
        if self.stream and self.duplicates == "near":
            raise ValueError("near duplicates need all dialogues in memory: set 'stream: false' or 'duplicates: exact'")
        if self.stream and any(source.corrupt for source in self.sources):
            raise ValueError("'corrupt' needs a source in memory: set 'stream: false', or corrupt in a mix of its own")
        return self

    @property
    def weights(self) -> list[float]:
        """The sources' weights, 1 where none is given."""
        return [1.0 if source.weight is None else source.weight for source in self.sources]
