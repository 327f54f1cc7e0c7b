"""Figures of a dialogue, by hand."""

from __future__ import annotations

from turnwise.dialogue import Document
from turnwise.synthesis.chain import ChainTurn
from turnwise.synthesis.checks import check_turns, near_duplicate_turns, talks_about

TEXT = "The harbour was built in 1850 by Norwegian sailors."


def turns(*texts):
    return [ChainTurn(user=user, assistant=assistant) for user, assistant in texts]


def test_a_turn_nearly_repeats_an_earlier_one_of_the_same_speaker_but_for_small_things():
    """Turn 1 repeats the question of turn 0 in other case and marks, turn 2 repeats the answer of turn 1; turn 3 says
    as user what the assistant said before, which is no repetition."""
    found = near_duplicate_turns(
        turns(
            ("When was the harbour built?", "In 1850."),
            ("when was the harbour built", "Sailors built it."),
            ("Who built it?", "Sailors built it!"),
            ("Sailors built it.", "Yes, from Norway."),
        )
    )
    assert found == [1, 2]
    assert near_duplicate_turns(turns(("港口建于何时？", "1850年。"), ("港口建于何时", "早就建成了。"))) == [1]
    assert near_duplicate_turns([]) == []


def test_language_of_all_messages_is_that_of_the_document_or_not():
    english, chinese = Document("a", TEXT), Document("b", "港口由挪威水手建于1850年。")
    said = turns(("港口建于何时？", "建于1850年。"))
    assert not check_turns(said, english, chain=False)["language_match"]
    assert check_turns(said, chinese, chain=False)["language_match"]


def test_a_turn_talks_about_a_text_by_a_long_word_a_number_or_a_chinese_bigram():
    def about(user, assistant, text=TEXT):
        return talks_about(ChainTurn(user=user, assistant=assistant), text)

    assert about("Which SAILORS?", "Hm.")
    assert about("When?", "1850")
    assert not about("When was it?", "In May.")
    assert about("谁？", "挪威人。", "港口由挪威水手建成。")
    assert not about("谁？", "中国人。", "港口由挪威水手建成。")


def test_without_a_claim_there_is_no_grounded_share():
    checks = check_turns(turns(("When was the harbour built?", "In 1850.")), Document("a", TEXT), chain=True)
    assert (checks["grounded"], checks["common_knowledge"], checks["logic"], checks["unknown_types"]) == (
        None,
        1,
        {},
        1,
    )
