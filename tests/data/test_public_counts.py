"""Every public dialogue file, counted twice: through turnwise, and here with plain json on the file's own shape.

The independent counts below share no code with turnwise: each walks the raw file the way its publisher describes it and
returns (dialogues, messages, characters).
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from turnwise.data.read import ReadReport, read_dialogues, read_documents, read_pairs

pytestmark = pytest.mark.data


def load_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def load_lines(path):
    data = Path(path).read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def totals(dialogues):
    """(dialogues, messages, characters) of lists of texts."""
    dialogues = [list(texts) for texts in dialogues]
    return len(dialogues), sum(map(len, dialogues)), sum(len(text) for texts in dialogues for text in texts)


def smilechat(folder):
    return totals([m["content"] for m in load_json(path)] for path in folder.glob("*.json"))


def cpsycound(folder):
    def texts(path):
        lines = path.read_text(encoding="utf-8").split("\n")
        parts = re.split(r"(?m)^(?:来访者|心理咨询师)：", "\n".join(lines))
        assert parts[0].strip() == ""
        return [part.strip() for part in parts[1:]]

    return totals(texts(path) for path in folder.glob("*.txt"))


def xtuner(path):
    return totals(
        [
            text
            for turn in record["conversation"]
            for text in (turn.get("system"), turn["input"], turn["output"])
            if text
        ]
        for record in load_json(path)
    )


def sharegpt_json(path):
    return totals([m["value"] for m in record["conversations"]] for record in load_json(path))


def sharegpt_lines(path):
    return totals([m["value"] for m in record["conversations"]] for record in load_lines(path))


def glaive(path):
    """Calls carry no readable text: their JSON becomes tool_calls, counted as a message of zero characters."""
    return totals(
        ["" if m["from"] == "function_call" else m["value"] for m in record["conversations"]]
        for record in load_json(path)
    )


def question_answer(path):
    return totals([record["question"], record["answer"]] for record in load_lines(path))


def halueval(path):
    return totals([record["user_query"], record["chatgpt_response"]] for record in load_lines(path))


def hh_rlhf(path):
    """Characters: the string less every marker (a newline pair, speaker, colon, space)."""
    dialogues = messages = characters = 0
    for record in load_lines(path):
        text = record["chosen"]
        markers = re.findall(r"\n\n(?:Human|Assistant): ?", text)
        dialogues, messages = dialogues + 1, messages + len(markers)
        characters += len(text) - sum(map(len, markers))
    return dialogues, messages, characters


def kdconv(path):
    return totals([m["message"] for m in record["messages"]] for record in load_json(path))


def alpaca(path):
    def texts(record):
        for question, answer in record.get("history", []):
            yield from (question, answer)
        yield record["instruction"] + ("\n" + record["input"] if record["input"] else "")
        yield record["output"] if isinstance(record["output"], str) else record["output"][0]

    return totals(texts(record) for record in load_json(path))


def dpo_objects(path):
    return totals([m["value"] for m in r["conversations"]] + [r["chosen"]["value"]] for r in load_json(path))


def dpo_texts(path):
    return totals([m["value"] for m in r["conversations"]] + [r["chosen"]] for r in load_lines(path))


def messages_json(path):
    return totals([m["content"] for m in record["messages"]] for record in load_json(path))


def messages_lines(path):
    return totals([m["content"] for m in record["messages"]] for record in load_lines(path))


def typed_parts(path):
    return totals(
        ["".join(part["value"] for part in m["content"]) for m in record["messages"]] for record in load_lines(path)
    )


def mtbench101(path):
    return totals([text for h in record["history"] for text in (h["user"], h["bot"])] for record in load_lines(path))


def mteval(path):
    return totals([t for h in record["conversation"] for t in (h["user"], h["sys"])] for record in load_lines(path))


def mtrag(path):
    return totals([m["text"] for m in record["input"] + record["targets"]] for record in load_lines(path))


def qlora(path):
    """Characters: the input less its markers and the spaces around them, and the output."""
    dialogues = messages = characters = 0
    for record in load_lines(path):
        text = record["input"]
        markers = re.findall(r" ?### (?:Human|Assistant):", text)
        inner_spaces = text.count("### Human: ") + text.count("### Assistant: ")
        dialogues, messages = dialogues + 1, messages + len(markers)
        characters += len(text) - sum(map(len, markers)) - inner_spaces + len(record["output"])
    return dialogues, messages, characters


def oasst_flat(path):
    records = load_json(path)
    by_id = {record["user_message_id"]: record for record in records}
    parents = {record["parent_message_id"] for record in records}

    def upwards(record):
        while record is not None:
            yield record["text"]
            record = by_id.get(record["parent_message_id"])

    return totals(upwards(record) for record in records if record["user_message_id"] not in parents)


def oasst_trees(path):
    def paths(node, before):
        here = [*before, node["text"]]
        if not node["replies"]:
            yield here
        for reply in node["replies"]:
            yield from paths(reply, here)

    return totals(texts for record in load_lines(path) for texts in paths(record["prompt"], []))


def tm4(path):
    return totals([m["text"] for m in record["utterances"]] for record in load_json(path))


def topical_chat(path):
    return totals([m["message"] for m in record["content"]] for record in load_json(path).values())


BY_ORDER = {"user": "first", "assistant": "second"}
CASES = [
    ("smilechat", "messages", smilechat),
    ("cpsycound", "labelled-text", cpsycound),
    ("emollm/data.json", "turn-pairs", xtuner),
    ("fastchat_dummy/dummy_conversation.json", "sharegpt", sharegpt_json),
    ("gsm8k/train.jsonl", "prompt-response", question_answer),
    ("gsm8k/test.jsonl", "prompt-response", question_answer),
    ("halueval/general_data.json", "prompt-response", halueval),
    ("hh_rlhf/harmless-base_test.jsonl.gz", "preference", hh_rlhf),
    ("kdconv/dev.json", "speakers", kdconv),
    ("llamafactory/alpaca_en_demo.json", "alpaca", alpaca),
    ("llamafactory/dpo_en_demo.json", "preference", dpo_objects),
    ("llamafactory/dpo_zh_demo.json", "preference", dpo_objects),
    ("llamafactory/glaive_toolcall_en_demo.json", "sharegpt", glaive),
    ("llamafactory/kto_en_demo.json", "messages", messages_json),
    ("llamafactory/reason_tool_use_demo_50.jsonl", "messages", typed_parts),
    ("llamafactory/v1_sft_demo.jsonl", "messages", typed_parts),
    ("medicalgpt/dpo_zh_500.jsonl", "preference", dpo_texts),
    ("medicalgpt/sharegpt_zh_1K_format.jsonl", "sharegpt", sharegpt_lines),
    ("mtbench101/mtbench101.jsonl", "turn-pairs", mtbench101),
    ("mteval/mt-bench_extended.jsonl", "turn-pairs", mteval),
    ("mtrag/reference.jsonl", "speakers", mtrag),
    ("oasst1_openinstruct/sft_sample.jsonl", "messages", messages_lines),
    ("oasst1_qlora/oa_questions.jsonl", "transcript", qlora),
    ("oasst_flat/realistic_seed_data.json", "oasst-flat", oasst_flat),
    ("oasst_trees/en_100_tree.jsonl", "oasst-tree", oasst_trees),
    ("oasst_zh/oaast_sft_zh.json", "alpaca", alpaca),
    ("oasst_zh/oaast_rm_zh.json", "ranked", alpaca),
    ("sgd/train.jsonl.gz", "messages", messages_lines),
    ("sgd/validation.jsonl.gz", "messages", messages_lines),
    ("sgd/test.jsonl.gz", "messages", messages_lines),
    ("tm4/data_07.json", "speakers", tm4),
    ("topical_chat/valid_freq.json", "speakers", topical_chat),
    ("zhongjing/CMtMedQA_test.json", "alpaca", alpaca),
]


@pytest.mark.parametrize(("name", "format_name", "count"), CASES, ids=[case[0] for case in CASES])
def test_dialogues_messages_and_characters_equal_an_independent_count(public_data, name, format_name, count):
    roles = BY_ORDER if name.startswith(("kdconv", "topical_chat")) else None
    report = ReadReport()
    dialogues = list(read_dialogues(public_data / name, roles=roles, report=report))
    counted = (len(dialogues), sum(len(d.messages) for d in dialogues), sum(d.num_characters for d in dialogues))
    assert counted == count(public_data / name)
    assert {file.format for file in report.files} == {format_name}
    assert {m.role for d in dialogues for m in d.messages} <= {"system", "user", "assistant", "tool"}
    assert len({d.id for d in dialogues}) == len(dialogues)


def test_every_function_call_becomes_a_tool_call_with_its_arguments(public_data):
    path = public_data / "llamafactory/glaive_toolcall_en_demo.json"
    raw = [json.loads(m["value"]) for r in load_json(path) for m in r["conversations"] if m["from"] == "function_call"]
    calls = [c["function"] for d in read_dialogues(path) for m in d.messages for c in m.tool_calls or []]
    assert calls == raw


def test_loss_weights_of_every_message_survive(public_data):
    """v1_sft_demo: every user message has loss weight 0, every assistant message 1."""
    path = public_data / "llamafactory/v1_sft_demo.jsonl"
    raw = [m["loss_weight"] for r in load_lines(path) for m in r["messages"]]
    messages = [m for d in read_dialogues(path) for m in d.messages]
    assert [m.weight for m in messages] == raw
    assert all(m.train is None for m in messages)


def test_kto_labels_go_to_the_metadata(public_data):
    path = public_data / "llamafactory/kto_en_demo.json"
    assert [d.metadata["label"] for d in read_dialogues(path)] == [r["label"] for r in load_json(path)]


def pair_count_ranked(path):
    return sum(len(record["output"]) - 1 for record in load_json(path))


def pair_count_trees(path):
    """A place with n ranked assistant replies gives n - 1 pairs."""

    def count(node):
        ranked = [r for r in node["replies"] if r["role"] == "assistant" and r.get("rank") is not None]
        return max(0, len(ranked) - 1) + sum(map(count, node["replies"]))

    return sum(count(record["prompt"]) for record in load_lines(path))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hh_rlhf/harmless-base_test.jsonl.gz", lambda path: len(load_lines(path))),
        ("llamafactory/dpo_en_demo.json", lambda path: len(load_json(path))),
        ("llamafactory/dpo_zh_demo.json", lambda path: len(load_json(path))),
        ("medicalgpt/dpo_zh_500.jsonl", lambda path: len(load_lines(path))),
        ("oasst_zh/oaast_rm_zh.json", pair_count_ranked),
        ("oasst_trees/en_100_tree.jsonl", pair_count_trees),
    ],
)
def test_preference_pairs_equal_an_independent_count_and_end_in_replies(public_data, name, count):
    pairs = list(read_pairs(public_data / name))
    assert len(pairs) == count(public_data / name)
    assert all(pair.prompt and pair.chosen[-1].role == pair.rejected[-1].role == "assistant" for pair in pairs)
    assert len({pair.id for pair in pairs}) == len(pairs)


def test_hh_pairs_hold_both_strings_whole(public_data):
    path = public_data / "hh_rlhf/harmless-base_test.jsonl.gz"
    for raw, pair in zip(load_lines(path), read_pairs(path), strict=True):
        for side in ("chosen", "rejected"):
            speakers = {"user": "Human", "assistant": "Assistant"}
            said = [*pair.prompt, *getattr(pair, side)]
            spelt = "".join(f"\n\n{speakers[message.role]}: {message.content}" for message in said)
            # One record has a reply that is empty, spelt without the space after its colon.
            assert spelt.replace(": \n", ":\n").rstrip() == raw[side].replace(": \n", ":\n").rstrip()


def squad_count(path):
    texts = [p["context"] for article in load_json(path)["data"] for p in article["paragraphs"]]
    return len(texts), sum(map(len, texts))


def lines_count(path):
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return len(lines), sum(map(len, lines))


def key_count(key):
    return lambda path: (len(load_lines(path)), sum(len(record[key]) for record in load_lines(path)))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("squad2/dev-v2.0.json", squad_count),
        ("xquad/xquad.en.json", squad_count),
        ("xquad/xquad.zh.json", squad_count),
        ("cmrc2018/cmrc2018_dev.json", squad_count),
        ("llamafactory/wiki_demo.txt", lines_count),
        ("llamafactory/c4_demo.jsonl", key_count("text")),
        ("refgpt/wiki_demo.jsonl", key_count("desc")),
        ("mteval/documents.jsonl", key_count("gen_resp")),
    ],
)
def test_documents_equal_an_independent_count(public_data, name, count):
    documents = list(read_documents(public_data / name))
    assert (len(documents), sum(len(document.text) for document in documents)) == count(public_data / name)
    assert len({document.id for document in documents}) == len(documents)


def test_qas_of_squad_stay_with_their_paragraph(public_data):
    path = public_data / "squad2/dev-v2.0.json"
    raw = [p["qas"] for article in load_json(path)["data"] for p in article["paragraphs"]]
    assert [document.metadata["qas"] for document in read_documents(path)] == raw
