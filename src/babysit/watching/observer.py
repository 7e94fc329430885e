"""The trainer's own observer: the statistics of the live watch, for every member of a population.

Update ratios and gradient norms come from the stacked tensors of the sampled step, activations from one pass
of the step's first examples. A step that is not sampled costs one comparison.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from babysit.records import Histogram, Snapshot
from babysit.training.gradients import Gradient
from babysit.training.observer import Moment
from babysit.watching.capture import CONVOLUTIONS, RELUS, ExceptionGuard
from babysit.watching.distributions import first_layer, histogram
from babysit.watching.measuring import EXAMPLES
from babysit.watching.sample import Sample, layer_stat, output_stat, tensor_stat
from babysit.watching.shadow import Numbers, PopulationPass, ShadowModel

DENSE, SPARSER = 512, 4
"""After 512 steps samples are 4 times rarer: a long run changes slowly."""
EVERY_IN_SEARCH = 128
"""A trial of a search is sampled an eighth as often as a run that is watched alone."""
_DETAILS_EVERY = 4
_TIMED = 8
"""Number of steps after a sample that are timed; the time is void if an epoch ends among them."""

_Pictures = tuple[tuple[Histogram, ...], tuple[Snapshot, ...]]


@dataclass(frozen=True, slots=True)
class MemberSample:
    """Sample of one member of a population around one step.

    Attributes:
        sample: the statistics, as in the live watch.
        active: layer -> which of its units were active or got a gradient, bool.
        lookups: names of embedding tables.
        seconds: recent seconds per step of the whole population; NaN if unknown.
        histograms, snapshots: of a detailed sample.
    """

    sample: Sample
    active: Mapping[str, np.ndarray]
    lookups: tuple[str, ...] = ()
    seconds: float = math.nan
    histograms: tuple[Histogram, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()


class _HalfSample(NamedTuple):
    """Sample between the two halves of its step."""

    observed: PopulationPass
    before: dict[str, Tensor]
    tensors: Numbers
    active: dict[str, Tensor]
    pictures: list[_Pictures]


class PopulationObserver:
    """Observer that samples the members of a population at some steps; ``take`` returns the samples.

    Sampled are steps 1, 3, 9, ... as long as that is denser than ``every``, then each ``every``-th, and
    beyond the 512th a quarter as many. Exceptions inside are swallowed and counted.

    Args:
        every: steps from sample to sample, at least 1. Default: 128.
        detailed: at every fourth sample also keep histograms of activations and gradients, and the first
            layer's weights; meant for populations of one or a few. Default: False.

    Attributes:
        guard: counts the exceptions.

    Example:
        >>> observer = PopulationObserver(every=16)
        >>> observer.wants(1), observer.take()
        (True, {})
    """

    def __init__(self, every: int = EVERY_IN_SEARCH, *, detailed: bool = False) -> None:
        self.guard = ExceptionGuard()
        self.every, self.detailed = every, detailed
        self._next, self._count = 1, 0
        self._shadow: ShadowModel | None = None
        self._half: _HalfSample | None = None
        self._samples: dict[int, list[MemberSample]] = {}
        self._clock: tuple[int, float] | None = None
        self._seconds = math.nan

    def wants(self, step: int) -> bool:
        """Tells whether this step is sampled, and times the steps after a sample."""
        if self._clock is not None:
            since, then = self._clock
            if then == 0.0:
                self._clock = (step, time.perf_counter())
            elif step == since + _TIMED:
                self._seconds = (time.perf_counter() - then) / _TIMED
                self._clock = None
        return step >= self._next

    def take(self) -> dict[int, tuple[MemberSample, ...]]:
        """Returns the samples since the last call, by member; to be called between epochs."""
        samples, self._samples, self._clock = self._samples, {}, None
        return {member: tuple(own) for member, own in samples.items()}

    def before(self, moment: Moment) -> None:
        """Measures a step whose gradients are known and whose weights are still the old ones."""
        gap = self.every if moment.step < DENSE else SPARSER * self.every
        self._next = moment.step + max(1, min(2 * moment.step, gap))
        self._half = None
        self.guard(self._measure_before, moment)

    def after(self, moment: Moment) -> None:
        """Measures the same step when the weights are the new ones."""
        if self._half is not None:
            self.guard(self._measure_after, moment, self._half)
        self._half = None
        self._clock = (moment.step, 0.0)  # the clock starts when the next step begins

    @torch.no_grad()
    def _measure_before(self, moment: Moment) -> None:
        detailed = self.detailed and self._count % _DETAILS_EVERY == 0
        self._count += 1
        if self._shadow is None:
            self._shadow = ShadowModel(moment.template, self.guard, keep=self.detailed)
        values = {name: value.detach() for name, value in moment.parameters.items()}
        # The shadow model may write its buffers, so it gets copies.
        buffers = {name: value.clone() for name, value in moment.buffers.items()}
        is_training = moment.template.training
        observed = self._shadow.observe({**values, **buffers}, moment.x[:EXAMPLES], training=is_training)
        trained = {name: values[name] for name in moment.gradients}
        tensors: Numbers = {
            name: [_norms(value), _norms(moment.gradients[name].dense())] for name, value in trained.items()
        }
        self._half = _HalfSample(
            observed,
            {name: value.clone() for name, value in trained.items()},
            tensors,
            _reached(self._shadow.capture.layers, observed.active, moment.gradients),
            [_pictures(moment, observed, slot) for slot in range(len(moment.members))] if detailed else [],
        )

    @torch.no_grad()
    def _measure_after(self, moment: Moment, half: _HalfSample) -> None:
        for name, old in half.before.items():
            half.tensors[name].append(_norms(old.sub_(moment.parameters[name])))
        sizes = {name: (old[0].numel(), old.dim() - 1) for name, old in half.before.items()}
        counts = half.observed.sizes
        numbers = _by_member(half.observed.numbers)
        tensors = _by_member(half.tensors)
        active = {name: units.cpu().numpy() for name, units in half.active.items()}
        rates = moment.learning_rate.tolist()
        tables = (nn.Embedding, nn.EmbeddingBag)
        lookups = tuple(
            f"{name}.weight".lstrip(".")
            for name, layer in moment.template.named_modules()
            if isinstance(layer, tables)
        )
        for slot, member in enumerate(moment.members):
            own = numbers[slot]
            sample = Sample(
                step=moment.step,
                stepped=True,
                rates=(rates[slot],),
                training=moment.template.training,
                layers={
                    key[1]: layer_stat(counts[key], *values)
                    for key, values in own.items()
                    if isinstance(key, tuple) and len(key) == 2
                },
                tensors={name: tensor_stat(tensors[slot][name], *size) for name, size in sizes.items()},
                output=output_stat(own.get(("output",)), counts.get(("output",), 0), len(moment.x)),
            )
            self._samples.setdefault(member, []).append(
                MemberSample(
                    sample,
                    {name: units[slot] for name, units in active.items()},
                    lookups,
                    self._seconds,
                    *(half.pictures[slot] if half.pictures else ()),
                )
            )


def _norms(value: Tensor) -> Tensor:
    """Computes the norm of every member's part, [P]."""
    norms: Tensor = torch.linalg.vector_norm(value.reshape(len(value), -1), dim=1)
    return norms


