"""From the name of a mode to what writes dialogues."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatModel
from turnwise.synthesis.chain import Mode

if TYPE_CHECKING:
    from turnwise.synthesis.settings import SynthesisConfig

_WITH_TEACHER = {
    "direct": ("teacher_modes", "Direct"),
    "cot": ("teacher_modes", "Cot"),
    "cod": ("teacher_modes", "Cod"),
    "cod-stepwise": ("stepwise", "CodStepwise"),
}
MODE_NAMES = ("extractive", *_WITH_TEACHER)

MakeMode = Callable[[ChatModel], Mode]


def needs_teacher(mode: Mode | MakeMode | str) -> bool:
    """Whether a mode is nothing without a teacher that is given besides.

    Raises:
        ConfigError: It is a name, and of no mode.
    """
    if isinstance(mode, str) and mode not in MODE_NAMES:
        raise ConfigError(f"no mode is called {mode!r}", hint=f"expected one of {', '.join(MODE_NAMES)}")
    return mode in _WITH_TEACHER if isinstance(mode, str) else callable(mode)


def open_mode(mode: Mode | MakeMode | str, settings: SynthesisConfig, teacher: ChatModel | None) -> Mode:
    """A mode by name, made for a teacher, or as it is.

    Args:
        mode: A mode, a function from a teacher to one, or a name.
        settings: What the packaged modes are told.
        teacher: Who writes, where `needs_teacher`.
    """
    if not isinstance(mode, str):
        if not callable(mode):
            return mode
        assert teacher is not None  # noqa: S101 - checked by the caller
        return mode(teacher)
    if mode == "extractive":
        return _class("extractive", "Extractive")(turns=settings.turns, coverage=settings.coverage, seed=settings.seed)  # type: ignore[no-any-return]
    return _class(*_WITH_TEACHER[mode])(teacher, turns=settings.turns[0])  # type: ignore[no-any-return]


def _class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"turnwise.synthesis.{module}"), name)
