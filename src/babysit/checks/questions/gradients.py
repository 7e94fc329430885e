"""Does backpropagation compute the slope of the loss? Analytic against numerical gradients."""

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
    Entry,
    GradientReport,
    TensorGradient,
)
from babysit.data.batches import evaluation_tensors
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.seeding import derive, numpy_generator, seeded
from babysit.verdicts import CheckResult, Status

_BURN_IN_FALL = 0.05  # the share of the loss that a step of the burn-in would take off, were the loss linear
_BURN_IN_MOVE = 0.01  # and the share of the parameters' norm that it moves them at most
_NEGLIGIBLE = 1e-8  # the share of the model's largest gradient that says nothing
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


class _FaultError(Exception):
    """The model has no gradient to compare."""


class _LimitError(Exception):
    """The model cannot be checked."""


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
        """What no slope is judged below: a bias before batch normalization has a gradient of zero, and the
        rounding of large activations is all that its difference shows."""

    def loss(self) -> Tensor:
        """The loss; the seed freezes dropout's masks, and buffers that the model moves are put back."""
        torch.manual_seed(self.seed)
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        self.outputs = functional_call(self.model, buffers, (self.x.clone(),))
        return self.loss_of(self.outputs, self.y.clone())

    @torch.no_grad()
    def watched(self) -> tuple[float, ActiveSet]:
        """The loss as a number, and the active set it was computed with."""
        with ActiveSet() as active:
            loss = self.loss()
        return float(loss), active

    def gradients(self) -> dict[str, Tensor]:
        """Backpropagation's."""
        parameters = list(self.parameters.values())
        with torch.enable_grad():
            found = torch.autograd.grad(self.loss(), parameters, allow_unused=True)
        return {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(self.parameters.items(), found, strict=True)
        }

    def burn_in(self, steps: int) -> None:
        """Some steps of gradient descent, away from the oddities of the initial weights."""
        for _ in range(steps):
            loss, gradients = abs(self.watched()[0]), self.gradients()
            length = _norm(gradients)
            if not (length > 0 and math.isfinite(length)):
                return
            # Steps in units of the loss itself suit any scale, and leave something to descend: three examples
            # are memorized at once, and a loss of zero has no slope.
            rate = min(_BURN_IN_FALL * loss / length**2, _BURN_IN_MOVE * _norm(self.parameters) / length)
            with torch.no_grad():
                for name, gradient in gradients.items():
                    self.parameters[name].sub_(gradient, alpha=rate)

    @torch.no_grad()
    def slope(self, name: str, index: tuple[int, ...], step: float) -> tuple[float, bool, float]:
        """Centred difference, whether a kink lies in it, and by how much rounding may have moved it."""
        parameter = self.parameters[name]
        value = float(parameter[index])
        above, below = value + step, value - step  # not exactly 2 * step apart: rounded
        parameter[index] = above
        upper, active_above = self.watched()
        parameter[index] = below
        lower, active_below = self.watched()
        parameter[index] = value
        rounding = _ROUNDING * max(abs(upper), abs(lower), self._size()) / step
        kink = not active_above.equals(active_below)
        return (upper - lower) / (above - below), kink, max(rounding, self.negligible)

    def _size(self) -> float:
        """The largest output: losses are differences of outputs, so these round as well."""
        outputs = self.outputs
        return float(outputs.abs().max()) if isinstance(outputs, Tensor) and outputs.numel() else 0.0


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
    gradient is wrong; deep networks err more. The data loss is compared alone, then 1/2 * l2 * sum(W^2)
    alone, lest the larger hide the smaller. Entries where the sign pattern of a ReLU-like or max input
    differs between the two evaluations are reported and not judged; one that disagrees is tried again at
    h / 10, where the error of the difference itself is a hundredth. The model is copied; it, its loss and
    the random state stay as they are, and random layers draw the same masks in every evaluation.

    Args:
        model: any module, in the mode (training or evaluation) in which it is to be checked.
        loss_of: (the model's outputs, y) -> a scalar loss.
        x: 2 or 3 examples, [B, ...]; more only cross more kinks.
        y: their targets.
        l2: strength of the regularization, >= 0; default 0, which leaves that part out.
        entries: how many entries of each parameter, default 5: that of the largest gradient, the others at
            random.
        step: h, default 1e-5; 1e-4 to 1e-6 are usual.
        burn_in: steps of gradient descent before, default 10, each moving the parameters by 1% of their norm.
        seed: of the entries and the masks.

    Returns:
        The report; where nothing can be compared, its ``problem`` says why. Nothing is raised for a model
        that is broken.

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
            data = [
                _of_data(objective, name, gradients[name], chosen[name], step, has_kinks)
                for name in gradients
            ]
            penalized = [name for name in gradients if l2 and gradients[name].dim() > 1]
            penalty = [
                _of_penalty(objective.parameters[name], name, l2, chosen[name], step) for name in penalized
            ]
        except (_FaultError, _LimitError) as found:
            return GradientReport(problem=str(found), is_fault=isinstance(found, _FaultError))
    return GradientReport(tuple(data), tuple(penalty))


def _ready(
    model: nn.Module, loss_of: Callable[[Any, Tensor], Tensor], x: Tensor, y: Tensor, seed: int
) -> tuple[Objective, bool]:
    """The objective, and whether it has kinks, once it is known to be a function that can be compared."""
    try:
        objective = Objective(model, loss_of, x, y, seed)
        loss, active = objective.watched()
        again, _ = objective.watched()
    except Exception as error:  # a model of the user's may raise anything
        raise _LimitError(f"the loss cannot be computed in float64: {_said(error)}") from error
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
        raise _FaultError(f"backpropagation fails: {_said(error)}") from error
    loss, _ = objective.watched()
    if not math.isfinite(loss):
        raise _LimitError(f"after the burn-in the loss is {loss}; burn_in=0 leaves it out")
    return gradients


def _largest(gradient: Tensor) -> float:
    return float(gradient.abs().max()) if gradient.numel() else 0.0


def _chosen(gradient: Tensor, entries: int, seed: int, name: str) -> list[tuple[int, ...]]:
    """The place of the largest gradient, and others at random."""
    count = min(entries, gradient.numel())
    drawn = numpy_generator(seed, "entries", name).choice(gradient.numel(), count, replace=False)
    largest = int(gradient.abs().argmax()) if count else 0
    places = list(dict.fromkeys([largest, *drawn.tolist()]))[:count]
    return [tuple(int(i) for i in np.unravel_index(place, tuple(gradient.shape))) for place in places]


def _of_data(
    objective: Objective,
    name: str,
    gradient: Tensor,
    chosen: list[tuple[int, ...]],
    step: float,
    has_kinks: bool,
) -> TensorGradient:
    found = tuple(_entry(objective, name, index, float(gradient[index]), step) for index in chosen)
    return TensorGradient(name, found, _largest(gradient), gradient.dim() > 1, has_kinks)


def _entry(objective: Objective, name: str, index: tuple[int, ...], analytic: float, step: float) -> Entry:
    found = Entry(index, analytic, *objective.slope(name, index, step))
    if found.error <= HAPPY or not found.judged:
        return found
    # Where the loss is strongly curved (raw pixels, batch normalization over few rows) the error falls with
    # the square of the step; that of a wrong gradient does not fall.
    finer = Entry(index, analytic, *objective.slope(name, index, step / 10))
    return finer if finer.error < 0.1 * found.error else found


def _of_penalty(
    weights: Tensor, name: str, l2: float, chosen: list[tuple[int, ...]], step: float
) -> TensorGradient:
    """The gradient that training adds, l2 * w, against the slope of the penalty in the cost."""
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
        found.append(Entry(index, l2 * value, numeric, rounding=_ROUNDING * costs[0] / step))
    return TensorGradient(name, tuple(found), l2 * float(weights.abs().max()), True, has_kinks=False)


def _norm(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(value.detach().square().sum()) for value in tensors.values()))


