"""Dialogues to token lists: labels, turn numbers, per-message weights, and truncation that keeps whole turns.

Plain lists in, plain lists out, so that one batched `datasets.map` pass tokenises, labels and truncates. A dialogue
that cannot be used is a `Skipped` with a reason, to be counted; it is never trained on as zeros.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError, TemplateError
from turnwise.training.messages import EncodingFailure, template_messages, template_tools
from turnwise.training.template import EncodedDialogue, SpanFinder

IGNORE = -100
"""The label of a token that is not supervised (PyTorch's cross-entropy leaves it out)."""

Truncation = Literal["turns", "keep_start"]
"""`turns` drops whole trailing turns; `keep_start` cuts at the length, as TRL does, and keeps part of a reply."""

Supervise = Literal["assistant", "last", "assistant_and_tools", "all"]
"""Which tokens carry the loss.

`assistant`: every reply. `last`: the last reply that truncation and the `train` flags leave. `assistant_and_tools`:
every reply and the tools' answers, which belong to the turn of the reply that called (the `SpanFinder` marks them).
`all`: every token; what stands before a reply belongs to its turn.
"""

NO_REPLY = "no assistant reply"
NO_SUPERVISED_TOKENS = "no supervised tokens"
FIRST_TURN_TOO_LONG = "first turn longer than max_length"


@dataclass(slots=True)
class Encoded:
    """One dialogue, ready for a collator.

    Attributes:
        input_ids: T token ids.
        labels: T labels: the token's id where it is supervised, else -100. Not shifted: the model does that.
        turn_ids: T numbers: the `turn_index` of the supervised reply that the token belongs to, else -1.
        token_weights: T static weights (0 where not supervised); None where every message's weight is 1.
        dropped_turns: How many assistant replies truncation took away.
    """

    input_ids: list[int]
    labels: list[int]
    turn_ids: list[int]
    token_weights: list[float] | None = None
    dropped_turns: int = 0

    @property
    def num_turns(self) -> int:
        """The dialogue's group b: how many supervised replies it has."""
        return len(set(self.turn_ids) - {-1})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A dialogue that is not trained on.

    Attributes:
        reason: A text to count by: equal causes have equal reasons.
        detail: What is special about this dialogue.
    """

    reason: str
    detail: str = ""


def encode_dialogue(
    dialogue: Dialogue | Sequence[Message | Mapping[str, Any]],
    finder: SpanFinder,
    *,
    max_length: int | None,
    truncation: Truncation = "turns",
    supervise: Supervise = "assistant",
    tools: Any = None,
) -> Encoded | Skipped:
    """Encode one dialogue.

    A message with `train: False` or weight 0 stays as context and is not supervised; `turn_index` counts it all the
    same. With `truncation="turns"`, messages behind the last reply are dropped (they have nothing to learn), and a
    dialogue longer than `max_length` loses whole trailing turns and is rendered anew, so its tokens are those of the
    shorter dialogue even where the template writes something at the end.

    Args:
        dialogue: A dialogue, or its messages.
        finder: Finds the replies' tokens.
        max_length: The most tokens a dialogue may have; None for no limit.
        truncation: See `Truncation`.
        supervise: See `Supervise`.
        tools: Tool schemas; a Dialogue brings its own.

    Returns:
        The encoded dialogue, or why it is skipped.

    Raises:
        ConfigError: `max_length` is not positive, or `supervise` and the finder disagree about the tools' answers.
        TemplateError: See `SpanFinder.encode`.
    """
    if max_length is not None and max_length < 1:
        raise ConfigError(f"expected max_length to be at least 1, found {max_length}")
    if supervise == "assistant_and_tools" and not finder.supervise_tools:
        raise ConfigError("supervise='assistant_and_tools' needs a SpanFinder with supervise_tools=True")
    source: Sequence[Message | Mapping[str, Any]]
    if isinstance(dialogue, Dialogue):
        source, tools = dialogue.messages, dialogue.tools if tools is None else tools
    else:
        source = dialogue
    try:
        messages, tools = template_messages(source), template_tools(tools)
        encoded, kept = _fit(messages, tools, finder, max_length, truncation)
    except EncodingFailure as failure:
        return Skipped(failure.reason, failure.detail)
    if encoded is None:
        return Skipped(NO_REPLY if kept == 0 else FIRST_TURN_TOO_LONG)
    weights = _reply_weights(source)
    result = _label(encoded, weights, supervise)
    result.dropped_turns = len(weights) - kept
    if result.num_turns == 0:
        return Skipped(NO_SUPERVISED_TOKENS)
    return result


def encode_columns(
    batch: Mapping[str, Sequence[Any]],
    *,
    finder: SpanFinder,
    max_length: int | None,
    truncation: Truncation = "turns",
    supervise: Supervise = "assistant",
    weights: bool = False,
    messages_column: str = "messages",
) -> dict[str, list[Any]]:
    """Encode a batch of rows, for `datasets.map(encode_columns, batched=True, fn_kwargs=...)`.

    Every row gives a row, so ids stay aligned; a skipped one has empty lists and its reason in `skipped` (`""` for an
    encoded one). `drop_skipped` takes them out and counts them.

    Args:
        batch: Columns; `messages_column`, and `tools` and `id` where there are.
        finder: Finds the replies' tokens.
        max_length: As for `encode_dialogue`.
        truncation: As for `encode_dialogue`.
        supervise: As for `encode_dialogue`.
        weights: Whether to add the column `token_weights` (then every row has one).
        messages_column: The name of the column of messages.

    Returns:
        Columns `input_ids`, `labels`, `turn_ids`, `dropped_turns`, `skipped`, and `token_weights` on request.

    Raises:
        TemplateError: See `SpanFinder.encode`; the message names the row's id.
    """
    rows = batch[messages_column]
    tools = batch.get("tools") or [None] * len(rows)
    ids = batch.get("id")
    columns: dict[str, list[Any]] = {
        name: [] for name in ("input_ids", "labels", "turn_ids", "dropped_turns", "skipped")
    }
    if weights:
        columns["token_weights"] = []
    for number, messages in enumerate(rows):
        try:
            result = encode_dialogue(
                messages,
                finder,
                max_length=max_length,
                truncation=truncation,
                supervise=supervise,
                tools=tools[number],
            )
        except TemplateError as error:
            if ids is None:
                raise
            raise TemplateError(f"dialogue {ids[number]!r}: {error.message}", hint=error.hint) from None
        encoded, reason = (Encoded([], [], []), result.reason) if isinstance(result, Skipped) else (result, "")
        columns["input_ids"].append(encoded.input_ids)
        columns["labels"].append(encoded.labels)
        columns["turn_ids"].append(encoded.turn_ids)
        columns["dropped_turns"].append(encoded.dropped_turns)
        columns["skipped"].append(reason)
        if weights:
            columns["token_weights"].append(encoded.token_weights or [float(turn >= 0) for turn in encoded.turn_ids])
    return columns


def drop_skipped(dataset: Any) -> tuple[Any, dict[str, int]]:
    """Take the skipped rows out of a data set that `encode_columns` wrote.

    Args:
        dataset: A `datasets.Dataset` with the column `skipped`.

    Returns:
        The data set without them and without the column, and how many were skipped for each reason.
    """
    reasons = list(dataset["skipped"])
    counts = Counter(reason for reason in reasons if reason)
    kept = [number for number, reason in enumerate(reasons) if not reason]
    if counts:
        dataset = dataset.select(kept)
    return dataset.remove_columns("skipped"), dict(counts)


def _fit(
    messages: list[dict[str, Any]], tools: Any, finder: SpanFinder, max_length: int | None, truncation: Truncation
) -> tuple[EncodedDialogue | None, int]:
    """The encoding that fits, and how many replies it keeps; (None, replies) where not even the first turn fits."""
    replies = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not replies:
        return None, 0
    if truncation == "keep_start":
        encoded = finder.encode(messages, tools)
        gone: set[int] = set()
        if max_length is not None:
            gone = set(encoded.turn_ids[max_length:]) - set(encoded.turn_ids[:max_length]) - {-1}
            encoded.input_ids = encoded.input_ids[:max_length]
            encoded.turn_ids = encoded.turn_ids[:max_length]
        return encoded, len(replies) - len(gone)
    kept = len(replies)
    while kept:
        encoded = finder.encode(messages[: replies[kept - 1] + 1], tools)
        if max_length is None or len(encoded.input_ids) <= max_length:
            return encoded, kept
        # Where the template does not rewrite, the ends in the long dialogue tell the length of the short one.
        kept = min(kept - 1, sum(end <= max_length for end in encoded.ends))
    return None, len(replies)


def _reply_weights(messages: Sequence[Message | Mapping[str, Any]]) -> list[float]:
    """The static weight of each reply, by `turn_index`; 0 where it is not to be learnt."""
    weights: list[float] = []
    for message in messages:
        record = message.to_dict() if isinstance(message, Message) else message
        if record["role"] != "assistant":
            continue
        weight = record.get("weight")
        weights.append(0.0 if record.get("train") is False else 1.0 if weight is None else float(weight))
    return weights


def _label(encoded: EncodedDialogue, weights: Sequence[float], supervise: Supervise) -> Encoded:
    turns = {turn for turn in encoded.turn_ids if turn >= 0 and weights[turn] > 0}
    if supervise == "last":
        turns = {max(turns)} if turns else turns
    of_turn = _whole_turns(encoded.turn_ids) if supervise == "all" else encoded.turn_ids
    turn_ids = [turn if turn in turns else -1 for turn in of_turn]
    labels = [token if turn >= 0 else IGNORE for token, turn in zip(encoded.input_ids, turn_ids, strict=True)]
    token_weights = None
    if any(weights[turn] != 1 for turn in turns):
        token_weights = [weights[turn] if turn >= 0 else 0.0 for turn in turn_ids]
    return Encoded(encoded.input_ids, labels, turn_ids, token_weights)


def _whole_turns(turn_ids: Sequence[int]) -> list[int]:
    """The turn of every token: that of the reply it belongs to or stands before; the last one's behind all replies."""
    current = max(turn_ids, default=-1)
    whole: list[int] = []
    for turn in reversed(turn_ids):
        current = turn if turn >= 0 else current
        whole.append(current)
    return whole[::-1]
