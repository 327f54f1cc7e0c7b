"""Chinese questions out of Chinese sentences: the asked-for words make way for a question word where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from turnwise.synthesis.asking import Entity, Question, QuestionKind

_HAN = "\u4e00-\u9fff"
_FOREIGN = (
    "保鲍博阿艾埃安奥巴贝本比伯布查达戴丹德迪杜多恩尔法费芬弗福盖戈格古哈海汉赫亨胡华霍基加杰卡凯科克肯库拉莱赖兰朗劳勒雷里利林卢鲁路伦"
    "罗洛马迈麦曼梅门蒙米莫姆穆纳奈内尼诺帕佩皮普奇乔切萨塞瑟森沙绍什史斯思苏索塔泰坦汤特提图托瓦威韦维温沃乌西希夏谢辛休雅亚扬耶"
    "伊依因英尤约泽詹珍朱兹佐伍柯琼莉娜丽黛莎妮"
)
"""Characters that foreign names are usually written with."""
_MEASURES = (
    "平方公里 平方千米 立方米 公里 千米 厘米 毫米 英里 英尺 公顷 公斤 万人 分钟 小时 个月 "
    "米 吨 元 岁 次 部 集 场 张 种 艘 架 条 家 所 位 层 支 项 只 头 首 枚 天 口 户 间 辆 字 "
    "卷 册 篇 人 名 座 个 届"
)
_MEASURE = "|".join(_MEASURES.split())
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("date", re.compile(r"(?:公元前?|西元前?)?\d{2,4}年\d{1,2}月(?:\d{1,2}日)?")),
    ("year", re.compile(r"(?:公元前?|西元前?)?(?<!\d)\d{3,4}年(?!代|[前后来间])")),
    (
        "decade",
        re.compile(
            r"(?:\d{1,2}|[一二三四五六七八九十]{1,3})世纪(?:\d{2}年代|[一二三四五六七八九]十年代|[初末中]叶?)?|\d{4}年代"
        ),
    ),
    ("day", re.compile(r"(?<![\d年])\d{1,2}月\d{1,2}日")),
    ("percent", re.compile(r"\d+(?:\.\d+)?[%％]|百分之[一二三四五六七八九十\d.]+")),
    ("count", re.compile(rf"(?<![\d.第])(\d[\d,.]*[多余]?[万亿千百]?[多余]?)({_MEASURE})")),
    ("work", re.compile(r"《[^《》]{1,30}》")),
    ("quoted", re.compile(r"“[^“”]{2,20}”|「[^「」]{2,20}」")),
    (
        "person",
        re.compile(rf"[{_FOREIGN}]{{1,6}}(?:[·•‧][{_FOREIGN}]{{1,7}})+(?=[、，。（(的在于是和与及为被将曾从对等]|$)"),
    ),
    (
        "latin",
        re.compile(
            r"(?<![A-Za-z\d<=/\"])(?=[a-z]{0,3}[A-Z])[A-Za-z][A-Za-z\d.'&-]+(?: [A-Za-z\d][A-Za-z\d.'&-]*){0,4}"
        ),
    ),
)
_WORDS: dict[str, tuple[str, QuestionKind]] = {
    "date": ("什么时候", "when"), "year": ("哪一年", "when"), "decade": ("什么年代", "when"), "day": ("哪一天", "when"),
    "percent": ("百分之多少", "number"), "work": ("哪部作品", "what"), "quoted": ("什么", "what"),
    "person": ("谁", "who"), "latin": ("什么", "what"),
}  # fmt: skip
_PLACE = re.compile(
    rf"(?:位于|地处|坐落于|坐落在|出生于|毕业于|就读于|定居于|葬于|发源于|起源于|流经|分布于|分布在)([{_HAN}、]{{2,16}}?)(?=[，。；、（(的和与]|$)"
)
_AGENT = re.compile(
    rf"由([{_HAN}A-Za-z·]{{2,14}}?)(?=开发|创办|建立|设计|创作|发行|出版|执导|主演|导演|制作|撰写|建造|兴建|担任|负责|所|组成|提出|管理|经营|编剧|饰演|演唱|作词|作曲|创立|命名)"
)
_NUMBER: tuple[str, QuestionKind] = ("多少", "number")
_REASON = re.compile(r"(?:因为|由于|鉴于)([^，。；]{4,})")
_DEFINES = re.compile(
    r"^([^，。；：？！是为]{2,24}?)(（[^（）]*）)?(?:通常|一般|主要)?((?<![既不也就都便则只即而还又正总算像于但可却仍并])是(?!否|由|在|以|因)|指的是|是指)([^，。；]{4,})"
)
_AROUND: tuple[tuple[re.Pattern[str], str, QuestionKind], ...] = ((_PLACE, "哪里", "where"), (_AGENT, "谁", "who"))
_PERSON = re.compile(
    r"人物|演员|歌手|政治家|[作画音科文史学专银]家|运动员|球员|皇帝|将领|导演|教授|诗人|选手|主持人|艺人|医生|[男女]性?|僧人|主教|总统|国王|医师|之子|长子|次子|船长|工匠"
)
_PERSON_FIRST = re.compile(r"^([^，。；：？！（）()《》\d]{2,10})(?:（[^（）]*）|\([^()]*\))?，([^，。；]{4,40})")
_DOES = re.compile(
    r"^([^，。；：？！、]{2,20}?)(?<![的被未不没所已经])"
    r"(获得|担任|成为|称为|属于|建立|发行|推出|采用|使用|提供|举办|参加|饰演|创作|发表|出版|创立|成立|设有|拥有|开设|生产|制造|"
    r"包括|包含|收录|记载|讲述|描述|负责|研究|支持|反对|发现|发明|提出|击败|加入|签约|主演|主持|演唱|改名为|更名为|命名为|译为|"
    r"取代|需要|具有|形成|产生|导致|造成|影响|利用|开始|进入|离开|前往|来到|返回)(了)?([^，。；：？！]{2,60})(?=[，。；：？！]|$)"
)
_ABOUT = ("关于{}，文中是怎么说的？", "文中提到{}时说了什么？", "{}的情况如何？", "有关{}的内容是什么？")
OPEN = re.compile(
    r"^(?:在|当|每当|由于|因为?|后因|虽然|尽管|如果|若|随着|除了|自|从|根据|为了|作为|经过|相较|鉴于)|既|不但|不仅|分别|包括"
    r"|[前后时起中间]$"
)
"""Marks of a clause that does not stand alone."""
_CLAUSE = re.compile(r"[^，；：,;]+[，；：,;]?")
_LEANING = re.compile(r"^(?:他|她|它|其|该|此|这|本|因此|但|并|而|同时|另外|不过|然而|之后|随后|后来)")


def entities(sentence: str) -> list[Entity]:
    """Dates, numbers with their measure words, works, quoted and foreign names of a sentence, without overlap."""
    found: list[Entity] = []
    taken: set[int] = set()
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(sentence):
            text = match[1] if kind == "count" else match[0]
            if taken.isdisjoint(range(match.start(), match.end())):
                name = f"count {match[2]}" if kind == "count" else kind
                found.append(Entity(name, text, match.start()))
                taken.update(range(match.start(), match.end()))
    return sorted(found, key=lambda entity: entity.start)


def measure_of(entity: Entity) -> str:
    """The measure word that follows a counted number; "" for other entities."""
    return entity.kind.removeprefix("count ") if entity.kind.startswith("count ") else ""


def questions(sentence: str, phrases: tuple[str, ...] = ()) -> list[Question]:
    """Questions that the sentence answers, best first; see `asking_en.questions`."""
    found = [*_defined(sentence), *_reasons(sentence), *_objects(sentence), *_replaced(sentence), *_checked(sentence)]
    found = [one for one in found if 5 <= len(one.text) <= 110]
    found += [
        *_gaps(sentence),
        *(Question(_ABOUT[len(phrase) % len(_ABOUT)].format(phrase), "", "about", rank=8) for phrase in phrases),
    ]
    kept: dict[str, Question] = {}
    for question in sorted(found, key=lambda one: one.rank):
        kept.setdefault(question.text, question)
    return list(kept.values())


def _clauses(sentence: str) -> list[re.Match[str]]:
    return list(_CLAUSE.finditer(sentence))


def _asked(sentence: str, start: int, end: int, word: str) -> str:
    """The clause around a place with `word` put there, with the sentence's first clause where it is a later one."""
    clauses = _clauses(sentence)
    number = next((n for n, one in enumerate(clauses) if one.start() <= start < one.end()), 0)
    low, high = clauses[number].start(), max(clauses[number].end(), end)
    changed = sentence[low:start] + word + sentence[end:high]
    if number and low <= 50:
        changed = sentence[:low] + changed
    elif number:
        before = clauses[number - 1]
        changed = before[0] + changed if len(before[0]) < 40 else changed
    unfinished = high - low - (end - start) < 10 or re.search(r"[中时后前起间]，?$", changed)
    if unfinished and number + 1 < len(clauses):
        changed += clauses[number + 1][0]
    changed = re.sub(r"^(?:但是|但|而且|而|并且|并|不过|然而|因此|所以|同时|此外|另外)[，,]?", "", changed)
    return re.sub(r"（[^（）]*）|\([^()]*\)", "", changed).strip("，；：,;。！？!?.… ")


