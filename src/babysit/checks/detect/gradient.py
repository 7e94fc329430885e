"""Detector of a wrong gradient, measured along two directions and, where they disagree, entry by entry."""

from __future__ import annotations

import copy
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from babysit.checks.measured import Measured, program_loss
from babysit.checks.needs import RUNS
from babysit.checks.questions.gradient_report import WRONG, Band, GradientReport
from babysit.checks.questions.gradients import Objective, check_gradients
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import WRONG_GRADIENT
from babysit.diagnosis.wording import named
from babysit.seeding import derive, seeded
from babysit.verdicts import Severity

SECONDS = 0.03
"""Longest time of one float64 forward pass on three examples. Slower models stay unchecked."""

PATIENCE = 10
"""Factor on that time where the user's own backward gives a reason to check."""

AT_KINK = 0.2
"""Relative error that counts where a kink lies within the step: a few of a network's many units change sides,
which moves the slope by about their share."""

_EXAMPLES = 3
_ENTRIES = 3
_STEP = 1e-5  # times each tensor's own size
_MOST_NUMBERS = 5_000_000  # parameters: 40 MB more in float64
_SECONDS_TO_NAME = 1.0
_BENT = re.compile(
    r"grad|revers|adversar|straight|ste$|ste_|round|sign|quant|binar|heavi|stop|gumbel|surrog|spik|scale",
    re.IGNORECASE,
)
"""Names of functions whose backward deviates on purpose: gradient reversed, scaled, straight through."""


@dataclass(frozen=True, slots=True)
class Slope:
    """The slope of the loss along one direction of all parameters, computed in two ways.

    Attributes:
        analytic: by backpropagation.
        numeric: by the centred difference.
        rounding: largest rounding error of the difference.
        kink: whether a kink lies between the two evaluations.
    """

    analytic: float
    numeric: float
    rounding: float
    kink: bool

    @property
    def error(self) -> float:
        """|analytic - numeric| over the larger; 0 where rounding accounts for it."""
        largest = max(abs(self.analytic), abs(self.numeric))
        apart = abs(self.analytic - self.numeric)
        return apart / largest if largest and apart > self.rounding else 0.0

    @property
    def is_wrong(self) -> bool:
        """True where the two disagree by more than a kink explains."""
        return self.error > (AT_KINK if self.kink else WRONG)


@detects(WRONG_GRADIENT, needs=(RUNS,))
def wrong_gradient(measured: Measured) -> Detection | None:
    """Finds a gradient that differs from the slope of the loss by 1% (20% at a kink) along most of three
    directions, in float64; severity info without an autograd function of the user's.
    """
    slopes, seconds = _slopes(measured)
    wrong = [slope for slope in slopes if slope.is_wrong]
    # A direction along which parts cancel has a large error for no reason: most must disagree.
    if len(slopes) < 2 or len(wrong) * 2 <= len(slopes):
        return None
    worst = max(wrong, key=lambda slope: slope.error)
    found, own = _by_entry(measured, seconds), measured.own_functions
    names = found.named(Band.WRONG) if found else ()
    cause = f"look at the backward of {', '.join(own)}"
    if not own:
        cause = "something is held constant, as by detach(), .data or no_grad()"
    return Detection(
        where=names[0] if names else "model",
        message=f"the gradient{' of ' + named(list(names)) if names else ''} is not the slope of the loss: "
        f"{cause}",
        evidence=evidence(
            "gradient along a direction",
            worst.analytic,
            f"{worst.numeric:.4g}",
            "the loss's own change along it",
        ),
        severity=Severity.INFO if _is_intended(measured, found) else None,
    )


def _is_intended(measured: Measured, found: GradientReport | None) -> bool:
    """Tells whether the difference may be intended: no backward of the user's, or one meant to deviate.

    A straight-through estimator gives a gradient where the loss has steps, and its slope is 0.
    """
    if not measured.own_functions or any(map(_BENT.search, measured.own_functions)):
        return True
    tensors = [tensor for tensor in found.data if tensor.band is Band.WRONG] if found else []
    entries = [entry for tensor in tensors for entry in tensor.entries if entry.error > WRONG]
    return bool(entries) and all(abs(each.numeric) <= 1e-6 * abs(each.analytic) for each in entries)


