"""Every method by its name: which tokens it learns, which parameters it moves, what it weighs, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest
import torch
from demo import run_main
from hypothesis import given
from hypothesis import strategies as st
from template_cases import CHATML, CHATML_TOOLS, chat, make_tokenizer
from tiny import make_trainer, tiny_llama, token_rows, trace
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from turnwise.config import load_config
from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import ConfigError
from turnwise.study.single import evaluate_run
from turnwise.training.encode import encode_dialogue
from turnwise.training.fit import TrainConfig, fit
from turnwise.training.methods import METHODS, MethodName
from turnwise.training.settings import lora_config, peft_options, trainer_arguments
from turnwise.training.template import SpanFinder

# --- which tokens carry the loss

CALL = {"type": "function", "function": {"name": "day", "arguments": {"a": 1}}}
DIALOGUE = [
    {"role": "system", "content": "Is it?"},
    {"role": "user", "content": "Paris"},
    {"role": "assistant", "content": "Yes", "tool_calls": [CALL]},
    {"role": "tool", "content": "fine"},
    {"role": "assistant", "content": "fine today."},
    {"role": "user", "content": "Yes"},
    {"role": "assistant", "content": "Bonjour"},
]
"""A call, its answer, the reply to it, and a second question with its reply: turns 0, 1 and 2."""

# Token by token, from the definitions. One string per piece of text: for each of its tokens the turn that it is
# learnt in, or "." where it is not learnt, first for baize (and vicuna, resure, dft), then for chatglm3, then for all.
#
# - baize: what the assistant generates: the text of a reply, its calls, and the <|im_end|> that ends it; neither the
#   header before it nor the line break after <|im_end|>, which the template prints by itself.
# - chatglm3: the same, and the whole message of the tool, header and line break included (every role but user and
#   system), in the turn of the reply that called, 0.
# - all: everything; what stands before a reply is of its turn, and what stands behind the last one is of its turn.
TABLE = [
    (["<|im_start|>", "sy", "stem", "\n", "Is", " it", "?", "<|im_end|>", "\n"], ".........", ".........", "000000000"),
    (["<|im_start|>", "user", "\n", "Pa", "ris", "<|im_end|>", "\n"], ".......", ".......", "0000000"),
    (["<|im_start|>", "as", "sistan", "t", "\n"], ".....", ".....", "00000"),
    (["Ye", "s"], "00", "00", "00"),
    (["<", "c", "a", "l", "l", ">", "d", "ay", " "], "000000000", "000000000", "000000000"),
    (["{", '"', "a", '"', ":", " 1", "}"], "0000000", "0000000", "0000000"),
    (["<", "/", "c", "a", "l", "l", ">"], "0000000", "0000000", "0000000"),
    (["<|im_end|>", "\n"], "0.", "0.", "01"),
    (["<|im_start|>", "t", "ool", "\n", "fin", "e", "<|im_end|>", "\n"], "........", "00000000", "11111111"),
    (["<|im_start|>", "as", "sistan", "t", "\n"], ".....", ".....", "11111"),
    (["fin", "e", " today", ".", "<|im_end|>", "\n"], "11111.", "11111.", "111112"),
    (["<|im_start|>", "user", "\n", "Ye", "s", "<|im_end|>", "\n"], ".......", ".......", "2222222"),
    (["<|im_start|>", "as", "sistan", "t", "\n"], ".....", ".....", "22222"),
    (["Bonjour", "<|im_end|>", "\n"], "22.", "22.", "222"),
]
FINDER = SpanFinder(make_tokenizer(CHATML))
SOME_AND_ALL = ("assistant", "all")
COLUMN = {"baize": 1, "vicuna": 1, "resure": 1, "dft": 1, "chatglm3": 2, "all": 3}


@pytest.mark.parametrize("name", COLUMN)
def test_the_tokens_that_a_method_learns_are_those_of_the_table(name):
    supervise = "all" if name == "all" else METHODS[name].supervise
    tokenizer = make_tokenizer(CHATML_TOOLS)
    finder = SpanFinder(tokenizer, supervise_tools=supervise == "assistant_and_tools")
    encoded = encode_dialogue(DIALOGUE, finder, max_length=None, supervise=supervise)
    texts = [text for row in TABLE for text in row[0]]
    marks = "".join(row[COLUMN[name]] for row in TABLE)
    assert [tokenizer.decode([token]) for token in encoded.input_ids] == texts
    assert "".join("." if turn == -1 else str(turn) for turn in encoded.turn_ids) == marks
    for token, label, mark in zip(encoded.input_ids, encoded.labels, marks, strict=True):
        assert label == (-100 if mark == "." else token)


def test_a_turn_that_is_not_to_be_learnt_takes_its_context_and_tools_with_it():
    """Reply 0 has `train: false`: with all tokens supervised its question is out too, and so is the tool's answer."""
    messages = [dict(message) for message in DIALOGUE]
    messages[2]["train"] = False
    tokenizer = make_tokenizer(CHATML_TOOLS)
    for supervise in ("all", "assistant_and_tools"):
        finder = SpanFinder(tokenizer, supervise_tools=supervise == "assistant_and_tools")
        encoded = encode_dialogue(messages, finder, max_length=None, supervise=supervise)
        assert set(encoded.turn_ids) == {-1, 1, 2}


