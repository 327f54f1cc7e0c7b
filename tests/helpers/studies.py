"""A study small enough for tests."""

from __future__ import annotations

from turnwise.config import check_config
from turnwise.study.plan import StudyConfig


def study_tree(output, **changes):
    """Two mixtures, a base and two trained methods, two seeds; three steps of the model that ships with turnwise."""
    clean = {"world": {"n": 16, "seed": 2}}
    noisy = {"world": {"n": 16, "seed": 12}, "corrupt": [{"kind": "wrong", "rate": 0.5}]}
    return {
        "name": "tiny",
        "base": {"model": "demo"},
        "mixtures": {"H": {"sources": [clean]}, "H+N": {"sources": [clean, noisy]}},
        "methods": {
            "base": {"method": "base"},
            "plain": {"method": "vicuna", "reduction": "sample"},
            "paper": {"method": "resure", "resure": {"preset": "paper", "ramp_steps": 1}},
        },
        "seeds": [0, 1],
        "train": {
            "trainer": {
                "per_device_train_batch_size": 8,
                "max_steps": 3,
                "learning_rate": 1e-3,
                "save_strategy": "no",
                "use_cpu": True,
            }
        },
        "warmup": {"sources": [{"world": {"n": 8, "seed": 4}}]},
        "evaluate": {
            "loss": {"world": {"sources": [{"world": {"n": 6, "seed": 3}}]}},
            "accuracy": {"facts": {"world": {"n": 6, "seed": 3}}},
        },
        "output": str(output),
        **changes,
    }


def tiny_study(output="study", **changes):
    return check_config(StudyConfig, study_tree(output, **changes), "test")
