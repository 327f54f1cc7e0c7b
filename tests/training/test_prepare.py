"""`ReSURETrainer` in place of `SFTTrainer`: every form of data that TRL takes, and what comes out of it."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset
from dropin import IGNORE, build, ledger, rows, supervised, talks
from template_cases import CHATML, CHATML_MARKED, CHATML_TOOLS, THINKING, chat, make_tokenizer
from tiny import BASE_ARGUMENTS, tiny_llama, trace
from transformers import TrainerCallback
from trl import SFTTrainer, TrlParser

from turnwise.errors import DataError, TemplateError
from turnwise.training.arguments import ReSUREConfig
from turnwise.training.ledger import Ledger
from turnwise.training.prepare import is_conversational_dataset
from turnwise.training.trainer import ReSURETrainer


@pytest.fixture(scope="module")
def chatml():
    return make_tokenizer(CHATML)


@pytest.fixture(scope="module")
def marked():
    return make_tokenizer(CHATML_MARKED)


# --- forms of data


@pytest.mark.slow
@pytest.mark.parametrize("which", ["chatml", "marked"])
def test_conversations_are_supervised_on_their_replies_with_or_without_markers(which, tmp_path, request):
    tokenizer = request.getfixturevalue(which)
    trainer = build(tmp_path, tokenizer, Dataset.from_list(rows(4)))
    assert supervised(trainer, tokenizer)[0] == "Yes, in 1?<|im_end|>Yes, in 3?<|im_end|>"
    trainer.train()
    assert [row["group"] for row in ledger(tmp_path)] == [2] * 8
    assert {row["dialogue_id"] for row in ledger(tmp_path)} == {f"row-{number}" for number in range(4)}


@pytest.mark.slow
def test_from_and_value_records_are_conversations_too(tmp_path, chatml):
    names = {"user": "human", "assistant": "gpt"}
    data = [
        {"conversations": [{"from": names[m["role"]], "value": m["content"]} for m in talk], "id": f"c{number}"}
        for number, talk in enumerate(talks(4))
    ]
    trainer = build(tmp_path, chatml, Dataset.from_list(data))
    plain = build(tmp_path / "p", chatml, Dataset.from_list(rows(4)))
    assert supervised(trainer, chatml) == supervised(plain, chatml)
    trainer.train()
    assert {row["dialogue_id"] for row in ledger(tmp_path)} == {"c0", "c1", "c2", "c3"}


@pytest.mark.slow
def test_a_text_column_named_prompt_beside_the_messages_changes_nothing(tmp_path, chatml):
    """As UltraChat has it. TRL would take the rows for prompt-completion pairs and stumble."""
    data = Dataset.from_list([{"prompt": "first question", "prompt_id": "p", **row} for row in rows(4)])
    trainer = build(tmp_path, chatml, data)
    assert supervised(trainer, chatml) == supervised(build(tmp_path / "p", chatml, Dataset.from_list(rows(4))), chatml)


@pytest.mark.slow
@pytest.mark.parametrize("conversational", [False, True])
def test_prompt_and_completion_supervise_the_completion_as_one_turn(conversational, tmp_path, chatml):
    question, answer = "What is 1?", " It is one."
    prompt = [{"role": "user", "content": question}] if conversational else question
    completion = [{"role": "assistant", "content": answer}] if conversational else answer
    data = Dataset.from_list([{"prompt": prompt, "completion": completion, "id": f"p{n}"} for n in range(4)])
    ours = build(tmp_path / "a", chatml, data, weighting=False, reduction="token")
    theirs = build(tmp_path / "b", chatml, data, cls=SFTTrainer)
    assert [row["labels"] for row in ours.train_dataset] == [row["labels"] for row in theirs.train_dataset]
    ours.train()
    theirs.train()
    assert trace(ours) == trace(theirs)
    assert {(row["dialogue_id"], row["group"]) for row in ledger(tmp_path / "a")} == {(f"p{n}", 1) for n in range(4)}


@pytest.mark.slow
def test_plain_text_is_one_turn_of_all_its_tokens_as_in_trl(tmp_path, chatml):
    data = Dataset.from_dict({"text": [f"The weather in Paris is {number}." for number in range(8)]})
    ours = build(tmp_path / "a", chatml, data, weighting=False, reduction="token")
    theirs = build(tmp_path / "b", chatml, data, cls=SFTTrainer)
    ours.train()
    theirs.train()
    assert trace(ours) == trace(theirs)
    for row in ledger(tmp_path / "a"):
        number = int(row["dialogue_id"].removeprefix("row-"))
        # Every token but the first is predicted; TRL adds the end token.
        assert row["num_tokens"] == len(chatml(f"The weather in Paris is {number}.").input_ids)


@pytest.mark.slow
def test_a_stream_is_trained_on_with_max_steps_and_named_by_row(tmp_path, chatml):
    data = IterableDataset.from_generator(lambda: iter(rows(12)))
    trainer = build(tmp_path, chatml, data, max_steps=3)
    trainer.train()
    found = ledger(tmp_path)
    assert [row["dialogue_id"] for row in found] == [f"row-{number}" for number in range(12)]
    assert [row["group"] for row in found] == [2] * 12


@pytest.mark.slow
def test_a_weight_that_only_a_later_row_of_a_stream_has_is_heeded(tmp_path, chatml):
    def generate():
        yield from rows(3)
        yield {"messages": [dict(m, weight=0.5) if m["role"] == "assistant" else m for m in talks(1)[0]]}

    trainer = build(tmp_path, chatml, IterableDataset.from_generator(generate))
    last = list(trainer.train_dataset)[3]
    assert set(last["token_weights"]) == {0.0, 0.5}


@pytest.mark.slow
def test_a_dict_of_evaluation_sets_is_evaluated_set_by_set(tmp_path, chatml):
    sets = DatasetDict({"one": Dataset.from_list(rows(2)), "two": Dataset.from_list(rows(4)[2:])})
    trainer = build(
        tmp_path, chatml, Dataset.from_list(rows()), hooks={"eval_dataset": sets}, eval_strategy="steps", eval_steps=2
    )
    trainer.train()
    logged = {key for log in trainer.state.log_history for key in log}
    assert {"eval_one_loss", "eval_two_loss"} <= logged


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["bfd", "bfd_split"])
def test_packing_keeps_dialogues_apart_and_known(strategy, tmp_path, chatml):
    data = Dataset.from_list([{**row, "id": f"own-{number}"} for number, row in enumerate(rows(12))])
    trainer = build(
        tmp_path,
        chatml,
        data,
        packing=True,
        packing_strategy=strategy,
        max_length=200,
        max_steps=-1,
        num_train_epochs=1,
    )
    assert len(trainer.train_dataset) < 12
    trainer.train()
    found = ledger(tmp_path)
    assert sorted(row["dialogue_id"] for row in found) == sorted(f"own-{number}" for number in range(12))
    assert {row["group"] for row in found} == {2}


@pytest.mark.slow
def test_split_packing_makes_fragments_that_keep_their_dialogues_name(tmp_path, chatml):
    """bfd_split cuts what is longer than a row into fragments instead of dropping turns."""
    data = Dataset.from_list([{"messages": talk, "id": f"long-{n}"} for n, talk in enumerate(talks(2, turns=6))])
    trainer = build(
        tmp_path,
        chatml,
        data,
        packing=True,
        packing_strategy="bfd_split",
        max_length=64,
        max_steps=-1,
        num_train_epochs=1,
    )
    tokens = sum(label != IGNORE for row in trainer.train_dataset for label in row["labels"])
    whole = build(tmp_path / "w", chatml, data, max_length=None)
    assert tokens == sum(label != IGNORE for row in whole.train_dataset for label in row["labels"])
    trainer.train()
    assert {row["dialogue_id"] for row in ledger(tmp_path)} == {"long-0", "long-1"}


@pytest.mark.slow
def test_padding_free_batches_cost_the_same_as_padded_ones(tmp_path, chatml):
    losses = []
    for name, options in {"padded": {}, "free": {"padding_free": True, "max_length": None}}.items():
        trainer = build(tmp_path / name, chatml, Dataset.from_list(rows()), learning_rate=0.0, **options)
        trainer.train()
        losses.append({row["dialogue_id"]: row["loss"] for row in ledger(tmp_path / name)})
    assert losses[0].keys() == losses[1].keys()
    for name, loss in losses[0].items():
        assert losses[1][name] == pytest.approx(loss, abs=1e-5)


# --- beside SFTTrainer


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"packing": True, "max_length": 200}, {"gradient_accumulation_steps": 2}, {"shuffle_dataset": True}],
    ids=["padded", "packed", "accumulated", "shuffled"],
)
def test_labels_and_losses_equal_those_of_sft_trainer_where_the_template_is_marked(options, tmp_path, marked):
    """CHATML_MARKED marks the reply and its end token, which is what we supervise: nothing may differ."""
    data = Dataset.from_list(rows(12))
    options = {"max_steps": 4, **options}
    ours = build(tmp_path / "a", marked, data, weighting=False, reduction="token", **options)
    theirs = build(tmp_path / "b", marked, data, cls=SFTTrainer, assistant_only_loss=True, **options)
    for column in ("input_ids", "labels"):
        assert [row[column] for row in ours.train_dataset] == [row[column] for row in theirs.train_dataset]
    ours.train()
    theirs.train()
    assert len(trace(ours)) == 4
    assert trace(ours) == trace(theirs)


@pytest.mark.slow
def test_tools_reach_the_template(tmp_path):
    tokenizer = make_tokenizer(CHATML_TOOLS)
    tool = {"type": "function", "function": {"name": "look_up", "description": "Finds"}}
    call = {"type": "function", "function": {"name": "look_up", "arguments": {"q": "x"}}}
    talk = [
        {"role": "user", "content": "Find x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is 42."},
    ]
    trainer = build(tmp_path, tokenizer, Dataset.from_list([{"messages": talk, "tools": [tool]}] * 2), max_length=None)
    text = tokenizer.decode(trainer.train_dataset[0]["input_ids"])
    assert '"name": "look_up"' in text
    assert supervised(trainer, tokenizer)[0].endswith("It is 42.<|im_end|>")
    assert '<call>look_up {"q": "x"}</call>' in supervised(trainer, tokenizer)[0]
    trainer.train()
    assert ledger(tmp_path)[0]["group"] == 2


@pytest.mark.slow
def test_lora_callbacks_and_the_trl_parser_work_as_in_a_trl_script(tmp_path, chatml):
    from peft import LoraConfig

    class Counts(TrainerCallback):
        steps = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.steps += 1

    line = {**BASE_ARGUMENTS, "max_length": 128, "max_steps": 3, "output_dir": str(tmp_path), "unit": "turn"}
    words = [word for key, value in line.items() for word in (f"--{key}", str(value))]
    (arguments,) = TrlParser(ReSUREConfig).parse_args_and_config(words)
    counts = Counts()
    trainer = ReSURETrainer(
        tiny_llama(vocab_size=len(chatml)),
        arguments,
        train_dataset=Dataset.from_list(rows()),
        processing_class=chatml,
        peft_config=LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[counts],
    )
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, parameter in trainer.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert counts.steps == 3
    assert changed
    assert all("lora_" in name for name in changed)
    assert {row["turn"] for row in ledger(tmp_path)} == {0, 1}


@pytest.mark.slow
def test_loss_on_all_tokens_is_there_for_who_asks(tmp_path, chatml):
    data = Dataset.from_list(rows(4))
    ours = build(tmp_path / "a", chatml, data, assistant_only_loss=False, weighting=False, reduction="token")
    theirs = build(tmp_path / "b", chatml, data, cls=SFTTrainer)
    assert [row["labels"] for row in ours.train_dataset] == [row["labels"] for row in theirs.train_dataset]
    assert IGNORE not in ours.train_dataset[0]["labels"]


@pytest.mark.slow
def test_the_rule_turns_down_the_one_dialogue_that_is_unlike_all_others(tmp_path, chatml):
    """39 dialogues whose replies a model learns within an epoch, and one of strange characters: only that is flagged
    in the epochs after, its weight falls below 1, and it is the least reliable of the ledger."""
    data = [{"messages": chat("Is it?", f"Yes, it is {number % 3}."), "id": f"d{number}"} for number in range(40)]
    data[17]["messages"] = chat("Is it?", "🙂会\t{好}émoji🙂")
    trainer = build(
        tmp_path,
        chatml,
        Dataset.from_list(data),
        warmup_dialogues=40,
        ramp_steps=0,
        half_life=20,
        learning_rate=1e-2,
        max_steps=-1,
        num_train_epochs=4,
        per_device_train_batch_size=8,
    )
    trainer.train()
    found = Ledger.open(tmp_path)
    worst = found.least_reliable(2)
    assert worst[0].dialogue_id == "d17"
    assert [row["flagged"] for row in worst[0].history] == [False, True, True, True]
    assert all(row["weight"] < 1 for row in worst[0].history[1:])
    assert worst[1].mean_weight > worst[0].mean_weight


# --- refusals


def test_a_template_that_rewrites_is_refused_with_the_row(tmp_path):
    data = Dataset.from_list([{"messages": talks(1)[0], "id": "bad-one"}])
    with pytest.raises(TemplateError, match="bad-one"):
        build(tmp_path, make_tokenizer(THINKING), data)


def test_data_of_which_nothing_is_left_is_refused_with_the_reasons(tmp_path, chatml):
    data = Dataset.from_list([{"messages": chat("only a question")}] * 3)
    with pytest.raises(DataError, match="3 left out: no assistant reply"):
        build(tmp_path, chatml, data)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": chat("a", "b")}, True),
        ({"conversations": [{"from": "human", "value": "a"}]}, True),
        ({"messages": chat("a", "b"), "prompt": "text", "chosen": "x"}, True),
        ({"prompt": chat("a"), "completion": chat("b")}, False),
        ({"text": "a"}, False),
        ({"input_ids": [1], "messages": chat("a", "b")}, False),
    ],
)
def test_what_is_taken_for_a_conversation(row, expected):
    assert is_conversational_dataset(Dataset.from_list([row])) is expected


@pytest.mark.slow
def test_names_of_dialogues_stay_unique_even_where_one_looks_like_a_renamed_one(tmp_path, chatml):
    data = [{**row, "id": name} for row, name in zip(rows(4), ["a", "a#2", "a", "b"], strict=True)]
    trainer = build(tmp_path, chatml, Dataset.from_list(data), max_steps=1)
    assert [trainer.dialogue_id(number) for number in range(4)] == ["a", "a#2", "a#3", "b"]