@given(st.lists(st.text(alphabet="aé 🙂\n", max_size=6), min_size=2, max_size=8).filter(lambda texts: texts[1]))
def test_with_all_tokens_every_token_has_a_turn_and_the_replies_keep_theirs(texts):
    encoded = {name: encode_dialogue(chat(*texts), FINDER, max_length=None, supervise=name) for name in SOME_AND_ALL}
    some, every = (encoded[name].turn_ids for name in SOME_AND_ALL)
    assert every == sorted(every)
    assert min(every) == 0
    assert encoded["all"].labels == encoded["all"].input_ids
    assert all(turn in (-1, whole) for turn, whole in zip(some, every, strict=True))


def test_the_tools_answers_need_a_finder_that_marks_them():
    with pytest.raises(ConfigError, match="supervise_tools=True"):
        encode_dialogue(
            DIALOGUE, SpanFinder(make_tokenizer(CHATML_TOOLS)), max_length=None, supervise="assistant_and_tools"
        )


# --- the table of methods


def settings_of(method, **changes):
    return load_config(TrainConfig, values={"model": "m", "data": "d", "output": "o", "method": method, **changes})


def test_every_method_is_in_the_table_in_the_help_and_in_the_docs(monkeypatch, capsys):
    assert set(get_args(MethodName)) == set(METHODS)
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    section = page.split("## Methods")[1].split("\n## ")[0]
    _, shown, _ = run_main(monkeypatch, capsys, "train", "--help")
    shown = " ".join(shown.split())  # the help is wrapped
    for name, method in METHODS.items():
        assert f"| `{name}` |" in section
        assert f"{name}: {method.summary}" in shown


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        ("resure", {}, (True, "sample", "nll")),
        ("resure", {"reduction": "token"}, (True, "token", "nll")),
        ("vicuna", {}, (False, "token", "nll")),
        ("vicuna", {"reduction": "sample"}, (False, "sample", "nll")),
        ("baize", {}, (False, "token", "nll")),
        ("chatglm3", {}, (False, "token", "nll")),
        ("dft", {}, (False, "token", "dft")),
        ("vicuna", {"trainer": {"loss_type": "dft"}}, (False, "token", "dft")),
        ("trim", {}, (True, "sample", "nll")),
        ("mixture", {"reduction": "token"}, (True, "token", "nll")),
    ],
)
def test_a_method_sets_its_arguments_and_the_users_settings_win(method, changes, expected, tmp_path):
    found = trainer_arguments(settings_of(method, **changes), tmp_path, evaluates=False)
    assert (found.weighting, found.reduction, found.loss_type) == expected


