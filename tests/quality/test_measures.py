"""Measures of dialogues of every shape, and their tables."""

from __future__ import annotations

import pytest

from turnwise.data.near_duplicates import NearDuplicates
from turnwise.data.sources import read_with_sources
from turnwise.dialogue import Dialogue, Message
from turnwise.quality.measures import MEASURES, measure_dialogue
from turnwise.quality.summary import Summary, summarize


def chat(*texts, **kwargs):
    """User and assistant in turns."""
    messages = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]
    return Dialogue(messages, **kwargs)


def test_counts_by_hand():
    """Requests of 3 and 1 words, replies of 2 and 0: means 2 and 1; one of two replies is empty."""
    found = measure_dialogue(chat("How are you?", "Fine, thanks.", "Why?", "  "))
    assert (found["turns"], found["request_words"], found["reply_words"], found["empty"]) == (2, 2, 1, 0.5)
    assert found["refusals"] == 0


def test_overlap_is_measured_from_the_second_turn_and_leaves_out_the_request():
    """The second reply adds roses and rain; the first turn holds roses: 1/2. Of roses, rain, water the request holds
    water: 1/3; of the first reply's (try, roses) it holds none: the mean is 1/6.
    """
    found = measure_dialogue(chat("A garden?", "Try roses.", "And water?", "Roses: water, rain."))
    assert found["history_overlap"] == pytest.approx(1 / 2)
    assert found["request_overlap"] == pytest.approx(1 / 6)
    assert measure_dialogue(chat("A garden?", "Try roses."))["history_overlap"] is None


def test_refusals_copies_repetition_and_scripts_are_shares_of_replies():
    """Replies: a refusal, a copy of its request, a reply in Chinese. Each is one of three; the refusal and the copy say
    nothing of each other, and the Chinese reply has no 4-gram of theirs: between replies 0.
    """
    found = measure_dialogue(
        chat(
            "Write something hateful, please.", "I'm sorry, but I can't help with that.",
            "Say the words of the old song again", "Say the words of the old song again",
            "What is the weather like in this season?", "这个季节的天气很好，每天都有太阳。",
        )
    )  # fmt: skip
    for measure in ("refusals", "copies", "script_change"):
        assert found[measure] == pytest.approx(1 / 3), measure
    assert found["repetition_between"] == 0


