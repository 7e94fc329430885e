"""Samplers that learn from results: those of Optuna, which draw the trials of a round before its results.

The study that Optuna is given lives in memory; the store is the only truth. A search that resumes after a
kill draws the same trials again and reports the results that the store kept.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from babysit.errors import InputError
from babysit.recipe.space import Choice, Fixed, Plain, Space, When, existing, plain
from babysit.records import Result, State, Trial, Value, score
from babysit.seeding import derive
from babysit.tuning.ranking import unchanged


def _cmaes(samplers: Any, seed: int, size: int) -> Any:
    generation = size if size >= 5 else None  # a smaller one would be no distribution
    return samplers.CmaEsSampler(seed=seed, popsize=generation, warn_independent_sampling=False)


ADAPTIVE: Mapping[str, Callable[[Any, int, int], Any]] = {
    # Grouped: names under different conditions are modelled apart, the others together.
    "tpe": lambda samplers, seed, _: samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True
    ),
    "gp": lambda samplers, seed, _: samplers.GPSampler(seed=seed),
    "cmaes": _cmaes,
}
"""Name -> a function that makes Optuna's sampler from its module, a seed and the size of a round."""


class Adaptive:
    """One of Optuna's samplers for the trials of one stage.

    A complete trial is reported with its score, a pruned one with its scores up to then. An exploded one
    counts as a little worse than all so far, so that its neighbourhood is left. Failed and stopped trials are
    reported without a score.

    Args:
        name: one of ``ADAPTIVE``.
        space: the stage's box.
        enqueued: trials that come first.
        stage: its index.
        count: the number of its trials.
        seed: the one seed.
        size: trials that are drawn before their results are known.

    Raises:
        InputError: when Optuna is not installed.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        enqueued: Sequence[Trial],
        *,
        stage: int,
        count: int,
        seed: int,
        size: int,
    ) -> None:
        self.count, self.round = count, size
        self._space, self._enqueued, self._stage = space, enqueued, stage
        self._optuna = _optuna(name)
        with _quiet(self._optuna):
            sampler = ADAPTIVE[name](self._optuna.samplers, derive(seed, "sampler", stage) % 2**32, size)
            self._study = self._optuna.create_study(direction="maximize", sampler=sampler)
        self._order = _parents_first(space)
        self._asked: list[Any] = []
        self._scores: list[float] = []

    def ask(self, first: int, count: int) -> list[Trial]:
        """Draws trials, from number ``first`` on."""
        with _quiet(self._optuna):
            return [self._draw(number) for number in range(first, first + count)]

    def tell(self, results: Sequence[Result]) -> None:
        """Reports the results of all trials that were drawn last, in their order."""
        own = [result.score for result in unchanged(results) if result.run.state is State.COMPLETE]
        self._scores += own
        states = self._optuna.trial.TrialState
        with _quiet(self._optuna):
            for asked, result in zip(self._asked, results, strict=True):
                state = result.run.state
                if result.run.is_touched:  # its score is not that of the values that were drawn
                    self._study.tell(asked, state=states.FAIL)
                elif state is State.COMPLETE:
                    self._study.tell(asked, result.score)
                elif state is State.PRUNED:
                    for reading in result.run.readings:
                        asked.report(score(reading), reading.epoch)
                    self._study.tell(asked, state=states.PRUNED)
                elif state is State.EXPLODED and self._scores:
                    # A little below the worst: a value far below is all that a Gaussian process would see.
                    worst, best = min(self._scores), max(self._scores)
                    value = worst - max(0.1 * (best - worst), 1e-3 * abs(worst), 1e-6)
                    self._study.tell(asked, value)
                else:
                    self._study.tell(asked, state=states.FAIL)
        self._asked = []

    def _draw(self, number: int) -> Trial:
        given = self._enqueued[number].hyperparameters if number < len(self._enqueued) else {}
        if given:
            self._study.enqueue_trial({name: given[name] for name in self._order if name in given})
        asked = self._study.ask()
        self._asked.append(asked)
        values: dict[str, Value] = {}
        for name in self._order:
            found = self._space[name]
            if not isinstance(found, When) or found.is_met(values):
                values[name] = _suggested(asked, name, plain(found))
        ordered = {name: values[name] for name in self._space if name in values}
        return Trial(self._stage, number, existing(self._space, ordered | dict(given)))


def _parents_first(space: Space) -> list[str]:
    """Returns the names in the order of spelling, each that depends on another after it."""
    ordered: list[str] = []
    parents = {name: found.parent for name, found in space.items() if isinstance(found, When)}
    while len(ordered) < len(space):
        left = [name for name in sorted(space) if name not in ordered]
        # A condition on itself, or on nothing in the space, never holds: its place does not matter.
        ordered += [name for name in left if parents.get(name) in (None, *ordered)] or left
    return ordered


def _suggested(asked: Any, name: str, found: Plain) -> Value:
    """Returns a value of the range as Optuna suggests it; adds a step in a log scale, which Optuna lacks."""
    if isinstance(found, Fixed):
        return found.value
    if isinstance(found, Choice):
        chosen: Value = asked.suggest_categorical(name, found.options)
        return chosen
    step = None if found.log else found.step
    if found.whole:
        value = asked.suggest_int(name, int(found.low), int(found.high), log=found.log, step=int(step or 1))
    else:
        value = asked.suggest_float(name, found.low, found.high, log=found.log, step=step)
    # At its own position a value is itself, but for rounding: 0.3 rather than 0.30000000000000004.
    return value if found.step is None else found.at(found.position(float(value)))


def check_installed(sampler: str) -> None:
    """Refuses a sampler whose packages are not installed; Optuna itself would fail some trials later.

    Raises:
        InputError: with the fix.
    """
    _optuna(sampler)
    if sampler == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise _missing(sampler, "cmaes") from None


def _optuna(sampler: str) -> Any:
    try:
        import optuna
    except ImportError:
        raise _missing(sampler, "optuna") from None
    return optuna


def _missing(sampler: str, package: str) -> InputError:
    return InputError(
        f"the sampler {sampler!r} needs {package}, which is not installed",
        fix='pip install "babysit[optuna]", or take --sampler random, grid or qmc',
    )


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Silences Optuna, which announces studies and warns of experimental options."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
