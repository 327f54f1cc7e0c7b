"""Trainers small enough for tests: a tiny Llama and token data; nothing is loaded from a hub."""

from __future__ import annotations

import numpy as np
import torch


def word_tokenizer():
    """100 whole-word tokens; pad and end are tokens of their own."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({f"t{number}": number for number in range(100)}, unk_token="t0")
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), unk_token="t0", pad_token="t1", eos_token="t2")


def tiny_llama(vocab_size=100, seed=0, **options):
    """About 20,000 parameters, float32, no dropout."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=False,
            **options,
        )
    )


def save_talkative(folder, tokenizer_folder):
    """A saved random model whose replies differ: wide initial weights, embeddings that are not also the output's."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.save_pretrained(folder)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    tiny_llama(len(tokenizer), initializer_range=0.3, **ends).save_pretrained(folder)
    return folder


def token_rows(count, seed=0, longest=30):
    """Random token dialogues: after every four tokens of context come four supervised ones."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        ids = random.integers(3, 100, int(random.integers(8, longest))).tolist()
        labels = [token if (place // 4) % 2 else -100 for place, token in enumerate(ids)]
        rows.append({"id": f"d{number}", "input_ids": ids, "labels": labels})
    return rows


BASE_ARGUMENTS = {
    "max_steps": 20,
    "logging_steps": 1,
    "report_to": "none",
    "bf16": False,
    "activation_checkpointing": False,
    "dataloader_pin_memory": False,
    "learning_rate": 1e-3,
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 1,
    "per_device_train_batch_size": 4,
    "max_length": 32,
}


def make_trainer(output, tokenizer, *, rows=None, model=None, cls=None, peft_config=None, hooks=None, **options):
    """A ReSURETrainer (or SFTTrainer) on token data."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from turnwise.training.arguments import ReSUREConfig
    from turnwise.training.trainer import ReSURETrainer

    cls = cls or ReSURETrainer
    config = SFTConfig if cls is SFTTrainer else ReSUREConfig
    arguments = config(output_dir=str(output), **{**BASE_ARGUMENTS, **options})
    return cls(
        model=tiny_llama() if model is None else model,
        args=arguments,
        train_dataset=Dataset.from_list(token_rows(96) if rows is None else rows),
        processing_class=tokenizer,
        peft_config=peft_config,
        **(hooks or {}),
    )


def trace(trainer):
    """Losses and gradient norms of every step."""
    return [(log["loss"], log["grad_norm"]) for log in trainer.state.log_history if "grad_norm" in log]


def sure_llama():
    """A tiny Llama whose predictions are far from uniform, so that a reply it would give itself costs little."""
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight *= 60
    return model


def answered_rows(count, noise_share=0.5, seed=0, turns=3):
    """Dialogues of `turns` turns (4 random tokens, then 4 supervised ones) and the set of (id, turn) that is noise.

    A clean reply is what `sure_llama` would say itself, a noisy one is random.
    """
    random, model = np.random.default_rng(seed), sure_llama()
    rows, noise = [], set()
    for number in range(count):
        ids, labels = [], []
        for turn in range(turns):
            ids += random.integers(3, 100, 4).tolist()
            labels += [-100] * 4
            noisy = random.random() < noise_share
            noise |= {(f"d{number}", turn)} if noisy else set()
            for _ in range(4):
                with torch.no_grad():
                    likely = int(model(torch.tensor([ids])).logits[0, -1].argmax())
                ids.append(int(random.integers(3, 100)) if noisy else likely)
                labels.append(ids[-1])
        rows.append({"id": f"d{number}", "input_ids": ids, "labels": labels})
    return rows, noise
