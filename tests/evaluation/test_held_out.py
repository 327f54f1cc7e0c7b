"""`evaluate_loss`: the figures are those of a plain Hugging Face forward, the folder tells where they come from."""

from __future__ import annotations

import json
import math
import shutil

import pytest

torch = pytest.importorskip("torch")

from demo import read_lines  # noqa: E402

from turnwise.config import load_config  # noqa: E402
from turnwise.data.read import read_dialogues  # noqa: E402
from turnwise.errors import ConfigError, DataError, ModelError, RunError  # noqa: E402
from turnwise.evaluation.held_out import MEASURE, LossConfig, evaluate_loss, loss_tables  # noqa: E402
from turnwise.evaluation.loss import Tally  # noqa: E402
from turnwise.run import read_manifest  # noqa: E402

pytestmark = pytest.mark.slow


def measure(demo, output, how=None, **changes):
    values = {"model": str(demo.base), "data": [str(demo.held_out)], "output": str(output), **changes}
    return evaluate_loss(load_config(LossConfig, values=values), **(how or {}))


def two_sources(demo, folder):
    """Held-out dialogues 0 to 5 as `a`, 6 to 11 as `b`."""
    dialogues = [one.to_dict() for one in read_dialogues(demo.held_out)][:12]
    for number, one in enumerate(dialogues):
        one["source"] = "a" if number < 6 else "b"
    path = folder / "two.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in dialogues), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plain(demo):
    """Model and tokenizer as transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(demo.base).eval(), AutoTokenizer.from_pretrained(demo.base)


def sliced_labels(tokenizer, messages):
    """Token ids, and labels of each turn by itself: what stands between the prompt of a reply and the reply's end.

    Found without turnwise, by rendering prefixes: the demo's template writes every reply as the generation prompt, the
    text, and an end mark, and rewrites nothing.
    """

    def ids(*until, prompt=False):
        shown = messages[: until[0]]
        return tokenizer.apply_chat_template(shown, add_generation_prompt=prompt, tokenize=True, return_dict=True)[
            "input_ids"
        ]

    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    whole = ids(places[-1] + 1)
    labels = []
    for place in places:
        start, end = len(ids(place, prompt=True)), len(tokenizer(text_up_to(tokenizer, messages, place))["input_ids"])
        labels.append([token if start <= at < end else -100 for at, token in enumerate(whole)])
    return whole, labels


def text_up_to(tokenizer, messages, place):
    """The rendered dialogue up to the end mark of the reply at `place`; line breaks behind it are no reply."""
    return tokenizer.apply_chat_template(messages[: place + 1], tokenize=False).rstrip("\n")


def forward(model, ids, labels):
    """Hugging Face's own mean loss, and how many tokens it is a mean of."""
    with torch.no_grad():
        loss = model(torch.tensor([ids]), labels=torch.tensor([labels])).loss
    return float(loss), sum(label != -100 for label in labels)


def merged(*labels):
    return [max(column) for column in zip(*labels, strict=True)]


def mean(pairs):
    return sum(loss * count for loss, count in pairs) / sum(count for _, count in pairs)


def test_loss_equals_a_plain_hugging_face_forward_per_dialogue_by_turn_by_source_and_overall(demo, tmp_path, plain):
    """To 1e-5, in batches of 5 with padding, against one unpadded forward per dialogue (and per turn) with labels."""
    data = two_sources(demo, tmp_path)
    result = measure(demo, tmp_path / "run", data=[str(data)], batch_size=5)
    model, tokenizer = plain
    by_turn, by_source, overall = {}, {"a": [], "b": []}, []
    lines = read_lines(tmp_path / "run" / "dialogue_losses.jsonl")
    dialogues = list(read_dialogues(data))
    assert [line["id"] for line in lines] == [one.id for one in dialogues]
    for dialogue, line in zip(dialogues, lines, strict=True):
        ids, labels = sliced_labels(tokenizer, [one.to_dict() for one in dialogue.messages])
        whole = forward(model, ids, merged(*labels))
        overall.append(whole)
        by_source[dialogue.source].append(whole)
        for turn, own in enumerate(labels):
            of_turn = forward(model, ids, own)
            by_turn.setdefault(turn, []).append(of_turn)
            assert line["loss_by_turn"][str(turn)] == pytest.approx(of_turn[0], abs=1e-5)
            assert line["tokens_by_turn"][str(turn)] == of_turn[1]
        measured = [(line["loss_by_turn"][turn], count) for turn, count in line["tokens_by_turn"].items()]
        assert mean(measured) == pytest.approx(whole[0], abs=1e-5)
    loss, sources, perplexity = result.tables
    assert loss.measure == sources.measure == MEASURE
    assert loss.rows[0].mean == pytest.approx(mean(overall), abs=1e-5)
    assert loss.rows[0].n == sum(count for _, count in overall)
    assert perplexity.rows[0].mean == pytest.approx(math.exp(mean(overall)), rel=1e-5)
    assert [row.name for row in loss.rows] == ["all", *(f"turn {turn}" for turn in sorted(by_turn))]
    for turn, row in enumerate(loss.rows[1:]):
        assert row.mean == pytest.approx(mean(by_turn[turn]), abs=1e-5)
        assert (row.n, row.counts["dialogues"]) == (sum(count for _, count in by_turn[turn]), len(by_turn[turn]))
    assert [row.name for row in sources.rows] == ["all", "a", "b"]
    for row in sources.rows[1:]:
        assert row.mean == pytest.approx(mean(by_source[row.name]), abs=1e-5)
        assert row.counts["dialogues"] == 6
    assert all(row.low < row.mean < row.high for table in result.tables for row in table.rows[:2])


