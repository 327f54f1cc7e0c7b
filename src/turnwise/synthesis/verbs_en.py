"""English verbs as far as questions need them: which word is a finite verb, and what its base form is."""

from __future__ import annotations

from turnwise.synthesis.word_list import words

BE = words("is are was were")
AUXILIARIES = words("can could will would may might must should has have had")
_IRREGULAR = """
became become began begin broke break brought bring built build bought buy came come caught catch chose choose
cost cost cut cut did do drew draw drove drive fell fall felt feel fought fight found find flew fly forbade forbid
gave give got get grew grow had have held hold hid hide hit hit kept keep knew know laid lay lay lie led lead left leave
lent lend lost lose made make meant mean met meet overthrew overthrow overcame overcome paid pay put put ran run
rose rise said say sang sing sat sit saw see sent send set set shook shake shot shoot sold sell sought seek
spent spend spoke speak spread spread stole steal stood stand struck strike swore swear taught teach thought think
threw throw told tell took take understood understand undertook undertake underwent undergo went go withdrew withdraw
won win wore wear wrote write sank sink swam swim drank drink ate eat bore bear bound bind bred breed clung cling
dealt deal dug dig fed feed fled flee froze freeze lit light rode ride slept sleep slid slide split split stuck stick
wove weave woke wake hung hang
"""
_forms = _IRREGULAR.split()
IRREGULAR: dict[str, str] = dict(zip(_forms[::2], _forms[1::2], strict=True))
"""Past form to base form."""

REGULAR = words(
    """
    accept achieve acquire act add admit adopt affect agree aid aim allow announce answer appear apply appoint
    approach approve argue arise arrange arrest arrive ask assemble assign assist assume attack attempt attend
    attract avoid award base believe belong benefit capture carry cause celebrate challenge change characterize
    charge circulate cite claim climb close collapse collect combine commence comment commission commit compare
    compete complete compose comprise concern conclude conduct confirm connect conquer consider consist
    constitute construct contain continue contribute control convert convince cooperate cover create criticize
    cross damage date deal debate decide declare decline dedicate defeat defend define deliver demand
    demonstrate depart depend derive descend describe deserve design destroy determine develop die differ direct
    disappear discover discuss display dissolve distinguish divide dominate donate double earn elect emerge
    emphasize employ enable encourage encounter end engage enjoy ensure enter escape establish evolve examine
    exceed exchange exist expand expect experience explain explore export express extend face fail feature fill
    finance finish fix flow focus follow force form found function fund gain gather generate govern graduate
    grant guarantee handle happen head help host house identify imply import impose improve include incorporate
    increase indicate influence inhabit inherit initiate inspire intend introduce invade invent invest invite
    involve issue join kill lack land last launch like limit link list live locate look love lower maintain
    manage mark marry master match measure mention migrate mine move name need notice observe obtain occupy
    occur offer open operate oppose order organize originate own participate pass perform permit persuade place
    plan plant play possess practice praise predict prefer prepare present preserve prevent produce prohibit
    project promise promote propose protect prove provide publish purchase pursue question raise range rank
    reach receive recognize recommend record recover reduce refer reflect refuse regard reign reject relate
    release rely remain remove rename repair repeat replace report represent require rescue resemble resign
    resist resolve respond rest result retain retire return reveal review rule score seem seize separate serve
    settle shape share show sign specialize stage start state stay stop store stretch study submit succeed
    suffer suggest supply support suppress surround survive target tend test touch trade train transfer
    transform translate travel treat trigger try turn unite use utilize value vary visit vote walk want warn
    wash watch welcome wish work worship yield
    """
)
"""Base forms of common regular verbs."""

_PRESENT_ONLY = words(
    """
    bear become begin break bring build buy catch choose come cost do draw drive fall feel find get give go grow
    have hold keep know lead leave lie lose make mean meet pay put run say see sell send set speak spend stand
    take teach tell think understand win write live eat drink feed
    """
)
_BASES = REGULAR | _PRESENT_ONLY
_NOUNS = words(
    """
    house houses master masters plant plants plan plans state states mine mines rest land lands
    """
)
_NOT_PAST = words(
    """
    bed red hundred united limited sacred indeed need seed speed breed feed exceed naked aged
    """
)


def past_base(word: str) -> str | None:
    """The base of a past form (`signed` is `sign`), or None where it is no past form that is known or regular."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if not word.endswith("ed") or len(word) < 4 or word in _NOT_PAST:
        return None
    stem = word[:-2]
    doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiou"
    tries = [stem, word[:-1], *([stem[:-1]] if doubled else []), *([stem[:-1] + "y"] if stem[-1] == "i" else [])]
    known = [base for base in tries if base in REGULAR]
    if known or len(word) < 5:
        return known[0] if known else None
    if stem[-1] == "i":
        return stem[:-1] + "y"
    if doubled and stem[-1] not in "lsfz":
        return stem[:-1]
    if doubled or stem.endswith(
        ("ect", "nt", "st", "pt", "ft", "sh", "ch", "ck", "nd", "ld", "rn", "rm", "er", "en", "on")
    ):
        return stem
    return word[:-1] if stem.endswith(_WANTS_E) else stem


_WANTS_E = (
    "at",
    "iz",
    "is",
    "us",
    "v",
    "c",
    "g",
    "u",
    "ur",
    "ir",
    "in",
    "bl",
    "tl",
    "pl",
    "dl",
    "gl",
    "os",
    "id",
    "ut",
)


def present_base(word: str) -> str | None:
    """The base of a third person present form (`flows` is `flow`), or None where it is no known verb."""
    if not word.endswith("s") or word in _NOUNS:
        return None
    tries = [word[:-1], word[:-2] if word.endswith("es") else "", word[:-3] + "y" if word.endswith("ies") else ""]
    return next((base for base in tries if base in _BASES), None)


def is_base(word: str) -> bool:
    """Whether a word is the base form of a known verb that is seldom a noun."""
    return word in _BASES and word not in _NOUNS