def _by_entry(measured: Measured, seconds: float) -> GradientReport | None:
    """Checks a few entries of every tensor; returns None where that takes too long."""
    sample, wanted = _sample(measured), measured.gradients
    if sample is None or len(wanted) * 4 * _ENTRIES * seconds > _SECONDS_TO_NAME:
        return None
    seed = measured.program.seed
    with measured.program.fresh(dropout=False) as (model, _):
        return check_gradients(model, _loss_of(measured), *sample, entries=_ENTRIES, burn_in=2, seed=seed)


def _slopes(measured: Measured) -> tuple[list[Slope], float]:
    """Measures slopes along some directions, and the seconds of one forward pass.

    There are none where the model does not run in float64, is too slow or not deterministic.
    """
    sample = _sample(measured)
    if sample is None or sum(p.numel() for p in measured.program.model.parameters()) > _MOST_NUMBERS:
        return [], math.inf
    seed = measured.program.seed
    try:
        with measured.program.fresh(dropout=False) as (model, _), seeded(seed, "gradients"):
            objective = Objective(model, _loss_of(measured), *sample, seed)
            loss, _active = objective.watched()
            start = time.thread_time()
            again, active = objective.watched()
            seconds = time.thread_time() - start
            repeats = math.isfinite(again) and again == loss
            steady = repeats and active.narrowed is None and bool(objective.parameters)
            if seconds > SECONDS * (PATIENCE if measured.own_functions else 1) or not steady:
                return [], seconds
            objective.burn_in(1)  # away from the oddities of the first weights, such as a layer of zeros
            gradients = objective.gradients()
            slopes = [_slope(objective, gradients, seed, number) for number in range(2)]
            if any(slope.is_wrong for slope in slopes):
                slopes.append(_slope(objective, gradients, seed, 2))
            return slopes, seconds
    except Exception:  # float64 is not for every model, nor for every loss
        return [], math.inf


def _sample(measured: Measured) -> tuple[Tensor, Tensor] | None:
    x, y, outputs = measured.x, measured.y, measured.outputs
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or outputs is None:
        return None
    if not measured.connected or not math.isfinite(measured.loss):
        return None
    if x.dim() == 0 or y.dim() == 0 or outputs.dim() == 0 or not len(x) == len(y) == len(outputs):
        return None
    return x[:_EXAMPLES], y[:_EXAMPLES]


def _loss_of(measured: Measured) -> Callable[[Any, Tensor], Tensor]:
    """Returns the user's loss, in float64 where it is a module."""
    loss = measured.program.loss
    own = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    program = replace(measured.program, loss=own)
    return lambda outputs, targets: program_loss(program, outputs, targets)


@torch.no_grad()
def _slope(objective: Objective, gradients: dict[str, Tensor], seed: int, number: int) -> Slope:
    """Measures the slope along a direction in which every tensor counts alike, however small its gradient."""
    generator = torch.Generator().manual_seed(derive(seed, "direction", number))
    kept = {name: p.detach().clone() for name, p in objective.parameters.items()}
    direction = {name: _direction(p, gradients[name], generator) for name, p in kept.items()}
    analytic = sum(float((gradients[name] * v).sum()) for name, v in direction.items())
    found = _difference(objective, kept, direction, analytic, _STEP)
    if not (found.kink or found.is_wrong):
        return found
    # A shorter step meets fewer kinks, and the error of the difference falls with its square.
    finer = _difference(objective, kept, direction, analytic, 0.1 * _STEP)
    return min(found, finer, key=lambda slope: (slope.kink, slope.error))


def _direction(p: Tensor, gradient: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)
    size, pull = float(p.norm()) or 1.0, float(gradient.norm())
    along = gradient / pull if pull else torch.zeros_like(gradient)
    # Half along the gradient, so that the tensor moves the loss at all, and half anywhere.
    sign = 1.0 if float(noise.flatten()[0]) > 0 else 0.5
    mixed = sign * along + noise / max(float(noise.norm()), 1e-12)
    return mixed * (size if not pull else min(size, 1 / pull))


def _difference(
    objective: Objective, kept: dict[str, Tensor], direction: dict[str, Tensor], analytic: float, step: float
) -> Slope:
    ends = []
    for side in (step, -step):
        for name, p in objective.parameters.items():
            p.copy_(kept[name] + side * direction[name])
        ends.append(objective.watched())
    for name, p in objective.parameters.items():
        p.copy_(kept[name])
    (upper, above), (lower, below) = ends
    rounding = 1e-14 * max(abs(upper), abs(lower), 1.0) / step
    return Slope(analytic, (upper - lower) / (2 * step), rounding, not above.equals(below))
