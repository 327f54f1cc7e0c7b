from __future__ import annotations

from turnwise.training.tokens import Tokens, cover


def testcover_gives_a_gap_to_the_token_behind_it():
    """Text "a b": "a" [0,1), " b" trimmed to [2,3) -> it covers [1,3). A text whose end no token covers stays so."""
    assert cover([(0, 1), (2, 3)], 3) == ([0, 1], [1, 3])
    assert cover([(0, 1), (2, 2), (2, 3)], 3) == ([0, 1, 2], [1, 2, 3])
    assert cover([(0, 1), (0, 1), (1, 2)], 2) == ([0, 0, 1], [1, 1, 2])  # two byte tokens of one character


def test_a_token_belongs_where_it_covers_a_character():
    """Tokens cover [0,2), [2,5), [5,6): the characters [4,5) touch the second, [1,3) the first two, none is empty."""
    tokens = Tokens([7, 8, 9], [0, 2, 5], [2, 5, 6])
    assert list(tokens.between(4, 5)) == [1]
    assert list(tokens.between(1, 3)) == [0, 1]
    assert list(tokens.between(3, 3)) == []
