"""Agreement between two trainings of the same members: the comparison in numbers, and its result.

Two ways to compute the same sum round differently, and training amplifies the difference step by step. So
agreement means a tolerance over the first steps. A member that exceeds it is trained both ways once more in
float64, where rounding is a billion times smaller: a difference by rounding vanishes, an error stays. A model
that cannot run in float64 is compared with itself instead: a small change of its first weights shows how far
rounding alone would carry it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.records import Value
from babysit.training.population import Tensors

TOLERANCE = 1e-4
"""The largest relative difference of a loss that float32 rounding may cause in 50 steps."""

EXACT_TOLERANCE = 1e-6
"""The same in float64, where rounding causes less than costs stored in float32 can show."""

NUDGE = 1e-6
"""The relative change of a chaotic member's first weights, the size of a few float32 roundings."""

CHAOS_MARGIN = 10.0
"""A difference is the member's own chaos if it is at most this many times that of the nudged member."""

_SMALLEST_SCALE = 1e-2  # of the first cost; below it a relative difference would only compare roundings


@dataclass(frozen=True, slots=True)
class MemberTrace:
    """Results of one training of one member.

    Attributes:
        costs: the cost of every step, up to the explosion.
        val_loss: after the last step; NaN for an exploded member.
        explosion: the step at which it exploded; None if it did not.
        weights: its state dict after the last step; empty for an exploded member.
    """

    costs: NDArray[np.float64]
    val_loss: float
    explosion: int | None
    weights: Tensors


@dataclass(frozen=True, slots=True)
class MemberAgreement:
    """One member, trained in a population and alone.

    Attributes:
        hyperparameters: its own.
        loss: the largest relative difference of its costs and its validation loss.
        step: the step of that difference; the last step for the validation loss.
        explosions: the step at which it exploded in the population, and alone; None if it did not.
        exact: the same difference in float64; NaN if it was not needed or cannot be computed.
        growth: the difference that a nudge of its first weights grows to; NaN likewise.
        cause: the reason for a difference beyond the tolerance; "" if there is none.
        equal: True if they agree, or differ no more than rounding explains.
    """

    hyperparameters: Mapping[str, Value]
    loss: float
    step: int
    explosions: tuple[int | None, int | None]
    exact: float
    growth: float
    cause: str
    equal: bool


@dataclass(frozen=True, slots=True)
class TensorAgreement:
    """One parameter or buffer after the last step, over all members that did not explode.

    Attributes:
        name: its name in the state dict.
        absolute: the largest absolute difference.
        relative: the largest difference in units of the member's largest value in that tensor.
    """

    name: str
    absolute: float
    relative: float


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """The same trials in float32 and in another precision.

    Attributes:
        precision: the other precision.
        remark: its gain on this machine.
        trials, epochs: the number of trials, and of epochs of each.
        correlation: Spearman's rank correlation of the validation scores; NaN if all are tied.
        largest_loss, mean_loss: relative differences of the validation losses.
        best: (stage, number) of the best trial in float32, and in the other precision.
        same_best: True if the other's best is (one of) the best in float32.
        exploded: the number of trials that exploded in float32, and in the other precision.
    """

    precision: str
    remark: str
    trials: int
    epochs: int
    correlation: float
    largest_loss: float
    mean_loss: float
    best: tuple[tuple[int, int] | None, tuple[int, int] | None]
    same_best: bool
    exploded: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Verification:
    """Comparison of members trained in a population with the same members trained alone.

    Attributes:
        way: how the population computed: "fused", "vmap" or "serial".
        reason: the reason for that way.
        populations: the number of populations that the members formed.
        steps: the number of steps compared.
        tolerance: the largest relative loss difference that counts as rounding.
        members: the agreement of each member.
        tensors: the agreement of each tensor after the last step, largest difference first.
        remark: on the requested precision; "" for float32.
        ranking: in that precision against float32; None for float32.
    """

    way: str
    reason: str
    populations: int
    steps: int
    tolerance: float
    members: tuple[MemberAgreement, ...]
    tensors: tuple[TensorAgreement, ...]
    remark: str = ""
    ranking: RankAgreement | None = None

    @property
    def equal(self) -> bool:
        """True if every member agrees."""
        return all(member.equal for member in self.members)

    @property
    def loss(self) -> float:
        """The largest relative loss difference of any member."""
        return max(member.loss for member in self.members)

    @property
    def verdict(self) -> str:
        """One line: ``equal to float tolerance``, or ``NOT equal`` with the first member and the cause."""
        causes: dict[str, list[str]] = {}
        for number, member in enumerate(self.members):
            if not member.equal:
                together, alone = member.explosions
                difference = f"differs by {member.loss:.1e} in its loss at step {member.step}"
                if together != alone:
                    difference = f"{_explosion(together)} in the population, {_explosion(alone)} alone"
                return f"NOT equal: member {number} {difference}; {member.cause}"
            if member.cause:  # it exceeds the tolerance by its own rounding
                causes.setdefault(member.cause, []).append(str(number))
        rounding = "; ".join(f"member {', '.join(numbers)}: {cause}" for cause, numbers in causes.items())
        return "equal to float tolerance" + (f" ({rounding})" if rounding else "")


