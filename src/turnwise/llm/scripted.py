"""A model that answers from a script: for tests, for `--dry-run`, for trying a pipeline before paying for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from turnwise.errors import DataError
from turnwise.llm.chat import ChatReply, ChatRequest

Script = Callable[[ChatRequest], str | ChatReply]


class ScriptedModel:
    """Answers by a function, or by rules of a file.

    Args:
        script: From the request to the reply's text, or to a whole reply (failures too).
        name: What it is called in records.

    Attributes:
        requests: Every request so far, in order.
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self._script = script
        self._name = name
        self.requests: list[ChatRequest] = []

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    async def reply(self, request: ChatRequest) -> ChatReply:
        """The script's answer."""
        self.requests.append(request)
        answer = self._script(request)
        return answer if isinstance(answer, ChatReply) else ChatReply(answer, finish_reason="stop")

    async def close(self) -> None:
        """Nothing to give back."""

    @classmethod
    def dry(cls) -> ScriptedModel:
        """Answers any request in the form it asks for, with nothing in it; its name in all records is `dry-run`."""
        from turnwise.llm.dry_run import DRY_NAME, dry_reply

        return cls(dry_reply, name=DRY_NAME)

    @classmethod
    def from_file(cls, path: str | Path) -> ScriptedModel:
        """Read rules, one JSON object per line: `{"if": "text in the last message", "reply": "..."}`.

        The first rule whose `if` occurs in the text of the last message answers; a rule without `if` always does.
        `reply` may hold a list: the rule's first use gets its first entry, and so on, the last one for all further
        uses. `failure` in place of `reply` gives a failed reply of that kind.

        Raises:
            DataError: The file cannot be read or a line is no rule.
        """
        rules = _read_rules(Path(path))
        used = [0] * len(rules)

        def script(request: ChatRequest) -> str | ChatReply:
            text = _last_text(request.messages)
            for number, rule in enumerate(rules):
                if rule.get("if", "") in text:
                    used[number] += 1
                    return _answer(rule, used[number] - 1)
            return ChatReply("", failure="empty", detail=f"no rule of {path} fits the message", finish_reason="stop")

        return cls(script, name=f"scripted:{path}")


def _read_rules(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the script cannot be read ({error})", path=path) from None
    rules: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rule = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error}", path=path, line=number) from None
        if not isinstance(rule, dict) or not ({"reply", "failure"} & rule.keys()):
            raise DataError("expected an object with 'reply' or 'failure'", path=path, line=number)
        rules.append(rule)
    if not rules:
        raise DataError("expected at least one rule, found none", path=path)
    return rules


def _answer(rule: Mapping[str, Any], use: int) -> str | ChatReply:
    if "failure" in rule:
        return ChatReply(str(rule.get("reply", "")), failure=rule["failure"], detail="scripted")
    reply = rule["reply"]
    if isinstance(reply, list):
        reply = reply[min(use, len(reply) - 1)]
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)


def _last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    from turnwise.dialogue import content_text

    return content_text(messages[-1].get("content")) if messages else ""
