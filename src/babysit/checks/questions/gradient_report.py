"""The report of a gradient check: entries, tensors, and the bands of their relative errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

WRONG, UNEASY, HAPPY = 1e-2, 1e-4, 1e-7
TINY = 1e-9
"""Gradients below this change the last digits of the loss at most, and are not compared."""


class Band(StrEnum):
    """Bands of relative errors, from best to worst; ``unjudged`` where there is none."""

    UNJUDGED = "unjudged"
    HAPPY = "happy"
    FINE = "fine"
    HIGH = "high"
    UNEASY = "uneasy"
    WRONG = "wrong"


def band_of(error: float, *, has_kinks: bool) -> Band:
    """Returns the band of a relative error.

    Args:
        error: |analytic - numeric| / max(|analytic|, |numeric|), in [0, 2]; NaN where nothing was judged.
        has_kinks: whether the function has kinks: up to 1e-4 is fine then, and high otherwise.

    Example:
        >>> [str(band_of(error, has_kinks=True)) for error in (1e-8, 1e-5, 1e-3, 0.5)]
        ['happy', 'fine', 'uneasy', 'wrong']
        >>> str(band_of(1e-5, has_kinks=False))
        'high'

    Source: CS231n notes, neural networks part 3, "Gradient checks".
    """
    if math.isnan(error):
        return Band.UNJUDGED
    if error > WRONG:
        return Band.WRONG
    if error > UNEASY:
        return Band.UNEASY
    if error > HAPPY:
        return Band.FINE if has_kinks else Band.HIGH
    return Band.HAPPY


@dataclass(frozen=True, slots=True)
class GradientEntry:
    """One entry of a tensor, with its slope computed in two ways.

    Attributes:
        index: its position in the tensor.
        analytic: d loss / d entry by backpropagation.
        numeric: (f(x + h) - f(x - h)) / 2h.
        kink: whether the active set changes between the two evaluations, so that a kink lies between them.
        rounding: largest error of ``numeric`` due to the rounding of the two losses.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float
    kink: bool = False
    rounding: float = 0.0

    @property
    def error(self) -> float:
        """|analytic - numeric| / max(|analytic|, |numeric|); 0 if both are 0, infinite if one is NaN."""
        largest = max(abs(self.analytic), abs(self.numeric))
        if not (math.isfinite(self.analytic) and math.isfinite(self.numeric)):
            return math.inf
        return abs(self.analytic - self.numeric) / largest if largest else 0.0

    @property
    def judged(self) -> bool:
        """False at a kink, and where the difference is no larger than rounding."""
        lost = self.error > HAPPY and abs(self.analytic - self.numeric) <= self.rounding
        return not self.kink and not lost


@dataclass(frozen=True, slots=True)
class TensorGradient:
    """The sampled entries of one parameter.

    Attributes:
        name: the parameter's name.
        entries: first the one with the largest gradient, then others drawn at random.
        largest: the largest absolute analytic gradient of the whole tensor.
        is_weight: whether it has two dimensions or more.
        has_kinks: whether the function has kinks.
    """

    name: str
    entries: tuple[GradientEntry, ...]
    largest: float
    is_weight: bool
    has_kinks: bool

    @property
    def worst(self) -> float:
        """The largest relative error of the entries that can be judged; NaN where none can."""
        return max((entry.error for entry in self.entries if entry.judged), default=math.nan)

    @property
    def kinks(self) -> int:
        """Number of entries that were left out because a kink lies within the step."""
        return sum(entry.kink for entry in self.entries)

    @property
    def band(self) -> Band:
        """The band of the worst error."""
        return band_of(self.worst, has_kinks=self.has_kinks)


@dataclass(frozen=True, slots=True)
class GradientReport:
    """Result of a gradient check.

    Attributes:
        data: one for each trained parameter, of the data loss alone.
        regularization: one for each weight, of 1/2 * l2 * sum(W^2) alone; empty at l2 = 0.
        problem: the reason, where nothing could be compared; empty otherwise.
        is_fault: whether the problem is a fault of the model's gradient rather than a limit of the check.
    """

    data: tuple[TensorGradient, ...] = ()
    regularization: tuple[TensorGradient, ...] = ()
    problem: str = ""
    is_fault: bool = False

    @property
    def tensors(self) -> tuple[TensorGradient, ...]:
        """Both parts, the data loss first."""
        return self.data + self.regularization

    @property
    def worst(self) -> float:
        """The largest relative error of all; NaN where nothing could be judged."""
        errors = [tensor.worst for tensor in self.tensors if not math.isnan(tensor.worst)]
        return max(errors, default=math.nan)

    @property
    def kinks(self) -> int:
        """Number of entries at a kink."""
        return sum(tensor.kinks for tensor in self.tensors)

    @property
    def band(self) -> Band:
        """The worst band of all."""
        return max((tensor.band for tensor in self.tensors), key=list(Band).index, default=Band.UNJUDGED)

    @property
    def tiny(self) -> tuple[str, ...]:
        """The weights whose gradients are all below ``TINY``."""
        return tuple(tensor.name for tensor in self.data if tensor.is_weight and tensor.largest < TINY)

    def named(self, band: Band) -> tuple[str, ...]:
        """Returns the names of the tensors in a band, in the order of the model."""
        return tuple(dict.fromkeys(tensor.name for tensor in self.tensors if tensor.band is band))

    def __str__(self) -> str:
        lines = [
            f"{tensor.name:30} {tensor.band:8} worst {tensor.worst:.1e}, "
            f"{tensor.kinks} of {len(tensor.entries)} at a kink, largest {tensor.largest:.1e}"
            for tensor in self.tensors
        ]
        return "\n".join([*lines, self.problem] if self.problem else lines)
