"""Character spans of the assistant's replies, by rendering prefixes of the dialogue.

The reasoning is in `turnwise.training.template`; this module is its core, apart from tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from turnwise.errors import TemplateError
from turnwise.training.messages import EncodingFailure

Policy = Literal["refuse", "as_rendered", "unchanged"]
"""What to do with a reply that the rendering of the whole dialogue shows otherwise than inference would.

`refuse`: raise TemplateError, saying what changes. `as_rendered`: supervise what the whole rendering shows of the
reply. `unchanged`: supervise only the replies that are shown as at inference (for a thinking model: those after the
last user message).
"""

Messages = list[dict[str, Any]]
_TOOL_ROLES = frozenset({"tool", "observation", "function"})
_LONGEST_SPECIAL = 128  # characters; bounds how far a search for a special token looks
_HINT = (
    "choose the template policy 'as_rendered' (supervise what the whole rendering shows of each reply) or 'unchanged' "
    "(supervise only the replies that are shown as at inference), or give a chat template that keeps earlier turns"
)


class Renderer(Protocol):
    """What the search needs: `turnwise.training.template.SpanFinder`."""

    policy: Policy
    supervise_end_token: bool
    special_tokens: re.Pattern[str]

    def apply(self, conversations: Sequence[Messages], tools: Any, *, prompt: bool) -> list[str | EncodingFailure]:
        """Render each conversation; a refused one gives a failure in its place."""
        ...


@dataclass(frozen=True, slots=True)
class ReplySpan:
    """Characters of one reply in the rendered text.

    Attributes:
        start: First supervised character.
        text_start: First character of the reply's own text (behind an empty thinking block, for example).
        text_end: Just after the reply's own text.
        close: Just after the end-of-turn token (`text_end` where there is none).
        end: Just after the last supervised character.
        limit: Where the template ends the turn: behind the separator that follows the end-of-turn token.
        supervised: False where the policy keeps the reply out of the loss.
    """

    start: int
    text_start: int
    text_end: int
    close: int
    end: int
    limit: int
    supervised: bool = True


@dataclass(frozen=True, slots=True)
class _Views:
    """The renderings that decide about one reply.

    Attributes:
        index: Position of the reply in the messages.
        text: The whole dialogue.
        prompt: What the model sees before it writes the reply; None where there is nothing (the first message) or the
            template adds no generation prompt there.
        turns: The dialogue up to and including the reply, as at inference; empty where the template refuses it.
    """

    index: int
    text: str
    prompt: str | None
    turns: str


def find_spans(finder: Renderer, messages: Messages, tools: Any) -> tuple[str, list[ReplySpan]]:
    """Render a dialogue and find its replies.

    Args:
        finder: Renders, and holds the policy.
        messages: Message records for the template.
        tools: Tool schemas or None.

    Returns:
        The rendered text, and one span per assistant message.

    Raises:
        TemplateError: The template rewrites earlier turns and the policy is `refuse`.
        EncodingFailure: There is no reply, the template refuses the dialogue, or a reply cannot be located.
    """
    replies = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    if not replies:
        raise EncodingFailure("has no assistant reply")
    prefixes = [messages[: index + 1] for index in replies]
    *finished, text = finder.apply(
        [*prefixes, messages] if replies[-1] + 1 < len(messages) else prefixes, tools, prompt=False
    )
    if isinstance(text, EncodingFailure):
        raise text
    if len(finished) < len(replies):
        finished.append(text)
    prompts = finder.apply([messages[:index] for index in replies if index], tools, prompt=True)
    if replies[0] == 0:
        prompts.insert(0, EncodingFailure("there is no prompt before the first message"))
    spans: list[ReplySpan] = []
    for index, prompt, whole in zip(replies, prompts, finished, strict=True):
        views = _Views(
            index=index,
            text=text,
            prompt=prompt if isinstance(prompt, str) else None,
            turns=_turns(finder, messages[: index + 1], tools, (whole, prompt), text),
        )
        span = _unchanged_span(finder, messages, tools, views)
        if isinstance(span, str):
            span = _changed_span(finder, messages, tools, views, reason=span, turn_index=len(spans))
        spans.append(span)
    return text, spans


def find_tool_spans(finder: Renderer, messages: Messages, tools: Any, text: str) -> list[tuple[int, int, int]]:
    """Characters of the tools' answers, headers included, as ChatGLM3's training supervises them.

    Neighbouring answers are one span: templates print them as one block.

    Args:
        finder: Renders, and holds the policy.
        messages: Message records for the template.
        tools: Tool schemas or None.
        text: The rendering of the whole dialogue.

    Returns:
        `(turn_index of the reply that called, start, end)` of each run of tool messages. Without policy `refuse`, a
        run that the whole dialogue shows otherwise is left out.

    Raises:
        TemplateError: The whole dialogue shows a run otherwise, and the policy is `refuse`.
    """
    runs: list[tuple[int, int, int]] = []
    turn_index = -1
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            turn_index += 1
        elif message["role"] in _TOOL_ROLES and turn_index >= 0:
            if runs and runs[-1][2] == index:
                runs[-1] = (turn_index, runs[-1][1], index + 1)
            else:
                runs.append((turn_index, index, index + 1))
    spans: list[tuple[int, int, int]] = []
    for turn_index, first, last in runs:
        before, through = finder.apply([messages[:first], messages[:last]], tools, prompt=False)
        shown = isinstance(before, str) and isinstance(through, str) and through.startswith(before)
        if shown and text.startswith(str(through)):
            spans.append((turn_index, len(str(before)), len(str(through))))
        elif finder.policy == "refuse":
            reason = f"the tool's answer behind it is {_shorten(str(through)[len(str(before)) :])} when it comes last"
            raise _refusal(finder, messages, tools, text, reason, turn_index)
    return spans


def _turns(
    finder: Renderer, messages: Messages, tools: Any, views: tuple[str | EncodingFailure, ...], text: str
) -> str:
    """A dialogue that ends with a reply, without what the template appends once at the very end.

    The appended text (Phi-3's `<|endoftext|>`) is what the same dialogue lacks when a generation prompt follows. Where
    the end-of-turn token itself is another one at the very end (gpt-oss: `<|return|>`, else `<|end|>`), it is kept:
    that is how the reply ends at inference.

    Args:
        finder: Renders.
        messages: The dialogue up to the reply.
        tools: Tool schemas or None.
        views: Its rendering, and the rendering of the reply's prompt.
        text: The rendering of the whole dialogue.
    """
    finished, prompt = views
    if isinstance(finished, EncodingFailure):
        return ""
    if len(finished) < len(text) and text.startswith(finished):
        return finished
    opened = finder.apply([messages], tools, prompt=True)[0]
    if isinstance(opened, EncodingFailure) or opened.startswith(finished):
        return finished
    before = finder.apply([messages[:-1]], tools, prompt=False)[0]
    if isinstance(before, str) and isinstance(prompt, str):
        cue = prompt[_common_tokens(finder, prompt, before) :]
        inner = opened.removesuffix(cue)
        return inner if cue and len(inner) < len(opened) and finished.startswith(inner) else finished
    return finished[: _common_tokens(finder, finished, opened)]


def _common_tokens(finder: Renderer, one: str, two: str) -> int:
    """How much two texts share, never cut inside a special token (`<|end|>` and `<|user|>` share two characters)."""
    length = common_prefix(one, two)
    for token in finder.special_tokens.finditer(one, max(0, length - _LONGEST_SPECIAL)):
        if token.start() >= length:
            break
        if token.end() > length:
            return token.start()
    return length


def _unchanged_span(finder: Renderer, messages: Messages, tools: Any, views: _Views) -> ReplySpan | str:
    """The span of a reply that is shown as at inference, or a text that says what is changed."""
    text, turns, message = views.text, views.turns, messages[views.index]
    if views.prompt is not None and not text.startswith(views.prompt):
        return "the prompt that it has at inference is " + _difference(finder, views.prompt, text)
    if not turns:
        return "the template refuses the dialogue when it ends with it"
    if not text.startswith(turns):
        return "written last, as at inference, it is " + _difference(finder, turns, text)
    if views.prompt is not None:
        start = len(views.prompt)
        if start > len(turns):
            return "the prompt that it has at inference is " + _difference(finder, views.prompt, turns)
    else:
        # No prompt to go by (it is the first message): the text begins where another text would.
        start = _locate(finder, messages, views.index, tools, text)[0]
    missing = _missing_piece(message, turns[start:])
    if missing:
        return f"{missing} is not shown, or altered, in {_shorten(turns[start:])}"
    body, close, found = _closing(finder, turns[start:], message)
    own = message.get("content") or ""
    text_end = start + body
    text_start = text_end - len(own.strip()) if found and turns[start:text_end].endswith(own.strip()) else start
    return _make_span(finder, start, max(start, text_start), text_end, start + close, len(turns))


def _make_span(
    finder: Renderer, start: int, text_start: int, text_end: int, close: int, limit: int, *, supervised: bool = True
) -> ReplySpan:
    if not finder.supervise_end_token:
        end = text_end
    elif close > text_end:
        end = close
    else:
        # Without an end-of-turn token the separator is the only sign by which a reply can end.
        end = limit
    return ReplySpan(start, text_start, text_end, close, end, limit, supervised)


def _missing_piece(message: dict[str, Any], region: str) -> str:
    """Which part of a reply its rendering does not hold (white space aside); empty where it holds all."""
    own = (message.get("content") or "").strip()
    reasoning = (message.get("reasoning_content") or "").strip()
    squeezed: str | None = None
    for name, piece in (("its text", own), ("its reasoning", reasoning)):
        if piece and piece not in region:
            squeezed = squeeze(region) if squeezed is None else squeezed
            if squeeze(piece) not in squeezed:
                return name
    for call in message.get("tool_calls") or []:
        name = (call.get("function") or call).get("name", "")
        if name and str(name) not in region:
            return f"its call of {name!r}"
    return ""


def _closing(finder: Renderer, region: str, message: dict[str, Any]) -> tuple[int, int, bool]:
    """Where a reply's own text ends in its region, where its end-of-turn token ends, and whether the text was found.

    The region's tail is white space and special tokens. Where the reply's own text ends with such (a look-alike of a
    special token in the data), that much of the tail is the reply's. Then the first special token closes the turn,
    and those that follow without a gap (Command R: `<|END_RESPONSE|><|END_OF_TURN_TOKEN|>`). Behind tool calls, or
    where the text is not found, all do up to the last one: calls may end in special tokens, too.
    """
    tail = _tail_start(finder, region)
    own = (message.get("content") or "").strip()
    own_tail = own[_tail_start(finder, own) :]
    body = region.find(own_tail, tail) + len(own_tail)
    found = bool(own) and not message.get("tool_calls") and region[:body].endswith(own[-32:])
    if not found:
        body = tail
    tokens = list(finder.special_tokens.finditer(region, body))
    if not tokens:
        return body, body, found
    if not found:
        return body, tokens[-1].end(), found
    close = tokens[0].end()
    for token in tokens[1:]:
        if token.start() != close:
            break
        close = token.end()
    return body, close, found


def _tail_start(finder: Renderer, text: str) -> int:
    """Where the white space and special tokens begin that a text ends with."""
    end = len(text.rstrip())
    while end:
        window = max(0, end - _LONGEST_SPECIAL)
        matches = list(finder.special_tokens.finditer(text, window, end))
        if not matches or matches[-1].end() != end:
            break
        end = len(text[: matches[-1].start()].rstrip())
    return end


def _changed_span(
    finder: Renderer, messages: Messages, tools: Any, views: _Views, *, reason: str, turn_index: int
) -> ReplySpan:
    """The span of a reply that is not shown as at inference, by policy."""
    if finder.policy == "refuse":
        raise _refusal(finder, messages, tools, views.text, reason, turn_index)
    message, text = messages[views.index], views.text
    try:
        start, text_end = _locate(finder, messages, views.index, tools, text)
    except EncodingFailure:
        if finder.policy == "unchanged":
            return ReplySpan(0, 0, 0, 0, 0, 0, supervised=False)
        raise
    text_start = start
    if views.prompt is not None and text.startswith(views.prompt) and len(views.prompt) <= start:
        start = len(views.prompt)
    # The end-of-turn token is known from the dialogue that ends with this reply. One that only stands within longer
    # dialogues (gpt-oss: `<|end|>`) is never generated, so it is not supervised.
    body, close, _ = _closing(finder, views.turns, message)
    ending = views.turns[body:close].strip()
    behind = len(text) - len(text[text_end:].lstrip())
    close = behind + len(ending) if ending and text.startswith(ending, behind) else text_end
    if finder.policy == "unchanged":
        return _make_span(finder, start, text_start, text_end, close, close, supervised=False)
    shown = squeeze(text[start:text_end])
    wanted = squeeze(message.get("content") or "")
    has_more = bool(message.get("tool_calls") or message.get("reasoning_content"))
    if not shown and (wanted or has_more):
        raise EncodingFailure("the chat template does not show one of its replies", f"reply {turn_index}")
    if wanted not in shown and shown not in wanted:
        raise EncodingFailure("the chat template alters one of its replies", f"reply {turn_index}: {reason}")
    return _make_span(finder, start, text_start, text_end, close, close)


def _locate(finder: Renderer, messages: Messages, index: int, tools: Any, text: str) -> tuple[int, int]:
    """Which characters of `text` come from message `index`: those that change when another text stands in its place.

    Raises:
        EncodingFailure: Other characters change as well, or the template refuses the other text.
    """
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    other = [*messages[:index], {"role": messages[index]["role"], "content": mark}, *messages[index + 1 :]]
    shown = finder.apply([other], tools, prompt=False)[0]
    if isinstance(shown, EncodingFailure):
        raise shown
    start = common_prefix(text, shown)
    behind = common_prefix(text[start:][::-1], shown[start:][::-1])
    if shown[start : len(shown) - behind] != mark:
        raise EncodingFailure("the chat template shows a reply in more than one place")
    return start, len(text) - behind


def _refusal(
    finder: Renderer, messages: Messages, tools: Any, text: str, reason: str, turn_index: int
) -> TemplateError:
    if finder.apply([messages], tools, prompt=False)[0] != text:
        return TemplateError(
            "the chat template prints something else each time it is used (the time of day?), so its replies cannot "
            "be found and training cannot be repeated",
            hint="give a chat template without strftime_now, or set the template's own variable for it",
        )
    return TemplateError(
        f"the chat template rewrites earlier turns, so training would not show what the model sees at inference; "
        f"reply {turn_index} (counted from 0): {reason}",
        hint=_HINT,
    )


def _difference(finder: Renderer, inference: str, training: str) -> str:
    at = _common_tokens(finder, inference, training)
    return f"{_shorten(inference[at:])} where the whole dialogue has {_shorten(training[at:])}"


def _shorten(text: str, width: int = 48) -> str:
    return repr(text if len(text) <= width else text[:width] + "…")


def common_prefix(one: str, two: str) -> int:
    """How many characters two texts share at their beginning (by halving: comparing slices is fast)."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def squeeze(text: str) -> str:
    """The text without its white space."""
    return "".join(text.split())
