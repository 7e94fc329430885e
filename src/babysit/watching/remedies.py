"""What to do about a finding of the watch or of a run's readings, where no number of the run is known yet.

A rule's finding words its advice with the run's own numbers; this is what it comes down to, for the list of
rules and for readers of SARIF. One entry serves the rules of one name in both tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from babysit.records import Severity
from babysit.verdict.cards import RuleCard

_LOWER = "try a tenth of the learning rate; if that is no cure, look at the scale of inputs and targets"

REMEDIES: Mapping[str, str] = {
    "accuracy_stands_still": "look at the metric: does it compare predictions with the right targets?",
    "bad_initialization": "initialize with He for ReLU and Xavier for tanh, or normalize",
    "broadcasting": "give predictions and targets one shape: outputs.squeeze(1) or targets.unsqueeze(1)",
    "constant_labels": "look at how the labels are made and split: every class must occur in training",
    "constant_output": "look for a layer that is dead, overwritten or never called, and for unscaled inputs",
    "dead_units": "lower the learning rate, look at initial weights, biases and the inputs' scale, or use a "
    "leaky ReLU",
    "diverging": _LOWER,
    "eval_mode": "call model.train() before the training batches of every epoch",
    "exploded": _LOWER,
    "exploding_gradients": "make initial weights smaller (Xavier, He), normalize, or clip the gradient",
    "foreign_parameters": "make the optimizer from the parameters of the model that trains, after its last "
    "change",
    "gradient_noise": "average over larger batches, or lower the learning rate",
    "gradients_discarded": "call zero_grad() before backward() or after step(), not between the two",
    "gradients_not_zeroed": "call optimizer.zero_grad() before every backward pass",
    "graph_cut": "keep tensors from model to loss: no .item(), .detach(), .numpy(), argmax or new tensor",
    "label_in_inputs": "take the column out of the inputs: it will not be there for new examples",
    "labels_outside_range": "give binary cross-entropy targets of 0 and 1; class numbers want cross-entropy",
    "learned_nothing": "do the targets belong to the inputs? `babysit check` overfits a few examples",
    "learning_rate_too_low": "raise the learning rate tenfold, and again",
    "memorized_only": "look whether labels belong to their inputs; then regularize, or find more data",
    "metric_not_reset": "set the counters to zero at the start of every epoch",
    "negative_loss": "give the loss what it wants: NLLLoss takes log-probabilities, CrossEntropyLoss scores",
    "norm_mismatch": "raise the batch size or the norm's momentum; are validation inputs scaled alike?",
    "not_finite": "try a tenth of the learning rate; look for NaN in the data, log(0), 0/0 and sqrt(0)",
    "one_class_batches": "shuffle: DataLoader(..., shuffle=True)",
    "optimizer_never_steps": "call optimizer.step() after loss.backward()",
    "oscillation": "lower the learning rate or the momentum, or average over larger batches",
    "output_loss_mismatch": "return bare scores: leave the model's last softmax, sigmoid or ReLU out",
    "overfitting": "regularize more: weight decay, dropout, augmentation, more data; keep the best epoch",
    "parameters_left_out": "give the optimizer model.parameters(), or freeze them on purpose",
    "parameters_unreached": "remove detach(), .data or no_grad() behind those layers, or freeze them",
    "plateau": "it may be the floor of this task; if not, lower the learning rate now",
    "raised": "read the exception with its cure; what was measured until then stands in the report",
    "rate_is_zero": "look at the schedule: its length in steps or epochs, its last rate, its warm-up",
    "rate_too_high": "try a tenth of the learning rate, or a warm-up",
    "rate_too_low": "raise the learning rate tenfold, and again",
    "regularization_dominates": "divide the weight decay by a hundred, or start with none",
    "regularization_too_strong": "divide the regularization by a hundred, or start with none",
    "saturated": "make initial weights smaller (Xavier), scale the inputs, or use ReLU",
    "schedule_exhausted": "stretch the schedule over the run, or end the run with it",
    "sign_flipped": "minimize the loss itself: no minus sign, no maximize=True",
    "slow_start": "initialize with He for ReLU and Xavier for tanh, or normalize",
    "still_improving": "train longer, or raise the learning rate",
    "too_good": "look for a leak: validation examples in training, the label among the inputs, one class",
    "trained_on_validation": "split once, before training, and give the training loader its part only",
    "underfitting": "give the network more units or layers, or less regularization",
    "validation_in_train_mode": "call model.eval() before validation, and model.train() after it",
    "validation_loss_rises": "keep the weights of the best epoch; regularize more, or find more data",
    "vanishing_gradients": "use ReLU, He or Xavier initialization, normalization or skip connections",
}

ERRORS = frozenset(
    {
        *("broadcasting", "exploded", "foreign_parameters", "gradients_discarded", "gradients_not_zeroed"),
        *("labels_outside_range", "not_finite", "optimizer_never_steps", "raised", "rate_is_zero"),
        *("graph_cut", "sign_flipped"),
    }
)
"""Rules of the watch whose finding may be an error; of the others none is."""
REMARKS = frozenset(
    {"gradient_noise", "plateau", "slow_start", "still_improving", "too_good", "underfitting"}
)
"""Rules of the watch that never say more than a remark."""


class Documented(Protocol):
    """What a rule of either table tells of itself."""

    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def symptom_of(self) -> tuple[str, ...]: ...


def gravest(name: str) -> Severity:
    """The gravest finding that a rule of the watch can give.

    Example:
        >>> gravest("exploded").value, gravest("oscillation").value
        ('error', 'warning')
    """
    return Severity.ERROR if name in ERRORS else Severity.INFO if name in REMARKS else Severity.WARNING


def card(rule: Documented, applies: str, severity: Severity) -> RuleCard:
    """A rule in words.

    Args:
        rule: a row of a table.
        applies: where it is asked.
        severity: the gravest that it can give.
    """
    return RuleCard(
        name=rule.name,
        applies=applies,
        severity=severity,
        about=rule.about,
        reason=rule.reason,
        advice=REMEDIES.get(rule.name, ""),
        source=rule.source,
        symptom_of=rule.symptom_of,
    )
