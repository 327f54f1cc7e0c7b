"""How long a dialogue is in tokens: counted with a tokenizer, or estimated without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from turnwise.dialogue import Dialogue
from turnwise.errors import MissingExtraError, ModelError

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_CHARACTERS_PER_TOKEN = 4
_TEMPLATE_TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class LengthMeasure:
    """A way to measure length.

    Attributes:
        name: What to call the numbers, for example "estimate".
        is_estimate: Whether they are estimated.
        measure: Dialogue to its number of tokens.
    """

    name: str
    is_estimate: bool
    measure: Callable[[Dialogue], int]


def estimate_tokens(dialogue: Dialogue) -> int:
    """A rough number of tokens: one per Chinese, Japanese or Korean character, one per four others, four per message.

    Real tokenizers differ by tens of percent either way; use one where the number matters.
    """
    tokens = 0
    for message in dialogue.messages:
        text = message.text
        wide = 0 if text.isascii() else len(_WIDE.findall(text))
        tokens += wide + -(-(len(text) - wide) // _CHARACTERS_PER_TOKEN) + _TEMPLATE_TOKENS_PER_MESSAGE
    return tokens


ESTIMATE = LengthMeasure("estimate (no tokenizer given)", is_estimate=True, measure=estimate_tokens)


def with_tokenizer(name: str) -> LengthMeasure:
    """Measure with a tokenizer: its chat template where it has one that takes the dialogue, else the texts alone.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", extra="train", purpose="counting tokens") from error
    from jinja2 import TemplateError

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"cannot load the tokenizer {name!r} ({first_line})") from error

    def of_texts(dialogue: Dialogue) -> int:
        texts = [message.text for message in dialogue.messages]
        return sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)

    def measure(dialogue: Dialogue) -> int:
        if not tokenizer.chat_template:
            return of_texts(dialogue)
        tools: Any = dialogue.tools if isinstance(dialogue.tools, list) else None
        messages = [message.to_dict() for message in dialogue.messages]
        try:
            rendered = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
        except (TemplateError, TypeError, ValueError, KeyError):
            # Templates refuse what they do not know (roles out of order, other content parts).
            return of_texts(dialogue)
        return len(tokenizer(rendered, add_special_tokens=False)["input_ids"])

    return LengthMeasure(name, is_estimate=False, measure=measure)
