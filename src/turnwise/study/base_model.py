"""A language model small enough to train in about a minute on one core: tokenizer, architecture, pretraining.

The quickstart starts from such a model, pretrained on the checkable world. `build` makes one from nothing; the
checkpoint in `demo_base/` is what `build` gave with the default recipe, and `python -m turnwise.study.base_model
FOLDER` makes it again (to the last digits on the same machine and library versions, to about the same accuracy
elsewhere).
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.data.world import PLAIN, Difficulty, World
from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError, ModelError
from turnwise.run import write_json

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

DEMO_FOLDER = Path(__file__).parent / "demo_base"
RECIPE_FILE = "recipe.json"

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string %}{{ content }}{% elif content %}{% for part in content %}{{ part.text or '' }}{% endfor %}\
{% endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{{- '<|' + message.role + '|>' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}{{- text(message.content) + '<|end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- text(message.content) + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
"""Every message is `<|role|>text<|end|>`; the end mark of a reply lies inside the generation block, so a model learns
to stop."""


@dataclass(frozen=True, slots=True)
class BaseRecipe:
    """Everything that decides a base model.

    Attributes:
        world_seed: Seed of the world whose facts are learned.
        num_entities: People in it.
        vocab_size: Size of the tokenizer.
        hidden: Width of the model.
        layers: Transformer blocks.
        heads: Attention heads.
        steps: Optimizer steps. The facts are learned late and fast: at half the steps accuracy is still low.
        batch_size: Dialogues per step.
        learning_rate: Peak learning rate.
        seed: Seed of the initial weights.
        data_seed: Seed of the pretraining dialogues; use others for fine-tuning and evaluation.
        turns: Least and most turns of a pretraining dialogue.
        told: Share of them that tell something.
        difficulty: What else they ask; docs/world.md has a recipe and what it learns.
        assistant_only: True learns from replies alone: needed to learn copying in few steps, as nobody can foresee what
            the user asks.
    """

    world_seed: int = 0
    num_entities: int = 32
    vocab_size: int = 800
    hidden: int = 96
    layers: int = 2
    heads: int = 4
    steps: int = 800
    batch_size: int = 16
    learning_rate: float = 5e-3
    seed: int = 0
    data_seed: int = 1
    turns: tuple[int, int] = (3, 6)
    told: float = 0.0
    difficulty: Difficulty = PLAIN
    assistant_only: bool = False

    def world(self) -> World:
        """The world that the model has learned."""
        return World(self.world_seed, self.num_entities)

    def dialogues(self, n: int, seed: int) -> Iterator[Dialogue]:
        """Dialogues of the kind that the model is pretrained on."""
        return self.world().dialogues(n, seed=seed, turns=self.turns, told=self.told, difficulty=self.difficulty)


def build(
    recipe: BaseRecipe = BaseRecipe(),
    *,
    report: Callable[[int, float], None] | None = None,
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, list[float]]:
    """Make a base model from nothing: tokenizer and model, trained on fresh dialogues of the recipe's world.

    Args:
        recipe: What to make.
        report: Called with (step from 1, loss) after every step.

    Returns:
        The model, its tokenizer, and the loss of every step in nats per token.
    """
    sample = recipe.dialogues(2000, recipe.data_seed)
    tokenizer = train_tokenizer(
        (message.text for dialogue in sample for message in dialogue.messages), recipe.vocab_size
    )
    model = small_llama(
        len(tokenizer), hidden=recipe.hidden, layers=recipe.layers, heads=recipe.heads, seed=recipe.seed
    )
    losses = pretrain(
        model,
        tokenizer,
        recipe.dialogues(recipe.steps * recipe.batch_size, recipe.data_seed),
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        assistant_only=recipe.assistant_only,
        seed=recipe.seed,
        report=report,
    )
    return model, tokenizer, losses


def save_base(folder: str | Path, model: Any, tokenizer: Any, recipe: BaseRecipe) -> None:
    """Write model, tokenizer and recipe to a folder that `from_pretrained` and `load_base` read."""
    folder = Path(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Last, so that a folder with a recipe is a whole one.
    write_json(folder / RECIPE_FILE, {**asdict(recipe), "difficulty": recipe.difficulty.model_dump()})


def load_base(
    folder: str | Path = DEMO_FOLDER,
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, BaseRecipe]:
    """Read what `save_base` wrote; without a folder, the demo checkpoint that comes with the package.

    Raises:
        ModelError: The folder holds no recipe, or one of other settings.
    """
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    file = Path(folder) / RECIPE_FILE
    try:
        recipe = _recipe(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ModelError(
            f"{file}: expected the recipe of a base model, found none that can be read ({error})",
            hint="build the base model again, for example with `turnwise quickstart --from-scratch`",
        ) from error
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    return model, tokenizer, recipe


def _recipe(settings: dict[str, Any]) -> BaseRecipe:
    # Recipes written before there were such dialogues name none of these settings.
    turns, difficulty = settings.pop("turns", BaseRecipe().turns), settings.pop("difficulty", {})
    return BaseRecipe(**settings, turns=tuple(turns), difficulty=Difficulty.model_validate(difficulty))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with our chat template; any text survives `decode(encode(text))`.

    Args:
        texts: What to learn merges from.
        vocab_size: Size of the vocabulary, special tokens and the 256 bytes included; fewer when the texts hold no
            more merges.

    Raises:
        ConfigError: `vocab_size` leaves no room for the bytes and the special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    least = 256 + len(special)
    if vocab_size < least:
        raise ConfigError(f"expected vocab_size of at least {least} (256 bytes, special tokens), found {vocab_size}")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=special[2:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1_000_000,  # whoever trains cuts dialogues; a warning here would only alarm
    )


def small_llama(
    vocab_size: int, *, hidden: int = 96, layers: int = 2, heads: int = 4, max_length: int = 512, seed: int = 0
) -> LlamaForCausalLM:
    """A randomly initialised Llama with tied embeddings, in float32. Token ids of pad and end are `train_tokenizer`'s.

    Args:
        vocab_size: Rows of the embedding.
        hidden: Width; must be an even multiple of `heads`.
        layers: Transformer blocks.
        heads: Attention heads.
        max_length: Longest sequence in tokens.
        seed: Seed of the initial weights. The global random state is left as it was.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3 // 16 * 16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        use_cache=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = 1
    return model


