"""Tokens of a rendered dialogue and the characters that each of them covers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from turnwise.errors import TemplateError
from turnwise.training.messages import EncodingFailure


class TokenSource(Protocol):
    """What tokenising needs: `turnwise.training.template.SpanFinder`."""

    tokenizer: Any
    chat_template: str | None
    template_kwargs: dict[str, Any]
    has_generation_markers: bool


@dataclass(slots=True)
class Tokens:
    """T tokens of a text.

    Attributes:
        ids: T token ids.
        starts: T positions, ascending: the first character that the token covers.
        ends: T positions, ascending: just after the last one.
        mask: T numbers, 1 where the template's generation markers mark the token; None without markers.
    """

    ids: list[int]
    starts: list[int]
    ends: list[int]
    mask: list[int] | None = None

    def between(self, first: int, last: int) -> range:
        """The tokens that cover a character of `[first, last)`."""
        if first >= last:
            return range(0)
        return range(bisect_right(self.ends, first), bisect_left(self.starts, last))


def tokenise(source: TokenSource, text: str, messages: Any, tools: Any, borders: set[int]) -> Tokens:
    """Tokenise a rendered dialogue, as `apply_chat_template(tokenize=True)` does.

    Args:
        source: The tokenizer and its template.
        text: The rendered dialogue.
        messages: What was rendered.
        tools: The tool schemas it was rendered with.
        borders: Positions at which spans begin or end, for tokenizers without offsets.

    Raises:
        TemplateError: The tokenizer gives no offsets, and its tokens merge across a border.
        EncodingFailure: The text is no Unicode text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EncodingFailure("holds characters that are no Unicode text (lone surrogates)") from None
    if not source.tokenizer.is_fast:
        return _tokenise_prefixes(source.tokenizer, text, borders)
    if not source.has_generation_markers:
        out = source.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        mask = None
    else:
        out = source.tokenizer.apply_chat_template(
            messages,
            tools=tools,
            chat_template=source.chat_template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"return_offsets_mapping": True},
            **source.template_kwargs,
        )
        mask = list(out["assistant_masks"])
    starts, ends = cover(out["offset_mapping"], len(text))
    return Tokens(list(out["input_ids"]), starts, ends, mask)


def _tokenise_prefixes(tokenizer: Any, text: str, borders: set[int]) -> Tokens:
    """Token boundaries without offsets: the text up to each border must have the first tokens of the whole."""
    whole = Tokens(list(tokenizer(text, add_special_tokens=False)["input_ids"]), [], [])
    before = 0
    for border in sorted({*borders, len(text)} - {0}):
        ids = tokenizer(text[:border], add_special_tokens=False)["input_ids"]
        new = len(ids) - len(whole.starts)
        if ids != whole.ids[: len(ids)] or new < 0:
            raise TemplateError(
                f"the tokenizer {type(tokenizer).__name__} gives no character offsets, and its tokens merge across "
                "the borders of the assistant's replies, so the tokens to supervise cannot be told apart",
                hint="use the fast version of the tokenizer",
            )
        whole.starts += [before] * new
        whole.ends += [border] * new
        before = border
    return whole


def cover(offsets: Sequence[tuple[int, int]], length: int) -> tuple[list[int], list[int]]:
    """Starts and ends of the characters that each token covers, without gaps.

    Tokenizers with `trim_offsets` leave the white space that a token begins with out of its offsets, which would put
    a token of white space only at the wrong side of a border; a gap belongs to the token after it.

    Args:
        offsets: T pairs `(start, end)`, as a fast tokenizer gives them.
        length: Characters of the text.
    """
    starts = [start for start, _ in offsets]
    ends = [end for _, end in offsets]
    if starts and starts[0] == 0 and ends[-1] == length and starts[1:] == ends[:-1]:
        return starts, ends
    covered = 0
    for number, start in enumerate(starts):
        if start > covered:
            starts[number] = covered
        ends[number] = max(ends[number], starts[number])
        covered = max(covered, ends[number])
    return starts, ends
