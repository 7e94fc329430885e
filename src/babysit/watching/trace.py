"""What the looks at one member add up to: the series that are drawn, and the log that the rules read."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from babysit.records import Details, Reading
from babysit.watching.history import MOST_PACES, MOST_SAMPLES
from babysit.watching.observer import Look
from babysit.watching.sample import Epoch, Log, Sample, Setup, Units, middle

CHANCE = "chance_loss"
"""The series of the best constant answer's loss, as far as the targets seen so far tell it."""
_MEMORY = 16
"""A unit is dead if silent in the last so many looks, as in the live watch."""
_TORCH_NAMES = {
    "sgd": "SGD",
    "momentum": "SGD",
    "nesterov": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}


def quantities(sample: Sample) -> Iterator[tuple[str, float]]:
    """The series that a sample adds a point to, and the point's value; what does not apply is left out.

    Args:
        sample: of any run.

    Example:
        >>> from babysit.watching.sample import TensorStat
        >>> dict(quantities(Sample(1, True, (0.1,), tensors={"0.weight": TensorStat(10, 1, 0.01, 100, 2)})))
        {'learning_rate': 0.1, 'layers/0.weight/update_ratio': 0.001, 'layers/0.weight/gradient_norm': 1}
    """
    if sample.rates:
        yield "learning_rate", sample.rates[0]
    for name, stat in sample.tensors.items():
        if not math.isnan(stat.ratio):
            yield f"layers/{name}/update_ratio", stat.ratio
        if stat.dims >= 2:
            yield f"layers/{name}/gradient_norm", stat.gradient
    for name, layer in sample.layers.items():
        yield f"layers/{name}/mean", layer.mean
        yield f"layers/{name}/std", layer.std
        if not math.isnan(layer.saturated):
            yield f"layers/{name}/saturated", layer.saturated


def joined(pieces: Sequence[Details]) -> Details:
    """What a run recorded piece by piece, as one.

    Args:
        pieces: oldest first.

    Example:
        >>> joined([Details({"a": ([1], [0.5])}), Details({"a": ([2], [0.25])})]).series
        {'a': ([1, 2], [0.5, 0.25])}
    """
    series: dict[str, tuple[list[int], list[float]]] = {}
    for piece in pieces:
        for name, (steps, values) in piece.series.items():
            all_steps, all_values = series.setdefault(name, ([], []))
            all_steps.extend(steps)
            all_values.extend(values)
    return Details(
        series,
        [histogram for piece in pieces for histogram in piece.histograms],
        [snapshot for piece in pieces for snapshot in piece.snapshots],
    )


class Trace:
    """The looks at one member, in the order of their steps, in memory that does not grow with the run.

    Args:
        update: the update rule, by name.

    Example:
        >>> trace = Trace("adam")
        >>> look = Look(Sample(1, True, (0.1,)), {"0": np.array([True, False])})
        >>> trace.add([look]).series["layers/0/dead"]
        ([1], [0.5])
    """

    def __init__(self, update: str) -> None:
        self._update = update
        self._kept: list[Sample] = []
        self._newest: Sample | None = None
        self._taken, self._stride = 0, 1
        self._active: dict[str, deque[tuple[int, np.ndarray]]] = {}
        self._lookups: tuple[str, ...] = ()
        self._seconds: deque[float] = deque(maxlen=MOST_PACES)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of some looks, spread evenly over the run however long it is; the newest among them."""
        missing = self._newest is not None and self._kept[-1] is not self._newest
        return (*self._kept, self._newest) if missing and self._newest else tuple(self._kept)

    def add(self, looks: Sequence[Look]) -> Details:
        """Takes in looks; returns what they add to the run's details."""
        series: dict[str, tuple[list[int], list[float]]] = {}
        for look in looks:
            self._take(look)
            for name, value in self._quantities(look):
                steps, values = series.setdefault(name, ([], []))
                steps.append(look.sample.step)
                values.append(value)
        return Details(
            series,
            [histogram for look in looks for histogram in look.histograms],
            [snapshot for look in looks for snapshot in look.snapshots],
        )

    def _take(self, look: Look) -> None:
        self._keep(look.sample)
        self._lookups = look.lookups
        if look.seconds == look.seconds:
            self._seconds.append(look.seconds)
        for name, active in look.active.items():
            self._active.setdefault(name, deque(maxlen=_MEMORY)).append((look.sample.step, active))

    def _keep(self, sample: Sample) -> None:
        """As the live watch does: when there are too many, every other one goes, and half as many come."""
        if self._taken % self._stride == 0:
            self._kept.append(sample)
        if len(self._kept) > MOST_SAMPLES:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._taken, self._newest = self._taken + 1, sample

    def _quantities(self, look: Look) -> Iterator[tuple[str, float]]:
        yield from quantities(look.sample)
        if look.seconds == look.seconds:
            yield "step_seconds", look.seconds
        for name in look.active:
            yield f"layers/{name}/dead", self._units(name).share

    def _units(self, name: str) -> Units:
        batches = self._active[name]
        ever = np.logical_or.reduce([active for _, active in batches])
        return Units(int((~ever).sum()), ever.size, len(batches), batches[0][0])

    def log(self, losses: Iterable[float], readings: Sequence[Reading]) -> Log:
        """The log that the rules of the live watch read.

        Args:
            losses: the cost of every step; an array is taken as it is, so that nobody may change it.
            readings: one per epoch.
        """
        every = losses if isinstance(losses, array) else array("d", losses)
        trainable = () if self._newest is None else tuple(self._newest.tensors)
        return Log(
            setup=Setup((_TORCH_NAMES.get(self._update, self._update),), trainable, lookups=self._lookups),
            losses=every,
            updates=len(every),
            samples=self.samples,
            epochs=tuple(
                Epoch(each.step, each.train_accuracy, each.val_accuracy, each.val_loss) for each in readings
            ),
            units={name: self._units(name) for name in self._active},
            seconds=middle(self._seconds),
        )