def _reached(
    layers: Mapping[str, nn.Module], active: Mapping[str, Tensor], gradients: Mapping[str, Gradient]
) -> dict[str, Tensor]:
    """Finds units that were active or whose weights got a gradient, [P, units], as the live watch does."""
    found = {}
    for name, above in active.items():
        layer = layers[name]
        if isinstance(layer, RELUS):
            found[name] = above
            continue
        prefix = "" if name == "model" and name not in gradients else f"{name}."
        own = gradients.get(f"{prefix}bias")
        if own is None and not (isinstance(layer, CONVOLUTIONS) and layer.transposed):
            own = gradients.get(f"{prefix}weight")
        if own is not None:
            found[name] = above | own.dense().reshape(*above.shape, -1).any(2)
    return found


def _by_member(numbers: Numbers) -> list[dict[object, list[float]]]:
    """Reads all numbers with one transfer, and returns those of each member by name."""
    flat = [value for values in numbers.values() for value in values]
    if not flat:
        return []
    columns = torch.stack([value.float() for value in flat], dim=1).tolist()
    members = []
    for row in columns:
        rest = iter(row)
        members.append({name: [next(rest) for _ in values] for name, values in numbers.items()})
    return members


def _pictures(moment: Moment, observed: PopulationPass, slot: int) -> _Pictures:
    """Makes the histograms of one member, and the picture of its first layer."""
    histograms = [
        *(histogram(f"activations/{name}", moment.step, kept[slot]) for name, kept in observed.kept.items()),
        *(
            histogram(f"gradients/{name}", moment.step, gradient.dense()[slot])
            for name, gradient in moment.gradients.items()
            if moment.parameters[name].dim() > 2
        ),
    ]
    parameters = {name: value[slot].detach() for name, value in moment.parameters.items()}
    snapshot = first_layer(parameters, moment.step, tuple(moment.x.shape[1:]))
    return tuple(one for one in histograms if one is not None), () if snapshot is None else (snapshot,)