def _widened(values: Tensor) -> Tensor:
    return values.detach().double() if values.is_floating_point() else values.detach()


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def gradients_match(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> CheckResult:
    """Checks the gradients of the recipe's model and loss on three training examples.

    error = |analytic - numeric| / max(|analytic|, |numeric|); see ``check_gradients``.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them; l2 is checked on its own.

    Returns:
        pass up to 1e-4 (1e-7 for a function without kinks), warn up to 1e-2, and where no gradient reaches
        a weight or nothing can be compared, fail above and where backpropagation fails. ``value`` is the
        worst relative error; the details hold the raw values.

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
    return CheckResult(
        name="gradients_match",
        status=_status(report),
        value=report.worst,
        expected=f"a relative error below {UNEASY:.0e} between backpropagation and centred differences",
        advice=_advice(report),
        details={"kinks": report.kinks, "tensors": [_as_data(tensor) for tensor in report.tensors]},
    )


def _status(report: GradientReport) -> Status:
    if report.problem:
        return Status.FAIL if report.is_fault else Status.WARN
    if report.band is Band.WRONG:
        return Status.FAIL
    is_sound = report.band in (Band.HAPPY, Band.FINE) and not report.tiny
    return Status.PASS if is_sound else Status.WARN


def _advice(report: GradientReport) -> str:
    if report.problem:
        return f"{report.problem}: " + (
            "mend the model's forward or backward" if report.is_fault else "its gradients stay unchecked"
        )
    if report.band is Band.WRONG:
        names = ", ".join(report.named(Band.WRONG))
        return (
            f"the gradient of {names} is not the slope of the loss: look for a wrong backward of your own, a "
            "detach() or .data, in the layers from there on to the first whose gradient is right"
        )
    if report.tiny:
        return (
            f"no gradient above {TINY:.0e} reaches {', '.join(report.tiny)}: dead or saturated units, "
            "weights or a loss on far too small a scale, or layers that the output does not use"
        )
    return _advice_on_band(report)


def _advice_on_band(report: GradientReport) -> str:
    if report.band is Band.UNJUDGED:
        return "every entry that was tried lies at a kink or in the rounding: nothing can be said"
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
