"""English questions out of English sentences, by their surface."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from turnwise.synthesis.asking import Entity, Question
from turnwise.synthesis.clauses_en import Clause, parse
from turnwise.synthesis.verbs_en import past_base, present_base
from turnwise.synthesis.word_list import words

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_YEAR = r"(?:1\d{3}|20\d{2})"
_TIME = (
    rf"(?:(?:early|late|mid|about|around) )?(?:\d{{1,2}}(?:st|nd|rd|th)? (?:{_MONTHS}),? {_YEAR}"
    rf"|(?:{_MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?(?:, {_YEAR})?|(?:{_MONTHS}),? {_YEAR}"
    rf"|the (?:early |late |mid-?)?\d{{1,2}}(?:st|nd|rd|th) (?:century|centuries)|the (?:early |late |mid-?)?{_YEAR}s"
    rf"|{_YEAR}(?: (?:BC|AD|CE|BCE))?|\d{{1,4}} (?:BC|AD|CE|BCE)|[1-9]\d\d(?=$|[,.;]))"
    r"(?![\w%,.–-]?\d)(?! (?:and|or|to|[a-z]*s\b))"
)
_WHEN = re.compile(rf"(?<![\w-])(in|on|since|until|by) ({_TIME})(?!\w)", re.IGNORECASE)
_NAME = r"(?:[A-Z][\w'’-]+|[A-Z]\.)(?: (?:(?:of|of the|de|von|van) )?(?:[A-Z][\w'’-]+|[A-Z]\.))*"
_WHERE = re.compile(rf"(?<!\w)(in|at|near) ((?:the )?{_NAME}(?:, [A-Z][a-z]+)?)(?= |$|[.,;])")
_AGENT = re.compile(rf"(?<!\w)by ((?:the )?{_NAME})(?= |$|[.,;])")
_WORDS_OF_NUMBER = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand"
)
_COUNT = re.compile(
    rf"^(?:(?:about|around|approximately|nearly|over|almost|only|at least|more than|some|up to) )?"
    rf"((?:\d[\d,.]*|{_WORDS_OF_NUMBER})(?: (?:million|billion|thousand|hundred))?) ((?:[a-z-]+ ){{0,2}}?[a-z]+s)\b"
)
_NUMBER = re.compile(
    r"(?<![\w.,$£€–-])(?:[$£€])?\d[\d,]*(?:\.\d+)?(?: ?(?:%|percent|per cent|million|billion|thousand))?"
    r"(?![\w–-]|[.,]\d)"
)
_REASON = re.compile(r",? ((?:because|due to|owing to|as a result of|in order to|so that|thanks to) .{8,})")
_YEAR_ALONE = re.compile(rf"(?<![\w,.$–-]){_YEAR}(?![\w%–-]|[.,]\d)")
_PEOPLE = (
    "player|king|queen|author|writer|actor|actress|singer|president|emperor|politician|scientist|painter|composer|"
    "mathematician|physicist|inventor|engineer|poet|general|leader|bishop|pope|priest|monk|architect|philosopher|"
    "theologian|economist|founder|doctor|physician|driver|director|quarterback|coach|linebacker|astronomer|chemist|"
    "teacher|monks|families|farmers|fishermen|sailors|inhabitants|villagers|officers|troops|student|students|people|women|men|workers|scientists|scholars|leaders|members|residents|soldiers|"
    "settlers|children|baker|farmer|fisherman|sailor|miller|keeper|mayor|merchant|merchants|pharmacists|teachers"
)
_PERSON_NOUN = re.compile(rf"(?<!\w)(?:{_PEOPLE})(?!\w)", re.IGNORECASE)
_DEFINES = re.compile(r"(?:a|an|the|one of|any|another)\b")
_DESCRIBES = re.compile(
    r"(?:['’]s)?[ -](?!(?:is|are|was|were|and|or|in|on|at|of|for|to|by|with|has|had|as|from|who|which)\b)[a-z]"
)
_COMMON = re.compile(r"[a-z]{2}(?:[kdtnvrlgm]ers|tors|ents|ants|ists|ments|tions|ings|ous|ive|able|ful|less)$")
_TAKES_OBJECT = words(
    """
    hold contain include employ produce build make use sell buy win write publish create develop discover invent have
    establish receive gather own show offer provide support destroy rebuild replace record count collect require cause
    """
)
_STATES = words("have contain include hold require mean cost lack own consist seem remain")
_OBJECT = re.compile(r"(?:a|an|the|its|his|her|their|\d[\d,.]*|about|several|many|two|three|four|five|[A-Z]\w+)\b")
_GAPS = (
    "{} fills the gap here: “{}”?",
    "{} is missing in this sentence: “{}”?",
    "{} belongs where the gap is: “{}”?",
)
_ABOUT = (
    "What does the text say about {}?",
    "What is said about {}?",
    "What do we learn about {}?",
    "What is known about {}?",
)
_LOWER_FIRST = words(
    """
    the a an this these those that his her its their it he she they in on at by after during since from before
    under for with until when while some many most all both each as there one two three several such other
    another although if no among between within throughout around over of to
    """
)
_NOT_NAMES = frozenset(_MONTHS.split("|")) | words(
    """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday The A An In On At By It He She They This These
    Those I But And For From As When While If Although However There After Before During Since Until Some Many
    Most Not No Their His Her Its We Our You Other Such One Two Three With Under According
    """
)


def lowered(text: str, known: Collection[str] = frozenset()) -> str:
    """The text with its first word in lower case where that word is written so inside a sentence.

    Args:
        text: What begins with a capital.
        known: Words that the document has in lower case elsewhere; a word among them is no name, unless a capital
            follows it.
    """
    first = re.match(r"[\w-]+", text)
    if first is None or (first[0].isupper() and first[0] != "A"):
        return text
    common = first[0].casefold() in known or _COMMON.search(first[0]) is not None
    plain = common and not text[first.end() :].lstrip()[:1].isupper()
    return text[0].lower() + text[1:] if plain or first[0].casefold() in _LOWER_FIRST else text


def raised(text: str) -> str:
    """The text with a capital at its front."""
    return text[:1].upper() + text[1:]


def entities(sentence: str) -> list[Entity]:
    """Years, numbers and names of a sentence, in order, without overlap."""
    found = [Entity("year", match[0], match.start()) for match in _YEAR_ALONE.finditer(sentence)]
    taken = {place for one in found for place in range(one.start, one.end)}
    for match in _NUMBER.finditer(sentence):
        if match.start() not in taken and (match.end() - 1) not in taken:
            unit = "percent" if re.search(r"%|per ?cent", match[0]) else "money" if match[0][0] in "$£€" else "number"
            if re.search(r"illion|thousand", match[0]):
                unit = f"large {unit}"
            found.append(Entity(unit, match[0], match.start()))
            taken.update(range(match.start(), match.end()))
    for match in re.finditer(r"(?<![\w.'’-])" + _NAME + r"(?!\w)", sentence):
        words = match[0].split()
        skip = 0
        while skip < len(words) and words[skip] in _NOT_NAMES:
            skip += 1
        if skip == len(words) or (match.start() == 0 and len(words) == 1) or len(match[0]) > 60:
            continue
        start = match.start() + sum(len(word) + 1 for word in words[:skip])
        text = sentence[start : match.end()].removesuffix("'s").removesuffix("’s")
        if len(text) > 2 and not any(place in taken for place in range(start, start + len(text))):
            kind = _kind_of_name(sentence[:start], text)
            found.append(Entity(kind, text, start))
    return sorted(found, key=lambda entity: entity.start)


def describes(sentence: str, entity: Entity) -> bool:
    """Whether a name describes the noun behind it ("Norse raiders"): nothing to ask for, or to swap."""
    return entity.kind in ("name", "names", "place") and _DESCRIBES.match(sentence, entity.end) is not None


def _kind_of_name(before: str, text: str) -> str:
    """`place`, `person`, `names` (several words of another kind) or `name`, by the word before and the form."""
    previous = (before.split()[-1:] or [""])[0].casefold()
    several = len(text.split()) > 1
    if previous in ("in", "at", "near", "from", "to", "into") and " of " not in text:
        return "place"
    if several and previous not in ("the", "a", "an", "of") and len(text.split()) <= 3 and " of " not in text:
        return "person"
    return "names" if several else "name"


def questions(sentence: str, phrases: tuple[str, ...] = (), known: Collection[str] = frozenset()) -> list[Question]:
    """Questions that the sentence answers, best first.

    Args:
        sentence: One sentence, without surrounding white space.
        phrases: Its key phrases, for the questions that ask what is said about something.
        known: See `lowered`.

    Returns:
        At least one question where there is a phrase, an entity or a plain main clause; answers are slices of the
        sentence.
    """
    found: list[Question] = []
    clause = parse(sentence)
    if clause is not None:
        found += [one for one in _of_clause(sentence, clause, known) if _readable(one.text)]
    found += _gaps(sentence)
    found += [Question(_ABOUT[len(phrase) % len(_ABOUT)].format(phrase), "", "about", rank=8) for phrase in phrases]
    kept: dict[str, Question] = {}
    for question in sorted(found, key=lambda one: one.rank):
        kept.setdefault(question.text.casefold(), question)
    return list(kept.values())


def _readable(text: str) -> bool:
    return 3 <= len(text.split()) <= 32 and text.count('"') % 2 == 0 and text.count("(") == text.count(")")


def _of_clause(sentence: str, clause: Clause, known: Collection[str]) -> Iterator[Question]:
    lean, tail = clause.leaning, f" {lowered(clause.lead)}" if clause.lead else ""
    subject, rest = lowered(clause.subject, known), _without_brackets(clause.rest)
    single = _first_predicate(rest) if clause.base else rest
    front = f"{clause.helper} {subject}"
    whole = f"{clause.base} {single}" if clause.base else rest
    yield from _when(sentence, clause, front, tail)
    reason = _REASON.search(sentence, clause.rest_start)
    if reason:
        cut = sentence[clause.rest_start : reason.start()]
        if not re.search(r"[,;:()]", cut) and cut.strip():
            body = f"{clause.base} {cut}" if clause.base else cut
            answer = reason[1].rstrip(".")
            yield Question(f"Why {front} {body.strip()}{tail}?", answer, "why", reason.start(1), 1, lean)
    yield from _where_and_who(sentence, clause, front, tail)
    yield from _how_many(clause, front, tail)
    if clause.verb in ("is", "are", "was", "were") and _DEFINES.match(clause.rest):
        person = _PERSON_NOUN.search(clause.rest[:60]) and clause.subject[0].isupper()
        who = "Who" if person and not clause.subject.startswith(("The ", "A ", "An ")) else "What"
        yield Question(f"{who} {clause.verb} {subject}{tail}?", clause.rest, "define", clause.rest_start, 1, lean)
    elif clause.base in _TAKES_OBJECT and _OBJECT.match(clause.rest):
        yield Question(f"What {front} {clause.base}{tail}?", clause.rest, "what", clause.rest_start, 2, lean)
    elif clause.base and clause.base not in _STATES:
        answer = f"{clause.verb} {clause.rest}"
        start = clause.rest_start - len(clause.verb) - 1
        if sentence[start : start + len(answer)] == answer:
            yield Question(f"What {front} do{tail}?", answer, "what", start, 4, lean)
    if not lean and len(rest.split()) >= 3 and not rest.startswith(("that ", "to ")):
        opener = _subject_word(subject)
        where = clause.subject_start
        yield Question(
            f"{opener} {_third_person(clause.verb, clause.helper)} {rest}{tail}?", clause.subject, "who", where, 2
        )
    yield Question(f"{raised(front)} {whole}{tail}?", "", "whether", 0, 6, lean)


def _how_many(clause: Clause, front: str, tail: str) -> Iterator[Question]:
    count = _COUNT.match(clause.rest)
    if count is None or re.match(r" (?:and|or)\b", clause.rest[count.end() :]):
        return
    answer, start = clause.rest[count.start(1) : count.end(2)], clause.rest_start + count.start(1)
    measured = re.match(r" (high|long|wide|deep|tall|old|thick)\b", clause.rest[count.end() :])
    if measured:
        yield Question(f"How {measured[1]} {front}{tail}?", answer, "number", start, 1, clause.leaning)
        return
    after = clause.rest[count.end() :].strip()
    end = f" {clause.base}" if clause.base else ""
    text = _joined(f"How many {count[2]} {front}{end}", after) + f"{tail}?"
    yield Question(text, answer, "number", start, 1, clause.leaning)


def _third_person(verb: str, helper: str) -> str:
    """The verb as it stands after "who": of a plural present the singular."""
    if helper != "do":
        return verb
    if verb == "have":
        return "has"
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if verb.endswith("y") and verb[-2] not in "aeiou" else f"{verb}s"


def _first_predicate(rest: str) -> str:
    """The rest without a second finite verb behind "and": after did, that would have to change its form too."""
    for match in re.finditer(r" and (?:\w+ly |also |then )?([a-z]+)\b", rest):
        if past_base(match[1]) or present_base(match[1]):
            return rest[: match.start()]
    return rest


def _when(sentence: str, clause: Clause, front: str, tail: str) -> Iterator[Question]:
    first = _first_predicate(clause.rest) if clause.base else clause.rest
    body = f"{clause.base} {first}" if clause.base else first
    match = _WHEN.fullmatch(clause.lead)
    if match and len(clause.rest.split()) >= 2:
        start = sentence.index(clause.lead) + match.start(2)
        word = {"since": "Since when", "until": "Until when", "by": "By when"}.get(match[1].casefold(), "When")
        yield Question(f"{word} {front} {_without_brackets(body)}?", match[2], "when", start, 0, clause.leaning)
    for match in _WHEN.finditer(first):
        before, after = first[: match.start()].strip(), first[match.end() :].strip()
        if (
            "," in before
            or before.endswith(("not", "only"))
            or not (before or after)
            or (before.endswith((" and", " or", "born")) and not before.endswith("born"))
        ):
            continue
        word = {"since": "Since when", "until": "Until when", "by": "By when"}.get(match[1].casefold(), "When")
        kept = _joined(before, after)
        kept = f"{clause.base} {kept}" if clause.base else kept
        text = f"{word} {front} {_without_brackets(kept)}{tail}?"
        yield Question(text, match[2], "when", clause.rest_start + match.start(2), 0, clause.leaning)


def _where_and_who(sentence: str, clause: Clause, front: str, tail: str) -> Iterator[Question]:
    for match in _WHERE.finditer(clause.rest):
        before, after = clause.rest[: match.start()].strip(), clause.rest[match.end() :].strip()
        if (
            not before
            or "," in before
            or match[2].split()[0] in _NOT_NAMES - {"The"}
            or len(after.split()) > 4
            or after
        ):
            continue
        kept = f"{clause.base} {before}" if clause.base else before
        start = clause.rest_start + match.start(2)
        yield Question(f"Where {front} {_without_brackets(kept)}{tail}?", match[2], "where", start, 1, clause.leaning)
    agent = _AGENT.search(clause.rest)
    if (
        agent
        and not _DEFINES.match(clause.rest)
        and "," not in clause.rest[: agent.start()]
        and clause.helper in ("is", "are", "was", "were")
        and clause.rest[: agent.start()].strip()
    ):
        after = clause.rest[agent.end() :].strip()
        kept = _joined(clause.rest[: agent.start()].strip(), "" if after.startswith(",") else after)
        start = clause.rest_start + agent.start(1)
        text = f"By whom {front} {_without_brackets(kept)}{tail}?"
        yield Question(text, agent[1], "who", start, 1, clause.leaning)


def _subject_word(subject: str) -> str:
    head = subject.split(" of ")[0]
    if _PERSON_NOUN.search(head):
        return "Who"
    return "Who or what" if re.search(r"(?:^| )[A-Z]\w", head) else "What"


def _gaps(sentence: str) -> Iterator[Question]:
    asked = {
        "year": "Which year", "number": "Which number", "percent": "What percentage", "money": "What sum",
        "name": "Which name", "names": "Which name", "place": "Which name", "person": "Which name",
    }  # fmt: skip
    if len(sentence) > 260:
        return
    for entity in entities(sentence):
        if describes(sentence, entity):
            continue
        gap = sentence[: entity.start] + "____" + sentence[entity.end :]
        what = asked.get(entity.kind, "Which number")
        shape = _GAPS[(len(sentence) + entity.start) % len(_GAPS)]
        yield Question(shape.format(what, gap), entity.text, "cloze", entity.start, 7)


def _without_brackets(text: str) -> str:
    """A text without what stands in brackets, and without the marks that then end it."""
    text = re.sub(r"\s*[(\[][^()\[\]]*[)\]]", "", text)
    return re.sub(r"\s+([,.;])", r"\1", text).strip(" .,;")


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
