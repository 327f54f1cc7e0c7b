"""The arguments of `ReSURETrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trl import SFTConfig

from turnwise.errors import ConfigError
from turnwise.training.weights import WeightingConfig


@dataclass
class ReSUREConfig(SFTConfig):
    """`trl.SFTConfig` with ReSURE's options; TRL's own arguments keep their meaning and defaults.

    One default differs: `assistant_only_loss` is True, because ReSURE weighs assistant turns. It is turned off by
    itself for data that is no conversation.
    """

    assistant_only_loss: bool = field(
        default=True, metadata={"help": "Compute the loss on assistant turns only (ignored for plain-text data)."}
    )
    weighting: bool = field(
        default=True, metadata={"help": "False trains with all weights 1 and still keeps the ledger of losses."}
    )
    rule: str = field(
        default="threshold",
        metadata={
            "help": "'threshold' as published; 'mixture' judges all units before training; 'trim' drops the highest "
            "losses of every batch.",
            "choices": ["threshold", "mixture", "trim"],
        },
    )
    unit: str = field(default="dialogue", metadata={"help": "What is weighed.", "choices": ["dialogue", "turn"]})
    reduction: str = field(
        default="sample",
        metadata={
            "help": "'sample': mean over dialogues of their mean token loss (the paper's Eq. 1); 'token': mean over "
            "tokens, TRL's loss where all weights are 1.",
            "choices": ["sample", "token"],
        },
    )
    statistics: str = field(
        default="welford",
        metadata={
            "help": "'welford' as published; 'corrected' undoes its downward drift.",
            "choices": ["welford", "corrected"],
        },
    )
    alpha: float = field(default=1.0, metadata={"help": "Threshold in standard deviations above a group's mean."})
    scale: str = field(
        default="threshold",
        metadata={
            "help": "Excess loss is divided by the threshold or kappa * sigma.",
            "choices": ["threshold", "sigma"],
        },
    )
    kappa: float = field(default=1.0, metadata={"help": "See scale."})
    floor_percentile: float | None = field(
        default=5.0, metadata={"help": "Weights never fall below this percentile of the batch's weights."}
    )
    half_life: float | None = field(
        default=None, metadata={"help": "Accepted losses after which an older one counts half; unset never forgets."}
    )
    min_group_count: float | None = field(
        default=None, metadata={"help": "Judge groups below this count together with their nearest groups."}
    )
    warmup_dialogues: int = field(
        default=640, metadata={"help": "Dialogues at the start with weight 1 that all enter the statistics."}
    )
    ramp_steps: int = field(
        default=100, metadata={"help": "Optimizer steps after warm-up until the weights take full effect."}
    )
    trim_share: float = field(default=0.25, metadata={"help": "Share of every batch that the rule 'trim' drops."})
    context_free: bool = field(
        default=False, metadata={"help": "Rule 'mixture': take each reply's loss without its dialogue into account."}
    )
    by_source: bool = field(default=False, metadata={"help": "Rule 'mixture': judge each source by itself."})
    dialogue_prior: float | None = field(
        default=None,
        metadata={"help": "Rule 'mixture', unit 'turn': turns that the overall share of noise is worth per dialogue."},
    )
    max_non_finite_share: float = field(
        default=0.01, metadata={"help": "Stop when more than this share of losses was not finite."}
    )
    truncation: str = field(
        default="turns",
        metadata={
            "help": "'turns' drops whole trailing turns beyond max_length; 'keep_start' cuts at max_length.",
            "choices": ["turns", "keep_start"],
        },
    )
    template_policy: str = field(
        default="refuse",
        metadata={
            "help": "What to do with a chat template that rewrites earlier replies: refuse it, supervise replies "
            "as_rendered, or supervise only the unchanged ones.",
            "choices": ["refuse", "as_rendered", "unchanged"],
        },
    )
    ledger: bool = field(default=True, metadata={"help": "Write ledger.parquet."})
    ledger_dir: str | None = field(default=None, metadata={"help": "Where to write the ledger; unset: output_dir."})

    def weighting_config(self) -> WeightingConfig:
        """ReSURE's options as the rule takes them.

        Raises:
            pydantic.ValidationError: An option is out of range.
        """
        return WeightingConfig(**{name: getattr(self, name) for name in WeightingConfig.model_fields})


def refuse_unsupported(config: Any, data_collator: Any, compute_loss_func: Any) -> None:
    """Refuse what would lose the dialogue or the loss of a token.

    Raises:
        ConfigError: Something cannot be combined with weights; the message lists all of it.
    """
    if not isinstance(config, ReSUREConfig):
        raise ConfigError(
            f"ReSURETrainer expects a ReSUREConfig, found {type(config).__name__}",
            hint="replace SFTConfig by ReSUREConfig; every argument of SFTConfig works",
        )
    problems = {
        "packing_strategy='wrapped' cuts dialogues anywhere; use 'bfd'": config.packing
        and config.packing_strategy == "wrapped",
        # TRL multiplies each token's loss by its probability, read from the numbers that would be weighted.
        "loss_type='dft' goes only with weighting=False and reduction='token', as the method 'dft' sets them": (
            config.loss_type == "dft" and (config.weighting or config.reduction != "token")
        ),
        "label_smoothing_factor bypasses the per-token losses; set it to 0": config.label_smoothing_factor > 0,
        "compute_loss_func bypasses the per-token losses; leave it out": compute_loss_func is not None,
        "a data_collator of your own loses the dialogue and turn of each token; leave it out": data_collator
        is not None,
    }
    found = [text for text, present in problems.items() if present]
    if found:
        raise ConfigError("ReSURE cannot be combined with these settings: " + "; ".join(found))
