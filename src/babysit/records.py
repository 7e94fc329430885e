"""The frozen records that rooms exchange: studies, trials, runs, readings, commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

Value = float | int | str | bool
"""The value of one hyperparameter."""


TrialKey = tuple[int, int]
"""Stage and number of a trial."""


class State(StrEnum):
    """The state of a run, trial or study."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    EXPLODED = "exploded"
    PRUNED = "pruned"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True if nothing more will happen: the run is neither waiting, running nor stopped half-way."""
        return self in (State.COMPLETE, State.EXPLODED, State.PRUNED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Reading:
    """The measurements at the end of one epoch of one run.

    Attributes:
        epoch: epochs done, from 1.
        step: update steps done; 0 where a printed log does not say.
        cost: the last mini-batch's cost before its update (data loss + regularization), in nats for softmax.
        train_accuracy: on a fixed sample of training rows, in [0, 1]; NaN for regression.
        val_accuracy: on the validation split, in [0, 1]; NaN for regression.
        learning_rate: the rate of the epoch's last step.
        val_loss: mean data loss on the validation split.
    """

    epoch: int
    step: int
    cost: float
    train_accuracy: float
    val_accuracy: float
    learning_rate: float
    val_loss: float = math.nan


EXPLOSION_LIMIT = 3.0
"""Ratio of a cost to the run's first cost above which the run has exploded (CS231n lecture 6)."""


@dataclass(frozen=True, slots=True)
class Explosion:
    """The reason a run was stopped: its cost exceeded the limit times its first cost, or became NaN.

    Attributes:
        step: the step whose cost was too high, from 1; 0 where a printed log does not say.
        epoch: the epoch of that step, from 1.
        cost: that cost; may be infinite or NaN.
        first_cost: the run's own first cost.
    """

    step: int
    epoch: int
    cost: float
    first_cost: float

    @property
    def ratio(self) -> float:
        """The cost over the first cost; NaN or infinity when the cost is."""
        return self.cost / self.first_cost if self.first_cost else math.inf


class CommandKind(StrEnum):
    """The kinds of request to a live run or study."""

    STOP = "stop"
    SCALE_LEARNING_RATE = "scale_learning_rate"
    STOP_STUDY = "stop_study"
    EXTEND_STUDY = "extend_study"

    @property
    def is_of_trial(self) -> bool:
        """True for a request to one trial; False for one to the whole study."""
        return self in (CommandKind.STOP, CommandKind.SCALE_LEARNING_RATE)

    @property
    def has_argument(self) -> bool:
        """True if it takes a number: the factor of a learning rate, the trials of an extension."""
        return self in (CommandKind.SCALE_LEARNING_RATE, CommandKind.EXTEND_STUDY)


class CommandState(StrEnum):
    """The progress of a request: asked, seen by the run's process, then one of three answers."""

    ASKED = "asked"
    SEEN = "seen"
    APPLIED = "applied"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """True until the request is answered."""
        return self in (CommandState.ASKED, CommandState.SEEN)


@dataclass(frozen=True, slots=True)
class Command:
    """A request to a live run or study, and its outcome.

    Attributes:
        id: its number in the store; of two requests the smaller was asked first.
        study: the study.
        trial: (stage, number) of the trial; None for the whole study.
        kind: the kind of request.
        argument: the factor of a learning rate, > 0, or the trials of the last stage, >= 1; else NaN.
        by: the origin of the request, in words.
        asked: the time of the request, in seconds since 1970.
        state: its progress.
        step: the step after which it took effect; 0 if it did not, or before the first.
        detail: the answer in words.
        answered: the time of the answer, in seconds since 1970; NaN while it is open.
        version: the number of the last change, from the same count as the run summaries'.
    """

    id: int
    study: int
    trial: TrialKey | None
    kind: CommandKind
    argument: float
    by: str
    asked: float
    state: CommandState
    step: int = 0
    detail: str = ""
    answered: float = math.nan
    version: int = 0


@dataclass(frozen=True, slots=True)
class Touch:
    """A change that the user made to a run while it trained.

    Attributes:
        kind: stop or scale_learning_rate.
        step: the step after which it took effect; 0 is before the first.
        argument: the factor of the learning rate; NaN for a stop.
    """

    kind: CommandKind
    step: int
    argument: float = math.nan


@dataclass(frozen=True, slots=True)
class Run:
    """The summary of one training of one model.

    Attributes:
        state: how it ended, or its current state.
        readings: one per finished epoch.
        first_cost: the first mini-batch's cost; NaN before the first step.
        explosion: set if and only if the state is exploded.
        seconds: wall-clock time of its population, shared by all members.
        steps: update steps done.
        message: why it failed or was pruned, in words; empty otherwise.
        folds: the validation score of each fold at the best epoch of their mean; empty without folds.
        touches: the changes that the user made while it trained, in that order; empty for most runs.
    """

    state: State
    readings: tuple[Reading, ...] = ()
    first_cost: float = math.nan
    explosion: Explosion | None = None
    seconds: float = 0.0
    steps: int = 0
    message: str = ""
    folds: tuple[float, ...] = ()
    touches: tuple[Touch, ...] = ()

    @property
    def is_final(self) -> bool:
        """True if nothing more will happen; a stopped run is final only if the user stopped it."""
        return self.state.is_final or (self.state is State.STOPPED and self.was_stopped_by_user)

    @property
    def was_stopped_by_user(self) -> bool:
        """True if the user asked for its end; other stopped runs ended half-way with their study."""
        return any(touch.kind is CommandKind.STOP for touch in self.touches)

    @property
    def learning_rate_factor(self) -> float:
        """The product of all factors the user applied to its learning rate; 1 without any.

        Example:
            >>> halved = Touch(CommandKind.SCALE_LEARNING_RATE, step=100, argument=0.5)
            >>> Run(State.COMPLETE, touches=(halved, halved)).learning_rate_factor
            0.25
        """
        scaled = CommandKind.SCALE_LEARNING_RATE
        return math.prod(touch.argument for touch in self.touches if touch.kind is scaled)

    @property
    def is_touched(self) -> bool:
        """True if the user changed its learning rate: it did not train with its own hyperparameters."""
        return any(touch.kind is CommandKind.SCALE_LEARNING_RATE for touch in self.touches)

    @property
    def best(self) -> Reading | None:
        """The reading with the best validation score (accuracy; for regression the lowest validation loss).

        None for an exploded run: a run that was stopped has no accuracy to report.
        """
        if self.state is State.EXPLODED or not self.readings:
            return None
        return max(self.readings, key=score)

    @property
    def last(self) -> Reading | None:
        """The newest reading."""
        return self.readings[-1] if self.readings else None


