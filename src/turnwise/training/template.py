"""Where the assistant's tokens are, for any chat template.

A chat template is a program: nothing in its output says which characters the model has to learn. Spans are found by
rendering, never by searching for marker strings:

1. *Prefixes.* For the reply at message i, the prompt is `messages[:i]` rendered with the generation prompt, as at
   inference, and the finished turn is `messages[:i+1]` rendered without it. Both must be string prefixes of the whole
   dialogue's rendering. Then the reply is what lies between them, and training shows the model exactly what it will
   see at inference. Where they are no prefixes, the template *rewrites* earlier turns (thinking models drop earlier
   reasoning, some templates move the system message or the tools); a `Policy` says what to do.
2. *The end-of-turn token* is the first special token behind the reply's text; what the template prints after it (the
   line break of ChatML) is not generated at inference and not supervised. What a template appends at the end of a
   dialogue only (Phi-3's `<|endoftext|>`) is not part of a turn.
3. *`{% generation %}` markers*, where a template has them, refine the spans: the template's author may leave out parts
   of a reply. Markers that are known to fail (nothing marked, text outside the reply marked, part of the reply or its
   end-of-turn token not marked) do not decide.

Every span is checked twice: its characters hold the reply's text, and its token ids decode to its characters.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwise.errors import TemplateError
from turnwise.training.messages import EncodingFailure, template_messages, template_tools
from turnwise.training.spans import Policy, ReplySpan, find_spans, find_tool_spans, squeeze
from turnwise.training.tokens import Tokens, tokenise

__all__ = [
    "EncodedDialogue",
    "EncodingFailure",
    "Policy",
    "RenderedDialogue",
    "SpanFinder",
    "template_messages",
    "template_tools",
]

_GENERATION = re.compile(r"\{%-?\+?\s*generation\s*[-+]?%\}")
_TODAY = re.compile(r"strftime_now\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*\)")


@dataclass(slots=True)
class RenderedDialogue:
    """A dialogue as the template prints it.

    Attributes:
        text: The whole rendering, without generation prompt.
        spans: One per assistant reply, in order: a span's position is the reply's `turn_index`.
        messages: What was rendered.
        tools: The tool schemas it was rendered with.
        tool_spans: `(turn_index, start, end)` of the tools' answers; empty where they are not supervised.
    """

    text: str
    spans: list[ReplySpan]
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    tool_spans: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class EncodedDialogue:
    """A dialogue as tokens.

    Attributes:
        input_ids: T token ids, equal to `tokenizer.apply_chat_template(messages, tokenize=True)`.
        turn_ids: T numbers: the `turn_index` of the reply that a supervised token belongs to, else -1.
        ends: One per assistant reply: how many tokens the dialogue has up to the end of that reply, its end-of-turn
            token and the template's separator included. A cut there keeps whole turns.
        method: `generation` where the template's own markers decided, else `prefix`.
    """

    input_ids: list[int]
    turn_ids: list[int]
    ends: list[int]
    method: Literal["generation", "prefix"]


class SpanFinder:
    """Finds and checks the assistant spans of dialogues under one tokenizer and chat template.

    It holds no mutable state: it can be pickled, and used in the worker processes of `datasets.map`.

    Args:
        tokenizer: A transformers tokenizer.
        chat_template: Jinja text to use instead of the tokenizer's own template.
        policy: What to do where the template rewrites earlier turns.
        supervise_end_token: Whether the model learns to end its turns.
        supervise_tools: Whether the tools' answers are supervised, too (ChatGLM3 learns every role but user and
            system). Their tokens belong to the turn of the reply that called.
        template_kwargs: Variables for the template, for example `{"enable_thinking": False}`.
        today: The day that a template's `strftime_now` shows. None means the day of encoding: the same data then has
            other tokens tomorrow (see `notes`).

    Attributes:
        notes: What a user should know about this template; texts for a log.
        has_generation_markers: Whether the template has `{% generation %}` blocks.
        special_tokens: Matches any special token of the tokenizer in a text.

    Raises:
        TemplateError: The tokenizer has no chat template and none is given, or the template is no Jinja.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: str | None = None,
        policy: Policy = "refuse",
        supervise_end_token: bool = True,
        supervise_tools: bool = False,
        template_kwargs: dict[str, Any] | None = None,
        today: datetime.date | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.policy: Policy = policy
        self.supervise_end_token = supervise_end_token
        self.supervise_tools = supervise_tools
        self.template_kwargs = dict(template_kwargs or {})
        try:
            # With tools, a tokenizer may choose another of its named templates; that is left to each call.
            source = tokenizer.get_chat_template(chat_template)
        except ValueError as error:
            raise TemplateError(
                f"the tokenizer {getattr(tokenizer, 'name_or_path', '') or type(tokenizer).__name__!r} has no usable "
                f"chat template ({str(error).split('.')[0]})",
                hint="use an instruction-tuned model's tokenizer, or give a chat template (Jinja text)",
            ) from None
        self.notes: tuple[str, ...] = ()
        self.chat_template = chat_template
        if "strftime_now" in source:
            self._pin_date(source, today)
        self.has_generation_markers = bool(_GENERATION.search(source))
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        special |= {token for token in tokenizer.all_special_tokens if token}
        longest_first = sorted(special, key=len, reverse=True)
        self.special_tokens = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._probe(self.chat_template or source)

    def _pin_date(self, source: str, today: datetime.date | None) -> None:
        if today is None:
            self.notes = (
                "the chat template prints the day of encoding (strftime_now); give `today`, or the template's own "
                "date variable, to get the same tokens on every day",
            )
            return
        moment = datetime.datetime.combine(today, datetime.time())
        pinned = _TODAY.sub(lambda found: repr(moment.strftime(found[1] if found[1] is not None else found[2])), source)
        if "strftime_now(" in pinned:
            raise TemplateError(
                "the chat template computes the format of its date, so the day cannot be pinned",
                hint="leave `today` out, or give a chat template with a fixed date",
            )
        self.chat_template = pinned

    def _probe(self, source: str) -> None:
        """Refuse what is no Jinja, and note a template that never ends a reply."""
        from jinja2 import TemplateSyntaxError

        probe = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
        try:
            self.tokenizer.apply_chat_template(probe, chat_template=source, tokenize=False, **self.template_kwargs)
        except TemplateSyntaxError as error:
            raise TemplateError(f"the chat template is no valid Jinja: line {error.lineno}: {error.message}") from None
        except Exception:  # noqa: BLE001 - a template may refuse these two messages for good reasons of its own
            return
        try:
            span = self.render(probe).spans[0]
        except (TemplateError, EncodingFailure):
            return
        if self.supervise_end_token and span.close == span.text_end:
            self.notes += (
                "the chat template writes no end-of-turn token behind a reply, so the model is not taught to stop "
                "(give a chat template that ends replies with the tokenizer's eos_token)",
            )

    # Rendering

    def render(self, messages: Sequence[dict[str, Any]], tools: Any = None) -> RenderedDialogue:
        """Render a dialogue and find its replies.

        Args:
            messages: Message records as `template_messages` gives them.
            tools: Tool schemas, or their JSON text.

        Returns:
            The text and one span per assistant message. With policy `unchanged` a changed reply's span is marked as
            not supervised.

        Raises:
            TemplateError: The template rewrites earlier turns and the policy is `refuse`.
            EncodingFailure: The template refuses the dialogue, there is no reply, or a reply's text is not in the
                rendering.
        """
        messages = list(messages)
        tools = template_tools(tools)
        text, spans = find_spans(self, messages, tools)
        tool_spans = find_tool_spans(self, messages, tools, text) if self.supervise_tools else []
        return RenderedDialogue(text=text, spans=spans, messages=messages, tools=tools, tool_spans=tool_spans)

    def apply(
        self, conversations: Sequence[list[dict[str, Any]]], tools: Any, *, prompt: bool
    ) -> list[str | EncodingFailure]:
        """Render conversations; one that the template refuses gives an EncodingFailure in its place.

        Args:
            conversations: Lists of message records; an empty one is refused.
            tools: Tool schemas.
            prompt: Whether to add the generation prompt.
        """
        try:
            return list(self._apply(list(conversations), tools, prompt)) if conversations else []
        except EncodingFailure as failure:
            if len(conversations) == 1:
                return [failure]
        return [self.apply([conversation], tools, prompt=prompt)[0] for conversation in conversations]

    def _apply(self, conversations: list[Any], tools: Any, prompt: bool) -> list[str]:
        from jinja2 import TemplateError as JinjaError

        if not all(conversations):
            raise EncodingFailure("the chat template refuses it", "no messages")
        try:
            rendered: list[str] = self.tokenizer.apply_chat_template(
                conversations,
                tools=tools,
                chat_template=self.chat_template,
                add_generation_prompt=prompt,
                tokenize=False,
                **self.template_kwargs,
            )
        except (JinjaError, TypeError, ValueError, LookupError, AttributeError) as error:
            # Templates speak in their own words ("roles must alternate") or stumble over a missing key.
            detail = getattr(error, "message", None) or str(error)
            raise EncodingFailure("the chat template refuses it", " ".join(str(detail).split())) from None
        return rendered

    # Tokens

    def encode(self, messages: Sequence[dict[str, Any]], tools: Any = None) -> EncodedDialogue:
        """Render, tokenise, and mark the tokens of every reply.

        Raises:
            TemplateError: As `render`; or the tokenizer gives no offsets and its tokens merge across borders.
            EncodingFailure: As `render`; or the tokens of a reply do not decode to its text.
        """
        return self.encode_rendered(self.render(messages, tools))

    def encode_rendered(self, rendered: RenderedDialogue) -> EncodedDialogue:
        """Tokenise a rendered dialogue and mark the tokens of every reply.

        A token belongs to a reply when it covers at least one of the span's characters (the rule of transformers'
        assistant masks): where a token merges the last character of the prompt with the first of the reply, leaving
        it out would lose the reply's beginning.

        Raises:
            TemplateError: As `encode`.
            EncodingFailure: The tokens of a reply do not decode to its text.
        """
        tokens = tokenise(self, rendered.text, rendered.messages, rendered.tools, _borders(rendered))
        chosen = self._refine(rendered, tokens)
        method: Literal["generation", "prefix"] = "prefix" if chosen is None else "generation"
        if chosen is None:
            chosen = [tokens.between(span.start, span.end) if span.supervised else () for span in rendered.spans]
        self._check_tokens(rendered, tokens)
        turn_ids = [-1] * len(tokens.ids)
        answers = [(turn_index, tokens.between(start, end)) for turn_index, start, end in rendered.tool_spans]
        for turn_index, members in [*enumerate(chosen), *answers]:
            for token in members:
                if turn_ids[token] == -1:
                    turn_ids[token] = turn_index
        ends = [tokens.between(0, span.limit).stop for span in rendered.spans]
        return EncodedDialogue(input_ids=tokens.ids, turn_ids=turn_ids, ends=ends, method=method)

    def _refine(self, rendered: RenderedDialogue, tokens: Tokens) -> list[Sequence[int]] | None:
        """The tokens that the template's generation markers choose, or None where they cannot be trusted."""
        mask = tokens.mask
        if mask is None:
            return None
        chosen: list[Sequence[int]] = []
        inside = 0
        for span in rendered.spans:
            marked = [token for token in tokens.between(span.start, span.limit) if mask[token]]
            inside += len(marked)
            if not span.supervised:
                chosen.append(())
                continue
            needed = set(tokens.between(span.text_start, span.text_end))
            if not marked or not needed <= set(marked):
                return None
            closing = set(tokens.between(span.text_end, span.close)) - needed
            if self.supervise_end_token:
                chosen.append(sorted({*marked, *closing}))
            else:
                chosen.append([token for token in marked if token not in closing])
        return chosen if inside == sum(mask) else None

    def _check_tokens(self, rendered: RenderedDialogue, tokens: Tokens) -> None:
        """Every supervised span has tokens, and they decode to its characters.

        Raises:
            EncodingFailure: One has not.
        """
        for turn_index, span in enumerate(rendered.spans):
            members = tokens.between(span.start, span.end)
            if not span.supervised:
                continue
            if not members:
                if span.end > span.start:
                    raise EncodingFailure("a reply has no tokens", f"reply {turn_index}")
                continue
            shown = rendered.text[tokens.starts[members[0]] : tokens.ends[members[-1]]]
            ids = tokens.ids[members.start : members.stop]
            if self._same_text(ids, shown):
                continue
            # A tokenizer that normalises text or lacks a character does not decode to its input; then the same
            # text tokenised alone has to decode to the same.
            alone = self.tokenizer(shown, add_special_tokens=False)["input_ids"]
            if squeeze(self._decode(alone)) != squeeze(self._decode(ids)):
                raise EncodingFailure("a reply's tokens do not decode to its text", f"reply {turn_index}")

    def _same_text(self, ids: list[int], text: str) -> bool:
        return squeeze(self._decode(ids)) == squeeze(text)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _borders(rendered: RenderedDialogue) -> set[int]:
    """Every character position at which a span begins or ends."""
    borders = {border for _, start, end in rendered.tool_spans for border in (start, end)}
    for span in rendered.spans:
        borders |= {span.start, span.text_start, span.text_end, span.close, span.end, span.limit}
    return borders