def _replaced(sentence: str) -> Iterator[Question]:
    lean = bool(_LEANING.match(sentence))
    for entity in entities(sentence):
        if entity.kind.startswith("count "):
            word, kind = _NUMBER
        else:
            word, kind = _WORDS[entity.kind]
        rank = 3 if entity.kind in ("latin", "quoted", "work") else 1
        asked = _asked(sentence, entity.start, entity.end, word)
        if word in asked and len(asked) - len(word) >= 4:
            answer = entity.text + measure_of(entity)
            yield Question(asked + "？", answer, kind, entity.start, rank, lean)
    for pattern, word, kind in _AROUND:
        for match in pattern.finditer(sentence):
            asked = _asked(sentence, match.start(1), match.end(1), word)
            if word in asked:
                yield Question(asked + "？", match[1], kind, match.start(1), 1, lean)


def _defined(sentence: str) -> Iterator[Question]:
    match = _PERSON_FIRST.match(sentence)
    named = match is not None and not _LEANING.match(match[1]) and not OPEN.search(match[1]) and "的" not in match[1]
    if match and named and _PERSON.search(match[2]):
        yield Question(
            f"{match[1]}是谁？", match[2].removeprefix("是"), "define", match.start(2) + match[2].startswith("是"), 0
        )
    match = _DEFINES.match(sentence)
    if match and not _LEANING.match(match[1]):
        word = "谁" if _PERSON.search(match[4].rstrip("。！？ ")[-4:]) and len(match[1]) <= 12 else "什么"
        answer = match[4] if "的" in match[4] else sentence[match.start(4) :]
        yield Question(f"{match[1]}是{word}？", answer.rstrip("。！？ "), "define", match.start(4), 0)