def pretrain(
    model: Any,
    tokenizer: Any,
    dialogues: Iterable[Dialogue],
    *,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    assistant_only: bool = False,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train a causal language model on dialogues with AdamW: 5 % warm-up, then cosine to zero.

    Also serves as the plain fine-tuning loop that the library's trainer is measured against: no weights, every token
    counts the same.

    Args:
        model: Trained in place.
        tokenizer: With a chat template that has generation markers.
        dialogues: Where batches come from: fresh ones while they last, then again from the start in a new seeded
            order.
        steps: Optimizer steps.
        batch_size: Dialogues per step.
        learning_rate: Peak learning rate.
        assistant_only: True puts only assistant replies into the loss, False every token.
        seed: Seed of the order.
        report: Called with (step from 1, loss) after every step.

    Returns:
        The loss of every step, in nats per token.

    Raises:
        ConfigError: There are no dialogues.
    """
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, steps // 20), steps)
    batches = _batches(tokenizer, dialogues, batch_size, seed, assistant_only)
    losses: list[float] = []
    was_training = model.training
    model.train()
    for step in range(1, steps + 1):
        batch = next(batches)
        loss = model(**batch.to(model.device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if report is not None:
            report(step, losses[-1])
    model.train(was_training)
    return losses


Encoded = tuple[list[int], list[int]]


def _batches(
    tokenizer: Any, dialogues: Iterable[Dialogue], batch_size: int, seed: int, assistant_only: bool
) -> Iterator[Any]:
    from transformers import BatchEncoding

    examples = _endless(tokenizer, dialogues, seed, assistant_only)
    while True:
        rows = [next(examples) for _ in range(batch_size)]
        longest = max(len(ids) for ids, _ in rows)
        data = {
            "input_ids": [ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids, _ in rows],
            "attention_mask": [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows],
            "labels": [labels + [-100] * (longest - len(ids)) for ids, labels in rows],
        }
        yield BatchEncoding(data, tensor_type="pt")


def _endless(tokenizer: Any, dialogues: Iterable[Dialogue], seed: int, assistant_only: bool) -> Iterator[Encoded]:
    seen: list[Encoded] = []
    for dialogue in dialogues:
        example = _encode(tokenizer, dialogue, assistant_only)
        seen.append(example)
        yield example
    if not seen:
        raise ConfigError("expected dialogues to train on, found none")
    order = random.Random(f"turnwise/order/{seed}")
    while True:
        yield from order.sample(seen, len(seen))


def _encode(tokenizer: Any, dialogue: Dialogue, assistant_only: bool) -> Encoded:
    encoded = tokenizer.apply_chat_template(
        [message.to_dict() for message in dialogue.messages],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids: Sequence[int] = encoded["input_ids"]
    masks: Sequence[int] = encoded["assistant_masks"]
    labels = [token if mask or not assistant_only else -100 for token, mask in zip(ids, masks, strict=True)]
    return list(ids), labels


def _main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m turnwise.study.base_model FOLDER")
    recipe = BaseRecipe()
    model, tokenizer, _ = build(recipe)
    save_base(sys.argv[1], model, tokenizer, recipe)


if __name__ == "__main__":
    _main()
