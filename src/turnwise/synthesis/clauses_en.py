"""The front of an English sentence: what leads in, the subject, the finite verb, and the rest of its clause."""

from __future__ import annotations

import re
from dataclasses import dataclass

from turnwise.synthesis.verbs_en import AUXILIARIES, BE, is_base, past_base, present_base
from turnwise.synthesis.word_list import words

PRONOUNS = words(
    """
    he she it they this these those that such his her its their we our i my you your
    """
)
DETERMINERS = words(
    """
    the a an this these those that some many most all both each every several no any one two
    """
)
PREPOSITIONS = words(
    """
    of in on at by for with from to into as after before during since until under over between among through
    against within without about around near along across toward towards despite upon per via beyond throughout
    """
)
_STOPS = words(
    """
    that which who whom whose where when while if because although though whether than
    """
)
_CUTS = re.compile(
    r", (?:which|who|whom|whose|where|when|while|although|though|as|with|including|so|but|and|or|after|before|making|"
    r"[a-z]+ing|according|because|since|until|such|especially|particularly|mainly|then|yet|not)\b"
    r"|, (?:the|a|an|this|these|it|he|she|they|there|[A-Z]\w+) (?:[\w-]+ ){0,4}?(?:is|are|was|were|has|had)\b"
    r"| and (?:he|she|it|they|this|there)\b"
)
_LAST_OF_LIST = re.compile(r", (?:and|or)\b")
_TRAILING = re.compile(r" (?:often|also|typically|usually|generally|then|later|never|ever|always|still|now|\w{3,}ly)$")
_NOT_INSIDE = words("he she they we i it then whilst")
_NO_SUBJECT = words(
    """
    there here and but or nor yet so if when while although though because since as what how why where soon even not
    only just perhaps often once now thus rather unlike like based due given more less much according instead together
    either neither whether never always nearly almost both later earlier first second third finally next meanwhile
    prior included known born located built made e.g i.e it's that's
    """
)
_ADVERBS = re.compile(
    r"(?:However|Additionally|Moreover|Furthermore|Today|Eventually|Finally|Consequently|Therefore|Thus|Also|Then|"
    r"Meanwhile|Nevertheless|Instead|Similarly|Subsequently|Originally|Initially|Later|Traditionally|Generally|"
    r"Historically|Currently|Indeed|Hence|Likewise|In addition|In contrast|For example|For instance|In fact|"
    r"As a result|On the other hand|In particular|And|But|Yet|So|Usually|Nowadays|Recently|Still|Conversely|"
    r"Together|Overall),? "
)
_LEAD = re.compile(
    r"(?:In|On|At|By|After|During|Since|From|Before|Under|For|With|Until|Throughout|Around|Between|Among|Within|Over)"
    r" [^,;:()]{1,70}, "
)
_ASIDE = re.compile(
    r"(?:Even|Because|When|While|If|Although|Though|As|Unlike|Through|Despite|Once|Like|According|Based|Following|"
    r"Prior|Upon|Given|Since|Where|Along|Rather|Due|Soon|Shortly|Just|Of|To|Such as)\b [^,;:()]{2,110}, "
)
_WORD = re.compile(r"[^\s]+")


@dataclass(frozen=True, slots=True)
class Clause:
    """The parts of a main clause.

    Attributes:
        lead: An introductory phrase without its comma ("In 1066"), or "".
        subject: The subject, as it stands.
        verb: The finite verb.
        base: Its base form; "" for forms of be and for auxiliaries, which go to the front themselves.
        helper: What goes to the front: the verb itself, or did, does, do.
        rest: What follows the verb, up to the end of the clause.
        rest_start: Where `rest` begins in the sentence.
        subject_start: Where `subject` begins in the sentence.
    """

    lead: str
    subject: str
    verb: str
    base: str
    helper: str
    rest: str
    rest_start: int
    subject_start: int

    @property
    def leaning(self) -> bool:
        """Whether the subject begins with a pronoun."""
        return self.subject.split()[0].casefold() in PRONOUNS


def without_adverb(sentence: str) -> str:
    """The sentence without a linking adverb at its front ("However, ...")."""
    begin = 0
    while match := _ADVERBS.match(sentence, begin):
        begin = match.end()
    rest = sentence[begin:]
    return rest[:1].upper() + rest[1:] if begin else sentence


