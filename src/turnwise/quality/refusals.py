"""Replies that decline to do what was asked, found by how such replies begin, in English and Chinese.

Patterns, not a model: they know the set phrases of assistants and no others. What they find is nearly always a
refusal or declines a part of the request; indirect refusals go unnoticed. A disclaimer before an answer ("As an AI I
have no opinion, but ...") is none. `docs/quality.md` has the measured precision and recall.
"""

from __future__ import annotations

import re

BEGINNING = 300
"""Characters of a reply in which a refusal must stand: later, "I cannot" is mostly part of an answer."""

_CANNOT = (
    r"(?:can ?not|can'?t|am (?:not able|unable)(?: to)?|'m (?:not able|unable)(?: to)?|won'?t|will not|am not going to|"
    r"'m not going to|(?:do not|don'?t) feel comfortable|"
    r"(?:do not|don'?t) have the (?:ability|capability|capacity)(?: to)?)"
)
_DOING = (
    r"(?:(?:\w+ ){0,2}?(?:assist|help|provid|fulfil|comply|answer|creat|writ|generat|giv|do|support|discuss|engag|"
    r"offer|shar|participat|produc|continu|respond|recommend|promot|encourag|condon|predict|access|brows|open|view|play|"
    r"watch|send|mak|tell|show|complet|perform|book|order|search|say|advis|process)\w*\b|[.!])"
)
_AI = r"\bas an? (?:[\w-]+ ){0,3}?(?:ai|artificial intelligence|language model|assistant|chatbot)\b"
_ENGLISH = (
    rf"\b(?:sorry|apologi[sz]e|apologies)\b[^?\n]{{0,80}}?\bi ?{_CANNOT} ?{_DOING}",
    rf"{_AI}[^.!?]{{0,80}}?\bi ?{_CANNOT} ?{_DOING}",
    rf"^(?:[^.!?]{{0,40}}[.!?,] )?i ?{_CANNOT} {_DOING}[^.!?]{{0,60}}?\b(?:request|that|this|information|content|"
    r"instructions|with|activit(?:y|ies)|advice|questions?)\b",
    r"\bi ?(?:must|have to|need to|'ll have to) (?:\w+ )?(?:refuse|decline)\b",
    r"\bit (?:is|would be|'s) (?:not (?:appropriate|ethical|acceptable)|inappropriate|unethical) (?:for me )?to "
    r"(?:provide|help|assist|write|create|generate|give|answer|discuss|engage|make)\b",
)
_ZH_CANNOT = r"(?:无法|不能|没有办法|没办法|不可以|不便|没有权限|没有能力|拒绝)"
_ZH_DOING = (
    r"(?:提供|回答|帮助|帮您|帮你|协助|完成|生成|给出|满足|讨论|执行|支持|为您|为你|给您|给你|处理|访问|继续|参与|预测|浏览|播放|打开|"
    r"创建|编写|撰写|写|搜索|进行|做|告诉|透露|推荐)"
)
_ZH_AI = r"作为(?:一个|一名|一款|一种)?[^。！？!?\n]{0,12}?(?:人工智能|AI|语言模型|机器人|助手|助理)"
_CHINESE = (
    rf"(?:抱歉|对不起|很遗憾|不好意思)[^。！？!?\n]{{0,30}}?我[^。！？!?\n]{{0,6}}?{_ZH_CANNOT}[^。！？!?\n]{{0,8}}?{_ZH_DOING}",
    rf"{_ZH_AI}[^。！？!?\n]{{0,20}}?{_ZH_CANNOT}[^。！？!?\n]{{0,8}}?{_ZH_DOING}",
    rf"^我(?:是[^。！？!?\n]{{0,20}}?[，,])?(?:暂时|目前|现在)?{_ZH_CANNOT}{_ZH_DOING}",
)
_REFUSAL = re.compile("|".join(f"(?:{one})" for one in (*_ENGLISH, *_CHINESE)), re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """Whether a reply begins by declining; curly apostrophes count as straight ones."""
    return _REFUSAL.search(text.strip()[:BEGINNING].replace("’", "'")) is not None
