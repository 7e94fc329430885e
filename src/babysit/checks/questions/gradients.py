"""The gradient check: backpropagation compared with centred differences of the loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from babysit.checks.questions.active_set import ActiveSet
from babysit.checks.questions.gradient_report import (
    HAPPY,
    TINY,
    UNEASY,
    Band,
    GradientEntry,
    GradientReport,
    TensorGradient,
)
from babysit.data.batches import evaluation_tensors
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.seeding import derive, numpy_generator, seeded
from babysit.verdicts import CheckResult, Status

_BURN_IN_FALL = 0.05  # share of the loss that a step of the burn-in removes, if the loss is linear
_BURN_IN_MOVE = 0.01  # largest move of the parameters in such a step, as a share of their norm
_NEGLIGIBLE = 1e-8  # share of the model's largest gradient below which slopes are not judged
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


class _FaultError(Exception):
    """Raised where the model has no gradient to compare."""


class _LimitError(Exception):
    """Raised where the model cannot be checked."""


class Objective:
    """The data loss of a float64 copy of the model, as a function of its parameters and nothing else."""

    def __init__(
        self, model: nn.Module, loss_of: Callable[[Any, Tensor], Tensor], x: Tensor, y: Tensor, seed: int
    ) -> None:
        self.model = copy.deepcopy(model).double()
        self.loss_of, self.seed = loss_of, derive(seed, "masks")
        self.x, self.y = _widened(x), _widened(y)
        self.parameters = {
            name: value
            for name, value in self.model.named_parameters()
            if value.requires_grad and value.is_floating_point()
        }
        self.outputs: Any = None
        self.negligible = 0.0
        """Slope below which nothing is judged. A bias before batch normalization has a gradient of zero, and
        its difference is only the rounding of large activations."""

    def loss(self) -> Tensor:
        """Computes the loss with the same dropout masks every time; the model's buffers stay as they are."""
        torch.manual_seed(self.seed)
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        self.outputs = functional_call(self.model, buffers, (self.x.clone(),))
        return self.loss_of(self.outputs, self.y.clone())

    @torch.no_grad()
    def watched(self) -> tuple[float, ActiveSet]:
        """Computes the loss as a number, and records the active set."""
        with ActiveSet() as active:
            loss = self.loss()
        return float(loss), active

    def gradients(self) -> dict[str, Tensor]:
        """Computes the gradients by backpropagation."""
        parameters = list(self.parameters.values())
        with torch.enable_grad():
            found = torch.autograd.grad(self.loss(), parameters, allow_unused=True)
        return {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(self.parameters.items(), found, strict=True)
        }

    def burn_in(self, steps: int) -> None:
        """Takes some steps of gradient descent, away from special initial weights such as zeros."""
        for _ in range(steps):
            loss, gradients = abs(self.watched()[0]), self.gradients()
            length = _norm(gradients)
            if not (length > 0 and math.isfinite(length)):
                return
            # Steps in units of the loss suit any scale, and do not reach a loss of zero, which has no slope,
            # although three examples are memorized at once.
            rate = min(_BURN_IN_FALL * loss / length**2, _BURN_IN_MOVE * _norm(self.parameters) / length)
            with torch.no_grad():
                for name, gradient in gradients.items():
                    self.parameters[name].sub_(gradient, alpha=rate)

    @torch.no_grad()
    def slope(self, name: str, index: tuple[int, ...], step: float) -> tuple[float, bool, float]:
        """Returns the centred difference, whether a kink lies in it, and its largest rounding error."""
        parameter = self.parameters[name]
        value = float(parameter[index])
        above, below = value + step, value - step  # rounded, so not exactly 2 * step apart
        parameter[index] = above
        upper, active_above = self.watched()
        parameter[index] = below
        lower, active_below = self.watched()
        parameter[index] = value
        # Losses are differences of outputs, so that the rounding of these counts too.
        outputs = self.outputs
        size = float(outputs.abs().max()) if isinstance(outputs, Tensor) and outputs.numel() else 0.0
        rounding = _ROUNDING * max(abs(upper), abs(lower), size) / step
        kink = not active_above.equals(active_below)
        return (upper - lower) / (above - below), kink, max(rounding, self.negligible)


