"""How much a text repeats: itself, what was said before, its own few words. Lists of words in, shares out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from turnwise.quality.words import ngrams

N = 4
"""Words of the n-grams that count as repeated; single words and pairs recur in any text."""
WINDOW = 50
"""Words of the moving window of the type-token ratio."""
COPY_SHARE = 0.8
"""Share of a reply's n-grams from which it counts as a copy of the request."""


def repeated_share(said: Sequence[str], n: int = N) -> float | None:
    """Share of a text's n-grams that occurred earlier in it: 1 - distinct / all; None where it has none."""
    grams = ngrams(said, n)
    return 1 - len(set(grams)) / len(grams) if grams else None


def shared_share(said: Sequence[str], earlier: Collection[tuple[str, ...]], n: int = N) -> float | None:
    """Share of a text's distinct n-grams that are among earlier ones; None where it has none."""
    grams = set(ngrams(said, n))
    return sum(gram in earlier for gram in grams) / len(grams) if grams else None


def history_overlap(reply: set[str], request: set[str], earlier: set[str]) -> float | None:
    """Of what a reply adds to its request, the share that earlier turns brought up.

    With T the content terms of the reply that its own request does not hold, and E those of all earlier turns (both
    speakers): |T & E| / |T|. Terms are distinct, so that saying one word often does not count as connection.

    Args:
        reply: Content terms of the reply.
        request: Content terms of the request that it answers.
        earlier: Content terms of all messages before the request, except system messages.

    Returns:
        From 0 to 1; None where T is empty.
    """
    added = reply - request
    return len(added & earlier) / len(added) if added else None


def copies_request(reply: Sequence[str], request: Sequence[str]) -> bool:
    """Whether a reply says the request again: the same words, or at least `COPY_SHARE` of its n-grams are in it.

    Replies of fewer than `N` words are never copies: "Yes." answers "Yes?" well.
    """
    if len(reply) < N:
        return False
    if list(reply) == list(request):
        return True
    share = shared_share(reply, set(ngrams(request, N)))
    return share is not None and share >= COPY_SHARE


def distinct_n(replies: Sequence[Sequence[str]], n: int) -> float | None:
    """Distinct n-grams over all n-grams of several texts (Li et al., 2016); None where there are none.

    It falls with the length of the texts, so compare only sets of like length.
    """
    grams = [gram for said in replies for gram in ngrams(said, n)]
    return len(set(grams)) / len(grams) if grams else None


def type_token_ratio(said: Sequence[str], window: int = WINDOW) -> float | None:
    """Moving-average type-token ratio (Covington and McFall, 2010): the mean share of distinct words over all windows.

    Unlike the plain ratio it does not fall with length. A text shorter than the window gives its plain ratio.
    """
    if not said:
        return None
    width = min(window, len(said))
    counts = Counter(said[:width])
    total = len(counts)
    for place in range(width, len(said)):
        leaving = said[place - width]
        counts[leaving] -= 1
        if not counts[leaving]:
            del counts[leaving]
        counts[said[place]] += 1
        total += len(counts)
    return total / width / (len(said) - width + 1)
