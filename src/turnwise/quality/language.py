"""Which script and, roughly, which language a text is in: letters and function words, no model."""

from __future__ import annotations

from collections.abc import Mapping

from turnwise.data.inspect import letters_by_script
from turnwise.quality.words import words

FEW_LETTERS = 10
"""Texts of fewer letters have no main script: an answer "OK" says nothing of the language."""
FEW_HITS = 3
"""Function words that a text must have for a language to be named."""

_BY_SCRIPT = {"Hangul (Korean)": "ko", "Greek": "el", "Hebrew": "he", "Devanagari": "hi", "Thai": "th", "Arabic": "ar"}
_KANA, _HAN = "Kana (Japanese)", "Han (Chinese, Japanese)"
_FUNCTION_WORDS = {
    "en": "the and of to is that for you with it this are be have on not can your as what how i in or",
    "de": "der die das und ist nicht ich ein eine mit zu auf für von es den sie wie auch im dass",
    "fr": "le la les des est et un une que pour dans vous je pas sur qui ce avec plus du comment",
    "es": "el la los las de que y es en un una por con para no se como su más puedo del",
    "pt": "o os as de que e é em um uma por com para não se como mais do da no você",
    "it": "il lo la gli di che e è un una per con non sono come più del della si nel",
    "nl": "de het een en van is dat niet ik je op te met voor zijn aan er maar ook hoe",
    "pl": "i w na z do nie się jest to że jak o co dla czy po przez są od jako",
    "ru": "и в не на что с как это по для я из у к но а или от вы так",
    "uk": "і в не на що з як це до для я та у але або від ви так є про",
}


def main_script(text: str) -> str | None:
    """The script of most letters; None for fewer than `FEW_LETTERS` letters.

    Text with kana is called Japanese from one kana in twenty letters of Han and kana on: Japanese mixes them.
    """
    return _main_script(letters_by_script(text))


def guess_language(text: str) -> str | None:
    """An ISO 639-1 code, or None where the text does not say.

    By script where a script stands for one language here; else the language whose function words are most frequent
    (at least `FEW_HITS` of them, and more than any other's). Knows ten languages of Latin and Cyrillic letters, and
    reads any other language of theirs as None or as a neighbour; Persian and Urdu are called `ar`.
    """
    script = main_script(text)
    if script is None or script in _BY_SCRIPT:
        return _BY_SCRIPT.get(script or "")
    if script in (_KANA, _HAN):
        return "ja" if script == _KANA else "zh"
    counts = dict.fromkeys(_FUNCTION_WORDS, 0)
    for word in words(text):
        for language in _LANGUAGES_OF.get(word, ()):
            counts[language] += 1
    ranked = sorted(counts, key=lambda language: -counts[language])
    first, second = counts[ranked[0]], counts[ranked[1]]
    return ranked[0] if first >= FEW_HITS and first > second else None


def _main_script(letters: Mapping[str, int]) -> str | None:
    if sum(letters.values()) < FEW_LETTERS:
        return None
    kana, han = letters.get(_KANA, 0), letters.get(_HAN, 0)
    merged = dict(letters)
    if kana and 20 * kana >= kana + han:
        merged[_KANA] = merged.pop(_KANA) + merged.pop(_HAN, 0)
    return max(merged, key=lambda script: merged[script])


_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _one in _words.split():
        _LANGUAGES_OF.setdefault(_one, []).append(_language)
