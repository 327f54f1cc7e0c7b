"""A small question set in MT-Bench's form, written here: two questions without and one with a reference."""

from __future__ import annotations

import json

from turnwise.dialogue import Dialogue, Message

QUESTIONS = [
    {"question_id": 1, "category": "writing", "turns": ["Write a line about rain.", "Now about snow."]},
    {"question_id": 2, "category": "math", "turns": ["What is 2 + 2?", "Double it."]},
    {"question_id": 3, "category": "stem", "turns": ["What is a cell?", "And an atom?"], "required_temperature": 0.3},
]
REFERENCES = [{"question_id": 2, "choices": [{"index": 0, "turns": ["4", "8"]}]}]
PROMPTS = [
    {
        "name": name,
        "type": "single" if name.startswith("single") else "pairwise",
        "system_prompt": f"system of {name}",
        "prompt_template": template,
        "output_format": "[[rating]]" if name.startswith("single") else "[[A]]",
    }
    for name, template in {
        "single-v1": "Q {question} A {answer}",
        "single-math-v1": "Q {question} R {ref_answer_1} A {answer}",
        "single-v1-multi-turn": "Q {question_1} A {answer_1} Q {question_2} A {answer_2}",
        "single-math-v1-multi-turn": "R {ref_answer_1} R {ref_answer_2} A {answer_1} A {answer_2}",
        "pair-v2": "Q {question} A {answer_a} B {answer_b}",
        "pair-math-v1": "R {ref_answer_1} A {answer_a} B {answer_b}",
        "pair-v2-multi-turn": "A {answer_a_1} {answer_a_2} B {answer_b_1} {answer_b_2}",
        "pair-math-v1-multi-turn": "R {ref_answer_2} A {answer_a_1} {answer_a_2} B {answer_b_1} {answer_b_2}",
    }.items()
]


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_benchmark(folder, questions=QUESTIONS, references=REFERENCES, prompts=PROMPTS):
    """FastChat's layout: questions, references of the judge `gpt-4`, prompts one folder up."""
    write_lines(folder / "mt_bench" / "question.jsonl", questions)
    if references:
        write_lines(folder / "mt_bench" / "reference_answer" / "gpt-4.jsonl", references)
    write_lines(folder / "judge_prompts.jsonl", prompts)
    return folder / "mt_bench"


def answered(item, first="one", second="two", *, model="m", failures=(None, None)):
    messages = []
    asked = next((one["turns"] for one in QUESTIONS if one["question_id"] == item), ["?", "?"])
    for question, text, failure in zip(asked, (first, second), failures, strict=True):
        messages.append(Message("user", question))
        messages.append(Message("assistant", text, extra={"failure": failure} if failure else {}))
    return Dialogue(messages, id=str(item), source="mt-bench", metadata={"model": model})
