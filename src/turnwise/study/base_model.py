"""A language model small enough to train in a minute on one core: tokenizer, architecture, pretraining.

The quickstart starts from such a model, pretrained on the checkable world. `build` makes it from nothing; the
checkpoint in `demo_base/` is what `build` gave with its default settings.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from turnwise.dialogue import Dialogue
from turnwise.errors import ConfigError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

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
        model_max_length=1024,
    )


def small_llama(
    vocab_size: int, *, hidden: int = 96, layers: int = 3, heads: int = 4, max_length: int = 512, seed: int = 0
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
