"""The small base model: a tokenizer that loses nothing, a template with honest spans, a loop that learns."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from turnwise.data.world import Difficulty, World  # noqa: E402
from turnwise.errors import ConfigError, ModelError  # noqa: E402
from turnwise.evaluation.accuracy import checkable_accuracy  # noqa: E402
from turnwise.study import base_model  # noqa: E402
from turnwise.study.base_model import (  # noqa: E402
    DEMO_FOLDER,
    BaseRecipe,
    build,
    load_base,
    pretrain,
    save_base,
    small_llama,
    train_tokenizer,
)

WORLD = World(num_entities=4)
TOKENIZER = train_tokenizer([m.text for d in WORLD.dialogues(100, seed=1) for m in d.messages], 450)


@settings(deadline=None)
@given(st.text())
def test_any_text_survives_the_tokenizer(text):
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


@pytest.mark.parametrize("text", ["a  b ,c .\n\n", " {{ x }} {% raw %} ", "你好，世界 ×", "don 't <b>"])
def test_awkward_texts_survive_the_tokenizer_and_the_template(text):
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text
    rendered = TOKENIZER.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
    assert rendered == f"<|user|>{text}<|end|>"


def test_the_template_renders_every_role_and_marks_only_the_replies():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "it is {{ 42 }}"},
    ]
    rendered = TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<|system|>be brief<|end|><|user|>hi<|end|><|assistant|><|end|><|tool|>42<|end|>"
        "<|assistant|>it is {{ 42 }}<|end|><|assistant|>"
    )
    encoded = TOKENIZER.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    kept = [i for i, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert TOKENIZER.decode(kept) == "<|end|>it is {{ 42 }}<|end|>"


def test_roles_and_marks_are_single_tokens_and_pad_is_not_end():
    for token in ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"):
        assert len(TOKENIZER(token).input_ids) == 1
    assert (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id) == (0, 1)


def test_a_vocabulary_too_small_for_the_bytes_is_refused():
    with pytest.raises(ConfigError, match="at least 262"):
        train_tokenizer(["a"], 261)


def test_model_and_tokenizer_survive_a_save(tmp_path):
    model = small_llama(len(TOKENIZER), hidden=32, layers=1)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for (name, before), (_, after) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(before, after), name
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert (loaded.generation_config.pad_token_id, loaded.generation_config.eos_token_id) == (0, 1)
    assert again.chat_template == TOKENIZER.chat_template
    assert (again.pad_token, again.eos_token) == ("<|pad|>", "<|end|>")
    text = " a  b .{{"
    assert again(text).input_ids == TOKENIZER(text).input_ids
    assert again.decode(again(text).input_ids) == text


def test_seeds_decide_the_weights_and_the_global_random_state_stays():
    state = torch.get_rng_state()
    first, again, other = (small_llama(300, hidden=32, layers=1, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [model.model.embed_tokens.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def train(**settings):
    model = small_llama(len(TOKENIZER), hidden=32, layers=1)
    dialogues = list(WORLD.dialogues(12))
    losses = pretrain(model, TOKENIZER, dialogues, steps=12, batch_size=4, learning_rate=1e-2, **settings)
    return losses, model


def test_training_lowers_the_loss_and_is_seeded():
    """12 steps on a few templates cut the loss of random weights (about ln 450 = 6.1) by far more than chance."""
    (losses, model), (again, same) = train(seed=3), train(seed=3)
    assert losses == again
    assert torch.equal(model.model.embed_tokens.weight, same.model.embed_tokens.weight)
    assert losses[0] == pytest.approx(6.1, abs=0.5)
    assert losses[-1] < losses[0] - 1
    assert train(seed=4)[0] != losses  # 48 examples from 12 dialogues: the later rounds are shuffled by the seed


def test_only_replies_count_when_asked():
    """The first loss is the mean over reply tokens alone, computed here from the mask."""
    dialogues = list(WORLD.dialogues(1))
    model = small_llama(len(TOKENIZER), hidden=32, layers=1)
    encoded = TOKENIZER.apply_chat_template(
        [m.to_dict() for m in dialogues[0].messages], return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = torch.tensor([encoded["input_ids"]]), torch.tensor([encoded["assistant_masks"]]).bool()
    with torch.no_grad():
        expected = {
            True: float(model(ids, labels=ids.masked_fill(~mask, -100)).loss),
            False: float(model(ids, labels=ids).loss),
        }
    assert expected[True] != expected[False]
    for assistant_only in (True, False):
        fresh = small_llama(len(TOKENIZER), hidden=32, layers=1)
        losses = pretrain(fresh, TOKENIZER, dialogues, steps=1, batch_size=1, assistant_only=assistant_only)
        assert losses[0] == pytest.approx(expected[assistant_only], abs=1e-6)


def test_no_dialogues_are_refused():
    with pytest.raises(ConfigError, match="found none"):
        pretrain(small_llama(300, hidden=32, layers=1), TOKENIZER, [], steps=1)


def test_the_demo_checkpoint_knows_its_world_and_fits_in_the_package():
    """Measured at 0.98 on 200 dialogues; 40 dialogues (about 180 answers) have a standard error near 0.01."""
    assert sum(file.stat().st_size for file in DEMO_FOLDER.iterdir()) < 1.5e6
    model, tokenizer, recipe = load_base()
    assert recipe == BaseRecipe()
    world = recipe.world()
    result = checkable_accuracy(model, tokenizer, list(world.dialogues(40, seed=99)), world.check, max_new_tokens=16)
    assert result.accuracy > 0.94
    stranger = World(recipe.world_seed + 1)
    elsewhere = list(stranger.dialogues(40, seed=99))
    # Facts of another world are known only by chance: about one in ten, as every relation has ten values.
    assert checkable_accuracy(model, tokenizer, elsewhere, stranger.check, max_new_tokens=16).accuracy < 0.3


def test_a_built_model_survives_a_save_with_its_recipe(tmp_path):
    recipe = BaseRecipe(
        num_entities=4, vocab_size=400, hidden=32, layers=1, steps=2, batch_size=2,
        turns=(4, 8), told=0.5, difficulty=Difficulty(slots=2, distance=(1, 4), corrections=0.5, recollections=0.5),
    )  # fmt: skip
    steps = []
    model, tokenizer, losses = build(recipe, report=lambda step, loss: steps.append((step, loss)))
    assert steps == list(enumerate(losses, start=1))
    assert len(losses) == 2
    save_base(tmp_path / "base", model, tokenizer, recipe)
    loaded, again, known = load_base(tmp_path / "base")
    assert known == recipe
    assert len(again) == len(tokenizer) == model.config.vocab_size
    assert torch.equal(loaded.model.embed_tokens.weight, model.model.embed_tokens.weight)


def test_a_base_is_pretrained_on_the_dialogues_its_recipe_asks_for(monkeypatch):
    hard = {"told": 1.0, "turns": (5, 7), "difficulty": Difficulty(corrections=1.0)}
    seen = {}
    monkeypatch.setattr(
        base_model,
        "pretrain",
        lambda model, tokenizer, dialogues, **settings: seen.update(settings, dialogues=list(dialogues)),
    )
    build(BaseRecipe(num_entities=4, hidden=32, layers=1, steps=3, batch_size=2, assistant_only=True, **hard))
    assert seen["dialogues"] == list(World(num_entities=4).dialogues(6, seed=1, **hard))
    assert all("corrected" in dialogue.metadata["kinds"] for dialogue in seen["dialogues"])
    assert seen["assistant_only"] is True


def test_a_folder_without_a_recipe_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="from-scratch"):
        load_base(tmp_path)
    (tmp_path / "recipe.json").write_text('{"colour": 1}')
    with pytest.raises(ModelError, match="colour"):
        load_base(tmp_path)