def check_gradients(
    model: nn.Module,
    loss_of: Callable[[Any, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    l2: float = 0.0,
    entries: int = 5,
    step: float = 1e-5,
    burn_in: int = 10,
    seed: int = 0,
) -> GradientReport:
    """Compares backpropagation with centred differences, in float64, on a few entries of every parameter.

    error = |a - n| / max(|a|, |n|), with a = d loss / d w and n = (f(w + h) - f(w - h)) / 2h. Above 1e-2 the
    gradient is wrong; deep networks err more. The data loss and 1/2 * l2 * sum(W^2) are compared separately,
    so that the larger does not hide the smaller. Entries where the sign pattern of a ReLU-like or max input
    differs between the two evaluations are reported and not judged. An entry that disagrees is compared again
    at h / 10, where the error of the difference is a hundredth. The model is copied: the model, its loss and
    the random state stay as they are. Random layers draw the same masks in every evaluation.

    Args:
        model: any module, in the mode (training or evaluation) in which it is to be checked.
        loss_of: (the model's outputs, y) -> a scalar loss.
        x: 2 or 3 examples, [B, ...]; more only cross more kinks.
        y: their targets.
        l2: strength of the regularization, >= 0. Default: 0, which leaves that part out.
        entries: entries of each parameter to compare: the one with the largest gradient, the others at
            random. Default: 5.
        step: h; 1e-4 to 1e-6 are usual. Default: 1e-5.
        burn_in: steps of gradient descent before, each moving the parameters by at most 1% of their norm.
            Default: 10.
        seed: seed of the entries and the masks. Default: 0.

    Returns:
        The report. Where nothing can be compared, its ``problem`` is the reason: a broken model raises
        nothing here.

    Example:
        >>> from torch.nn import functional as F
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> report = check_gradients(model, F.cross_entropy, torch.randn(3, 4), torch.tensor([0, 1, 2]))
        >>> [tensor.name for tensor in report.data], report.worst < 1e-7, str(report.band)
        (['0.weight', '0.bias', '2.weight', '2.bias'], True, 'happy')

    Source: CS231n notes, neural networks part 3, "Gradient checks".
    """
    with seeded(seed, "gradients"):
        try:
            objective, has_kinks = _ready(model, loss_of, x, y, seed)
            gradients = _backpropagated(objective, burn_in)
            chosen = {name: _chosen(gradients[name], entries, seed, name) for name in gradients}
            objective.negligible = _NEGLIGIBLE * max(_largest(gradient) for gradient in gradients.values())
            data, penalty = [], []
            for name, gradient in gradients.items():
                is_weight = gradient.dim() > 1
                found = [_entry(objective, name, at, float(gradient[at]), step) for at in chosen[name]]
                largest = _largest(gradient)
                data.append(TensorGradient(name, tuple(found), largest, is_weight, has_kinks))
                if l2 and is_weight:
                    weights = objective.parameters[name]
                    penalty.append(_penalty_gradient(weights, name, l2, chosen[name], step))
        except (_FaultError, _LimitError) as error:
            return GradientReport(problem=str(error), is_fault=isinstance(error, _FaultError))
    return GradientReport(tuple(data), tuple(penalty))


def _ready(
    model: nn.Module, loss_of: Callable[[Any, Tensor], Tensor], x: Tensor, y: Tensor, seed: int
) -> tuple[Objective, bool]:
    """Makes the objective, checks that it can be compared, and finds whether it has kinks."""
    try:
        objective = Objective(model, loss_of, x, y, seed)
        loss, active = objective.watched()
        again, _ = objective.watched()
    except Exception as error:  # the user's model may raise anything
        raise _LimitError(f"the loss cannot be computed in float64: {_words(error)}") from error
    if not objective.parameters:
        raise _FaultError("the model has no parameter to train")
    if not math.isfinite(loss):
        raise _FaultError(f"the loss is {loss}")
    if loss != again:
        raise _LimitError(
            "the loss changes from one evaluation to the next, with equal weights, rows and seed"
        )
    if active.narrowed is not None:
        raise _LimitError(
            f"the model casts to {active.narrowed} inside, too coarse for differences of losses"
        )
    return objective, bool(active.sides)


def _backpropagated(objective: Objective, burn_in: int) -> dict[str, Tensor]:
    try:
        objective.burn_in(burn_in)
        gradients = objective.gradients()
    except Exception as error:
        raise _FaultError(f"backpropagation fails: {_words(error)}") from error
    loss, _ = objective.watched()
    if not math.isfinite(loss):
        raise _LimitError(f"after the burn-in the loss is {loss}; burn_in=0 leaves it out")
    return gradients


def _largest(gradient: Tensor) -> float:
    return float(gradient.abs().max()) if gradient.numel() else 0.0


def _chosen(gradient: Tensor, entries: int, seed: int, name: str) -> list[tuple[int, ...]]:
    """Chooses the entry with the largest gradient, and others at random."""
    count = min(entries, gradient.numel())
    drawn = numpy_generator(seed, "entries", name).choice(gradient.numel(), count, replace=False)
    largest = int(gradient.abs().argmax()) if count else 0
    positions = list(dict.fromkeys([largest, *drawn.tolist()]))[:count]
    return [tuple(int(i) for i in np.unravel_index(p, tuple(gradient.shape))) for p in positions]


def _entry(
    objective: Objective, name: str, index: tuple[int, ...], analytic: float, step: float
) -> GradientEntry:
    """Compares one entry, with a shorter step where it disagrees."""
    found = GradientEntry(index, analytic, *objective.slope(name, index, step))
    if found.error <= HAPPY or not found.judged:
        return found
    # Where the loss is strongly curved (raw pixels, batch normalization over few rows) the error falls with
    # the square of the step. That of a wrong gradient does not fall.
    finer = GradientEntry(index, analytic, *objective.slope(name, index, step / 10))
    return finer if finer.error < 0.1 * found.error else found


def _penalty_gradient(
    weights: Tensor, name: str, l2: float, chosen: list[tuple[int, ...]], step: float
) -> TensorGradient:
    """Compares the gradient that training adds, l2 * w, with the slope of the penalty in the cost."""
    weights = weights.detach()
    found = []
    for index in chosen:
        value = float(weights[index])
        costs = []
        for moved in (value + step, value - step):
            weights[index] = moved
            costs.append(0.5 * l2 * float(weights.square().sum()))
        weights[index] = value
        numeric = (costs[0] - costs[1]) / ((value + step) - (value - step))
        found.append(GradientEntry(index, l2 * value, numeric, rounding=_ROUNDING * costs[0] / step))
    return TensorGradient(name, tuple(found), l2 * float(weights.abs().max()), True, has_kinks=False)


def _norm(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(value.detach().square().sum()) for value in tensors.values()))


def _widened(values: Tensor) -> Tensor:
    return values.detach().double() if values.is_floating_point() else values.detach()


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def gradients_match(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> CheckResult:
    """Checks the gradients of the recipe's model and loss on three training examples.

    error = |analytic - numeric| / max(|analytic|, |numeric|); see ``check_gradients``.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check; l2 is checked separately.

    Returns:
        pass up to 1e-4 (1e-7 for a function without kinks); warn up to 1e-2, and where no gradient reaches
        a weight or nothing can be compared; fail above, and where backpropagation fails. ``value`` is the
        worst relative error. The details hold the raw values.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> gradients_match(prepare(recipe, seed=0), middle(recipe.full_space())).status
        <Status.PASS: 'pass'>

    Source: CS231n notes, neural networks part 3, "Gradient checks".
    """
    few = prepared.dataset.tiny(3, prepared.seed)
    x, y = evaluation_tensors(few, few.train)
    report = check_gradients(
        prepared.model(hyperparameters, ("check",)),
        lambda outputs, targets: prepared.loss.per_example(outputs.unsqueeze(0), targets).mean(),
        x,
        y,
        l2=float(hyperparameters.get("l2", 0.0)),
        seed=prepared.seed,
    )
    status = Status.WARN
    if report.is_fault or report.band is Band.WRONG:
        status = Status.FAIL
    elif report.band in (Band.HAPPY, Band.FINE) and not report.tiny:
        status = Status.PASS
    return CheckResult(
        name="gradients_match",
        status=status,
        value=report.worst,
        expected=f"a relative error below {UNEASY:.0e} between backpropagation and centred differences",
        advice=_advice(report),
        details={"kinks": report.kinks, "tensors": [_as_data(tensor) for tensor in report.tensors]},
    )


def _advice(report: GradientReport) -> str:
    if report.problem:
        return f"{report.problem}: " + (
            "fix the model's forward or backward" if report.is_fault else "its gradients stay unchecked"
        )
    if report.band is Band.WRONG:
        names = ", ".join(report.named(Band.WRONG))
        return (
            f"the gradient of {names} is not the slope of the loss: look for a wrong custom backward, a "
            "detach() or .data, in the layers from there on to the first whose gradient is right"
        )
    if report.tiny:
        return (
            f"no gradient above {TINY:.0e} reaches {', '.join(report.tiny)}: dead or saturated units, "
            "weights or a loss on far too small a scale, or layers that the output does not use"
        )
    if report.band is Band.UNJUDGED:
        return "every entry that was compared lies at a kink or within rounding: nothing can be judged"
    if report.band in (Band.HIGH, Band.UNEASY):
        names = ", ".join(report.named(report.band))
        return (
            f"the gradient of {names} is nearly the slope of the loss: in a shallow network that is a fault"
        )
    return "backpropagation computes the slope of the loss"


def _as_data(tensor: TensorGradient) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "band": str(tensor.band),
        "worst": tensor.worst,
        "kinks": tensor.kinks,
        "largest": tensor.largest,
        "entries": [
            {
                "index": list(entry.index),
                "analytic": entry.analytic,
                "numeric": entry.numeric,
                "error": entry.error,
                "kink": entry.kink,
            }
            for entry in tensor.entries
        ],
    }
