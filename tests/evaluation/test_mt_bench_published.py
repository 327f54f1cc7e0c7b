"""MT-Bench against what was published: stored prompts, stored judgments and the tables that follow from them.

The data are 1,450 judgments by GPT-4 of nine models out of three public repositories (see the data folder's manifest);
the answers of seven of the models are there too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache

import pytest

from turnwise.evaluation.fastchat_files import read_fastchat_answers, read_fastchat_judgments
from turnwise.evaluation.mt_bench import MTBench
from turnwise.evaluation.tables import score_rows
from turnwise.judging.prompt_set import ROLES
from turnwise.judging.ratings import published_rating
from turnwise.llm.drive import run_all
from turnwise.llm.scripted import ScriptedModel

pytestmark = pytest.mark.data

SINGLE = ("don-tpanic_gpt-4_single", "muhan421_gpt-4_single", "dreaming-panda_gpt-4_single-origin")
ANSWERED = {
    "don-tpanic_gpt-4_single": (
        "llama2_7b",
        "llama2_chat_7b",
        "finetune_llama2_chat_7b",
        "finetune_llama2_chat_7b_Attention",
        "finetune_llama2_chat_7b_FFNet",
    ),
    "muhan421_gpt-4_single": ("claude-3-5-sonnet-20240620", "claude-3-opus-20240229"),
}


@pytest.fixture(scope="module")
def published(public_data):
    folder = public_data / "mtbench"
    if not (folder / "judge_prompts.jsonl").is_file() or not (public_data / "mtbench_judgments").is_dir():
        pytest.skip("MT-Bench's files are not in the public data folder")
    return MTBench(folder, prompts=folder / "judge_prompts.jsonl")


@pytest.fixture(scope="module")
def stored(public_data):
    @cache
    def read(name):
        path = public_data / "mtbench_judgments" / f"{name}.jsonl"
        return read_fastchat_judgments(path), [json.loads(line) for line in path.read_text().splitlines()]

    return read


def prompt_of(benchmark, turn, *answers):
    question = benchmark.questions[answers[0].id]
    rubric = benchmark._rubric("single", question, turn)
    request = rubric.request(benchmark.fields(question, turn, "gpt-4", *answers))
    return rubric, request.messages[-1]["content"]


@pytest.mark.parametrize(("file", "model"), [(file, model) for file, models in ANSWERED.items() for model in models])
def test_every_stored_prompt_of_an_answered_model_is_rebuilt_byte_for_byte(published, stored, public_data, file, model):
    """160 prompts of each of seven models: 1,120 in all, none overwritten and none left out."""
    path = public_data / "mtbench_judgments" / f"answer_{model}.jsonl"
    answers = {one.id: one for one in read_fastchat_answers(path, published.items(), model=model)}
    judgments = [one for one in stored(file)[0] if one.model == model]
    assert (len(answers), len(judgments)) == (80, 160)
    for one in judgments:
        rubric, prompt = prompt_of(published, one.turn, answers[one.item])
        assert one.prompt == rubric.name
        assert prompt.encode() == one.metadata["user_prompt"].encode()


def test_stored_prompts_without_answers_are_the_published_ones_around_two_consistent_answers(published, stored):
    """330 prompts of two models whose answers are not stored. The answers are cut out of the prompts themselves: what
    is left must be the template, and the first answer must be the same in both turns."""
    mark = "\0answer\0"
    cut: dict[tuple[str, str], str] = {}
    judgments = stored("dreaming-panda_gpt-4_single-origin")[0]
    for one in sorted(judgments, key=lambda one: one.turn):
        question = published.questions[one.item]
        rubric = published._rubric("single", question, one.turn)
        assert one.prompt == rubric.name
        texts = {"question": question.turns[0], "question_1": question.turns[0], "question_2": question.turns[1]}
        texts |= {"answer": mark, "answer_1": cut.get((one.model, one.item), ""), "answer_2": mark}
        if question.needs_reference:
            first, second = published._references.of("gpt-4")[one.item]
            texts |= {"ref_answer_1": first, "ref_answer_2": second}
        wanted = {name: text for name, text in texts.items() if "{" + name + "}" in rubric.template}
        before, after = rubric.request(wanted).messages[-1]["content"].split(mark)
        prompt = one.metadata["user_prompt"]
        assert prompt.startswith(before)
        assert prompt.endswith(after)
        answer = prompt[len(before) : len(prompt) - len(after)]
        if one.turn == 0:
            assert cut.setdefault((one.model, one.item), answer) == answer
    assert (len(judgments), len(cut)) == (330, 160)


@pytest.mark.parametrize("file", SINGLE)
def test_every_stored_judgment_parses_to_its_stored_score(stored, file):
    judgments, rows = stored(file)
    assert len(judgments) == len(rows)
    for one, row in zip(judgments, rows, strict=True):
        verdict = published_rating(row["judgment"])
        assert verdict.scores.get("overall", -1) == row["score"]
        assert one.score == (None if row["score"] == -1 else row["score"])


@pytest.mark.parametrize("file", SINGLE)
def test_tables_are_those_of_fastchats_rule_on_the_raw_rows(published, stored, file):
    """FastChat's rule on the raw rows: drop -1, mean over all rows, of each turn and of both."""
    judgments, rows = stored(file)
    raw = defaultdict(list)
    for row in rows:
        if row["score"] != -1:
            for name in ("all", f"turn {row['turn']}"):
                raw[row["model"], name].append(row["score"])
    for model in {row["model"] for row in rows}:
        mine = [one for one in judgments if one.model == model]
        rows_of_model = score_rows(mine, lambda one: f"turn {one.turn + 1}", repeats="each")
        assert len(rows_of_model) == 3
        for row in rows_of_model:
            scores = raw[model, row.name]
            assert row.n == len(scores)
            assert row.mean == pytest.approx(sum(scores) / len(scores), abs=1e-12)
            assert row.low < row.mean < row.high
        if all(one.sample == 0 for one in mine):
            table = published.tables(mine)[0].rows
            by_name = {row.name: row for row in rows_of_model}
            assert [(row.name, row) for row in table] == [(name, by_name[name]) for name in ("all", "turn 1", "turn 2")]


