"""The packaged prompts of the modes that ask a teacher, in English and Chinese (`prompts/*.yaml`).

The wording is ours. Whatever comes from a document, or from a model that has read one, is fenced: it cannot end its own
fence, and the prompt says that it is material.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

from turnwise.dialogue import Document
from turnwise.judging.prompt import fence, fill
from turnwise.llm.chat import ChatRequest, Sampling
from turnwise.synthesis.chain import language_of

Language = Literal["en", "zh"]
PromptName = Literal["direct", "cot", "cod", "plan", "write"]

MOST_CHARACTERS = 20_000
"""Longest prompt with its document, as in the published pipeline of R2S; documents are cut before they come here."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt in one language.

    Attributes:
        name: `direct`, `cot`, `cod`, or `plan` and `write` of the stepwise mode.
        language: `en` or `zh`.
        version: Of the wording.
        system: The system message.
        user: The user message, with `{name}` where a field is filled in.
    """

    name: str
    language: Language
    version: str
    system: str
    user: str

    def request(self, fields: Mapping[str, str], schema: Mapping[str, Any], sampling: Sampling) -> ChatRequest:
        """The request with all fields filled in, in one pass.

        Raises:
            ConfigError: A field has no place in the prompt.
        """
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": fill(self.user, fields).strip()},
        ]
        return ChatRequest(messages, sampling, schema)


@functools.cache
def packaged_prompt(name: PromptName, language: Language) -> Prompt:
    """A packaged prompt."""
    text = resources.files("turnwise.synthesis").joinpath("prompts", f"{language}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    words = content["prompts"][name]
    return Prompt(name, language, str(content["version"]), words["system"].strip(), words["user"].strip())


def label(mode: str, language: Language) -> str:
    """Name and version of a mode's prompts, for records: `turnwise-cod-en@1`."""
    return f"turnwise-{mode}-{language}@{packaged_prompt('direct', language).version}"


def document_fields(document: Document) -> dict[str, str]:
    """The fields `title` and `document`, fenced; no title where there is none or the text begins with it."""
    title = (document.title or "").strip()
    shown = title and not document.text.lstrip().startswith(title)
    return {
        "title": fence(title, "title") if shown else "",
        "document": fence(document.text, "document"),
    }


def language_for(document: Document) -> Language:
    """The language that a document is talked about in: its own."""
    return language_of(document.text)


def characters(request: ChatRequest) -> int:
    """How long a request is, in characters of its messages."""
    return sum(len(str(message["content"])) for message in request.messages)