def score(reading: Reading) -> float:
    """Returns the value a search maximizes: validation accuracy, or minus the validation loss without one.

    Example:
        >>> score(Reading(1, 10, cost=2.3, train_accuracy=0.1, val_accuracy=0.25, learning_rate=1e-3))
        0.25
        >>> nan = float("nan")
        >>> score(Reading(1, 10, 2.3, train_accuracy=nan, val_accuracy=nan, learning_rate=0.1, val_loss=4.0))
        -4.0
    """
    if not math.isnan(reading.val_accuracy):
        return reading.val_accuracy
    return -reading.val_loss if not math.isnan(reading.val_loss) else -math.inf


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of hyperparameters.

    Attributes:
        stage: index of its stage in the study, from 0.
        number: its number in the stage, from 0.
        hyperparameters: name -> value of every one that the recipe uses.
    """

    stage: int
    number: int
    hyperparameters: Mapping[str, Value]

    @property
    def key(self) -> TrialKey:
        """(stage, number): unique in a study."""
        return (self.stage, self.number)


@dataclass(frozen=True, slots=True)
class Result:
    """A trial and its run."""

    trial: Trial
    run: Run

    @property
    def score(self) -> float:
        """The best validation score; minus infinity when there is none."""
        best = self.run.best
        return score(best) if best is not None else -math.inf

    @property
    def fold_error(self) -> float:
        """The standard error of the score over folds, std / sqrt(K); NaN without folds.

        Example:
            >>> round(Result(Trial(0, 0, {}), Run(State.COMPLETE, folds=(0.5, 0.7))).fold_error, 6)
            0.1
        """
        folds = self.run.folds
        return float(np.std(folds, ddof=1) / math.sqrt(len(folds))) if len(folds) > 1 else math.nan


@dataclass(frozen=True, slots=True)
class Stage:
    """One box of ranges with its budget.

    Attributes:
        index: position in the study, from 0.
        name: "coarse", "fine", ...
        box: name -> the range as plain data (see ``recipe.space.Range.as_data``).
        trials: the number of trials.
        epochs: epochs per trial.
        reason: the reason for this box, in words.
    """

    index: int
    name: str
    box: Mapping[str, Any]
    trials: int
    epochs: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """The alarm: the best value of a hyperparameter sits near an edge of the searched range.

    Attributes:
        name: the hyperparameter.
        value: its best value.
        position: its position in the range, in the scale of the search: 0 = lowest, 1 = highest.
        side: "lower" or "upper".
        low, high: the searched range, in values.
        scale: "log" or "linear".
        new_low, new_high: the proposed range.
        message: the alarm in words.
        near, top: the number of best trials in the outer tenth of the range on that side, and of all best
            trials; 0 if they were not counted.
        silenced: the reason for which the alarm is silenced; empty while it is active.
    """

    name: str
    value: float
    position: float
    side: str
    low: float
    high: float
    scale: str
    new_low: float
    new_high: float
    message: str
    near: int = 0
    top: int = 0
    silenced: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """One question about one recipe: a search, a single training, or the demo.

    Attributes:
        id: its number in the store.
        name: its name for the user.
        recipe: the recipe's name or path.
        kind: "search" or "train".
        seed: the one seed that everything is derived from.
        fingerprint: equal for two studies if and only if the same command would give the same trials.
        settings: all other settings, as plain data.
        state: its current state.
        created: seconds since 1970.
        outcome: its outcome as plain data; empty until the end.
    """

    id: int
    name: str
    recipe: str
    kind: str
    seed: int
    fingerprint: str
    settings: Mapping[str, Any]
    state: State
    created: float
    outcome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """The distribution of some numbers of a run at one step.

    Attributes:
        name: the counted quantity, e.g. "activations/1" or "gradients/0.weight".
        step: the step, from 1.
        edges: of the bins, ascending, float32, one more than bins.
        counts: the numbers in each bin, int32.
    """

    name: str
    step: int
    edges: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Some weights of a run at one step, e.g. those of the first layer, to be drawn as images.

    Attributes:
        name: the parameter's name.
        step: the step, from 1; the weights are those before its update.
        values: float16; one unit or filter a row, shaped like the input where the layer sees all of it.
    """

    name: str
    step: int
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Details:
    """A part of what a run recorded beside its costs and readings.

    Attributes:
        series: name -> steps and values, e.g. "layers/0.weight/update_ratio".
        histograms, snapshots: oldest first.
    """

    series: Mapping[str, tuple[Sequence[int], Sequence[float]]] = field(default_factory=dict)
    histograms: Sequence[Histogram] = ()
    snapshots: Sequence[Snapshot] = ()
