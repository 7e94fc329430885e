"""The status of a study at a glance: its standing in words, and its progress."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from babysit.records import CommandKind, Edge, Reading, Result, Run, State, Touch, Trial, TrialKey
from babysit.store import overview
from babysit.store.overview import TrialLine
from babysit.store.reader import Reader
from babysit.views.data.command_lines import searched_again
from babysit.views.data.formatting import (
    MISSING,
    duration_text,
    exponent_text,
    number_text,
    percent_text,
    silenced_text,
    value_text,
)
from babysit.views.data.scatter import RangeStrip, range_strip
from babysit.views.data.standing import study_standing
from babysit.views.data.trial_table import Board

SETTLING_SECONDS = 3.0
"""A study must have run for this long before the time left is estimated."""


class BestTrial(NamedTuple):
    """The best trial in words."""

    key: TrialKey
    name: str
    score: str
    values: tuple[tuple[str, str], ...]


class EdgeAlarm(NamedTuple):
    """A best value at an edge: the alarm, its figure, and the command that searches beyond."""

    message: str
    proposal: str
    strip: RangeStrip | None
    command: str


class StageProgress(NamedTuple):
    """The progress of a stage; ``share`` is the done part of its work, 0 to 1."""

    name: str
    trials: int
    epochs: int
    ended: int
    share: float
    reason: str


class StudyStatus(NamedTuple):
    """A study at a glance.

    Attributes:
        state: of the study; "interrupted" where its process is gone.
        best: None before the first score.
        alarms: the edge alarms, with what to do.
        silenced: the silenced alarms, in words.
        no_alarms: why no edge is judged although there is a best trial; empty where the edges are judged.
        ties: all within one standard error of the best, the best first.
        advice: in sentences, once the study is done.
        stages: those that have started and those that will.
        counts: state -> trials.
        elapsed, left: in words; a dash where they are unknown.
    """

    state: str
    best: BestTrial | None
    alarms: tuple[EdgeAlarm, ...]
    silenced: tuple[str, ...]
    no_alarms: str
    ties: tuple[TrialKey, ...]
    advice: tuple[str, ...]
    stages: tuple[StageProgress, ...]
    counts: Mapping[str, int]
    elapsed: str
    left: str


def study_status(
    reader: Reader, board: Board, found: Sequence[TrialLine], *, interrupted: bool = False
) -> StudyStatus:
    """Returns the status of a study.

    Args:
        reader: the store.
        board: the study with its stages.
        found: all its trials.
        interrupted: its process is gone.
    """
    study = board.study
    results = light_results(found, overview.learning_rate_factors(reader, study.id))
    stands = study_standing(study, board.stages, results)
    messages = {edge.message for edge in stands.edges}
    stages = _progress(board, found)
    elapsed, left = _times(board, stages, study.state is State.RUNNING and not interrupted)
    return StudyStatus(
        state="interrupted" if interrupted else study.state.value,
        best=None if stands.best is None else _best(board, stands.best),
        alarms=tuple(_alarm(board, edge) for edge in stands.edges),
        silenced=tuple(silenced_text(edge) for edge in stands.silenced),
        no_alarms=stands.no_alarms,
        ties=tuple(result.trial.key for result in stands.ties),
        advice=tuple(line for line in stands.advice if line not in messages),
        stages=stages,
        counts=Counter(line.state for line in found),
        elapsed=elapsed,
        left=left,
    )


def light_results(found: Sequence[TrialLine], factors: Mapping[int, float]) -> list[Result]:
    """Builds results whose runs hold one reading, their best: enough to rank them.

    Args:
        found: the trials.
        factors: the row of a trial -> the factor by which the user changed its learning rate.

    Example:
        >>> numbers = (3, 90, *[0.5] * 6, 1e-3, None, None, None, 1.0, "", b"", 9)
        >>> line = TrialLine(1, 1, 0, 7, '{"l2": 0.1}', "complete", *numbers)
        >>> [result] = light_results([line], {})
        >>> result.trial.key, result.score
        ((0, 7), 0.5)
    """
    results = []
    for line, choice in zip(found, overview.choices(found), strict=True):
        factor, best, accuracy = factors.get(line.row), line.best_score, line.best_val_accuracy
        touches = () if factor is None else (Touch(CommandKind.SCALE_LEARNING_RATE, 0, factor),)
        readings: tuple[Reading, ...] = ()
        if best is not None and math.isfinite(best):
            reading = Reading(
                epoch=line.epochs,
                step=line.steps,
                cost=math.nan,
                train_accuracy=math.nan,
                val_accuracy=math.nan if accuracy is None else accuracy,
                learning_rate=math.nan,
                val_loss=-best if accuracy is None else math.nan,
            )
            readings = (reading,)
        run = Run(State(line.state), readings, touches=touches)
        results.append(Result(Trial(line.stage, line.number, choice), run))
    return results


def _best(board: Board, best: Result) -> BestTrial:
    choice, key = best.trial.hyperparameters, best.trial.key
    values = [(knob.name, knob.text(choice.get(knob.name))) for knob in board.knobs]
    score = percent_text(best.score) if board.accuracy else number_text(-best.score)
    return BestTrial(key, trial_name(board, key), score, tuple(values))


def trial_name(board: Board, key: TrialKey) -> str:
    """Returns the name of a trial: "fine 12", or "run 0" without a stage."""
    names = {stage.index: stage.name for stage in board.stages}
    return f"{names.get(key[0], key[0] if names else 'run')} {key[1]}"


def _alarm(board: Board, edge: Edge) -> EdgeAlarm:
    strip = range_strip(edge)
    knob = next((one for one in board.knobs if one.name == edge.name), None)
    if strip is None or knob is None or not knob.maker:
        return EdgeAlarm(edge.message, "", None, "")
    text = exponent_text if edge.scale == "log" else value_text
    low, high = edge.new_low, edge.new_high
    command = searched_again(board.study, {knob.name: knob.maker.format(f"{low:g}", f"{high:g}")})
    proposal = f"Search {knob.name} from {text(low)} to {text(high)} next."
    return EdgeAlarm(edge.message, proposal, strip, command)


def _progress(board: Board, found: Sequence[TrialLine]) -> tuple[StageProgress, ...]:
    by_stage: dict[int, list[TrialLine]] = {}
    for line in found:
        by_stage.setdefault(line.stage, []).append(line)

    stages = []
    for stage in board.stages:
        mine, epochs = by_stage.get(stage.index, ()), stage.epochs
        ended = sum(State(line.state).is_final for line in mine)
        # A trial that ended early has no work left either.
        work = sum(epochs if State(line.state).is_final else min(line.epochs, epochs) for line in mine)
        share = min(1.0, work / max(stage.trials * epochs, 1))
        stages.append(StageProgress(stage.name, stage.trials, epochs, ended, share, stage.reason))
    requested = board.study.settings.get("stages") or ()
    stages += [
        StageProgress(str(name), trials, epochs, 0, 0.0, "")
        for name, trials, epochs in requested[len(stages) :]
    ]
    if board.study.state is State.COMPLETE:
        stages = [one._replace(share=1.0, ended=one.trials) for one in stages]
    return tuple(stages)


def _times(board: Board, stages: Sequence[StageProgress], running: bool) -> tuple[str, str]:
    """Returns the time that a study has taken and the time left, in words."""
    if not running:
        seconds = board.study.outcome.get("wall_seconds")
        return (duration_text(seconds) if isinstance(seconds, int | float) else MISSING), MISSING
    elapsed = max(0.0, time.time() - board.study.created)
    work = sum(one.share * one.trials * one.epochs for one in stages)
    if elapsed < SETTLING_SECONDS or not work:
        return duration_text(elapsed), MISSING
    left = elapsed * (sum(one.trials * one.epochs for one in stages) - work) / work
    return duration_text(elapsed), duration_text(left) if left >= 1 else MISSING
