"""What the two speakers say, in English."""

from __future__ import annotations

QUESTION_FIRST = (
    "I am reading about {title}. {question}",
    "I have a question about {title}: {question}",
    "Let us talk about {title}. {question}",
    "I would like to learn about {title}. {question}",
)
QUESTION = (
    "{question}", "{question}", "{question}", "And {lower}", "Next question: {lower}", "I see. {question}",
    "Thanks. {question}", "Tell me: {lower}", "Good to know. {question}", "One more thing: {lower}",
)  # fmt: skip
QUESTION_NEXT = ("And {lower}", "I see. {question}", "{question}", "Understood. {question}")
ANSWER = ("{Answer}. {evidence}", "{Answer}. {evidence}", "{Answer}. The text says: “{evidence}”",
          "The answer is {answer}. {evidence}", "According to the text: {answer}. {evidence}")  # fmt: skip
ANSWER_WHY = ("{Answer}. In full: {evidence}", "The reason given is this: {answer}. {evidence}")
ANSWER_YES = ("Yes. {evidence}", "Yes, that is right. {evidence}", "Yes, it is so: {evidence}")
ANSWER_ABOUT = ("{evidence}", "The text has this on it: {evidence}", "It says: “{evidence}”")
VAGUE = (
    "Can you tell me more about {topic}?",
    "What is there to know about {topic}?",
    "What should I know about {topic}?",
    "I am curious about {topic}. What is said about it?",
)
ASK_BACK = (
    "Do you mean {one} or {two}? On the first, the text says: {evidence}",
    "Are you asking about {one} or about {two}? As for the first: {evidence}",
    "Is it {one} or {two} that interests you? For the first, there is this: {evidence}",
)
PICKED = ("I meant {two}. {question}", "{Two}, please. {question}", "The second, {two}. {question}")
PICKED_ALONE = ("I meant {two}.", "{Two}, please.", "The second of them, {two}.")
STATE_ASK = (
    "So {fact} {question}",
    "I have learned that {fact} {question}",
    "You told me that {fact} {question}",
    "I keep in mind that {fact} {question}",
)
ASK_ON = (
    "Would you like to hear more about {topic}?",
    "What else would you like to know about {topic}?",
    "Is it {topic} that interests you most?",
    "Shall we go on with {topic}?",
)
STATE = (
    "I read that {fact}",
    "As I understand it, {fact}",
    "I noted this: {fact}",
    "It is said that {fact}",
)
EXPLAIN = (
    "Yes, and the text goes on: {evidence}",
    "That is so. The text adds: {evidence}",
    "Right, and there is more to it. {evidence}",
    "Yes. This belongs to it: {evidence}",
)
OPINION = (
    "I think {fact}",
    "I believe {fact}",
    "If I am not mistaken, {fact}",
    "My impression is that {fact}",
    "I am fairly sure that {fact}",
)
REBUT = (
    "No, it is {right}, not {wrong}. {evidence}",
    "I have to disagree: not {wrong}, but {right}. {evidence}",
    "That does not agree with the text, which has {right} instead of {wrong}: {evidence}",
    "Not quite. You say {wrong}, but it is {right}: {evidence}",
)
AGREE = (
    "I agree. {evidence}",
    "You are right. {evidence}",
    "Yes, the text supports that: {evidence}",
    "Indeed. {evidence}",
)
PURPOSES = {
    "question-answer": "learn a fact", "question-question": "find out what is meant",
    "statement-inquiry": "go on from a fact", "statement-explanation": "have a fact explained",
    "opinion-rebuttal": "have a wrong opinion corrected", "opinion-agreement": "have an opinion confirmed",
}  # fmt: skip
GENERIC = "this subject"