def _explosion(step: int | None) -> str:
    return "does not explode" if step is None else f"explodes at step {step}"


def loss_differences(ours: MemberTrace, theirs: MemberTrace) -> NDArray[np.float64]:
    """Computes relative differences of the costs, step by step, and of the validation loss as last entry.

    They are relative to the cost, but at least to a hundredth of the first one. If both explode at the same
    step, that step is left out: the cost of an exploded step is not comparable.

    Example:
        >>> first = MemberTrace(np.array([2.0, 1.0]), 1.0, None, {})
        >>> second = MemberTrace(np.array([2.0, 1.1]), 1.0, None, {})
        >>> loss_differences(second, first).round(6).tolist()
        [0.0, 0.1, 0.0]
    """
    together = ours.explosion is not None and ours.explosion == theirs.explosion
    count = min(len(ours.costs), len(theirs.costs)) - together
    a = np.append(ours.costs[:count], ours.val_loss)
    b = np.append(theirs.costs[:count], theirs.val_loss)
    floor = _SMALLEST_SCALE * abs(theirs.costs[0]) if len(theirs.costs) else 0.0
    scale = np.maximum(np.abs(b), floor if math.isfinite(floor) and floor > 0 else np.finfo(np.float64).tiny)
    with np.errstate(all="ignore"):
        found = np.abs(a - b) / scale
    neither = ~np.isfinite(a) & ~np.isfinite(b)  # two NaN or infinite losses do not differ
    return np.where(neither, 0.0, np.where(np.isfinite(found), found, np.inf))


def is_own_chaos(ours: MemberTrace, alone: MemberTrace, nudged: MemberTrace) -> bool:
    """Tells whether two ways differ in a member no more than a nudge of its first weights changes it.

    The comparison goes step by step, so a difference that is larger than the nudge has grown to by then is
    not the member's own chaos.
    """
    differs, grows = loss_differences(ours, alone), loss_differences(nudged, alone)
    if ours.explosion != alone.explosion and nudged.explosion == alone.explosion:
        return False
    count = min(len(differs), len(grows))
    allowed = np.maximum(TOLERANCE, CHAOS_MARGIN * np.maximum.accumulate(grows[:count]))
    return bool((np.maximum.accumulate(differs[:count]) <= allowed).all())


def tensor_agreements(pairs: Sequence[tuple[Tensors, Tensors]]) -> tuple[TensorAgreement, ...]:
    """Compares state dicts, each in a population and alone; the largest relative difference comes first.

    Example:
        >>> import torch
        >>> tensor_agreements([({"w": torch.tensor([1.0, 4.0])}, {"w": torch.tensor([1.0, 5.0])})])
        (TensorAgreement(name='w', absolute=1.0, relative=0.2),)
    """
    worst: dict[str, tuple[float, float]] = {}
    for ours, theirs in pairs:
        for name, value in theirs.items():
            absolute = (ours[name].double() - value.double()).abs().max().item() if value.numel() else 0.0
            scale = value.double().abs().max().item() if value.numel() else 0.0
            relative = absolute / scale if scale else (math.inf if absolute else 0.0)
            before = worst.get(name, (0.0, 0.0))
            worst[name] = max(before[0], absolute), max(before[1], relative)
    found = [TensorAgreement(name, *differences) for name, differences in worst.items()]
    return tuple(sorted(found, key=lambda tensor: -tensor.relative))


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Computes Spearman's rank correlation: Pearson's of the ranks, where ties share their mean rank.

    Args:
        a, b: scores of the same items, equally long; minus infinity ranks last.

    Returns:
        A value in [-1, 1]; NaN if either is all ties.

    Example:
        >>> round(rank_correlation([1, 2, 3, 4], [10, 20, 40, 30]), 6)
        0.8

    Source: C. Spearman, "The proof and measurement of association between two things" (1904).
    """
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / spread if spread else math.nan


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, place, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return means[place]
