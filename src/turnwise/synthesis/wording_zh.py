"""What the two speakers say, in Chinese."""

from __future__ import annotations

QUESTION_FIRST = (
    "我正在了解{title}。{question}",
    "关于{title}，我想请教一个问题：{question}",
    "我们来聊聊{title}吧。{question}",
    "我对{title}很感兴趣。{question}",
)
QUESTION = (
    "{question}", "{question}", "{question}", "那么，{question}", "明白了。{question}", "谢谢。{question}",
    "还有一个问题：{question}", "请问，{question}", "再问一下，{question}", "好的。{question}",
)  # fmt: skip
QUESTION_NEXT = ("那么，{question}", "明白了。{question}", "接着问一下，{question}", "{question}")
ANSWER = ("{answer}。{evidence}", "{answer}。{evidence}", "是{answer}。文中写道：“{evidence}”",
          "答案是{answer}。{evidence}", "根据文中的介绍，是{answer}。{evidence}")  # fmt: skip
ANSWER_WHY = ("{answer}。原文是：{evidence}", "原因在于：{answer}。{evidence}")
ANSWER_YES = ("是的。{evidence}", "对，是这样。{evidence}", "没错。{evidence}")
ANSWER_ABOUT = ("{evidence}", "文中是这样说的：{evidence}", "相关的内容是：“{evidence}”")
VAGUE = (
    "能给我讲讲{topic}吗？",
    "关于{topic}，有什么值得了解的？",
    "我想多了解一下{topic}，可以介绍一下吗？",
    "{topic}是怎么回事？",
)
ASK_BACK = (
    "您想了解的是{one}，还是{two}？先说前者：{evidence}",
    "您问的是{one}还是{two}？关于前者，文中写道：{evidence}",
    "这要看您关心的是{one}还是{two}。前者的情况是：{evidence}",
)
PICKED = ("我想问的是{two}。{question}", "后者，也就是{two}。{question}", "是{two}。{question}")
PICKED_ALONE = ("我想问的是{two}。", "后者，也就是{two}。", "请说说{two}。")
STATE_ASK = (
    "这么说，{fact}{question}",
    "我知道了，{fact}{question}",
    "您刚才提到，{fact}{question}",
    "我记下了：{fact}{question}",
)
ASK_ON = (
    "您还想了解{topic}的哪些方面？",
    "关于{topic}，您还想知道什么？",
    "您是不是对{topic}更感兴趣？",
    "要不要接着说说{topic}？",
)
STATE = (
    "我读到：{fact}",
    "据我了解，{fact}",
    "我看到这样一句话：{fact}",
    "听说{fact}",
)
EXPLAIN = (
    "是的，文中还进一步说明：{evidence}",
    "没错。具体来说：{evidence}",
    "对，补充说明一下：{evidence}",
    "是的，与此相关的是：{evidence}",
)
OPINION = (
    "我认为{fact}",
    "我觉得{fact}",
    "如果我没记错的话，{fact}",
    "在我的印象里，{fact}",
    "我敢肯定，{fact}",
)
REBUT = (
    "不对，应该是{right}，不是{wrong}。{evidence}",
    "我不同意：不是{wrong}，而是{right}。{evidence}",
    "这与文中的说法不符，文中是{right}，而不是{wrong}：{evidence}",
    "并非如此。您说的是{wrong}，其实是{right}：{evidence}",
)
AGREE = (
    "我同意。{evidence}",
    "您说得对。{evidence}",
    "是的，文中也支持这一点：{evidence}",
    "确实如此。{evidence}",
)
PURPOSES = {
    "question-answer": "了解一个事实", "question-question": "弄清所问的是什么",
    "statement-inquiry": "由一个事实继续追问", "statement-explanation": "请求解释一个事实",
    "opinion-rebuttal": "纠正错误的看法", "opinion-agreement": "证实一个看法",
}  # fmt: skip
GENERIC = "这个话题"
