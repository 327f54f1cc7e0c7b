"""One rank of the test that compares 1 process with batch 8 to 2 processes with batch 4; run by torchrun.

Usage: two_ranks.py OUTPUT BATCH_SIZE UNIT LAYOUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))


def main(output: Path, batch_size: int, unit: str, layout: str) -> None:
    import torch
    from tiny import answered_rows, make_trainer, sure_llama, token_rows, word_tokenizer

    torch.set_num_threads(1)
    tokenizer = word_tokenizer()
    options = {
        "padded": {},
        "padding_free": {"padding_free": True, "max_length": None},
        "mixture": {"rule": "mixture", "context_free": True, "dialogue_prior": 1.0},
    }[layout]
    judged = layout == "mixture"
    trainer = make_trainer(
        output,
        tokenizer,
        rows=answered_rows(96)[0] if judged else token_rows(96, longest=40),
        model=sure_llama() if judged else None,
        unit=unit,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=2,
        warmup_dialogues=24,
        ramp_steps=2,
        use_cpu=True,
        max_steps=12,
        **options,
    )
    trainer.train()
    if trainer.is_world_process_zero():
        result = {
            "state": trainer.rule.state_dict(),
            "losses": [log["loss"] for log in trainer.state.log_history if "grad_norm" in log],
            "norms": [log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log],
            "parameters": sum(p.double().abs().sum().item() for p in trainer.model.parameters()),
        }
        (output / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
