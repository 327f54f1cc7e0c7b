"""A small real model that has learnt a few replies by heart: it answers those requests, and others somehow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from turnwise.study.base_model import small_llama, train_tokenizer

Lesson = tuple[Sequence[Mapping[str, Any]], str]


def save_taught(folder: Path, lessons: Sequence[Lesson], *, steps: int = 300) -> bool:
    """Train a Llama of random weights on (request, reply) pairs until every next token of a reply is its likeliest.

    Returns:
        Whether it came to that.
    """
    texts = [str(message["content"]) for messages, _ in lessons for message in messages] + [said for _, said in lessons]
    tokenizer = train_tokenizer(texts, 1600)
    rows = []
    for messages, said in lessons:
        prompt = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=True)
        start = len(prompt["input_ids"])
        reply = [*tokenizer(said, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        rows.append((torch.tensor([prompt["input_ids"] + reply]), start))
    model = small_llama(len(tokenizer), hidden=64, layers=2, max_length=2048)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    known = False
    for _ in range(steps):
        known = True
        for ids, start in rows:
            logits = model(input_ids=ids, logits_to_keep=ids.shape[1] - start + 1).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, ids[0, start:])
            loss.backward()
            known &= bool((logits.argmax(-1) == ids[0, start:]).all()) and float(loss.detach()) < 0.2
        if known:
            break
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return known
