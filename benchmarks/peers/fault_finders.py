"""The peers that look for faults in training programs: torchtest2, torchmortem and torch-audit.

Each is used as its own documentation shows, and says kinds of findings in its own order, worst first. What a
kind means is written down here in the names of our rules: generously, every cause that a reader of the
finding would be led to. Kinds without a cause (advice on speed or style) mean nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.rebuilt_programs import Job


@dataclass(frozen=True)
class Said:
    """One finding: its kind, in the peer's words, and "error", "warning" or "info"."""

    kind: str
    severity: str


Finder = Callable[[Job, int], list[Said]]

RANK = {"error": 0, "warning": 1, "info": 2}

RATE_HIGH = "learning_rate_too_high loss_exploded loss_not_finite exploding_gradients weights_too_large "
RATE_LOW = "learning_rate_too_low learning_rate_zero optimizer_never_steps "
STUCK = "cannot_overfit learns_at_no_rate learned_nothing sign_flipped "
NO_GRADIENT = "loss_not_connected layers_without_gradient vanishing_gradients "
CONSTANT = "constant_output inputs_constant dead_units one_unit_softmax "
VANISHING = "vanishing_gradients vanishing_signal "

MEANING: dict[str, str] = {
    "torchtest2 forward": "does_not_run numbers_of_wrong_type batch_norm_batch_of_one",
    "torchtest2 output_finite": "inputs_not_finite loss_not_finite",
    "torchtest2 output_range": "bounded_output softmax_before_cross_entropy sigmoid_before_logits_loss "
    "activation_before_cross_entropy nll_without_log_softmax",
    "torchtest2 output_varies": CONSTANT + "symmetric_units",
    "torchtest2 eval_determinism": "dropout_in_evaluation unregistered_parameters",
    "torchtest2 loss": "labels_outside_range labels_of_wrong_type classes_on_last_axis loss_broadcasts "
    "loss_broadcasts loss_not_finite targets_not_finite loss_not_connected layers_without_gradient",
    "torchtest2 initial_loss": "initial_loss_high inputs_not_scaled targets_not_scaled weights_too_large "
    "sign_flipped",
    "torchtest2 optimizer_coverage": "optimizer_holds_other_model parameters_not_in_optimizer "
    "parameters_not_in_optimizer nothing_to_train",
    "torchtest2 gradient_flow": NO_GRADIENT + "unused_parameters dead_units nothing_to_train loss_not_finite "
    "loss_not_finite",
    "torchtest2 gradient_magnitude": VANISHING + "weights_too_large exploding_gradients inputs_not_scaled "
    "targets_not_scaled",
    "torchtest2 params_change": RATE_LOW
    + NO_GRADIENT
    + "optimizer_holds_other_model parameters_not_in_optimizer "
    "optimizer_holds_other_model nothing_to_train",
    "torchtest2 input_dependency": CONSTANT + "dead_units",
    "torchtest2 batch_independence": "examples_mixed batch_norm_batch_of_one",
    "torchtest2 overfit_batch": STUCK + RATE_HIGH + RATE_LOW,
    "torchmortem vanishing gradients": VANISHING + "saturated_units",
    "torchmortem exploding gradients": "exploding_gradients weights_too_large loss_exploded loss_not_finite",
    "torchmortem gradient stalling": VANISHING + NO_GRADIENT,
    "torchmortem gradient_noise": "",
    "torchmortem dead_units": "dead_units",
    "torchmortem saturation": "saturated_units",
    "torchmortem rank_collapse": "constant_output symmetric_units",
    "torchmortem update ratio too high": RATE_HIGH,
    "torchmortem update ratio too low": RATE_LOW,
    "torchmortem weight norm explosion": RATE_HIGH,
    "torchmortem stagnant weight norms": RATE_LOW + NO_GRADIENT,
    "torchmortem inter layer weight norm imbalance": "weights_too_large",
    "torchmortem training divergence": RATE_HIGH + "learning_rate_too_high sign_flipped",
    "torchmortem loss plateau": STUCK + RATE_LOW + "constant_output",
    "torchmortem catapult phase": "learning_rate_too_high",
    "torchmortem edge of stability regime": "learning_rate_too_high oscillation",
    "torch-audit TA100": "loss_not_finite inputs_not_finite loss_exploded",
    "torch-audit TA102": "exploding_gradients " + RATE_HIGH + "inputs_not_scaled targets_not_scaled",
    "torch-audit TA103": "dead_units vanishing_gradients layers_without_gradient",
    "torch-audit TA104": NO_GRADIENT + "nothing_to_train",
    "torch-audit TA105": "dead_units",
    "torch-audit TA301": "inputs_not_scaled inputs_not_finite",
    "torch-audit TA302": "inputs_constant inputs_tiny",
    "torch-audit TA304": "batch_norm_batch_of_one",
    "torch-audit TA305": "labels_outside_range",
    "torch-audit TA405": "dead_units",
    "torch-audit TA500": "unused_parameters layers_without_gradient",
}


