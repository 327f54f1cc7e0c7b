"""The settings of a synthesis, as a file or the command line gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from turnwise.config import PathText, StrictModel
from turnwise.llm.settings import ClientConfig

MAX_FAILED = 0.05

ModeName = Literal["extractive", "direct", "cot", "cod", "cod-stepwise"]


class SynthesisConfig(StrictModel):
    """Which documents become dialogues, how, and what of them is kept."""

    documents: list[PathText] = Field(default_factory=list, description="files and folders of documents")
    mode: ModeName = Field("extractive", description="`extractive` asks no model; the others ask `teacher`")
    teacher: str | None = Field(None, description="who writes: `MODEL@http://host/v1`, `local:FOLDER`, `scripted:FILE`")
    turns: tuple[int, int] = Field((8, 12), description="fewest and most turns that are aimed at")
    coverage: float | None = Field(
        None, gt=0, le=1, description="`extractive`: share of the document that the turns aim to use; null: by `turns`"
    )
    cut: int | None = Field(4000, ge=200, description="characters above which a document is cut; null: none is")
    join: Literal["article"] | None = Field(
        None, description="`article` joins neighbouring paragraphs of one title to over 800 characters, as R2S does"
    )
    text: Literal["file", "lines"] = Field("file", description="a text file is one document, or each of its lines is")
    languages: list[Literal["en", "zh"]] | None = Field(
        None, description="documents in other languages are left out; null: none is"
    )
    same_language: bool = Field(True, description="a dialogue that is not in its document's language is left out")
    require_grounded: bool = Field(
        False, description="cut a dialogue before the first turn whose evidence does not stand in the document"
    )
    min_turns: int = Field(1, ge=1, description="a dialogue with fewer turns is left out")
    max_characters: int | None = Field(None, ge=1, description="a longer dialogue is left out; null: none is")
    near_duplicates: float | None = Field(
        0.8,
        gt=0,
        le=1,
        description="share of common word 5-grams from which a dialogue repeats another; null: not looked",
    )
    max_failed: float = Field(MAX_FAILED, ge=0, le=1, description="largest share of failed documents with exit code 0")
    encoder: str | None = Field(
        None, description="sentence encoder for the coverage rate: `minilm`, a folder or a hub name; null: lexical only"
    )
    limit: int | None = Field(None, ge=1, description="only the first documents of each input")
    dry_run: bool = Field(False, description="a script in the teacher's place; nothing is asked")
    output: PathText | None = Field(None, description="the run folder, or a file of dialogues")
    cache: PathText | None = Field(None, description="file of answered requests; null: in the run folder")
    seed: int = Field(0, description="seed of everything random")
    client: ClientConfig = Field(default_factory=ClientConfig, description="how endpoints and local models are asked")

    @field_validator("turns")
    @classmethod
    def _in_order(cls, turns: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= turns[0] <= turns[1]:
            raise ValueError(f"expected two numbers of turns, the smaller one first, found {turns[0]} and {turns[1]}")
        return turns