@pytest.mark.parametrize(
    ("method", "resure", "expected"),
    [
        ("resure", {}, ("threshold", "dialogue", False)),
        ("resure", {"preset": "robust"}, ("mixture", "turn", True)),
        ("trim", {"trim_share": 0.5}, ("trim", "dialogue", False)),
        ("mixture", {"unit": "turn"}, ("mixture", "turn", False)),
        ("mixture", {"rule": "trim"}, ("trim", "dialogue", False)),
    ],
)
def test_a_method_names_its_rule_unless_the_user_does(method, resure, expected, tmp_path):
    found = trainer_arguments(settings_of(method, resure=resure), tmp_path, evaluates=False)
    assert (found.rule, found.unit, found.context_free) == expected


def test_baize_is_lora_on_all_linear_layers_unless_the_user_says_otherwise():
    own = lora_config(peft_options(settings_of("baize")))
    assert (own.r, own.lora_alpha, own.lora_dropout, own.target_modules) == (8, 16, 0.05, "all-linear")
    changed = lora_config(peft_options(settings_of("baize", peft={"r": 2, "target_modules": ["q_proj"]})))
    assert (changed.r, changed.lora_alpha, changed.target_modules) == (2, 16, {"q_proj"})
    assert peft_options(settings_of("vicuna")) is None
    assert peft_options(settings_of("vicuna", peft={"r": 2})) == {"r": 2}
    assert peft_options(settings_of("base", peft={"r": 2})) is None  # nothing is trained, so there is no adapter


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("base", {"prefilter": {"score": "reward"}}, "prefilter: has no effect with the method 'base'"),
        ("base", {"supervise": "all"}, "supervise: has no effect with the method 'base'"),
        ("base", {"reduction": "token"}, "reduction: has no effect with the method 'base'"),
        ("base", {"trainer": {"ledger": True}}, "there is no ledger"),
        ("dft", {"reduction": "sample"}, "reduction: expected 'token' with the method 'dft', found 'sample'"),
        ("dft", {"trainer": {"loss_type": "nll"}}, "expected 'dft' with the method 'dft', found 'nll'"),
        ("resure", {"trainer": {"loss_type": "dft"}}, "dft' goes only with weighting=False and reduction='token'"),
        ("vicuna", {"reduction": "sample", "trainer": {"loss_type": "dft"}}, "dft' goes only with"),
    ],
)
def test_settings_that_make_no_sense_for_a_method_are_refused(method, changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        trainer_arguments(settings_of(method, **changes), tmp_path, evaluates=False)


# --- DFT


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="padded"),
        pytest.param({"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2}, id="accumulated"),
        pytest.param({"packing": True, "packing_strategy": "bfd", "max_length": 64}, id="packed"),
    ],
)
def test_dft_equals_trls_dft_bit_for_bit_and_keeps_the_ledger(options, tmp_path, token_tokenizer):
    """The ledger holds the plain loss: at step 1 that of the untouched model."""
    options = {**options, "loss_type": "dft", "max_steps": 10}
    plain = make_trainer(tmp_path / "a", token_tokenizer, cls=SFTTrainer, **options)
    plain.train()
    ours = make_trainer(tmp_path / "b", token_tokenizer, reduction="token", weighting=False, **options)
    ours.train()
    assert len(trace(plain)) == 10
    assert trace(ours) == trace(plain)
    table = pq.read_table(tmp_path / "b" / "ledger.parquet").to_pylist()
    assert {row["weight"] for row in table} == {1.0}
    rows = {row["id"]: row for row in token_rows(96)}
    for row in [row for row in table if row["step"] == 1][:3]:
        own = rows[row["dialogue_id"]]
        ids, labels = torch.tensor([own["input_ids"]]), torch.tensor([own["labels"]])
        assert row["loss"] == pytest.approx(tiny_llama()(input_ids=ids, labels=labels).loss.item(), abs=1e-5)


