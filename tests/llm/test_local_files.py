"""Where a local model comes from: its name, adapters, and what cannot be used."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from tiny import save_talkative  # noqa: E402

from turnwise.errors import ConfigError, ModelError  # noqa: E402
from turnwise.llm.chat import ChatRequest, Sampling  # noqa: E402
from turnwise.llm.drive import run_all  # noqa: E402
from turnwise.llm.local import LocalModel  # noqa: E402

LONG = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def base(demo, tmp_path_factory):
    return save_talkative(tmp_path_factory.mktemp("files") / "base", demo.base)


def say(text):
    return [{"role": "user", "content": text}]


def ask(model, requests):
    return list(run_all(model.reply, requests))


def texts(replies):
    return [reply.text for reply in replies]


def test_the_name_tells_weights_and_template_and_dtype_apart(base, tmp_path):
    folder = tmp_path / "run" / "model"
    shutil.copytree(base, folder)
    assert LocalModel(base).name.startswith("local:base#")
    same = LocalModel(folder)
    assert same.name.startswith("local:run/model#")
    assert same.name.split("#")[1] == LocalModel(base).name.split("#")[1]
    digests = [same.name, LocalModel(folder, dtype="bfloat16").name]
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    digests.append(LocalModel(folder).name)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    digests.append(LocalModel(folder).name)
    assert len({name.split("#")[1] for name in digests}) == 4


def test_an_adapter_answers_over_its_base_model(base, tmp_path):
    """An adapter that moves every layer answers otherwise than its base; as does the merged model, and alike."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    tuned.save_pretrained(tmp_path / "adapter")
    requests = [ChatRequest(say(f"Where does number {number} live?"), LONG) for number in range(12)]
    adapted = LocalModel(tmp_path / "adapter")
    answers = texts(ask(adapted, requests))
    assert answers != texts(ask(LocalModel(base), requests))
    tuned.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "merged")
    merged = texts(ask(LocalModel(tmp_path / "merged"), requests))
    assert sum(one == other for one, other in zip(answers, merged, strict=True)) >= len(answers) - 1
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    beside = LocalModel(tmp_path / "adapter")
    assert texts(ask(beside, requests)) == answers, "a tokenizer beside the adapter is taken, as training saves it"
    assert beside.name != adapted.name
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "./gone"}))
    with pytest.raises(ModelError, match="its base model cannot be found"):
        LocalModel(tmp_path / "adapter")


def test_models_that_cannot_be_used_are_refused_with_what_to_do(base, tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        LocalModel(tmp_path / "nothing")
    run = tmp_path / "run"
    shutil.copytree(base, run / "model")
    with pytest.raises(ModelError, match=r"did you mean .*model"):
        LocalModel(run)
    (run / "model" / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        LocalModel(run / "model")
    shutil.copytree(base, tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").rename(tmp_path / "pickle" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"expected weights as \*\.safetensors"):
        LocalModel(tmp_path / "pickle")
    with pytest.raises(ModelError, match="no model of this name could be fetched"):
        LocalModel("nobody/no-such-model")
    for options in ({"batch_size": 0}, {"dtype": "float8"}, {"max_length": 1}):
        with pytest.raises(ConfigError, match="expected"):
            LocalModel(base, **options)


def test_weights_that_cannot_be_loaded_stop_everyone_who_waits(base, tmp_path):
    shutil.copytree(base, tmp_path / "torn")
    weights = tmp_path / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    torn = LocalModel(tmp_path / "torn")
    with pytest.raises(ModelError, match="no model could be loaded"):
        ask(torn, [ChatRequest(say("x"), LONG)] * 3)


def test_a_tokenizer_of_another_model_is_refused(base, tmp_path):
    from turnwise.study.base_model import small_llama

    shutil.copytree(base, tmp_path / "mixed")
    small_llama(100, hidden=32, layers=1).save_pretrained(tmp_path / "mixed")
    with pytest.raises(ModelError, match="the model embeddings for 100"):
        ask(LocalModel(tmp_path / "mixed"), [ChatRequest(say("x"), LONG)])
