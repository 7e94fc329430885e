"""Who is given up early: trials of a stage judged at rungs, all that came to one beside one another.

The rules are Optuna's median pruner and successive halving (Jamieson and Talwalkar, 2016), the rule of ASHA
(Li et al., 2018). Those judge a trial when it reports, against whoever reported before, so that a verdict
depends on who was faster. Here every trial waits at a rung until the slowest has come to it; what is decided
depends on the trials alone, not on workers, populations or a kill in between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from babysit.errors import InputError
from babysit.recipe.space import closest, number
from babysit.records import Reading, Result, State, score
from babysit.tuning.engines.early_stop import Key

NONE = "none"
ETA = 3
"""Of the trials that come to a rung of successive halving, one in so many goes on."""
FEWEST = 5
"""The median of fewer trials than this prunes nobody."""


class Rule(Protocol):
    """A way to prune."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs at whose end trials of so many epochs are judged."""
        ...

    def reasons(self, scores: Mapping[Key, float], left: Sequence[float]) -> dict[Key, str]:
        """Which of the trials that came to a rung are pruned, and why.

        Args:
            scores: the best score so far of each trial that came to the rung.
            left: those of the trials that were pruned, or complete, before.
        """
        ...


class Median:
    """Prunes after every epoch what is below the median; those that left count with what they had.

    Example:
        >>> scores = {(0, number): number / 10 for number in range(5)}
        >>> list(Median().reasons(scores, []))
        [(0, 0), (0, 1)]
        >>> list(Median().reasons({(0, 4): 0.4, (0, 3): 0.3}, [0.0, 0.1, 0.2]))
        []
    """

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Every epoch but the last."""
        return tuple(range(1, epochs))

    def reasons(self, scores: Mapping[Key, float], left: Sequence[float]) -> dict[Key, str]:
        """Trials below the median, where there are enough for one."""
        known = [*scores.values(), *left]
        if len(known) < FEWEST:
            return {}
        middle = median(known)
        return {
            key: f"{_told(value)} is worse than the median of {len(known)} trials, {number(abs(middle))}"
            for key, value in scores.items()
            if value < middle
        }


class Halving:
    """Prunes after epochs 1, 3, 9, ... all but the best third of those that came so far; equals stay.

    Example:
        >>> Halving().rungs(10)
        (1, 3, 9)
        >>> list(Halving().reasons({(0, number): number / 10 for number in range(6)}, []))
        [(0, 0), (0, 1), (0, 2), (0, 3)]
    """

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Powers of ``ETA`` less than the number of epochs."""
        found, rung = [], 1
        while rung < epochs:
            found.append(rung)
            rung *= ETA
        return tuple(found)

    def reasons(self, scores: Mapping[Key, float], left: Sequence[float]) -> dict[Key, str]:
        """Trials that are not among the best third."""
        if not scores:
            return {}
        kept = max(len(scores) // ETA, 1)
        last = sorted(scores.values(), reverse=True)[kept - 1]
        return {
            key: f"{_told(value)} is not among the best {kept} of {len(scores)} trials ({number(abs(last))})"
            for key, value in scores.items()
            if value < last
        }


RULES: Mapping[str, Rule] = {"median": Median(), "asha": Halving()}
PRUNERS = (NONE, *RULES)
"""What ``--pruner`` may be."""


@dataclass(slots=True)
class _Course:
    """One trial on its way."""

    scores: list[float] = field(default_factory=list)
    state: State = State.RUNNING
    is_touched: bool = False

    def best(self, epoch: int) -> float:
        return max(self.scores[:epoch])


class Judge:
    """Prunes the trials of one stage, of which it must be told everything.

    Args:
        pruner: one of ``PRUNERS``.
        epochs: of each trial.

    Raises:
        InputError: for another name.

    Example:
        >>> Judge("asha", 5).rungs
        (1, 3)
        >>> Judge("none", 5).rungs
        ()
    """

    def __init__(self, pruner: str, epochs: int) -> None:
        check_pruner(pruner)
        self._rule = RULES.get(pruner)
        self.rungs: tuple[int, ...] = () if self._rule is None else self._rule.rungs(epochs)
        self._courses: dict[Key, _Course] = {}

    def saw(self, key: Key, reading: Reading, *, is_touched: bool = False) -> None:
        """A trial finished an epoch; one that was touched by hand is neither judged nor compared with."""
        course = self._courses.setdefault(key, _Course())
        course.scores.append(score(reading))
        course.is_touched = is_touched

    def began_again(self, key: Key) -> None:
        """A trial begins once more: what was seen of it is to be seen again."""
        self._courses.pop(key, None)

    def ended(self, result: Result) -> None:
        """A trial will not change any more; it may be one of an earlier session, never seen before."""
        course = self._courses.setdefault(result.trial.key, _Course())
        course.scores = course.scores or [score(reading) for reading in result.run.readings]
        course.state = result.run.state
        course.is_touched = result.run.is_touched

    def __call__(self, rung: int) -> dict[Key, str]:
        """Which of the trials at the rung are pruned, with the reasons.

        All trials of the stage that finished the rung's epoch are compared at it, whatever became of them
        later. An explosion before it is no score; other trials that left before it have the score they had.
        """
        if self._rule is None:
            return {}
        courses = {key: course for key, course in self._courses.items() if not course.is_touched}
        there = {key: course.best(rung) for key, course in courses.items() if len(course.scores) >= rung}
        left = [
            max(course.scores)
            for course in courses.values()
            if 0 < len(course.scores) < rung and course.state in (State.PRUNED, State.COMPLETE)
        ]
        return {
            key: f"pruned after epoch {rung}: {reason}"
            for key, reason in self._rule.reasons(there, left).items()
            if self._courses[key].state is State.RUNNING
        }


def check_pruner(name: str) -> None:
    """Refuses a pruner that does not exist.

    Raises:
        InputError: for a name that is none of ``PRUNERS``.
    """
    if name not in PRUNERS:
        raise InputError(
            f"there is no pruner {name!r}", fix=f"choose with --pruner; {closest(name, PRUNERS)}"
        )


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_seconds(text: str) -> float:
    """Reads a time: seconds, or hours, minutes and seconds with their units.

    Raises:
        InputError: when it cannot be read, or is no time at all.

    Example:
        >>> [parse_seconds(text) for text in ("3600", "20m", "1h30m", "1.5h")]
        [3600.0, 1200.0, 5400.0, 5400.0]
    """
    bare = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", bare)
    if parts and "".join(value + unit for value, unit in parts) == bare:
        seconds = sum(float(value) * _UNITS[unit] for value, unit in parts)
    else:
        seconds = float(bare) if re.fullmatch(r"\d+(\.\d+)?", bare) else 0.0
    if not 0 < seconds < math.inf:
        raise InputError(
            f"cannot read the time {text!r}", fix="write --timeout 20m, 1h30m, or seconds: --timeout 3600"
        )
    return seconds


def _told(value: float) -> str:
    """A score in words: accuracies are positive, losses are kept as minus losses."""
    return f"validation {'accuracy' if value >= 0 else 'loss'} {number(abs(value))}"