def test_the_folder_holds_results_and_a_manifest_with_inputs_and_counts(demo, tmp_path):
    seen = []
    result = measure(
        demo, tmp_path / "run", limit=7, batch_size=3, how={"on_progress": lambda *told: seen.append(told)}
    )
    assert seen == [("dialogues", 3, 7), ("dialogues", 6, 7), ("dialogues", 7, 7)]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results == result.results
    assert results["models"] == [result.model]
    assert result.model.startswith("local:base#")
    assert results["loss"] == result.tables[0].rows[0].mean
    assert results["max_length"] == 512, "the model's own"
    assert sum(results["tokens_by_turn"].values()) == sum(results["tokens_by_source"].values()) == results["tokens"]
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert (manifest["status"], manifest["command"]) == ("done", "evaluate loss")
    assert [entry["records"] for entry in manifest["inputs"]] == [7]
    assert manifest["outputs"][0]["records_out"] == 7
    with pytest.raises(RunError, match="already holds a run"):
        measure(demo, tmp_path / "run")
    assert measure(demo, tmp_path / "run", how={"overwrite": True}).results["dialogues"] == 20


def test_what_is_not_measured_is_counted_with_its_reason(demo, tmp_path):
    """One dialogue without a reply, one whose first turn is over 60 tokens; of others, turns are dropped."""
    rows = [one.to_dict() for one in read_dialogues(demo.held_out)][:3]
    rows.append({"id": "asks", "messages": [{"role": "user", "content": "anyone?"}]})
    long = [{"role": "user", "content": "why? " * 60}, {"role": "assistant", "content": "so"}]
    rows.append({"id": "long", "messages": long})
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = measure(demo, tmp_path / "run", data=[str(path)], max_length=60)
    skipped = {"no assistant reply": 1, "first turn longer than max_length": 1}
    assert result.results["skipped"] == result.tables[0].rows[0].unscored == skipped
    assert result.results["dialogues"] == 3
    assert result.results["dropped_turns"] > 0
    output = read_manifest(tmp_path / "run" / "manifest.json")["outputs"][0]
    assert (output["records_in"], output["records_out"], output["dropped"]) == (5, 3, skipped)
    path.write_text(json.dumps(rows[3]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"none of 1 dialogues can be measured \(no assistant reply: 1\)"):
        measure(demo, tmp_path / "none", data=[str(path)])
    assert not (tmp_path / "none").exists()


def test_an_adapter_is_measured_over_its_base_model(demo, tmp_path, plain):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    options = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(demo.base), options)
    tuned.save_pretrained(tmp_path / "adapter")
    result = measure(demo, tmp_path / "run", model=str(tmp_path / "adapter"), limit=4)
    pairs = []
    for dialogue in list(read_dialogues(demo.held_out))[:4]:
        ids, labels = sliced_labels(plain[1], [one.to_dict() for one in dialogue.messages])
        pairs.append(forward(tuned.eval(), ids, merged(*labels)))
    assert result.results["loss"] == pytest.approx(mean(pairs), abs=1e-5)
    assert result.results["loss"] != pytest.approx(measure(demo, tmp_path / "base", limit=4).results["loss"], abs=1e-3)


def test_what_the_user_must_change_is_said_before_anything_is_written(demo, tmp_path):
    output = tmp_path / "run"
    with pytest.raises(ConfigError, match="expected a local model, found the address"):
        measure(demo, output, model="m@http://localhost:8000/v1")
    with pytest.raises(ModelError, match="no such model folder"):
        measure(demo, output, model="./nothing")
    shutil.copytree(demo.base, tmp_path / "inside" / "base")
    with pytest.raises(ConfigError, match="lies in the output folder"):
        measure(demo, tmp_path / "inside", model=str(tmp_path / "inside" / "base"), how={"overwrite": True})
    assert not output.exists()


def test_tables_of_hand_made_losses():
    """Three dialogues: 2 + 4 nats over 2 + 2 tokens, 9 over 3, and 1 over 1: 16 / 8 = 2 in all; turn 1 has one."""
    examples = [{"source": "x"}, {"source": "x"}, {"source": None}]
    tallies = [{0: Tally(2.0, 2), 1: Tally(4.0, 2)}, {0: Tally(9.0, 3)}, {0: Tally(1.0, 1)}]
    loss, sources, perplexity = loss_tables(examples, tallies, skipped={"no assistant reply": 2})
    assert [(row.name, row.mean, row.n) for row in loss.rows] == [
        ("all", 2.0, 8),
        ("turn 0", 2.0, 6),
        ("turn 1", 2.0, 2),
    ]
    assert [(row.name, row.mean, row.n) for row in sources.rows[1:]] == [("(none)", 1.0, 1), ("x", 15 / 7, 7)]
    assert loss.rows[0].unscored == {"no assistant reply": 2}
    assert (loss.rows[2].low, loss.rows[2].high) == (None, None), "one dialogue says nothing of its spread"
    assert 1.0 <= loss.rows[0].low <= 2.0 <= loss.rows[0].high <= 3.0, "between the lowest and the highest dialogue"
    assert perplexity.rows[0].mean == pytest.approx(math.e**2)
    infinite = loss_tables([{}, {}], [{0: Tally(math.inf, 2)}, {0: Tally(1.0, 1)}])
    assert infinite[0].rows[0].mean is None
    assert loss_tables([{}], [{0: Tally(1e6, 1)}])[2].rows[0].mean is None
