"""What all formats share: role names, checks of content, and how unknown keys survive.

A format turns one raw record into canonical records. It consumes the keys that it understands; every other key moves to
`Dialogue.metadata` or `Message.extra`, so that nothing of the input is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwise.dialogue import Content, Dialogue, Document, Message, PreferencePair
from turnwise.errors import DataError

Record = Mapping[str, Any]
Side = Literal["chosen", "rejected"]
TreePaths = Literal["all", "best"]

_ALIASES = {
    "system": ("system", "系统"),
    "user": (
        *("user", "human", "client", "customer", "prompter", "seeker", "usr"),
        *("用户", "来访者", "求助者", "患者"),
    ),
    "assistant": (
        *("assistant", "gpt", "chatgpt", "bot", "ai", "model", "agent", "counselor", "counsellor", "supporter"),
        *("助手", "心理咨询师", "咨询师", "医生"),
    ),
    "tool": ("tool", "observation", "function", "ipython"),
}
ROLE_OF = {alias: role for role, aliases in _ALIASES.items() for alias in aliases}
"""Canonical role by known alias (lower case)."""

ROLES_HINT = "say who is who, for example --roles user=first,assistant=second or --roles user=NAME,assistant=NAME"

_ID_KEYS = ("id", "ID", "dialogue_id", "dialog_id", "task_id", "conversation_id", "message_id", "question_id")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read what a format leaves open.

    Attributes:
        roles: Canonical role to speaker name, or to the words `first` and `second`.
        side: Which side of a preference pair becomes the dialogue.
        tree_paths: Which paths of a message tree become dialogues.
        keep_speakers: Keep speaker names that have no role as they are instead of refusing them (for inspection).
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    side: Side = "chosen"
    tree_paths: TreePaths = "all"
    keep_speakers: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One input format.

    A converter may yield a `DataError` in place of a record: a part of the input that cannot be used, while the rest
    can.

    Attributes:
        name: The name that `--format` takes.
        expects: The shape of a record, in words, for messages.
        matches: Whether a record has that shape; looks at keys and types only, and never at a file's name.
        dialogues: Converter to dialogues; None where the format holds none.
        pairs: Converter to preference pairs.
        documents: Converter to documents.
        gathers: The converter takes all records of a file at once, as `{"records": [(line, record), ...]}`.
    """

    name: str
    expects: str
    matches: Callable[[Record], bool]
    dialogues: Callable[[Record, Options], Iterable[Dialogue | DataError]] | None = None
    pairs: Callable[[Record, Options], Iterable[PreferencePair | DataError]] | None = None
    documents: Callable[[Record, Options], Iterable[Document | DataError]] | None = None
    gathers: bool = False


def keys_of(record: Record) -> str:
    """The record's keys, for a message."""
    shown = ", ".join(repr(key) for key in list(record)[:8])
    if not record:
        return "an empty object"
    return f"an object with keys {shown}" + (", ..." if len(record) > 8 else "")


def list_under(record: Record, keys: Sequence[str], has: Callable[[Record], bool]) -> tuple[str, list[Any]] | None:
    """The first of `keys` that holds a list of objects whose first passes `has`; an empty list passes too."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, list) and (not value or (isinstance(value[0], dict) and has(value[0]))):
            return key, value
    return None


def as_content(value: Any, where: str) -> Content:
    """Check message content: text, typed parts or null.

    Raises:
        DataError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return value
    raise DataError(f"expected {where} to be text, a list of typed parts or null, found {type(value).__name__}")


def as_text(value: Any, where: str) -> str:
    """Check text.

    Raises:
        DataError: It is something else.
    """
    if isinstance(value, str):
        return value
    raise DataError(f"expected {where} to be text, found {type(value).__name__}")


def as_objects(values: Any, where: str) -> list[dict[str, Any]]:
    """Check a non-empty list of objects.

    Raises:
        DataError: It is empty or holds something else; the message names the position.
    """
    if not isinstance(values, list) or not values:
        raise DataError(
            f"expected {where} to be a non-empty list, found {values if values == [] else type(values).__name__}"
        )
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise DataError(f"expected {where}[{number}] to be an object, found {type(value).__name__}")
    return values


def speaker_roles(items: Sequence[Record], key: str, options: Options, where: str) -> list[str]:
    """The roles of messages that name their speaker under `key`; names that nobody knows pass through.

    Raises:
        DataError: A message has no such name.
    """
    for number, item in enumerate(items):
        if not isinstance(item.get(key), str) or not item[key]:
            raise DataError(f"expected {where}[{number}] to have a text {key!r}, found {item.get(key)!r}")
    return resolve_roles([item[key] for item in items], options, strict=False)


def resolve_roles(names: Sequence[str], options: Options, *, strict: bool) -> list[str]:
    """Canonical roles of the speakers of one dialogue, message by message.

    `options.roles` decides first, then the known aliases. `first` and `second` in `options.roles` mean the first and
    the second distinct speaker that is not a system or tool message.

    Args:
        names: Speaker or role name of every message.
        options: The reading options.
        strict: Refuse a name without a role. False lets it pass unchanged (role names such as `developer`).

    Raises:
        DataError: `strict` and a name has no role, or two speakers were told apart by order and there are more.
    """
    distinct = list(dict.fromkeys(names))
    role_of: dict[str, str] = {}
    if options.roles:
        speakers = [name for name in distinct if ROLE_OF.get(name.casefold()) not in ("system", "tool")]
        by_order = dict(zip(("first", "second"), speakers, strict=False))
        for role, name in options.roles.items():
            target = name if name in distinct else by_order.get(name)
            if target is not None:
                role_of[target] = role
    for name in distinct:
        if name in role_of:
            continue
        known = ROLE_OF.get(name.casefold())
        if known is None and strict and not options.keep_speakers:
            listed = ", ".join(repr(speaker) for speaker in distinct[:6])
            raise DataError(f"the role of speaker {name!r} is not known (speakers here: {listed})", hint=ROLES_HINT)
        role_of[name] = known or name
    return [role_of[name] for name in names]