def test_dft_and_the_weight_of_a_message_are_refused_together(tmp_path):
    """A weight would change the probability that DFT reads. `train: false` and weight 1 are no such weights."""
    tokenizer = make_tokenizer(CHATML)
    options = {"model": tiny_llama(vocab_size=len(tokenizer)), "max_length": 128, "loss_type": "dft"}
    for number, (weight, fits) in enumerate([(0.5, False), (1.0, True), (0.0, True)]):
        rows = [{"id": "own", "messages": chat("Is it?", "Yes", "Bye", "The end")}]
        rows[0]["messages"][1]["weight"], rows[0]["messages"][3]["weight"] = weight, 1.0

        def build(name=str(number), rows=rows):
            options_ = {**options, "weighting": False, "reduction": "token"}
            return make_trainer(tmp_path / name, tokenizer, rows=rows, **options_)

        if fits:
            assert len(build().train_dataset) == 1
        else:
            with pytest.raises(ConfigError, match="dialogue 'own': the loss 'dft' cannot be combined"):
                build()


# --- whole runs


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """24 dialogues with an answer of a tool between two replies."""
    path = tmp_path_factory.mktemp("methods") / "talks.jsonl"
    texts = [("user", "weather?"), ("assistant", "ask"), ("tool", "rain"), ("assistant", "it rains"), ("user", "so?")]
    messages = [*texts, ("assistant", "stay in")]
    write_dialogues((Dialogue([Message(*pair) for pair in messages], id=f"d{n}") for n in range(24)), path)
    return path


def run(method, talks, demo, output, **changes):
    tree = {
        "model": str(demo.base),
        "data": [str(talks)],
        "eval_data": [str(demo.held_out)],
        "output": str(output),
        "method": method,
        "resure": {"warmup_dialogues": 4, "ramp_steps": 0},
        "trainer": {
            "max_steps": 4,
            "logging_steps": 1,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "save_strategy": "no",
        },
    }
    return fit(load_config(TrainConfig, values={**tree, **changes}))


REPLIES = ["ask<|end|>", "it rains<|end|>", "stay in<|end|>"]
LEARNT = {
    **dict.fromkeys(["resure", "vicuna", "baize", "dft", "trim", "mixture"], "".join(REPLIES)),
    "chatglm3": REPLIES[0] + "<|tool|>rain<|end|>" + REPLIES[1] + REPLIES[2],
}


@pytest.mark.slow
@pytest.mark.parametrize("method", LEARNT)
def test_each_method_moves_its_parameters_on_its_tokens_with_its_weights(method, talks, demo, tmp_path):
    result = run(method, talks, demo, tmp_path / "run")
    trainer, folder = result.trainer, tmp_path / "run"
    row = trainer.train_dataset[0]
    assert trainer.processing_class.decode([label for label in row["labels"] if label != -100]) == LEARNT[method]

    before = AutoModelForCausalLM.from_pretrained(demo.base).state_dict()
    after = dict(trainer.model.named_parameters())
    if method == "baize":
        frozen = {name: value for name, value in after.items() if "lora_" not in name}
        assert not any(value.requires_grad for value in frozen.values())
        for name, value in frozen.items():
            original = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert torch.equal(value, before[original])
        moved = [name for name, value in after.items() if "lora_B" in name and value.abs().sum() > 0]
        linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        assert {name.split(".lora_B")[0].rsplit(".")[-1] for name in moved} == set(linear)
    else:
        # Rows of the embedding whose tokens never come do not move; each matrix as a whole does.
        assert not any(torch.equal(value, before[name]) for name, value in after.items())

    table = pq.read_table(folder / "ledger.parquet").to_pylist()
    assert len(table) == 16
    assert {row["group"] for row in table} == {3}
    weights, judged = {row["weight"] for row in table}, [row for row in table if row["threshold"] is not None]
    if method == "trim":
        # floor(0.25 * 4) = 1 of each batch of 4 equal dialogues is dropped.
        assert sorted(row["weight"] for row in table) == [0.0] * 4 + [1.0] * 12
    elif method != "resure":
        assert weights == {1.0}  # nothing tells 24 equal dialogues apart
    assert bool(judged) == (method in ("resure", "trim"))
    assert result.summary["trained"] == ("adapter" if method == "baize" else "model")
    assert (folder / result.summary["trained"] / "README.md").exists()
    # Held-out loss is on the same tokens whatever was learnt.
    held_out = evaluate_run(result)["eval"]["final"]["tokens"]
    assert held_out == evaluate_tokens(demo, trainer.processing_class)


