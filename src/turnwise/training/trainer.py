"""The seam to TRL: what knows the inside of TRL's SFTTrainer is in this file, `collate.py` and `prepare.py`.

TRL's `compute_loss` is not copied. It calls the model, takes the per-token log-probabilities of its fused head and
sums them over a normaliser; here it gets a stand-in for the model that multiplies those log-probabilities by each
token's factor. So logging, MoE losses, DDP scaling and whatever TRL adds next stay TRL's.
"""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from turnwise.errors import ConfigError, TrainingError
from turnwise.run import write_json
from turnwise.training.arguments import ReSUREConfig, refuse_unsupported
from turnwise.training.collate import ReSURECollator
from turnwise.training.distributed import gather_rows
from turnwise.training.ledger import LedgerWriter
from turnwise.training.prepare import TOKEN_COLUMNS, Preparation, is_conversational_dataset, prepare
from turnwise.training.reference import judge_before_training, learn_warmup_set, restore_judgement, take_columns
from turnwise.training.reliability import Judgement
from turnwise.training.rules import MixtureRule, make_rule
from turnwise.training.units import TokenColumns, Units, count_dialogues, find_units, token_factors
from turnwise.training.weights import Verdict

STATE_NAME = "resure_state.json"


class ReSURETrainer(SFTTrainer):
    """`trl.SFTTrainer` that down-weights unreliable supervision while it trains.

    Takes what `SFTTrainer` takes; `args` is a `ReSUREConfig`. Conversational data is encoded by turnwise (turn-aware
    truncation, verified assistant spans, per-message `train` and `weight`), everything else as TRL does. Evaluation
    loss is never weighted. `ledger.parquet` in `output_dir` tells what every dialogue cost and weighed.

    Args:
        *args: As `trl.SFTTrainer`.
        warmup_dataset: Dialogues known to be good. Their losses, taken in one pass before the first step, initialise
            the statistics; they count as `warmup_dialogues`. None uses the first dialogues trained on.
        **kwargs: As `trl.SFTTrainer`.

    Raises:
        ConfigError: An option that cannot be combined with per-dialogue weights.

    Attributes:
        rule: What weighs, with its state.
        reliability: What the rule `mixture` found before training; None otherwise.
        skipped: Counts of training dialogues that could not be used, by reason.
    """

    _tag_names = ["trl", "sft", "resure", "turnwise"]  # noqa: RUF012 - TRL's own class attribute
    _name = "ReSURE"

    def __init__(self, *args: Any, warmup_dataset: Any = None, **kwargs: Any) -> None:
        given = inspect.signature(SFTTrainer.__init__).bind_partial(self, *args, **kwargs)
        if given.arguments.get("args") is None:
            given.arguments["args"] = ReSUREConfig("ReSURE")
        config, train_dataset = given.arguments["args"], given.arguments.get("train_dataset")
        refuse_unsupported(config, given.arguments.get("data_collator"), given.arguments.get("compute_loss_func"))
        self._preparations: dict[str, Preparation] = {}
        self._encode_assistant = config.assistant_only_loss and is_conversational_dataset(train_dataset)
        asked, config.assistant_only_loss = config.assistant_only_loss, False  # TRL would demand its own template
        try:
            super().__init__(*given.args[1:], **given.kwargs)
        finally:
            config.assistant_only_loss = asked
        parallelism = self.accelerator.parallelism_config
        if parallelism is not None and (parallelism.cp_enabled or parallelism.sp_enabled):
            raise ConfigError("ReSURE needs whole dialogues per rank: context and sequence parallelism cut them")
        self.data_collator = ReSURECollator(
            pad_token_id=self._tokenizer.pad_token_id,
            padding_free=self.padding_free,
            pad_to_multiple_of=self.args.pad_to_multiple_of,
        )
        # The loss is always divided by the items of the whole optimizer step (below).
        self.loss_is_scaled_for_ga = True
        self.rule = make_rule(
            self.args.weighting_config(),
            weighting=self.args.weighting,
            batches_per_step=self.args.gradient_accumulation_steps,
        )
        self.reliability: Judgement | None = None
        self.skipped: dict[str, int] = dict(self._preparations["train"].skipped) if self._preparations else {}
        self.warmup_dataset = warmup_dataset
        self._ledger: LedgerWriter | None = None
        self._group_counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._resume_step: int | None = None
        self.add_callback(_RunHooks(self))

    # --- data -------------------------------------------------------------------------------------------------

    def _prepare_dataset(
        self, dataset: Any, processing_class: Any, args: Any, packing: bool, formatting_func: Any, dataset_name: str
    ) -> Any:
        preparation = prepare(
            dataset,
            tokenizer=self._tokenizer,
            args=args,
            packing=packing,
            encode_assistant=self._encode_assistant and formatting_func is None,
            fallback=lambda raw, plain: SFTTrainer._prepare_dataset(
                self, raw, processing_class, plain, False, formatting_func, dataset_name
            ),
            name=dataset_name,
        )
        self._preparations[dataset_name] = preparation
        return preparation.dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = self._signature_columns  # type: ignore[has-type]
        self._signature_columns = [*known, *(column for column in TOKEN_COLUMNS if column not in known)]

    def dialogue_id(self, row: int) -> str:
        """The id of the dialogue in this row of the training data (`row-N` where the data has no ids)."""
        ids = self._preparations["train"].ids if "train" in self._preparations else None
        return ids[row] if ids is not None else f"row-{row}"

    def sources(self, name: str) -> list[str] | None:
        """The sources of the dialogues of a data set (`train`, `warmup`) by row; None where it does not name them."""
        return self._preparations[name].sources if name in self._preparations else None

    # --- loss -------------------------------------------------------------------------------------------------

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss with each token's factor applied; plain TRL in evaluation."""
        columns = take_columns(inputs)
        if self.model.training and columns is not None:
            model = _WeightedModel(model, self, columns)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        if self.args.reduction == "token":
            items = super()._get_num_items_in_batch(batch_samples, device)
            if items is not None or not batch_samples:
                return items
            # A model that takes no loss arguments: count as TRL would, so that accumulation stays exact.
            count = sum(int((batch["labels"][..., 1:] != -100).sum()) for batch in batch_samples)
        else:
            count = sum(count_dialogues(batch["labels"], batch.get("seq_idx")) for batch in batch_samples)
        total = torch.tensor(count, device=device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total).sum()
        return total / self.get_tp_size()

    def weigh_batch(self, outputs: Any, inputs: Mapping[str, Any], columns: TokenColumns) -> _Weighing:
        """Judge one micro-batch of all ranks, record it, and return this rank's token factors."""
        log_probs_BT = outputs.log_probs
        units = find_units(log_probs_BT, outputs.label_mask, columns, self.args.unit)
        loss_U = units.loss_U
        if columns.segment_BS is not None and not torch.isfinite(loss_U).all():
            loss_U = self._losses_apart(units, inputs, columns)
        # One bad turn spoils the hidden states of its whole dialogue, so the whole dialogue is left out.
        bad_U = torch.isin(units.dialogue_U, units.dialogue_U[~torch.isfinite(loss_U)])
        loss_U = torch.where(bad_U, torch.nan, loss_U)
        dialogues_U = torch.zeros_like(loss_U)
        dialogues_U[:1] = units.num_dialogues  # one cell per rank carries the rank's count through the gather
        table, own = gather_rows(
            torch.stack(
                [
                    loss_U,
                    units.group_U.double(),
                    units.dialogue_U.double(),
                    units.turn_U.double(),
                    units.tokens_U.double(),
                    dialogues_U,
                ],
                dim=1,
            )
        )
        verdict = self._judge(table)
        self._record(table, verdict)
        weights_U = torch.from_numpy(verdict.weights_U[own]).to(loss_U.device)
        factors_BT = token_factors(units, weights_U, self.args.reduction, log_probs_BT)
        bad_ids = units.dialogue_U[bad_U] if not verdict.finite_U.all() else None
        return _Weighing(factors_BT, bad_ids)

    def _losses_apart(self, units: Units, inputs: Mapping[str, Any], columns: TokenColumns) -> torch.Tensor:
        """Losses of a packed batch with each spoilt dialogue taken on its own, which shows the one that spoils.

        An attention weight of 0 does not stop a NaN (0 * NaN is NaN), so one bad dialogue spoils all of its row.
        Sharded models cannot run a pass that other ranks do not; there the whole row counts as bad.
        """
        loss_U = units.loss_U.clone()
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return loss_U
        model = self.accelerator.unwrap_model(self.model)
        for dialogue in units.dialogue_U[~torch.isfinite(loss_U)].unique():  # type: ignore[no-untyped-call]
            own_BS = columns.dialogue_BS == dialogue
            with torch.no_grad(), self.compute_loss_context_manager():
                outputs = model(
                    input_ids=inputs["input_ids"][own_BS][None],
                    labels=inputs["labels"][own_BS][None],
                    use_cache=False,
                    fused_lm_head=True,
                )
            alone = TokenColumns(columns.dialogue_BS[own_BS][None], columns.turn_BS[own_BS][None], None, None)
            found = find_units(outputs.log_probs, outputs.label_mask, alone, self.args.unit)
            loss_U[units.dialogue_U == dialogue] = found.loss_U
        return loss_U

    def _judge(self, table: np.ndarray) -> Verdict:
        groups, dialogues, turns = (table[:, column].astype(np.int64) for column in (1, 2, 3))
        verdict = self.rule.weigh(
            table[:, 0], groups, num_dialogues=int(table[:, 5].sum()), dialogues_U=dialogues, turns_U=turns
        )
        if self.rule.too_many_non_finite:
            raise TrainingError(
                f"{self.rule.non_finite_seen} of {self.rule.units_seen} losses were not finite, more than the limit "
                f"of {self.args.max_non_finite_share:.1%}; the ledger names the dialogues",
                hint="lower the learning rate or use bf16 instead of fp16; --set resure.max_non_finite_share raises "
                "the limit",
            )
        return verdict

    def _record(self, table: np.ndarray, verdict: Verdict) -> None:
        finite = verdict.finite_U
        metrics = self._metrics["train"]
        if finite.any():
            metrics["resure/unweighted_loss"].append(float(table[finite, 0].mean()))
        metrics["resure/mean_weight"].append(float(verdict.weights_U.mean()))
        metrics["resure/effective_share"].append(verdict.effective_share)
        metrics["resure/flag_rate"].append(float(verdict.flagged_U.mean()))
        metrics["resure/non_finite"].append(float((~finite).sum()))
        metrics["resure/ramp"].append(verdict.ramp)
        for group, flagged in zip(table[:, 1].astype(int), verdict.flagged_U, strict=True):
            counts = self._group_counts[group]
            counts[0] += 1
            counts[1] += int(flagged)
        if self._ledger is not None:
            turns = table[:, 3].astype(np.int32)
            size = len(table)
            self._ledger.append(
                {
                    "dialogue_id": [self.dialogue_id(int(row)) for row in table[:, 2]],
                    "turn": np.ma.masked_less(turns, 0),
                    "group": table[:, 1].astype(np.int32),
                    "epoch": np.full(size, int(self.state.epoch or 0), np.int32),
                    "step": np.full(size, self.state.global_step + 1, np.int32),
                    "num_tokens": table[:, 4].astype(np.int32),
                    "loss": table[:, 0].astype(np.float32),
                    "threshold": np.ma.masked_invalid(verdict.thresholds_U.astype(np.float32)),
                    "weight": verdict.weights_U.astype(np.float32),
                    "flagged": verdict.flagged_U,
                }
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the groups' statistics to what TRL logs while training."""
        if self.model.training and self._group_counts:
            for group, (seen, flagged) in sorted(self._group_counts.items()):
                logs[f"resure/group_{group}/flag_rate"] = flagged / seen
                judged = self.rule.threshold(group)
                if judged is not None:
                    threshold, center = judged
                    logs[f"resure/group_{group}/mean"] = center.mu
                    logs[f"resure/group_{group}/sigma"] = center.sigma
                    logs[f"resure/group_{group}/threshold"] = threshold
            self._group_counts.clear()
        super().log(logs, start_time)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # A finished run that is resumed has no step left; the Trainer would take one more before it looks.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    # --- warm-up set, checkpoints, ledger ---------------------------------------------------------------------

    def begin_run(self) -> None:
        """Open the ledger and take in the warm-up set; called when training begins, after a checkpoint was read."""
        if self.args.ledger and self.is_world_process_zero():
            self._ledger = LedgerWriter(self.args.ledger_dir or self.args.output_dir, resume_step=self._resume_step)
        fresh = self.rule.units_seen == 0
        if isinstance(self.rule, MixtureRule):
            self.reliability = judge_before_training(self) if fresh else restore_judgement(self)
            if fresh:
                self.log({"resure/noise_share": self.reliability.noise_share})
        elif self.warmup_dataset is not None and fresh and self.args.weighting:
            learn_warmup_set(self)

    def end_run(self) -> None:
        """Join the ledger's parts."""
        if self._ledger is not None:
            self._ledger.close(self.state.global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before TRL's own files: a checkpoint counts as complete when its trainer_state.json, written last, is there.
        if self.is_world_process_zero():
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            # TRL's count of tokens is in no checkpoint of its own; without it `num_tokens` starts anew on resume.
            tokens = int(getattr(self, "_total_train_tokens", 0))
            write_json(folder / STATE_NAME, {**self.rule.state_dict(), "train_tokens": tokens})
            if self._ledger is not None:
                self._ledger.flush(self.state.global_step)
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = Path(checkpoint) / STATE_NAME
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TrainingError(
                f"{path}: the checkpoint holds no ReSURE state", hint="it was not written by ReSURETrainer; start anew"
            ) from None
        self.rule.load_state_dict(state)
        self._total_train_tokens = int(state.get("train_tokens", 0))
        self._resume_step = int(Path(checkpoint).name.rpartition("-")[2])


@dataclass(frozen=True, slots=True)
class _Weighing:
    factors_BT: torch.Tensor
    bad_dialogues: torch.Tensor | None  # this rank's; None where no rank has any


class _WeightedModel:
    """Stands in for the model in TRL's compute_loss and weighs the log-probabilities that come out of it."""

    def __init__(self, model: Any, trainer: ReSURETrainer, columns: TokenColumns) -> None:
        self._model = model
        self._trainer = trainer
        self._columns = columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **inputs: Any) -> Any:
        outputs = self._model(**inputs)
        if not inputs.get("fused_lm_head"):
            return outputs
        weighing = self._trainer.weigh_batch(outputs, inputs, self._columns)
        if weighing.bad_dialogues is not None:
            # Zero weight is not enough: 0 * NaN is NaN in the backward pass. All ranks go again together.
            outputs = self._model(**self._without(inputs, weighing.bad_dialogues))
        outputs.log_probs = outputs.log_probs * weighing.factors_BT
        return outputs

    def _without(self, inputs: Mapping[str, Any], bad_dialogues: torch.Tensor) -> dict[str, Any]:
        """The same batch with the bad dialogues' tokens replaced by padding, so that nothing changes its shape."""
        bad_BS = torch.isin(self._columns.dialogue_BS, bad_dialogues)
        tokenizer = self._trainer._tokenizer
        return {
            **inputs,
            "input_ids": inputs["input_ids"].masked_fill(bad_BS, tokenizer.pad_token_id),
            "labels": inputs["labels"].masked_fill(bad_BS, -100),
        }


class _RunHooks(TrainerCallback):
    """Tells the trainer when a run begins and ends."""

    def __init__(self, trainer: ReSURETrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.begin_run()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.end_run()