def build_message(role: str, content: Content, rest: Record, *, name: str | None = None) -> Message:
    """A message with every further key of its record kept.

    `loss_weight` becomes `weight`; an assistant message of weight 0 that does not say `train` gets `train=False`. A
    key that would hide a canonical field is kept as `original_KEY`.

    Args:
        role: Canonical role.
        content: Checked content.
        rest: The other keys of the message's record.
        name: The role or speaker name as the input spelt it; kept as `original_role` where it differs.

    Raises:
        DataError: `train` or `weight` has the wrong type.
    """
    record: dict[str, Any] = {"role": role, "content": content}
    for key, value in rest.items():
        hides = key in ("role", "content")
        hides = hides or (key in ("name", "tool_call_id") and value is not None and not isinstance(value, str))
        hides = hides or (key == "tool_calls" and value is not None and not isinstance(value, list))
        record[f"original_{key}" if hides else key] = value
    if "loss_weight" in record and record.get("weight") is None:
        record["weight"] = record.pop("loss_weight")
    if name is not None and name != role:
        record.setdefault("original_role", name)
    message = Message.from_dict(record)
    if message.weight is not None and not math.isfinite(message.weight):
        raise DataError(f"expected 'weight' of the {role} message to be a finite number, found {message.weight}")
    if role == "assistant" and message.weight == 0.0 and message.train is None:
        message.train = False
    return message


@dataclass(slots=True)
class Fields:
    """What every format reads alike from a record: the named fields of a dialogue, and the rest as metadata."""

    id: str
    source: str | None
    tier: str | None
    tools: list[dict[str, Any]] | str | None
    evidence: list[dict[str, Any]]
    system: str | None
    metadata: dict[str, Any]


def record_fields(record: Record, used: Sequence[str]) -> Fields:
    """The fields of a record less the keys that the format consumed.

    `id`, `source`, `tier`, `tools`, `evidence`, `metadata` and a top-level `system` are understood in every format; a
    value of another type stays in the metadata. Without an `id`, another identifier (such as `conversation_id`) names
    the record and stays in the metadata too.
    """
    rest = without(record, *used)
    metadata = _own_metadata(rest)
    fields = Fields(
        id=next((str(rest[key]) for key in _ID_KEYS if _is_id(rest.get(key))), ""),
        source=_take(rest, "source", str),
        tier=_take(rest, "tier", str),
        tools=_take(rest, "tools", (str, list)),
        evidence=_take(rest, "evidence", list) or [],
        system=_take(rest, "system", str),
        metadata=metadata,
    )
    if "id" in rest and (_is_id(rest["id"]) or rest["id"] in (None, "")):
        rest.pop("id")
    metadata.update(rest)
    return fields


def build_dialogue(
    messages: list[Message], record: Record, used: Sequence[str], extra_metadata: Record | None = None
) -> Dialogue:
    """A dialogue with every unused key of its record kept in `metadata` (see `record_fields`).

    Args:
        messages: The messages, at least one. A top-level `system` text goes before them unless they start with one.
        record: The raw record.
        used: Keys that the format consumed.
        extra_metadata: Further metadata.
    """
    fields = record_fields(record, used)
    if fields.system:
        if messages[0].role == "system":
            fields.metadata["system"] = fields.system
        else:
            messages = [Message("system", fields.system), *messages]
    return Dialogue(
        messages=messages,
        id=fields.id,
        source=fields.source,
        tier=fields.tier,
        tools=fields.tools,
        evidence=fields.evidence,
        metadata={**fields.metadata, **(extra_metadata or {})},
    )


def pair_history(history: Any) -> list[Message]:
    """Messages of a `history` of `[question, answer]` pairs; null or missing means none.

    Raises:
        DataError: It has another shape.
    """
    if history is None:
        return []
    if not isinstance(history, list):
        raise DataError(f"expected 'history' to be a list of [question, answer] pairs, found {type(history).__name__}")
    messages: list[Message] = []
    for number, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"expected history[{number}] to be a pair [question, answer], found {pair!r:.60}")
        messages.append(Message("user", as_content(pair[0], f"history[{number}][0]")))
        messages.append(Message("assistant", as_content(pair[1], f"history[{number}][1]")))
    return messages


def without(record: Record, *keys: str) -> dict[str, Any]:
    """The record less some keys."""
    return {key: value for key, value in record.items() if key not in keys}


def _own_metadata(rest: dict[str, Any]) -> dict[str, Any]:
    given = rest.pop("metadata", None)
    if given is None:
        return {}
    # A metadata that is no object, or that shares a key with the record, stays nested: merging would lose a value.
    if not isinstance(given, dict) or any(key in given for key in rest):
        return {"metadata": given}
    return dict(given)


def _take(rest: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = rest.get(key)
    if isinstance(value, kind) or value is None:
        rest.pop(key, None)
        return value
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
