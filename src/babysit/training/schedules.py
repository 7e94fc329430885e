"""Learning-rate schedules: pure functions that map the epoch to a factor on the learning rate.

``epoch`` counts finished epochs and may be fractional: 0 at the first step, 1 when the first epoch is done.
Their parameters are hyperparameters like any other: vectors of one value per member, searchable by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.errors import RecipeError
from babysit.training.gradients import Rates

WARM_UP = "warm_up_epochs"


class Schedule(NamedTuple):
    """One schedule.

    Attributes:
        name: the name used in a recipe.
        factor: (epoch, total epochs, rates) -> factor on the learning rate, [P].
        defaults: its hyperparameters with their defaults.
        about: the formula.
    """

    name: str
    factor: Callable[[float, int, Rates], Tensor]
    defaults: Mapping[str, float]
    about: str


def _cosine(epoch: float, epochs: int, rates: Rates) -> Tensor:
    turn = math.cos(math.pi * min(epoch / epochs, 1.0))
    return torch.full_like(rates["learning_rate"], 0.5 * (1 + turn))


def _schedule(
    name: str, factor: Callable[[float, int, Rates], Tensor], about: str, **defaults: float
) -> Schedule:
    return Schedule(name, factor, MappingProxyType(defaults), about)


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        _schedule("constant", lambda epoch, epochs, rates: torch.ones_like(rates["learning_rate"]), "1"),
        _schedule(
            "multiplicative",
            lambda epoch, epochs, rates: rates["learning_rate_decay"] ** math.floor(epoch),
            "learning_rate_decay ^ finished epochs",
            learning_rate_decay=0.95,
        ),
        _schedule(
            "step",
            lambda epoch, epochs, rates: rates["step_factor"] ** torch.floor(epoch / rates["step_every"]),
            "step_factor ^ floor(epoch / step_every)",
            step_factor=0.5,
            step_every=5.0,
        ),
        _schedule("cosine", _cosine, "(1 + cos(pi * epoch / epochs)) / 2"),
        _schedule(
            "inverse_time",
            lambda epoch, epochs, rates: 1 / (1 + rates["decay_rate"] * epoch),
            "1 / (1 + decay_rate * epoch)",
            decay_rate=0.5,
        ),
    )
}


def schedule_named(name: str) -> Schedule:
    """Returns the schedule of that name.

    Raises:
        RecipeError: there is none; the message lists the names.

    Example:
        >>> rates = {"learning_rate": torch.ones(2), "learning_rate_decay": torch.tensor([0.5, 1.0])}
        >>> schedule_named("multiplicative").factor(2.0, 10, rates).tolist()
        [0.25, 1.0]

    Source: CS231n notes, neural networks part 3, "Annealing the learning rate".
    """
    if name not in SCHEDULES:
        raise RecipeError(f"there is no schedule named {name!r}", fix=f"use one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]


def warm_up(epoch: float, rates: Rates) -> Tensor:
    """Computes the linear warm-up factor on any schedule, min(1, epoch / warm_up_epochs).

    Args:
        epoch: finished epochs, fractional, >= 0.
        rates: holds "warm_up_epochs", [P]; 0 switches it off.

    Returns:
        [P] in [0, 1].

    Example:
        >>> warm_up(0.5, {"warm_up_epochs": torch.tensor([0.0, 2.0])}).tolist()
        [1.0, 0.25]

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD".
    """
    length = rates[WARM_UP]
    return torch.where(length > 0, (epoch / length.clamp_min(1e-12)).clamp(max=1.0), torch.ones_like(length))
