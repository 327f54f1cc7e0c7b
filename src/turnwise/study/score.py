"""A score for prefilters that needs no reward model: what each dialogue costs the base model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from turnwise.dialogue import Dialogue
from turnwise.evaluation.dialogue_loss import dialogue_loss
from turnwise.llm.pretrained import few_threads_for
from turnwise.study.plan import StudyConfig, base_path, train_config
from turnwise.training.loading import load_model, load_tokenizer
from turnwise.training.settings import trainer_arguments

BASE_LOSS = "base_loss"
"""The key of `metadata` that holds the score, for `prefilter: {score: base_loss, higher_is_better: false}`."""


class BaseLossScorer:
    """Writes `metadata["base_loss"]`, nats per supervised token under the base model, into dialogues.

    The model is loaded when it is first needed.

    Args:
        config: The study.
        folder: Its folder, which holds the base model where the study makes one.
    """

    def __init__(self, config: StudyConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder

    @property
    def wanted(self) -> bool:
        """Whether a method of the study asks for this score."""
        return self._asking is not None

    def score(self, dialogues: Iterable[Dialogue]) -> list[Dialogue]:
        """The dialogues with their scores; those that cannot be encoded, or have nothing to supervise, get none."""
        scored = list(dialogues)
        model, tokenizer, arguments = self._model
        with few_threads_for(model):
            losses = dialogue_loss(
                model,
                tokenizer,
                [replace(dialogue, source=dialogue.id) for dialogue in scored],  # the loss is told apart by source
                max_length=arguments.max_length,
                template_policy=arguments.template_policy,
            ).by_source
        for dialogue in scored:
            if dialogue.id in losses:
                dialogue.metadata[BASE_LOSS] = losses[dialogue.id].loss
        return scored

    @property
    def _asking(self) -> str | None:
        settings = {
            name: train_config(self._config, name, model="model", data=["data"], output="output")
            for name in self._config.methods
        }
        asking = (name for name, one in settings.items() if one.prefilter and one.prefilter.score == BASE_LOSS)
        return next(asking, None)

    @cached_property
    def _model(self) -> tuple[Any, Any, Any]:
        name = base_path(self._config, self._folder)
        settings = train_config(self._config, str(self._asking), model=name, data=["data"], output="output")
        arguments: Any = trainer_arguments(settings, self._folder / "checkpoints", evaluates=False)
        tokenizer = load_tokenizer(self._config.base.tokenizer or name, trust_remote_code=arguments.trust_remote_code)
        return load_model(name, arguments), tokenizer, arguments
