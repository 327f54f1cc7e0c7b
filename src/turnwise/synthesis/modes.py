"""From the name of a mode to what writes dialogues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from turnwise.errors import ConfigError
from turnwise.llm.chat import ChatModel
from turnwise.synthesis.chain import Mode

if TYPE_CHECKING:
    from turnwise.synthesis.settings import SynthesisConfig

_WITH_TEACHER = ("direct", "cot", "cod", "cod-stepwise")
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
        from turnwise.synthesis.extractive import Extractive

        return Extractive(turns=settings.turns, coverage=settings.coverage, seed=settings.seed)
    assert teacher is not None  # noqa: S101 - checked by the caller
    turns = settings.turns[0]
    if mode == "cod-stepwise":
        from turnwise.synthesis.stepwise import CodStepwise

        return CodStepwise(teacher, turns=turns)
    from turnwise.synthesis.teacher_modes import Cod, Cot, Direct

    if mode == "cod":
        return Cod(teacher, turns=turns)
    return Cot(teacher, turns=turns) if mode == "cot" else Direct(teacher, turns=turns)
