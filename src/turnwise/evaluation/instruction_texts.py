"""Questions and instructions of the generated PIF dialogues, in English and Chinese. All of them our own."""

from __future__ import annotations

from dataclasses import dataclass

QUESTIONS = {
    "en": (
        "Why does bread rise in the oven?",
        "How can I keep a small garden alive during a hot summer?",
        "What should I pack for a weekend in the mountains?",
        "How do noise-cancelling headphones work?",
        "What makes a good team meeting?",
        "Why do leaves change colour in autumn?",
        "How would you explain interest rates to a child?",
        "What are good ways to learn a new language as an adult?",
        "How does a bicycle stay upright?",
        "What should I ask before renting a flat?",
        "Why is the sea salty?",
        "How can a small shop win back customers?",
        "What is the difference between weather and climate?",
        "How do I prepare for a job interview?",
        "What makes a story exciting?",
        "How do vaccines protect people?",
        "Which habits help to sleep better?",
        "How does a lighthouse help ships?",
        "What can a city do against traffic jams?",
        "Why do some people like spicy food?",
        "How do I start running without getting hurt?",
        "What is compost good for?",
        "How do bees find their way home?",
        "What should a beginner know about photography?",
        "How can I make a long train ride pleasant?",
        "Why do cats purr?",
        "How does a refrigerator keep food cold?",
        "What are the advantages of public libraries?",
        "How do I write a polite complaint?",
        "What should children learn about money?",
        "How are bridges kept safe?",
        "What makes tea taste bitter?",
        "How can neighbours settle a quarrel?",
        "Why do we need leap years?",
        "How do I choose a present for a colleague?",
        "What is a sensible way to back up photographs?",
    ),
    "zh": (
        "为什么面包在烤箱里会膨胀？",
        "夏天怎样照顾阳台上的花？",
        "周末去爬山应该带什么？",
        "怎样开好一次小组会议？",
        "秋天树叶为什么会变色？",
        "成年人怎样学好一门外语？",
        "租房之前应该问清楚什么？",
        "海水为什么是咸的？",
        "天气和气候有什么区别？",
        "怎样准备一次面试？",
        "怎样才能睡得更好？",
        "城市怎样减少堵车？",
        "蜜蜂怎样找到回家的路？",
        "刚开始学摄影要注意什么？",
        "猫为什么会打呼噜？",
        "冰箱怎样保持低温？",
        "公共图书馆有什么好处？",
        "孩子应该怎样认识金钱？",
        "茶为什么会有苦味？",
        "怎样给同事挑选礼物？",
    ),
}
"""What is asked, by language."""

OPENINGS = {
    "en": ("In short", "Here is my view", "Good to know", "As far as I can tell"),
    "zh": ("简单来说", "我的看法是", "据我所知"),
}
CLOSINGS = {
    "en": ("That is all for now.", "I hope this helps.", "So much for today."),
    "zh": ("以上就是我的回答。", "希望对你有帮助。", "今天就说到这里。"),
}
WANTED = {
    "en": ("balance", "lantern", "patience", "harbour", "pepper", "compass", "window", "rhythm"),
    "zh": ("耐心", "平衡", "灯塔", "窗户", "节奏", "指南针"),
}
UNWANTED = {
    "en": ("very", "really", "important", "always", "never", "however", "great", "simply"),
    "zh": ("非常", "总是", "重要", "但是", "当然", "必须"),
}
"""Words for the instructions that want or forbid words; no word of one list occurs in another."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How an instruction is said.

    Attributes:
        text: With `{argument}` where there is one.
        low: Smallest number that is asked for, where the argument is a number.
        high: Largest.
    """

    text: str
    low: int = 0
    high: int = 0


WORDINGS: dict[str, dict[str, Wording]] = {
    "en": {
        "starts_with": Wording('Begin every reply with the words "{argument}".'),
        "ends_with": Wording('End every reply with exactly this sentence: "{argument}"'),
        "includes": Wording("Use each of these words in every reply: {argument}."),
        "avoids": Wording("Use none of these words in any reply: {argument}."),
        "no_commas": Wording("Do not use commas in any reply."),
        "no_exclamation": Wording("Do not use exclamation marks in any reply."),
        "one_question": Wording("Ask exactly one question in every reply, so that there is just one question mark."),
        "no_digits": Wording("Do not use digits in any reply."),
        "some_digit": Wording("Use at least one digit in every reply."),
        "lower_case": Wording("Write every reply in lower-case letters only."),
        "upper_case": Wording("Write every reply in capital letters only."),
        "most_words": Wording("Keep every reply to at most {argument} words.", 90, 150),
        "least_words": Wording("Write at least {argument} words in every reply.", 25, 50),
        "most_sentences": Wording("Keep every reply to at most {argument} sentences.", 5, 8),
        "bullets": Wording('Have exactly {argument} bullet points in every reply, lines that begin with "- ".', 2, 4),
        "paragraphs": Wording(
            "Write every reply in exactly {argument} paragraphs with an empty line between them.", 2, 3
        ),
        "title": Wording("Have a title in double angle brackets in every reply, such as <<My title>>."),
        "placeholders": Wording("Have at least {argument} placeholders in every reply, such as [name].", 1, 3),
    },
    "zh": {
        "starts_with": Wording("每次回答都要以“{argument}”开头。"),
        "ends_with": Wording("每次回答都要以这句话结尾：“{argument}”"),
        "includes": Wording("每次回答都要用到这些词：{argument}。"),
        "avoids": Wording("任何回答都不要用这些词：{argument}。"),
        "no_commas": Wording("任何回答都不要使用逗号。"),
        "no_exclamation": Wording("任何回答都不要使用感叹号。"),
        "one_question": Wording("每次回答都要提且只提一个问题，也就是只有一个问号。"),
        "no_digits": Wording("任何回答都不要使用阿拉伯数字。"),
        "some_digit": Wording("每次回答至少使用一个阿拉伯数字。"),
        "most_characters": Wording("每次回答不超过{argument}个字符（不算空格）。", 180, 300),
        "least_characters": Wording("每次回答至少{argument}个字符（不算空格）。", 40, 80),
        "most_sentences": Wording("每次回答最多{argument}句话。", 5, 8),
        "bullets": Wording("每次回答都要正好有{argument}个以“- ”开头的要点，每个要点单独一行。", 2, 4),
        "paragraphs": Wording("每次回答都要正好分成{argument}段，段与段之间空一行。", 2, 3),
        "title": Wording("每次回答都要有一个用双尖括号括起来的标题，例如<<我的标题>>。"),
        "placeholders": Wording("每次回答至少有{argument}个方括号占位符，例如[姓名]。", 1, 3),
    },
}
"""By language and kind."""

LEADS = {"en": "From now on, for all your replies:", "zh": "从现在起，对你的所有回答："}
