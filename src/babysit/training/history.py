"""History of one member of a population, and its form in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from babysit.records import CommandKind, Explosion, Reading, Run, State, Touch
from babysit.training.population import Tensors


@dataclass(slots=True)
class MemberHistory:
    """Everything recorded so far about one member of a population.

    Attributes:
        readings: one per finished epoch.
        first_cost: its first mini-batch's cost.
        explosion: set when it exploded.
        steps: update steps done.
        seconds: wall-clock time of its population.
        dropped: the state in which it ended early; None if it did not.
        best_score, best: the best validation score and the weights that gave it.
        touches: the commands of the user that were applied to it.
    """

    readings: list[Reading] = field(default_factory=list)
    first_cost: float = math.nan
    explosion: Explosion | None = None
    steps: int = 0
    seconds: float = 0.0
    dropped: State | None = None
    best_score: float = -math.inf
    best: Tensors = field(default_factory=dict)
    touches: list[Touch] = field(default_factory=list)

    def begin(self, cost: float, step: int) -> None:
        """Keeps the first cost, if this is the cost of the first step."""
        if step == 1:
            self.first_cost = cost

    def run(self, finished: bool) -> Run:
        """Returns the summary; ``finished`` says whether the population has done all its epochs."""
        state = State.COMPLETE if finished else State.RUNNING
        if self.explosion is not None:
            state = State.EXPLODED
        elif self.dropped is not None:
            state = self.dropped
        return Run(
            state,
            tuple(self.readings),
            self.first_cost,
            self.explosion,
            self.seconds,
            self.steps,
            touches=tuple(self.touches),
        )

    def as_data(self) -> dict[str, Any]:
        """Returns all but the weights, as plain data."""
        return {
            "readings": [asdict(reading) for reading in self.readings],
            "first_cost": self.first_cost,
            "explosion": None if self.explosion is None else asdict(self.explosion),
            "steps": self.steps,
            "seconds": self.seconds,
            "dropped": self.dropped,
            "best_score": self.best_score,
            "touches": [asdict(touch) for touch in self.touches],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> MemberHistory:
        """Restores what ``as_data`` returned; the trainer restores the weights."""
        return cls(
            [Reading(**reading) for reading in data["readings"]],
            data["first_cost"],
            None if data["explosion"] is None else Explosion(**data["explosion"]),
            data["steps"],
            data["seconds"],
            None if data["dropped"] is None else State(data["dropped"]),
            data["best_score"],
            touches=[Touch(**{**one, "kind": CommandKind(one["kind"])}) for one in data.get("touches", ())],
        )
