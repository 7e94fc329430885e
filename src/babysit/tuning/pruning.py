"""Pruning: the trials of a stage are compared at fixed epochs (rungs), and the worst end there.

The rules are Optuna's median pruner and successive halving (Jamieson and Talwalkar, 2016), the rule of ASHA
(Li et al., 2018). Those judge a trial when it reports, against the trials that reported before, so that the
decision depends on timing. Here every trial waits at a rung for the slowest. A decision depends on the trials
alone, not on workers, populations or a kill in between.
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
from babysit.records import Reading, Result, State, TrialKey, score

NONE = "none"
ETA = 3
"""Successive halving keeps one of this many trials at a rung."""
FEWEST = 5
"""The median of fewer trials than this prunes none."""


class PruningRule(Protocol):
    """A rule that prunes trials."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the rungs of trials of this many epochs."""
        ...

    def reasons(self, scores: Mapping[TrialKey, float], left: Sequence[float]) -> dict[TrialKey, str]:
        """Returns the trials at a rung that are pruned, each with the reason.

        Args:
            scores: the best score so far of each trial that came to the rung.
            left: the best scores of the trials that were pruned, or complete, before it.
        """
        ...


class Median:
    """Prunes after every epoch the trials below the median; trials that ended before count with their score.

    Example:
        >>> scores = {(0, number): number / 10 for number in range(5)}
        >>> list(Median().reasons(scores, []))
        [(0, 0), (0, 1)]
        >>> list(Median().reasons({(0, 4): 0.4, (0, 3): 0.3}, [0.0, 0.1, 0.2]))
        []
    """

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns every epoch but the last."""
        return tuple(range(1, epochs))

    def reasons(self, scores: Mapping[TrialKey, float], left: Sequence[float]) -> dict[TrialKey, str]:
        """Returns the trials below the median, where there are enough for one."""
        known = [*scores.values(), *left]
        if len(known) < FEWEST:
            return {}
        middle = median(known)
        return {
            key: f"{_text(value)} is worse than the median of {len(known)} trials, {number(abs(middle))}"
            for key, value in scores.items()
            if value < middle
        }


class Halving:
    """Prunes after epochs 1, 3, 9, ... all but the best third of the trials that came to them; equals stay.

    Example:
        >>> Halving().rungs(10)
        (1, 3, 9)
        >>> list(Halving().reasons({(0, number): number / 10 for number in range(6)}, []))
        [(0, 0), (0, 1), (0, 2), (0, 3)]
    """

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the powers of ``ETA`` below the number of epochs."""
        found, rung = [], 1
        while rung < epochs:
            found.append(rung)
            rung *= ETA
        return tuple(found)

    def reasons(self, scores: Mapping[TrialKey, float], left: Sequence[float]) -> dict[TrialKey, str]:
        """Returns the trials that are not among the best third."""
        if not scores:
            return {}
        kept = max(len(scores) // ETA, 1)
        last = sorted(scores.values(), reverse=True)[kept - 1]
        return {
            key: f"{_text(value)} is not among the best {kept} of {len(scores)} trials ({number(abs(last))})"
            for key, value in scores.items()
            if value < last
        }


RULES: Mapping[str, PruningRule] = {"median": Median(), "asha": Halving()}
PRUNERS = (NONE, *RULES)
"""Accepted by ``--pruner``."""


@dataclass(slots=True)
class _Scores:
    """The scores of one trial so far."""

    scores: list[float] = field(default_factory=list)
    state: State = State.RUNNING
    is_touched: bool = False

    def best(self, epoch: int) -> float:
        return max(self.scores[:epoch])


class StagePruner:
    """Prunes the trials of one stage, from the epochs and ends that are reported to it.

    Args:
        pruner: one of ``PRUNERS``.
        epochs: of each trial.

    Raises:
        InputError: for another name.

    Example:
        >>> StagePruner("asha", 5).rungs
        (1, 3)
        >>> StagePruner("none", 5).rungs
        ()
    """

    def __init__(self, pruner: str, epochs: int) -> None:
        check_pruner(pruner)
        self._rule = RULES.get(pruner)
        self.rungs: tuple[int, ...] = () if self._rule is None else self._rule.rungs(epochs)
        self._trials: dict[TrialKey, _Scores] = {}

    def epoch_done(self, key: TrialKey, reading: Reading, *, is_touched: bool = False) -> None:
        """Records an epoch of a trial; one that the user changed is neither pruned nor compared with."""
        trial = self._trials.setdefault(key, _Scores())
        trial.scores.append(score(reading))
        trial.is_touched = is_touched

    def restarted(self, key: TrialKey) -> None:
        """Forgets a trial that restarts."""
        self._trials.pop(key, None)

    def ended(self, result: Result) -> None:
        """Records the end of a trial, which may be one of an earlier session."""
        trial = self._trials.setdefault(result.trial.key, _Scores())
        trial.scores = trial.scores or [score(reading) for reading in result.run.readings]
        trial.state = result.run.state
        trial.is_touched = result.run.is_touched

    def __call__(self, rung: int) -> dict[TrialKey, str]:
        """Returns the trials at the rung that are pruned, each with the reason.

        All trials of the stage that finished the rung's epoch are compared, whatever their state is now. One
        that exploded before it has no score; others that ended before it have the score they had.
        """
        if self._rule is None:
            return {}
        trials = {key: trial for key, trial in self._trials.items() if not trial.is_touched}
        there = {key: trial.best(rung) for key, trial in trials.items() if len(trial.scores) >= rung}
        left = [
            max(trial.scores)
            for trial in trials.values()
            if 0 < len(trial.scores) < rung and trial.state in (State.PRUNED, State.COMPLETE)
        ]
        return {
            key: f"pruned after epoch {rung}: {reason}"
            for key, reason in self._rule.reasons(there, left).items()
            if self._trials[key].state is State.RUNNING
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
        InputError: when it cannot be read, or is not a positive time.

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


def _text(value: float) -> str:
    """Describes a score: accuracies are positive, losses are kept as minus losses."""
    return f"validation {'accuracy' if value >= 0 else 'loss'} {number(abs(value))}"