def evaluate_tokens(demo, tokenizer):
    """Reply tokens of the held-out dialogues, by the template's own markers."""
    total = 0
    for line in demo.held_out.read_text(encoding="utf-8").splitlines():
        encoded = tokenizer.apply_chat_template(
            json.loads(line)["messages"], return_dict=True, return_assistant_tokens_mask=True
        )
        total += sum(encoded["assistant_masks"][1:])
    return total


@pytest.mark.slow
def test_base_leaves_the_model_alone_and_is_measured_like_the_rest(talks, demo, tmp_path, monkeypatch, capsys):
    """The held-out loss is that of the base model; no model, ledger or checkpoint is written."""
    output = tmp_path / "run"
    command = ["train", "--model", demo.base, "--data", talks, "--eval-data", demo.held_out, "--output", output]
    code, out, _ = run_main(monkeypatch, capsys, *command, "--method", "base", "--json")
    assert code == 0
    *table, last = out.splitlines()
    summary = json.loads(last)
    assert (summary["steps"], summary["train_loss"], summary["trained"]) == (0, None, None)
    assert summary["model"] == str(demo.base)
    assert ["dialogues trained on", "0"] in [[cell.strip() for cell in line.split("│")] for line in table]
    assert json.loads((output / "manifest.json").read_text())["status"] == "done"
    names = {path.name for path in output.iterdir()}
    assert {"summary.json", "manifest.json", "config.yaml", "report.html"} <= names
    assert not names & {"model", "adapter", "ledger.parquet", "ledger_parts"}
    # A run that is trained with a learning rate of 0 has the same loss.
    still = run("vicuna", talks, demo, tmp_path / "still", trainer={"max_steps": 1, "learning_rate": 0.0})
    assert summary["eval"]["final"] == evaluate_run(still)["eval"]["final"]
    again = run("base", talks, demo, tmp_path / "again")
    before = AutoModelForCausalLM.from_pretrained(demo.base).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in again.trainer.model.named_parameters())


EVERYTHING = "<|user|>weather?<|end|><|assistant|>ask<|end|><|tool|>rain<|end|><|assistant|>it rains<|end|>"
EVERYTHING += "<|user|>so?<|end|><|assistant|>stay in<|end|>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "supervise", "learnt"),
    [
        ("baize", "all", EVERYTHING),  # as Baize's own script
        ("chatglm3", "assistant", "".join(REPLIES)),  # as ChatGLM3's earlier one
        ("resure", "last", REPLIES[2]),
        ("vicuna", "assistant_and_tools", LEARNT["chatglm3"]),
    ],
)
def test_the_users_choice_of_tokens_wins_over_the_methods(method, supervise, learnt, talks, demo, tmp_path):
    trainer = run(method, talks, demo, tmp_path / "run", supervise=supervise).trainer
    labels = [label for label in trainer.train_dataset[0]["labels"] if label != -100]
    assert trainer.processing_class.decode(labels) == learnt
    table = pq.read_table(tmp_path / "run" / "ledger.parquet").to_pylist()
    first = supervise == "all"  # the first token of all is never predicted
    assert {row["num_tokens"] for row in table} == {len(labels) - first}


def test_plain_trl_with_all_tokens_has_the_labels_of_supervise_all(tmp_path):
    tokenizer = make_tokenizer(CHATML)
    messages = chat("Is it?", "Yes", "Bye", "The end")
    data = [{"id": "own", "messages": messages}]
    theirs = make_trainer(
        tmp_path,
        tokenizer,
        rows=data,
        cls=SFTTrainer,
        model=tiny_llama(vocab_size=len(tokenizer)),
        max_length=128,
    ).train_dataset[0]
    ours = encode_dialogue(messages, SpanFinder(tokenizer), max_length=None, supervise="all")
    assert theirs["labels"] == ours.labels
