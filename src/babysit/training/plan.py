"""Plan of a population's training, its candidates, and the report of one epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from babysit.records import EXPLOSION_LIMIT, Explosion, Reading
from babysit.training.losses import Loss
from babysit.training.regularization import REGULARIZATION
from babysit.training.schedules import WARM_UP, Schedule
from babysit.training.updates import UpdateRule


class Plan(NamedTuple):
    """Settings that all members of a population share.

    Attributes:
        loss, update, schedule: the rules.
        epochs: the largest number of epochs.
        explosion_limit: the cost limit in units of the first cost. Infinity disables the rule: then only a
            NaN or infinite cost stops a run.
        precision: of the matrix products, by name.
        device: the device to train on.
    """

    loss: Loss
    update: UpdateRule
    schedule: Schedule
    epochs: int
    explosion_limit: float = EXPLOSION_LIMIT
    precision: str = "float32"
    device: str = "cpu"


class Candidate(NamedTuple):
    """A model with its hyperparameters, to become one member of a population.

    Attributes:
        model: its initial values; not changed.
        hyperparameters: rates by name, at least ``learning_rate``; regularization and ``warm_up_epochs``
            default to 0, those of the update rule and the schedule to their own defaults.
        key: its random key, any integer; the masks of its dropout follow from it.
        fold: the fold whose examples it does not train on, from 0; -1 trains on all. Default: -1.
    """

    model: nn.Module
    hyperparameters: Mapping[str, object]
    key: int = 0
    fold: int = -1


class FoldRows(NamedTuple):
    """The fold of each row, int64.

    Attributes:
        train: [N], of the training split's rows; the validation split holds the same rows.
        sample: the fold of each row that the training accuracy is measured on.
    """

    train: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Results of one epoch; members are numbered in the order given to the trainer.

    Attributes:
        epoch: epochs done, from 1.
        readings: member -> reading, for those that finished the epoch.
        exploded: member -> explosion, for those that did not.
        first_step: the epoch's first step, from 1.
        costs: member -> cost of each of its steps this epoch, float32; ends with the explosion or the stop.
        stopped: members that the user stopped before the epoch's end.
    """

    epoch: int
    readings: Mapping[int, Reading]
    exploded: Mapping[int, Explosion]
    first_step: int
    costs: Mapping[int, np.ndarray]
    stopped: Sequence[int] = ()

    @property
    def cut_short(self) -> list[int]:
        """The members that started the epoch and did not finish it."""
        return [*self.exploded, *self.stopped]


def rates_of(candidates: Sequence[Candidate], plan: Plan) -> dict[str, Tensor]:
    """Collects every rate that the plan's rules read, name -> [P] float64."""
    defaults = {**REGULARIZATION, WARM_UP: 0.0, **plan.update.defaults, **plan.schedule.defaults}
    return {
        name: torch.tensor(
            [float(candidate.hyperparameters.get(name, default)) for candidate in candidates],  # type: ignore[arg-type]
            dtype=torch.float64,
        )
        for name, default in {"learning_rate": math.nan, **defaults}.items()
    }
