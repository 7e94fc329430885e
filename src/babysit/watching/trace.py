"""Series and log of one member, made of its samples: for drawing and for the detectors."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from babysit.records import Details, Reading
from babysit.watching.history import MOST_PACES, MOST_SAMPLES, UNIT_BATCHES
from babysit.watching.observer import MemberSample
from babysit.watching.sample import Epoch, Sample, Setup, Units, WatchLog, middle

CHANCE = "chance_loss"
"""Name of the series of the best constant answer's loss, computed from the targets seen so far."""
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
    """Yields the names of the series that a sample adds a point to, and the values of the points.

    Args:
        sample: of any run; values that it does not have are left out.

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
    """Joins the details that a run recorded piece by piece.

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


class MemberTrace:
    """The samples of one member, in the order of their steps, in bounded memory.

    Args:
        update: the update rule, by name.

    Example:
        >>> trace = MemberTrace("adam")
        >>> sample = MemberSample(Sample(1, True, (0.1,)), {"0": np.array([True, False])})
        >>> trace.add([sample]).series["layers/0/dead"]
        ([1], [0.5])
    """

    def __init__(self, update: str) -> None:
        self._update = update
        self._kept: list[Sample] = []
        self._newest: Sample | None = None
        self._count, self._stride = 0, 1
        self._active: dict[str, deque[tuple[int, np.ndarray]]] = {}
        self._lookups: tuple[str, ...] = ()
        self._seconds: deque[float] = deque(maxlen=MOST_PACES)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The kept samples, spread evenly over the whole run, and the newest one."""
        missing = self._newest is not None and self._kept[-1] is not self._newest
        return (*self._kept, self._newest) if missing and self._newest else tuple(self._kept)

    def add(self, samples: Sequence[MemberSample]) -> Details:
        """Adds samples, and returns what they add to the details of the run."""
        series: dict[str, tuple[list[int], list[float]]] = {}
        for each in samples:
            self._keep(each.sample)
            self._lookups = each.lookups
            points = list(quantities(each.sample))
            if each.seconds == each.seconds:
                self._seconds.append(each.seconds)
                points.append(("step_seconds", each.seconds))
            for name, active in each.active.items():
                batches = self._active.setdefault(name, deque(maxlen=UNIT_BATCHES))
                batches.append((each.sample.step, active))
                points.append((f"layers/{name}/dead", self._units(name).share))
            for name, value in points:
                steps, values = series.setdefault(name, ([], []))
                steps.append(each.sample.step)
                values.append(value)
        return Details(
            series,
            [histogram for each in samples for histogram in each.histograms],
            [snapshot for each in samples for snapshot in each.snapshots],
        )

    def _keep(self, sample: Sample) -> None:
        """Keeps a sample. Of too many every other one is dropped, and new ones are kept half as often."""
        if self._count % self._stride == 0:
            self._kept.append(sample)
        if len(self._kept) > MOST_SAMPLES:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count, self._newest = self._count + 1, sample

    def _units(self, name: str) -> Units:
        batches = self._active[name]
        ever = np.logical_or.reduce([active for _, active in batches])
        return Units(int((~ever).sum()), ever.size, len(batches), batches[0][0])

    def log(self, losses: Iterable[float], readings: Sequence[Reading]) -> WatchLog:
        """Makes the log that the detectors of the live watch read.

        Args:
            losses: the cost of every step; an array is not copied, and must not change afterwards.
            readings: one per epoch.
        """
        every = losses if isinstance(losses, array) else array("d", losses)
        trainable = () if self._newest is None else tuple(self._newest.tensors)
        return WatchLog(
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