def causes_of(tool: str, kind: str) -> frozenset[str]:
    """The causes that a finding of a peer points to."""
    return frozenset(MEANING.get(f"{tool} {kind}", "").split())


def _optimizers(job: Job) -> list[Any]:
    return job.optimizer if isinstance(job.optimizer, list) else [job.optimizer]


def by_torchtest2(job: Job, steps: int) -> list[Said]:
    """One batch, before training."""
    import torchtest2

    x, y = next(iter(job.batches))
    report = torchtest2.check_model(job.model, x, y, loss_fn=job.loss, optimizer=_optimizers(job)[0])
    failures = [Said(result.name, "error") for result in report.failures]
    return failures + [Said(result.name, "warning") for result in report.warnings]


def _mortem_kind(category: str, title: str) -> str:
    if category in ("dead_units", "saturation", "rank_collapse", "gradient_noise"):
        return category
    name = title.split(" in ")[0].split(" detected")[0].replace("-", " ")
    return name.lower()


def by_torchmortem(job: Job, steps: int) -> list[Said]:
    """The whole loop, inside its context manager."""
    from torchmortem import Autopsy

    with Autopsy(job.model, optimizer=_optimizers(job)[0]) as autopsy:
        job.run(steps, lambda loss: autopsy.step(loss=loss.item()))
    severity = {"CRITICAL": "error", "WARNING": "warning", "INFO": "info"}
    found = autopsy.get_report().findings
    said = [Said(_mortem_kind(one.category, one.title), severity[one.severity.name]) for one in found]
    return sorted(dict.fromkeys(said), key=lambda one: RANK[one.severity])


def by_torch_audit(job: Job, steps: int) -> list[Said]:
    """The whole loop, every sixteenth step, and what it says before; without TA2xx, which is on speed."""
    from torch_audit import autopatch

    auditor = autopatch(
        job.model,
        optimizer=_optimizers(job)[0],
        every_n_steps=16,
        reporters=[],
        run_static=True,
        run_init=True,
    )
    try:
        job.run(steps, lambda loss: None)
        found = auditor.finish(report=False).findings
    finally:
        auditor.unpatch()
    severity = {"FATAL": "error", "ERROR": "error", "WARN": "warning", "INFO": "info"}
    said = [
        Said(one.rule_id, severity[one.severity.name]) for one in found if not one.rule_id.startswith("TA2")
    ]
    return sorted(dict.fromkeys(said), key=lambda one: RANK[one.severity])


FINDERS: dict[str, tuple[str, Finder]] = {
    "torchtest2": ("torchtest2", by_torchtest2),
    "torchmortem": ("torchmortem", by_torchmortem),
    "torch-audit": ("torch_audit", by_torch_audit),
}


def installed() -> dict[str, Finder]:
    """Those of the peers that can be imported."""
    return {name: find for name, (module, find) in FINDERS.items() if importlib.util.find_spec(module)}


def quietly(find: Finder, job: Job, steps: int) -> list[Said]:
    """Asks a peer, with what it prints thrown away."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return find(job, steps)