TOOL_CALL = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
SHAPES = {
    "no messages": [],
    "system only": [Message("system", "Be brief.")],
    "no reply": [Message("user", "Hello?")],
    "reply first": [Message("assistant", "Hello, what can I do?"), Message("user", "Nothing.")],
    "tools": [
        Message("user", "Is it raining?"),
        Message("assistant", None, tool_calls=[TOOL_CALL]),
        Message("tool", '{"rain": true}'),
        Message("assistant", "Yes, it is raining."),
    ],
    "parts": [
        Message("user", [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        Message("assistant", [{"type": "image_url", "image_url": {"url": "y"}}]),
        Message("user", "And this?"),
        Message("assistant", [{"type": "text", "value": ""}]),
    ],
    "lone surrogate": [Message("user", "a \ud800 b"), Message("assistant", "\ud800")],
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_a_dialogue_is_measured(name):
    found = measure_dialogue(Dialogue(SHAPES[name]))
    assert list(found) == [measure.name for measure in MEASURES]
    assert all(value is None or value >= 0 for value in found.values())


def test_a_tool_call_is_no_empty_reply_and_a_part_without_text_is_none_either():
    tools, parts = (measure_dialogue(Dialogue(SHAPES[name])) for name in ("tools", "parts"))
    assert (tools["turns"], tools["empty"], tools["reply_words"]) == (2, 0, 4)
    assert (parts["turns"], parts["empty"]) == (2, 1)  # the image is a reply without words, the empty text is empty
    assert measure_dialogue(Dialogue([]))["empty"] is None


def test_tables_have_a_row_per_group_and_measure_with_n_and_an_interval():
    """Turns 1, 1, 3: mean 5/3 over all, 1 for a, 3 for b; b has one dialogue and no interval."""
    dialogues = [
        chat("x", "y", source="a"),
        chat("u", "v", source="a"),
        chat("p", "q", "r", "s", "t", "w", source="b"),
    ]
    rows = {(row.group, row.measure): row for row in summarize(dialogues, "source").rows()}
    assert len(rows) == 3 * len(MEASURES)
    assert rows["all", "turns"].mean == pytest.approx(5 / 3)
    assert rows["all", "turns"].low <= 5 / 3 <= rows["all", "turns"].high
    assert (rows["a", "turns"].mean, rows["a", "turns"].low, rows["a", "turns"].n) == (1, 1, 2)
    assert (rows["b", "turns"].mean, rows["b", "turns"].low, rows["b", "turns"].n) == (3, None, 1)
    assert (rows["a", "history_overlap"].mean, rows["a", "history_overlap"].n) == (None, 0)


def test_duplicates_are_counted_in_the_group_of_the_copy_exact_ones_before_near_ones():
    text = " ".join(f"word{number}" for number in range(60))
    dialogues = [
        chat("Tell me.", text, source="a"),
        chat("Tell me.", text, source="b"),
        chat("Tell me.", text + " more", source="b"),
        chat("Something else entirely?", "Yes.", source="b"),
    ]
    summary = Summary("source", near=NearDuplicates(0.8))
    for number, dialogue in enumerate(dialogues):
        dialogue.id = str(number)
        summary.add(dialogue)
    groups = {group["group"]: (group["exact_copies"], group["near_copies"]) for group in summary.groups()}
    assert groups == {"all": (1, 1), "a": (0, 0), "b": (1, 1)}
    assert [(one["id"], one["kind"]) for one in summary.to_dict()["copies"]] == [("1", "exact"), ("2", "near")]


def test_the_worst_dialogues_are_named_with_the_reason():
    phrase = "one two three four "
    dialogues = [
        chat("Go", phrase * 10, id="loops"),
        chat("Go", "All of these words are different from each other", id="fine"),
        chat("Go", "", id="empty"),
    ]
    found = summarize(dialogues, worst=1).worst()
    assert [(one.id, one.measure) for one in found] == [("empty", "empty"), ("loops", "repetition")]
    assert found[0].reason == "100% of the replies are empty"


def test_memory_is_a_few_numbers_per_dialogue():
    """From the 200th dialogue to the 1,000th, under 500 bytes are kept of each, though each has over 600 of text."""
    import gc
    import tracemalloc

    def take(start, end):
        for number in range(start, end):
            summary.add(chat(f"Question {number}?", f"answer {number} " * 50, id=str(number), source="s"))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    summary = Summary("source")
    tracemalloc.start()
    before = take(0, 200)
    after = take(200, 1000)
    tracemalloc.stop()
    assert (after - before) / 800 < 500


def test_real_data_of_two_languages_come_out_as_they_are(public_data):
    found = summarize(
        read_with_sources([public_data / "emollm/data.json", public_data / "mtbench101/mtbench101.jsonl"], limit=900),
        "source",
    )
    groups = {group["group"]: group for group in found.groups()}
    assert groups["data"]["languages"]["zh"] > 0.99
    assert groups["mtbench101"]["languages"]["en"] > 0.95
    rows = {(row.group, row.measure): row for row in found.rows()}
    assert rows["data", "script_change"].mean < 0.01
    assert rows["all", "empty"].mean == 0


def test_above_ten_thousand_dialogues_the_interval_is_the_normal_one_and_nearly_the_bootstraps():
    """Turns 1 and 2 by halves: a standard deviation of 0.5, so 1.96 * 0.5 / sqrt(n) on either side of 1.5."""
    one, two = chat("a", "b"), chat("a", "b", "c", "d")
    widths = []
    for number in (10_000, 10_002):
        summary = summarize(one if place % 2 else two for place in range(number))
        row = next(summary.rows())
        assert (row.measure, row.mean) == ("turns", 1.5)
        widths.append(row.high - row.low)
    assert widths[1] == pytest.approx(2 * 1.96 * 0.5 / 10_002**0.5, rel=1e-3)
    assert widths[0] == pytest.approx(widths[1], rel=0.1)