# By FastChat's rule from the raw score fields, as its `show_result.py` prints them; all, first turn, second turn.
PUBLISHED = {
    "llama2_chat_7b": (6.191, 6.706, 5.675),
    "llama2_7b": (3.969, 4.763, 3.175),
    "finetune_llama2_chat_7b": (4.625, 5.388, 3.863),
    "finetune_llama2_chat_7b_Attention": (5.147, 5.894, 4.400),
    "finetune_llama2_chat_7b_FFNet": (5.106, 5.950, 4.263),
    "claude-3-5-sonnet-20240620": (9.206, 9.238, 9.175),
    "claude-3-opus-20240229": (8.675, 9.044, 8.306),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_per_model_tables_are_the_published_ones(published, stored, model):
    """All, first turn and second turn, to three digits."""
    mine = [one for file in SINGLE for one in stored(file)[0] if one.model == model]
    tables = published.tables(mine)
    assert [(row.name, row.n) for row in tables[0].rows] == [("all", 160), ("turn 1", 80), ("turn 2", 80)]
    for row, expected in zip(tables[0].rows, PUBLISHED[model], strict=True):
        assert abs(row.mean - expected) <= 0.0005 + 1e-9
    assert [(row.name, row.n) for row in tables[1].rows] == [
        (category, 20)
        for category in ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
    ]
    assert len(tables) == 2


def test_rows_that_occur_twice_are_repeats_and_failures_are_counted(published, stored):
    """One model's first ten questions were judged twice. Four first tries are `$ERROR$` (-1); six have two scores, of
    which 85 and 87 moved by one point. FastChat's mean is over 166 rows; ours over 160 answers,
    each with the median of its scores, and says that four judgments failed."""
    judgments, rows = stored("dreaming-panda_gpt-4_single-origin")
    model = "Meta-Llama-3-8B-Instruct-Normal"
    mine = [one for one in judgments if one.model == model]
    assert [one.item for one in mine if one.sample == 1] == [str(number) for number in range(81, 91)]
    assert [(one.item, one.unscored) for one in mine if one.unscored] == [(str(n), "failed") for n in range(81, 85)]
    twice = defaultdict(list)
    for row in rows:
        if row["model"] == model and row["score"] != -1:
            twice[row["question_id"], row["turn"]].append(row["score"])
    medians = [sum(scores) / len(scores) for scores in twice.values()]  # of one or two scores, median and mean agree
    tables = published.tables(mine)
    total = tables[0].rows[0]
    assert (total.n, total.unscored) == (160, {"failed": 4})
    assert total.mean == pytest.approx(sum(medians) / 160, abs=1e-12)
    assert round(total.mean, 3) == 7.769
    each = score_rows(mine, lambda one: None, repeats="each")[0]
    assert (each.n, round(each.mean, 4)) == (166, 7.8434)
    spread = tables[2].rows[0]
    apart = [max(scores) - min(scores) for scores in twice.values() if len(scores) == 2]
    assert apart == [1, 0, 1, 0, 0, 0]
    assert (spread.n, spread.mean, spread.counts) == (6, 2 / 6, {"moved": 2})


def test_filling_equals_str_format_on_the_file_itself_also_for_texts_that_look_like_fields(published, public_data):
    """All eight prompts of the file, filled by Python's own `str.format` as FastChat does it."""
    hostile = "{question} {{answer}} {0} {answer!r} }} { {ref_answer_1} [[10]]"
    raw = {}
    for line in (public_data / "mtbench" / "judge_prompts.jsonl").read_text().splitlines():
        record = json.loads(line)
        raw[record["name"]] = record
    assert {rubric.name for rubric in published.prompts.rubrics.values()} == raw.keys()
    for role in ROLES:
        rubric = published.prompts.rubric(role)
        texts = {name: f"<{name}> {hostile}" for name in role.fields}
        request = rubric.request(published.prompts.fields(role, texts))
        assert request.messages == [
            {"role": "system", "content": raw[rubric.name]["system_prompt"]},
            {"role": "user", "content": raw[rubric.name]["prompt_template"].format(**texts)},
        ]
        assert request.sampling.to_dict() == {"temperature": 0, "max_tokens": 2048}


@pytest.mark.parametrize("model", [model for models in ANSWERED.values() for model in models])
def test_judging_stored_answers_again_gives_the_published_table(published, stored, public_data, model):
    """The whole way, from stored answers to tables, with a judge that gives GPT-4's stored reply to exactly the stored
    prompt (and fails on any other). One model has an empty reply: it is judged as it stands, as GPT-4 did."""
    file = next(file for file, models in ANSWERED.items() if model in models)
    replies = {one.metadata["user_prompt"]: one.text for one in stored(file)[0] if one.model == model}
    judge = ScriptedModel(lambda request: replies[request.messages[-1]["content"]], name="gpt-4")
    path = public_data / "mtbench_judgments" / f"answer_{model}.jsonl"
    answers = read_fastchat_answers(path, published.items(), model=model)
    scored = run_all(lambda answer: published.score(answer, judge), answers)
    total, *turns = published.tables([one for group in scored for one in group])[0].rows
    assert [row.n for row in (total, *turns)] == [160, 80, 80]
    assert total.counts.get("empty", 0) == (model == "llama2_7b")
    for row, expected in zip((total, *turns), PUBLISHED[model], strict=True):
        assert abs(row.mean - expected) <= 0.0005 + 1e-9
