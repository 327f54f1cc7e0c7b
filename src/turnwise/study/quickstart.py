"""The quickstart: where the truth is known, does ReSURE find the wrong dialogues, and does the model keep its facts?

A small model that knows the facts of a checkable world is fine-tuned three times on the same dialogues, a labelled
share of which state wrong facts: plainly, with ReSURE as published, and with the robust preset. All see the same
dialogues in the same order, use the same reduction, and are asked the same held-out questions, every one of which a
program can check.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turnwise.data.noise import wrong_answers
from turnwise.data.write import write_dialogues
from turnwise.dialogue import Dialogue
from turnwise.evaluation.accuracy import AccuracyByTurn, checkable_accuracy
from turnwise.evaluation.dialogue_loss import as_list, dialogue_loss, loss_figures
from turnwise.llm.pretrained import few_threads_for, quiet_libraries
from turnwise.run import RunFolder, write_json
from turnwise.statistics.resampling import bootstrap_interval
from turnwise.study.base_model import DEMO_FOLDER, BaseRecipe, build, load_base, save_base
from turnwise.study.single import evaluate_run
from turnwise.training.fit import LogHook, TrainConfig, fit
from turnwise.training.loading import require_training_libraries


@dataclass(frozen=True, slots=True)
class QuickstartConfig:
    """What the quickstart does; the defaults take well under a minute of computing on one core.

    Attributes:
        output: The run folder.
        noise_rate: Share of the training dialogues whose every answer is wrong.
        seed: Seed of the noise and of both training runs.
        num_train: Training dialogues.
        num_eval: Held-out dialogues, all clean.
        num_warmup: Clean dialogues that initialise ReSURE's statistics; they are not trained on.
        from_scratch: Build the base model anew (a minute or two) rather than start from the checkpoint that ships.
        learning_rate: Peak learning rate of both runs.
        max_steps: Stop each run after this many optimizer steps; None trains three epochs.
    """

    output: str = "runs/quickstart"
    noise_rate: float = 0.6
    seed: int = 0
    num_train: int = 600
    num_eval: int = 200
    num_warmup: int = 64
    from_scratch: bool = False
    learning_rate: float = 5e-4
    max_steps: int | None = None


# Dialogue seeds: the base model was pretrained on those of seed 1.
TRAIN_SEED, EVAL_SEED, WARMUP_SEED = 2, 3, 4
MAX_NEW_TOKENS = 16
"""Longer than any right answer: a model that does not stop is cut off, not waited for."""

METHODS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"method": "vicuna", "reduction": "sample"},
    "resure": {"method": "resure", "resure": {"preset": "paper", "ramp_steps": 5}},
    "robust": {"method": "resure", "resure": {"preset": "robust"}},
}

Tell = Callable[[str], None]


def run_quickstart(
    config: QuickstartConfig,
    *,
    overwrite: bool = False,
    tell: Tell = lambda text: None,
    log_hook: Callable[[str], LogHook | None] = lambda name: None,
) -> dict[str, Any]:
    """Run it and leave `summary.json`, the two run folders and the data in `config.output`.

    Args:
        config: What to do.
        overwrite: Replace an earlier quickstart in the folder.
        tell: Told what happens, one sentence at a time.
        log_hook: Gives the progress hook of a training run by its name.

    Returns:
        The summary: `eval.base|plain|resure|robust` with `loss`, `loss_by_turn`, `accuracy`, `accuracy_by_turn` and
        intervals; `auroc_noise` and `precision_at_flagged` of ReSURE's ledger, `auroc_by_run` of all; `findings`, what
        the numbers say in words, whichever method they favour; `wall_seconds`.
    """
    started = time.monotonic()
    require_training_libraries()
    quiet_libraries()
    folder = RunFolder.open(
        config.output,
        "quickstart",
        config={**asdict(config), "methods": {name: dict(method) for name, method in METHODS.items()}},
        seeds={"seed": config.seed, "train": TRAIN_SEED, "eval": EVAL_SEED, "warmup": WARMUP_SEED},
        overwrite=overwrite,
    )
    with folder:
        base_path, recipe = _base(config, folder, tell, log_hook)
        files, held_out = _make_data(config, recipe, folder)
        tell(
            f"made {config.num_train} training dialogues, {config.noise_rate:.0%} of them with wrong answers, and "
            f"{config.num_eval} clean held-out ones"
        )
        measured = {"base": _measure_base(base_path, recipe, held_out)}
        accuracies: dict[str, AccuracyByTurn] = {"base": measured["base"][1]}
        noise: dict[str, dict[str, Any]] = {}
        cautions: list[str] = []
        for name, method in METHODS.items():
            tell(f"fine-tuning: {name}")
            result = fit(_train_config(config, method, base_path, files, folder.file(name)), on_log=log_hook(name))
            with few_threads_for(result.trainer.model):
                summary = evaluate_run(result)
                accuracy = _accuracy(result.trainer.model, result.trainer.processing_class, held_out, recipe)
            accuracies[name] = accuracy
            measured[name] = (summary["eval"]["final"], accuracy)
            noise[name] = summary["noise"]
            cautions += summary["cautions"]
            write_json(
                folder.file(name, "summary.json"),
                {**summary, "eval": {"final": _figures(*measured[name], config.seed)}},
            )
        figures = {name: _figures(loss, accuracy, config.seed) for name, (loss, accuracy) in measured.items()}
        summary = {
            "method": "quickstart: plain, ReSURE and the robust preset on the same noisy dialogues",
            "model": "built from scratch" if config.from_scratch else "demo_base (ships with turnwise)",
            "runs": {name: name for name in METHODS},
            "eval": figures,
            "auroc_noise": noise["resure"]["auroc"],
            "precision_at_flagged": noise["resure"]["precision_at_flagged"],
            "noise": noise["resure"],
            "auroc_by_run": {name: found["auroc"] for name, found in noise.items()},
            "findings": [*_findings(figures, accuracies, noise, config), *cautions],
            "counts": {"train": config.num_train, "eval": config.num_eval, "warmup": config.num_warmup},
            "wall_seconds": time.monotonic() - started,
        }
        write_json(folder.file("summary.json"), summary)
    return summary


def _base(
    config: QuickstartConfig, folder: RunFolder, tell: Tell, log_hook: Callable[[str], LogHook | None]
) -> tuple[Path, BaseRecipe]:
    if not config.from_scratch:
        tell("starting from the small model that ships with turnwise (0.3 M parameters; it knows the world's facts)")
        return DEMO_FOLDER, load_base()[2]
    import torch

    recipe = BaseRecipe()
    tell(f"building a tokenizer and a base model from scratch ({recipe.steps} steps)")
    hook = log_hook("base model")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, tokenizer, _ = build(
            recipe, report=None if hook is None else lambda step, loss: hook(step, recipe.steps, {})
        )
    finally:
        torch.set_num_threads(before)
    save_base(folder.file("base"), model, tokenizer, recipe)
    return folder.file("base"), recipe


def _make_data(
    config: QuickstartConfig, recipe: BaseRecipe, folder: RunFolder
) -> tuple[dict[str, Path], list[Dialogue]]:
    world = recipe.world()
    clean = list(world.dialogues(config.num_train, seed=TRAIN_SEED))
    sets = {
        "train": wrong_answers(world, clean, config.noise_rate, config.seed),
        "eval": list(world.dialogues(config.num_eval, seed=EVAL_SEED)),
        "warmup": list(world.dialogues(config.num_warmup, seed=WARMUP_SEED)),
    }
    files = {name: folder.file("data", f"{name}.jsonl") for name in sets}
    for name, dialogues in sets.items():
        written = write_dialogues(dialogues, files[name])
        folder.manifest.add_output(f"data/{name}.jsonl", written, written)
    return files, sets["eval"]


def _train_config(
    config: QuickstartConfig, method: Mapping[str, Any], base: Path, files: Mapping[str, Path], output: Path
) -> TrainConfig:
    weighted = method["method"] == "resure"
    steps = {"num_train_epochs": 3} if config.max_steps is None else {"max_steps": config.max_steps}
    return TrainConfig.model_validate(
        {
            "model": str(base),
            "data": [{"path": str(files["train"])}],
            "eval_data": [{"path": str(files["eval"])}],
            "warmup_data": [{"path": str(files["warmup"])}] if weighted else [],
            "trainer": {
                **steps,
                "per_device_train_batch_size": 16,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "cosine",
                "warmup_steps": 5,
                "save_strategy": "no",
                "logging_steps": 10,
            },
            "seed": config.seed,
            "output": str(output),
            **method,
        }
    )


def _measure_base(path: Path, recipe: BaseRecipe, held_out: list[Dialogue]) -> tuple[dict[str, Any], AccuracyByTurn]:
    model, tokenizer, _ = load_base(path)
    with few_threads_for(model):
        loss = loss_figures(dialogue_loss(model, tokenizer, held_out, max_length=None))
        return loss, _accuracy(model, tokenizer, held_out, recipe)


def _accuracy(model: Any, tokenizer: Any, held_out: list[Dialogue], recipe: BaseRecipe) -> AccuracyByTurn:
    return checkable_accuracy(model, tokenizer, held_out, recipe.world().check, max_new_tokens=MAX_NEW_TOKENS)


def _figures(loss: Mapping[str, Any], accuracy: AccuracyByTurn, seed: int) -> dict[str, Any]:
    return {
        **loss,
        "accuracy": accuracy.accuracy,
        "accuracy_interval": accuracy.interval(seed=seed),
        "accuracy_by_turn": as_list(accuracy.accuracy_by_turn),
        "answers_by_turn": as_list(accuracy.answers_by_turn),
    }


def _findings(
    figures: Mapping[str, Mapping[str, Any]],
    accuracies: Mapping[str, AccuracyByTurn],
    noise: Mapping[str, Mapping[str, Any]],
    config: QuickstartConfig,
) -> list[str]:
    """What the numbers say, in words; each sentence follows from its numbers, whichever way they fall."""
    sentences = []
    for better, than in (("resure", "plain"), ("robust", "plain"), ("robust", "base")):
        difference, interval = _paired(accuracies[better], accuracies[than], config.seed)
        sentences.append(
            f"accuracy, {better} minus {than}: {difference:+.3f} (95 % interval {interval[0]:+.3f} to "
            f"{interval[1]:+.3f}): {_verdict(better, than, interval)}"
        )
    losses = {name: figure["loss"] for name, figure in figures.items()}
    lowest = min(losses, key=lambda name: losses[name])
    sentences.append(
        f"held-out loss is lowest for {lowest}: "
        + ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        + " nats per token"
    )
    for name, unit in (("resure", "dialogue"), ("robust", "turn")):
        found = noise[name]
        if found["auroc"] is None:
            continue
        flagged = found["flagged_share"]
        sentences.append(
            f"{name}: the ledger ranks a wrong {unit} above a right one in {found['auroc']:.1%} of pairs; it flagged "
            f"{flagged:.0%} of the {unit}s where {found['noise_share']:.0%} are wrong"
            + (f" ({found['precision_at_flagged']:.0%} precision)" if flagged else "")
        )
    return sentences


def _paired(one: AccuracyByTurn, other: AccuracyByTurn, seed: int) -> tuple[float, tuple[float, float]]:
    """Mean difference of the same answers and its interval, dialogues drawn as a whole."""
    gains = [float(a.correct) - float(b.correct) for a, b in zip(one.answers, other.answers, strict=True)]
    interval = bootstrap_interval(gains, [answer.dialogue_id for answer in one.answers], seed=seed)
    mean = sum(gains) / len(gains) if gains else 0.0
    return mean, interval or (0.0, 0.0)


def _verdict(one: str, other: str, interval: tuple[float, float]) -> str:
    if interval[0] > 0:
        return f"{one} is better"
    if interval[1] < 0:
        return f"{other} is better"
    return "no clear difference"