def _objects(sentence: str) -> Iterator[Question]:
    """What the subject does, by verbs that take an object, in any clause with a subject of its own."""
    clauses = _clauses(sentence)
    for number, clause in enumerate(clauses):
        match = _DOES.match(clause[0])
        if match is None or (number and len(match[1]) < 3):
            continue
        answer = match[4].rstrip("。！？ ”」")
        start = clause.start() + match.start(4)
        asked = f"{match[1]}{match[2]}{match[3] or ''}什么？"
        lean = bool(number) or bool(_LEANING.match(match[1]))
        yield Question(asked, answer, "what", start, 2, lean)


def _reasons(sentence: str) -> Iterator[Question]:
    match = _REASON.search(sentence)
    if match is None:
        return
    after = sentence[match.end() :].lstrip("，").strip("。！？ ")
    after = re.split(r"[，；]", after)[0].removeprefix("因此").removeprefix("所以")
    before = sentence[: match.start()].strip("，；是 ")
    claim = after if len(after) >= 5 else before
    if len(claim) >= 5:
        subject = before if claim is after and 1 < len(before) <= 12 and "，" not in before else ""
        yield Question(f"为什么{subject}{claim}？", match[0], "why", match.start(), 1, bool(_LEANING.match(claim)))


def _checked(sentence: str) -> Iterator[Question]:
    clauses = _clauses(sentence)
    text = clauses[0][0] if clauses else ""
    if len(text) < 12 and len(clauses) > 1:
        text += clauses[1][0]
    text = text.strip("，；：,;。！？!?. ")
    if 10 <= len(text) <= 60 and not OPEN.search(re.split("[，；]", text)[-1]) and not re.match(r"[（(]|注：", text):
        yield Question(f"{text}，是这样吗？", "", "whether", 0, 6, bool(_LEANING.match(text)))


def _gaps(sentence: str) -> Iterator[Question]:
    if len(sentence) > 120:
        return
    lean = bool(_LEANING.match(sentence))
    for entity in entities(sentence):
        gap = sentence[: entity.start] + "____" + sentence[entity.end :]
        yield Question(f"“{gap}”这句话空着的地方应该填什么？", entity.text, "cloze", entity.start, 7, lean)
