"""What users get wrong: one message that says where, what and what to do; exit code 2; nothing written."""

from __future__ import annotations

import json
import shutil

import pytest
from demo import run_main


@pytest.fixture
def attempt(demo, tmp_path, monkeypatch, capsys):
    """Run a command in a fresh folder; it must fail as a user error, and leave no output folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, out, err = run_main(monkeypatch, capsys, *arguments)
        assert code == 2, err
        assert "Traceback" not in err
        assert out == ""
        assert err.count("error:") == 1, err
        assert not (tmp_path / "out").exists(), "nothing may be half-written"
        return err

    return run


@pytest.fixture
def train(demo, attempt):
    def run(*more, model=None, data=None):
        command = ["train", "--model", model or demo.base, "--data", data or demo.train, "--output", "out"]
        return attempt(*command, "--set", "trainer.max_steps=1", *more)

    return run


@pytest.fixture
def model_folder(demo, tmp_path):
    """A copy of the base model to be spoilt."""
    return shutil.copytree(demo.base, tmp_path / "spoilt")


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# --- configuration


def test_a_misspelt_key_names_file_line_and_the_right_spelling(attempt, tmp_path, demo):
    (tmp_path / "this.yaml").write_text(f"model: {demo.base}\ndatta: x\noutput: out\n")
    err = attempt("train", "this.yaml")
    assert "this.yaml:2: unknown setting 'datta'" in err
    assert "did you mean 'data'?" in err


def test_a_missing_configuration_file_is_named(attempt):
    assert "nope.yaml: no such configuration file" in attempt("train", "nope.yaml")


def test_nothing_given_names_what_is_missing(attempt):
    err = attempt("train")
    for key in ("model", "data", "output"):
        assert f"the setting '{key}' is missing" in err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--method", "resur"], ["method", "'resure', 'vicuna', 'baize'", "'resur'"]),
        (
            ["--set", "trainer.max_stepz=1"],
            ["unknown setting 'trainer.max_stepz'", "did you mean 'trainer.max_steps'?"],
        ),
        (["--set", "trainer.max_steps=ten"], ["trainer.max_steps: expected a number, found 'ten'"]),
        (["--set", "trainer.num_train_epochs=0"], ["trainer.num_train_epochs: expected a number above 0, found 0"]),
        (["--set", "trainer.per_device_train_batch_size=0"], ["per_device_train_batch_size", "above 0, found 0"]),
        (["--set", "trainer.gradient_accumulation_steps=-1"], ["above 0, found -1"]),
        (["--set", "trainer.learning_rate=-1"], ["trainer.learning_rate", "at least 0, found -1"]),
        (["--set", "trainer.learning_rate=.nan"], ["trainer.learning_rate", "found nan"]),
        (["--set", "trainer.assistant_only_loss=false"], ["trainer.assistant_only_loss: has no effect"]),
        (["--set", "trainer.chat_template_path=x"], ["trainer.chat_template_path: has no effect"]),
        (["--set", "trainer.resume_from_checkpoint=x"], ["set '--resume' instead"]),
        (["--set", "trainer.packing='yes'"], ["trainer.packing: expected true or false, found 'yes'"]),
        (["--set", "trainer.lr_scheduler_type=sometimes"], ["sometimes is not a valid SchedulerType", "SFTConfig"]),
        (["--set", "trainer.eval_strategy=steps"], ["no held-out data", "eval_size"]),
        (["--set", "trainer.alpha=2"], ["trainer.alpha: set 'resure' instead"]),
        (["--set", "trainer.output_dir=x"], ["trainer.output_dir: set 'output' instead"]),
        (["--set", "trainer.packing=true", "--set", "trainer.packing_strategy=wrapped"], ["wrapped", "use 'bfd'"]),
        (["--set", "resure.alhpa=1"], ["unknown setting 'resure.alhpa'", "did you mean 'alpha'?"]),
        (["--set", "resure.preset=papr"], ["unknown preset 'papr'", "presets: paper"]),
        (["--set", "resure.floor_percentile=101"], ["resure.floor_percentile", "found 101"]),
        (["--set", "peft.rank=8"], ["unknown setting 'peft.rank'"]),
        (["--set", "peft.r=-1"], ["peft.r: expected a number of at least 1, found -1"]),
        (["--set", "peft.r=many"], ["peft.r: expected a number, found 'many'"]),
        (["--set", "peft.target_modules=[nonsense]"], ["nonsense", "'peft'"]),
        (["--set", "eval_size=40"], ["eval_size is 40, but there are only 40 dialogues"]),
        (["--set", "oops"], ["expected KEY=VALUE"]),
        (["--resume", "--overwrite"], ["--resume and --overwrite exclude each other"]),
    ],
)
def test_a_setting_that_cannot_be_is_named(train, options, parts):
    err = train(*options)
    for part in parts:
        assert part in err


# --- data


def test_a_missing_data_file_is_named_with_the_nearest_one(train, tmp_path, demo):
    (tmp_path / "chats.jsonl").write_text("x")
    err = train(data="chat.jsonl")
    assert "chat.jsonl: no such file or folder" in err
    assert "did you mean chats.jsonl?" in err


def test_a_broken_line_is_named_by_file_and_line(train, tmp_path, demo):
    (tmp_path / "broken.jsonl").write_text(demo.train.read_text().splitlines()[0] + "\n{broken\n")
    err = train(data="broken.jsonl")
    assert "broken.jsonl:2:" in err
    assert "expected one JSON object per line" in err


QUESTION = '{"role": "user", "content": "q"}'
UNSUPERVISED = f'{{"messages": [{QUESTION}, {{"role": "assistant", "content": "a", "train": false}}]}}\n'


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty.jsonl: the file is empty"),
        ('{"messages": [{"role": "user", "content": "only a question"}]}\n', "no dialogue with an assistant reply"),
        ('{"messages": [{"role": "assistant", "content": 5}]}\n', "empty.jsonl:1:"),
        (UNSUPERVISED, "no supervised tokens"),
    ],
)
def test_data_without_anything_to_learn_is_told(train, tmp_path, text, part):
    (tmp_path / "empty.jsonl").write_text(text)
    assert part in train(data="empty.jsonl")


def test_dialogues_that_are_all_too_long_are_told_with_the_limit_to_raise(train):
    err = train("--set", "trainer.max_length=5")
    assert "40 left out: first turn longer than max_length" in err
    assert "raise max_length" in err


# --- models


def test_a_model_that_is_nowhere_is_named(train, tmp_path):
    assert "./nope: no such model folder" in train(model="./nope")
    (tmp_path / "hollow").mkdir()
    assert "hollow: the folder holds no model (no config.json)" in train(model="hollow")
    (tmp_path / "file").write_text("x")
    assert "file: expected a model's folder, found a file" in train(model="file")
    assert "nobody/nothing: no tokenizer could be loaded" in train(model="nobody/nothing")


def test_a_broken_model_is_told_in_one_line(train, model_folder):
    (model_folder / "model.safetensors").write_bytes(b"x" * 64)
    assert "no model could be loaded (SafetensorError" in train(model=model_folder)
    (model_folder / "config.json").write_text("{")
    train(model=model_folder)


def test_a_config_without_architecture_is_told(train, model_folder):
    edit_json(model_folder / "config.json", architectures=None)
    assert "config.json names no architecture" in train(model=model_folder)


@pytest.mark.parametrize("kind", ["masked", "classifier", "seq2seq"])
def test_a_model_that_is_no_causal_language_model_is_refused(train, model_folder, kind):
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertForSequenceClassification,
        T5Config,
        T5ForConditionalGeneration,
    )

    bert = BertConfig(vocab_size=420, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    t5 = T5Config(vocab_size=420, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    makers = {
        "masked": lambda: BertForMaskedLM(bert),
        "classifier": lambda: BertForSequenceClassification(bert),
        "seq2seq": lambda: T5ForConditionalGeneration(t5),
    }
    model = makers[kind]()
    model.save_pretrained(model_folder)
    assert f"expected a causal language model, found {type(model).__name__}" in train(model=model_folder)


def test_an_adapter_is_not_taken_for_a_model(train, model_folder):
    (model_folder / "config.json").unlink()
    (model_folder / "adapter_config.json").write_text("{}")
    err = train(model=model_folder)
    assert "found an adapter, expected a whole model" in err
    assert "merge" in err


@pytest.mark.parametrize(
    ("template", "part"),
    [
        (None, "has no chat template"),
        ("{% for m in messages %}{{ m['content'] }", "no valid Jinja"),
        ("{{ 'always the same' }}", "rewrites earlier turns"),
    ],
)
def test_a_chat_template_that_cannot_serve_is_told(train, model_folder, template, part):
    path = model_folder / "chat_template.jinja"
    path.unlink() if template is None else path.write_text(template)
    assert part in train(model=model_folder)


def test_a_template_that_rewrites_names_the_dialogue_and_the_ways_out(train, model_folder):
    from template_cases import THINKING

    (model_folder / "chat_template.jinja").write_text(THINKING)
    err = train(model=model_folder)
    assert "dialogue 'world-1-" in err
    assert "'as_rendered'" in err
    assert "'unchanged'" in err


# --- what could run code


def leaves_a_mark(path):
    return f"from pathlib import Path\nPath({str(path)!r}).write_text('ran')\n"


@pytest.mark.parametrize("what", ["model", "tokenizer"])
def test_code_that_comes_with_a_model_is_not_run(train, model_folder, tmp_path, monkeypatch, what):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked on the terminal"))
    (model_folder / "own.py").write_text(leaves_a_mark(tmp_path / "mark"))
    if what == "model":
        changes = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
        edit_json(model_folder / "config.json", auto_map=changes, model_type="own")
    else:
        changes = {"AutoTokenizer": ["own.T", "own.T"]}
        edit_json(model_folder / "tokenizer_config.json", auto_map=changes, tokenizer_class="T")
    err = train(model=model_folder)
    assert f"the {what} comes with Python code of its own, which turnwise does not run" in err
    assert "trainer.trust_remote_code" in err
    assert not (tmp_path / "mark").exists()


def test_weights_in_a_pickle_are_refused_with_the_way_out(train, model_folder):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(model_folder / "model.safetensors"), model_folder / "pytorch_model.bin")
    (model_folder / "model.safetensors").unlink()
    err = train(model=model_folder)
    assert "expected weights as *.safetensors, found only *.bin" in err
    assert "convert" in err


# --- outputs and runs


def test_an_output_that_is_taken_or_no_folder_is_refused(train, demo, tmp_path, monkeypatch, capsys):
    def refused(output):
        command = ["train", "--model", demo.base, "--data", demo.train, "--output", output, "--overwrite"]
        code, out, err = run_main(monkeypatch, capsys, *command)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        return err

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert "not empty and holds no turnwise run" in refused(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()
    assert "found a file" in refused(tmp_path / "mine" / "thesis.tex")
    assert "is a file" in refused(tmp_path / "mine" / "thesis.tex" / "run")


@pytest.mark.parametrize("command", ["ledger", "report"])
def test_looking_at_nothing_is_told(attempt, tmp_path, command):
    (tmp_path / "hollow").mkdir()
    for given in ("nothing", "hollow"):
        err = attempt(command, given)
        assert given in err
        assert "hint:" in err


def test_a_failing_disk_is_one_line_too(attempt, train, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "out/manifest.json")

    monkeypatch.setattr("turnwise.run.RunFolder.open", full)
    assert "out/manifest.json: No space left on device" in train()
