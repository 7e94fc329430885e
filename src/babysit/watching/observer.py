"""The trainer's own observer: the statistics of the live watch, for every member of a population.

Update ratios and gradient norms come from the stacked tensors of the very step, activations from one pass of
the step's first examples. A step that is not sampled costs one comparison.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from babysit.records import Histogram, Snapshot
from babysit.training.gradients import Gradient
from babysit.training.observer import Moment
from babysit.watching.capture import CONVOLUTIONS, RELUS, Guard
from babysit.watching.distributions import first_layer, histogram
from babysit.watching.measuring import EXAMPLES
from babysit.watching.sample import Sample, TensorStat, layer_stat, output_stat
from babysit.watching.shadow import Numbers, Seen, Twin

DENSE, SPARSER = 512, 4
"""After so many steps samples are so many times rarer: a long run changes slowly, and pays less."""
EVERY_IN_SEARCH = 128
"""A trial of a search is sampled an eighth as often as a run that is watched alone."""
_DETAILS_EVERY = 4
_TIMED = 8
"""So many steps after a sample are timed; an epoch's end in between makes the time void."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one member around one step.

    Attributes:
        sample: the statistics, as the live watch has them.
        active: layer -> which of its units were active or got a gradient, bool.
        lookups: names of embedding tables.
        seconds: per step of the whole population, lately; NaN if not known.
        histograms, snapshots: of a detailed look.
    """

    sample: Sample
    active: Mapping[str, np.ndarray]
    lookups: tuple[str, ...] = ()
    seconds: float = math.nan
    histograms: tuple[Histogram, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()


class _Open(NamedTuple):
    """A look between the two halves of its step."""

    seen: Seen
    before: dict[str, Tensor]
    tensors: Numbers
    active: dict[str, Tensor]
    pictures: list[tuple[tuple[Histogram, ...], tuple[Snapshot, ...]]]


class PopulationObserver:
    """Looks at a population at some steps; ``take`` gives what was seen.

    Sampled are steps 1, 3, 9, ... as long as that is denser than ``every``, then each ``every``-th, and
    beyond the 512th a quarter as many. Whatever goes wrong inside is swallowed and counted.

    Args:
        every: steps from sample to sample, at least 1, default 128.
        detailed: at every fourth sample also histograms of activations and gradients, and the first layer's
            weights; meant for populations of one or a few.

    Attributes:
        guard: counts what went wrong.

    Example:
        >>> observer = PopulationObserver(every=16)
        >>> observer.wants(1), observer.take()
        (True, {})
    """

    def __init__(self, every: int = EVERY_IN_SEARCH, *, detailed: bool = False) -> None:
        self.guard = Guard()
        self.every, self.detailed = every, detailed
        self._next, self._count = 1, 0
        self._twin: Twin | None = None
        self._open: _Open | None = None
        self._looks: dict[int, list[Look]] = {}
        self._clock: tuple[int, float] | None = None
        self._seconds = math.nan

    def wants(self, step: int) -> bool:
        """Whether to be shown this step."""
        if self._clock is not None:
            self._time(step, *self._clock)
        return step >= self._next

    def _time(self, step: int, since: int, then: float) -> None:
        if then == 0.0:
            self._clock = (step, time.perf_counter())
        elif step == since + _TIMED:
            self._seconds = (time.perf_counter() - then) / _TIMED
            self._clock = None

    def take(self) -> dict[int, tuple[Look, ...]]:
        """What was seen since the last call, by member; call it between epochs."""
        looks, self._looks, self._clock = self._looks, {}, None
        return {member: tuple(seen) for member, seen in looks.items()}

    def before(self, moment: Moment) -> None:
        """The gradients are known, the weights are still the old ones."""
        gap = self.every if moment.step < DENSE else SPARSER * self.every
        self._next = moment.step + max(1, min(2 * moment.step, gap))
        self._open = None
        self.guard(self._look_before, moment)

    def after(self, moment: Moment) -> None:
        """The weights are the new ones."""
        if self._open is not None:
            self.guard(self._look_after, moment, self._open)
        self._open = None
        self._clock = (moment.step, 0.0)  # the clock starts when the next step begins

    @torch.no_grad()
    def _look_before(self, moment: Moment) -> None:
        detailed = self.detailed and self._count % _DETAILS_EVERY == 0
        self._count += 1
        if self._twin is None:
            self._twin = Twin(moment.template, self.guard, keep=self.detailed)
        values = {name: value.detach() for name, value in moment.parameters.items()}
        # The population's buffers are not ours to write.
        buffers = {name: value.clone() for name, value in moment.buffers.items()}
        seen = self._twin.look({**values, **buffers}, moment.x[:EXAMPLES], training=moment.template.training)
        trained = {name: values[name] for name in moment.gradients}
        tensors: Numbers = {
            name: [_norms(value), _norms(moment.gradients[name].dense())] for name, value in trained.items()
        }
        self._open = _Open(
            seen,
            {name: value.clone() for name, value in trained.items()},
            tensors,
            dict(_moved(self._twin.capture.layers, seen.active, moment.gradients)),
            [_pictures(moment, seen, slot) for slot in range(len(moment.members))] if detailed else [],
        )

    @torch.no_grad()
    def _look_after(self, moment: Moment, opened: _Open) -> None:
        for name, old in opened.before.items():
            opened.tensors[name].append(_norms(old.sub_(moment.parameters[name])))
        sizes = {name: (old[0].numel(), old.dim() - 1) for name, old in opened.before.items()}
        layers = _by_member(opened.seen.numbers)
        tensors = _by_member(opened.tensors)
        active = {name: units.cpu().numpy() for name, units in opened.active.items()}
        rates = moment.learning_rate.tolist()
        lookups = _lookups(moment.template)
        for slot, member in enumerate(moment.members):
            look = Look(
                _sample(moment, rates[slot], layers[slot], opened.seen.sizes, tensors[slot], sizes),
                {name: units[slot] for name, units in active.items()},
                lookups,
                self._seconds,
                *(opened.pictures[slot] if opened.pictures else ()),
            )
            self._looks.setdefault(member, []).append(look)


def _norms(value: Tensor) -> Tensor:
    """The norm of every member's part, [P]."""
    norms: Tensor = torch.linalg.vector_norm(value.reshape(len(value), -1), dim=1)
    return norms