def parse(sentence: str) -> Clause | None:
    """The parts of the main clause of a plain sentence; None where its front is not simple enough to be sure.

    No parser stands behind this: the first word that can only be a finite verb, after a subject of at most twelve words
    without a clause of its own. What is unsure is refused, and asked about in another way.
    """
    begin, lead, aside = 0, "", False
    while match := _ADVERBS.match(sentence, begin):
        begin, aside = match.end(), True
    if match := _LEAD.match(sentence, begin):
        lead, begin = match[0].rstrip(", "), match.end()
    elif match := _ASIDE.match(sentence, begin):
        begin = match.end()
        aside = True
    words = list(_WORD.finditer(sentence, begin))[:28]
    if len(words) < 3 or not _starts_subject(words[0][0].casefold().strip(",")):
        return None
    if not lead and not aside and not sentence[begin].isupper():
        return None
    subject_end = None
    for number, word in enumerate(words[:15]):
        token = word[0]
        if number and (found := _finite(words, number)):
            return _built(sentence, lead, words, number, subject_end or words[number - 1].end(), found)
        if token.casefold().strip(",") in _STOPS or token[-1] in ";:" or token[0] in '"“':
            return None
        if token.endswith(","):
            if subject_end is not None:
                continue
            subject_end = word.end() - 1
    return None


def _built(
    sentence: str, lead: str, words: list[re.Match[str]], number: int, end: int, found: tuple[str, str]
) -> Clause | None:
    """The clause with its verb at a word; None where what is before it is no plain subject."""
    start, verb = words[0].start(), words[number]
    subject = _TRAILING.sub("", sentence[start:end].rstrip(", "))
    rest_start = min(verb.end() + 1, len(sentence))
    rest = _clause_end(sentence[rest_start:])
    inside = {part.casefold() for part in subject.split()[1:]}
    if subject.count(" ") > 11 or not rest or re.search(r"[()\[\]]", subject):
        return None
    if inside & (BE | AUXILIARIES | _NOT_INSIDE):
        return None
    return Clause(lead, subject, verb[0], found[0], found[1], rest, rest_start, start)


def _starts_subject(word: str) -> bool:
    """Whether a subject can begin with a word: no preposition, conjunction, adverb or participle."""
    if word in _NO_SUBJECT or word in PREPOSITIONS:
        return False
    return not (len(word) > 5 and word.endswith(("ly", "ing")))


def _finite(words: list[re.Match[str]], number: int) -> tuple[str, str] | None:
    """Base and helper of the word where it is the finite verb of the clause that starts at the first word."""
    token, before = words[number][0], words[number - 1][0]
    open_comma = any(word[0].endswith(",") for word in words[:number])
    if open_comma and not before.endswith(","):
        return None
    low, previous = token.casefold(), before.casefold().strip(",")
    if low in BE:
        return "", low
    if previous in DETERMINERS | PREPOSITIONS or token != low or not low.isalpha():
        return None
    if previous in ("and", "or") and low not in AUXILIARIES:
        return None
    later = [word[0].casefold() for word in words[number + 1 : number + 9]]
    if low in ("do", "does", "did") and later[:1] == ["not"]:
        return "", low
    if low in AUXILIARIES:
        if low in ("has", "have", "had") and later and not _participle(later):
            return "have", {"has": "does", "have": "do", "had": "did"}[low]
        return "", low
    found = _full_verb(low, previous)
    if found is None:
        return None
    for word in later:
        if word.strip(",.") in _STOPS or word.endswith(",") or word == "and":
            break
        if word in BE or word in ("has", "had", "have", "can", "could", "will", "would"):
            return None
    return found


def _full_verb(low: str, previous: str) -> tuple[str, str] | None:
    """Base and helper of a word that may be a past form, a third person, or the plural of a known verb."""
    if base := past_base(low):
        return base, "did"
    if base := present_base(low):
        return base, "does"
    if is_base(low) and previous.endswith("s") and not previous.endswith("ss"):
        return low, "do"
    return None


def _participle(later: list[str]) -> bool:
    """Whether a participle follows a form of have ("has been", "had also taken")."""
    first = [
        word for word in later if not word.endswith("ly") and word not in ("also", "not", "never", "since", "always")
    ]
    return bool(first) and (
        first[0].strip(",.").endswith(("ed", "en", "wn", "ung"))
        or past_base(first[0]) is not None
        or first[0] in ("been", "become", "come", "done", "gone", "run")
    )


def _clause_end(rest: str) -> str:
    """The rest up to the end of its clause: a semicolon, colon or dash, or a comma with what begins a clause."""
    depth = 0
    for place, char in enumerate(rest):
        depth += (char in "([") - (char in ")]")
        inside_number = char == "," and rest[place - 1 : place].isdigit() and rest[place + 1 : place + 2].isdigit()
        date = char == "," and re.match(r", \d{4}\b", rest[place:]) and re.search(r"[A-Z][a-z]+ \d{1,2}$", rest[:place])
        ends = char in ";:—" or (char in ", " and _CUTS.match(rest, place) and rest[:place].count('"') % 2 == 0)
        listed = _LAST_OF_LIST.match(rest, place) is not None and ", " in rest[:place]
        if depth <= 0 and ends and not (inside_number or date or listed):
            return rest[:place].rstrip()
    return rest.rstrip(' .!?"”’')
