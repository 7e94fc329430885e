"""Interface of the lab's experiments: their options and their outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Options:
    """Options of an experiment.

    Attributes:
        seed: the one seed from which everything random is derived.
        data: "digits", "cifar10" or "fashion-mnist", for the experiments that need data.
        quick: a small version of the same experiment, for tests: every part runs, the numbers are coarse.
    """

    seed: int = 0
    data: str = "digits"
    quick: bool = False

    def pick(self, full: int, quick: int) -> int:
        """Returns a size: the full one, or that of a quick run."""
        return quick if self.quick else full


class Table(NamedTuple):
    """Measured numbers beside theory and the lecture's; cells are text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment.

    Attributes:
        data: every number, as plain data that JSON can hold.
        lines: printed on the terminal, in the lecture's own words where it has them.
        tables: measured beside theory and the lecture's number.
        figures: name -> drawing function; nothing is drawn before it is called.
        remark: the lesson, in one to three sentences.
    """

    data: Mapping[str, Any]
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Experiment:
    """One experiment of the lecture.

    Attributes:
        name: its name on the command line.
        title: a heading.
        about: its subject in one sentence.
        slides: the section of the lecture.
        needs_data: True if it trains on ``Options.data``.
        run: runs it.
    """

    name: str
    title: str
    about: str
    slides: str
    needs_data: bool
    run: Callable[[Options], ExperimentResult]


def number(value: float | None, digits: int = 4) -> str:
    """Formats a number for a table, with an exponent if it is very small or large; None and NaN as a dash.

    Example:
        >>> number(0.627929), number(2.98e-7), number(None), number(float("nan")), number(0)
        ('0.6279', '2.98e-07', '–', '–', '0')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.{digits}g}" if 1e-3 <= size < 10**digits else f"{value:.{max(digits - 2, 0)}e}"


def plain(value: float) -> float | None:
    """Returns a float that JSON can hold: None for NaN and infinity.

    Example:
        >>> plain(1.5), plain(float("nan"))
        (1.5, None)
    """
    return float(value) if math.isfinite(value) else None