def _moved(
    layers: Mapping[str, nn.Module], active: Mapping[str, Tensor], gradients: Mapping[str, Gradient]
) -> Iterator[tuple[str, Tensor]]:
    """Units that were active, or whose weights got a gradient, [P, units]; as the live watch counts them."""
    for name, above in active.items():
        layer = layers[name]
        if isinstance(layer, RELUS):
            yield name, above
            continue
        prefix = "" if name == "model" and name not in gradients else f"{name}."
        own = gradients.get(f"{prefix}bias")
        if own is None and not (isinstance(layer, CONVOLUTIONS) and layer.transposed):
            own = gradients.get(f"{prefix}weight")
        if own is not None:
            yield name, above | own.dense().reshape(*above.shape, -1).any(2)


def _by_member(numbers: Numbers) -> list[dict[object, list[float]]]:
    """One transfer for all numbers: for each member its own, by name."""
    flat = [value for values in numbers.values() for value in values]
    if not flat:
        return []
    columns = torch.stack([value.float() for value in flat], dim=1).tolist()
    members = []
    for row in columns:
        rest = iter(row)
        members.append({name: [next(rest) for _ in values] for name, values in numbers.items()})
    return members


def _sample(
    moment: Moment,
    rate: float,
    numbers: Mapping[object, list[float]],
    counts: Mapping[Hashable, int],
    tensors: Mapping[object, list[float]],
    sizes: Mapping[str, tuple[int, int]],
) -> Sample:
    layers = {
        key[1]: layer_stat(counts[key], *values)
        for key, values in numbers.items()
        if isinstance(key, tuple) and len(key) == 2
    }
    return Sample(
        step=moment.step,
        stepped=True,
        rates=(rate,),
        training=moment.template.training,
        layers=layers,
        tensors={name: _tensor_stat(tensors[name], size) for name, size in sizes.items()},
        output=output_stat(numbers.get(("output",)), counts.get(("output",), 0), len(moment.x)),
    )


def _tensor_stat(norms: Sequence[float], size: tuple[int, int]) -> TensorStat:
    weight, gradient, update = norms
    return TensorStat(weight, gradient, update, *size)


def _lookups(template: nn.Module) -> tuple[str, ...]:
    tables = (nn.Embedding, nn.EmbeddingBag)
    return tuple(
        f"{name}.weight".lstrip(".") for name, layer in template.named_modules() if isinstance(layer, tables)
    )


def _pictures(moment: Moment, seen: Seen, slot: int) -> tuple[tuple[Histogram, ...], tuple[Snapshot, ...]]:
    histograms = [
        *(histogram(f"activations/{name}", moment.step, kept[slot]) for name, kept in seen.kept.items()),
        *(
            histogram(f"gradients/{name}", moment.step, gradient.dense()[slot])
            for name, gradient in moment.gradients.items()
            if moment.parameters[name].dim() > 2
        ),
    ]
    parameters = {name: value[slot].detach() for name, value in moment.parameters.items()}
    snapshot = first_layer(parameters, moment.step, tuple(moment.x.shape[1:]))
    return tuple(one for one in histograms if one is not None), () if snapshot is None else (snapshot,)
