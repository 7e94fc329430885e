"""The runs that every dashboard shows: made from their numbers alone, so each gets the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPOCHS, STEPS = 10, 100
POINTS = EPOCHS * STEPS
"""Points of a run: one cost for each step."""

NEWS = 10
"""Points that a run gains when it changes, and with them one more epoch."""

RATES, PENALTIES = (1e-6, 1e-2), (1e-5, 1e1)


@dataclass(frozen=True)
class Drawn:
    """One run of a search.

    Attributes:
        number: from 0.
        learning_rate, l2: log-uniform in ``RATES`` and ``PENALTIES``.
        state: "complete", "exploded", or "running": one in five, so that one in ten can change each second.
    """

    number: int
    learning_rate: float
    l2: float
    state: str

    def costs(self, first: int, last: int) -> NDArray[np.float64]:
        """The cost of steps ``first`` to ``last``, counted from 1."""
        steps = np.arange(first, last + 1)
        if self.state == "exploded":
            return 2.3 * np.exp(steps / POINTS * 3)
        noise = np.sin(steps * 12.9898 + self.number) * np.cos(steps * 0.37)
        return 0.4 + 1.9 * np.exp(-steps * self.learning_rate * 5) + 0.05 * noise

    def accuracy(self, epoch: int) -> float:
        """Computes the validation accuracy after an epoch, counted from 1; it grows during the whole run."""
        best = 0.6 - 0.06 * (np.log10(self.learning_rate) + 3) ** 2 - 0.01 * abs(np.log10(self.l2))
        return float(round(0.1 + (best - 0.1) * (1 - np.exp(-epoch / 4)), 4)) if best > 0.1 else 0.1


def drawn(count: int) -> list[Drawn]:
    """So many runs, always the same."""
    lows, highs = np.log10(np.array([RATES, PENALTIES])).T
    chosen = 10 ** np.random.default_rng(0).uniform(lows, highs, (count, 2))
    return [
        Drawn(number, float(f"{rate:.4g}"), float(f"{l2:.4g}"), _state(number, rate))
        for number, (rate, l2) in enumerate(chosen.tolist())
    ]


def _state(number: int, rate: float) -> str:
    if number % 5 == 4:
        return "running"
    return "exploded" if rate > 6e-3 else "complete"


@dataclass(frozen=True)
class News:
    """What a run tells when it changes: steps ``first`` to ``last`` and the epoch that they end."""

    run: Drawn
    first: int
    last: int
    epoch: int


def changes(runs: list[Drawn]) -> Iterator[list[News]]:
    """Second for second, the tenth of all runs that changes: half of the running ones, in turn."""
    running = [run for run in runs if run.state == "running"]
    second = 0
    while True:
        round_, part = divmod(second, 2)
        first = POINTS + round_ * NEWS + 1
        yield [News(run, first, first + NEWS - 1, EPOCHS + round_ + 1) for run in running[part::2]]
        second += 1
