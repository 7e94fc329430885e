"""Where a study stands: its best, the alarms on it, what ties with it, how far it has come."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NamedTuple

from babysit.recipe.space import from_data
from babysit.records import CommandKind, Reading, Result, Run, State, Study, Touch, Trial
from babysit.store import overview
from babysit.store.overview import Line
from babysit.store.queries import Key
from babysit.tuning.edges import alarms_of
from babysit.tuning.ranking import Round, as_tried, ties
from babysit.tuning.stages import FINAL
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
from babysit.views.data.scatter import range_strip
from babysit.views.data.trial_table import Board
from babysit.views.svg.figures import range_strip_svg

SETTLING_SECONDS = 3.0
"""How long a study must have run before the time left is estimated."""


class Best(NamedTuple):
    """The best trial in words."""

    key: Key
    name: str
    score: str
    values: tuple[tuple[str, str], ...]


class Alarm(NamedTuple):
    """A best value at an edge: the alarm, a picture of it, and the command that looks beyond."""

    message: str
    proposal: str
    strip: str
    command: str


class StageProgress(NamedTuple):
    """How far a stage has come; ``share`` is of its work, 0 to 1."""

    name: str
    trials: int
    epochs: int
    ended: int
    share: float
    reason: str


class Standing(NamedTuple):
    """A study at a glance.

    Attributes:
        state: of the study; "interrupted" where its process is gone.
        best: None before the first score.
        alarms: that ring, with what to do.
        silenced: alarms that ring no more, in words.
        ties: all within one standard error of the best, the best first.
        advice: in sentences, once the study is done.
        stages: those that were begun and those that were asked for.
        counts: state -> trials.
        elapsed, left: in words; a dash where nobody knows.
    """

    state: str
    best: Best | None
    alarms: tuple[Alarm, ...]
    silenced: tuple[str, ...]
    ties: tuple[Key, ...]
    advice: tuple[str, ...]
    stages: tuple[StageProgress, ...]
    counts: Mapping[str, int]
    elapsed: str
    left: str


def standing(
    board: Board,
    found: Sequence[Line],
    factors: Mapping[int, float] = MappingProxyType({}),
    *,
    interrupted: bool = False,
) -> Standing:
    """Judges a study as it stands.

    Args:
        board: the study with its stages.
        found: all its trials.
        factors: the row of a trial -> what its rate was multiplied with by hand; default nothing was touched.
        interrupted: its process is gone.
    """
    study, results = board.study, light_results(found, factors)
    judged = _told(study.outcome) or _judged(board, results)
    told = {edge.get("message") for edge in judged["edges"]}
    stages = tuple(_progress(board, found))
    running = study.state is State.RUNNING and not interrupted
    elapsed, left = _times(study, sum(one.share * one.trials * one.epochs for one in stages), stages, running)
    return Standing(
        state="interrupted" if interrupted else study.state.value,
        best=_best(board, results),
        alarms=tuple(_alarm(board, edge) for edge in judged["edges"]),
        silenced=tuple(silenced_text(edge) for edge in judged["silenced"]),
        ties=tuple((int(key[0]), int(key[1])) for key in judged["ties"]),
        advice=tuple(str(line) for line in judged["advice"] if line not in told),
        stages=stages,
        counts=Counter(line.state for line in found),
        elapsed=elapsed,
        left=left,
    )


def light_results(found: Sequence[Line], factors: Mapping[int, float]) -> list[Result]:
    """Trials as results whose runs hold one reading, their best: enough to rank them.

    Args:
        found: the trials.
        factors: the row of a trial -> what its learning rate was multiplied with by hand.

    Example:
        >>> told = (3, 90, *[0.5] * 6, 1e-3, None, None, None, 1.0, "", b"", 9)
        >>> line = Line(1, 1, 0, 7, '{"l2": 0.1}', "complete", *told)
        >>> [result] = light_results([line], {})
        >>> result.trial.key, result.score
        ((0, 7), 0.5)
    """
    return [
        Result(Trial(line.stage, line.number, choice), _light_run(line, factors.get(line.row)))
        for line, choice in zip(found, overview.choices(found), strict=True)
    ]


def _light_run(line: Line, factor: float | None) -> Run:
    state, score = State(line.state), line.best_score
    by_hand = () if factor is None else (Touch(CommandKind.SCALE_LEARNING_RATE, 0, factor),)
    if score is None or not math.isfinite(score):
        return Run(state, touches=by_hand)
    accuracy = line.best_val_accuracy
    best = Reading(
        epoch=line.epochs,
        step=line.steps,
        cost=math.nan,
        train_accuracy=math.nan,
        val_accuracy=math.nan if accuracy is None else accuracy,
        learning_rate=math.nan,
        val_loss=-score if accuracy is None else math.nan,
    )
    return Run(state, (best,), touches=by_hand)


def _told(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """What a finished search said itself; empty while it runs."""
    if "edges" not in outcome:
        return {}
    return {name: outcome.get(name) or () for name in ("edges", "silenced", "ties", "advice")}


def _judged(board: Board, results: Sequence[Result]) -> dict[str, Any]:
    """The same, of what there is so far."""
    examples = int(board.study.settings.get("val_examples") or 0)
    rounds = [
        Round(from_data(stage.box), [one for one in results if one.trial.stage == stage.index])
        for stage in board.stages
    ]
    if not examples or not rounds or board.study.kind != "search":
        return {"edges": (), "silenced": (), "ties": (), "advice": ()}
    given = sum(budget[0] != FINAL for budget in board.study.settings.get("stages") or ())
    alarms = [asdict(edge) for edge in alarms_of(rounds, examples, given)]
    return {
        "edges": [edge for edge in alarms if not edge["silenced"]],
        "silenced": [edge for edge in alarms if edge["silenced"]],
        "ties": [result.trial.key for result in ties(results, examples)],
        "advice": (),
    }


def _best(board: Board, results: Sequence[Result]) -> Best | None:
    scored = [result for result in results if math.isfinite(result.score)]
    if not scored:
        return None
    best = max(as_tried(scored) or scored, key=lambda result: result.score)
    choice = best.trial.hyperparameters
    values = [(knob.name, knob.text(choice.get(knob.name))) for knob in board.knobs]
    score = percent_text(best.score) if board.accuracy else number_text(-best.score)
    return Best(best.trial.key, trial_name(board, best.trial.key), score, tuple(values))


def trial_name(board: Board, key: Key) -> str:
    """A trial as people call it: "fine 12"; without a stage "run 0"."""
    names = {stage.index: stage.name for stage in board.stages}
    return f"{names.get(key[0], key[0] if names else 'run')} {key[1]}"


def _alarm(board: Board, edge: Mapping[str, Any]) -> Alarm:
    strip = range_strip(edge)
    knob = next((one for one in board.knobs if one.name == edge.get("name")), None)
    low, high = edge.get("new_low"), edge.get("new_high")
    if strip is None or knob is None or not knob.maker or low is None or high is None:
        return Alarm(str(edge.get("message", "")), "", "", "")
    words = [exponent_text(end) if edge.get("scale") == "log" else value_text(end) for end in (low, high)]
    command = searched_again(board.study, {knob.name: knob.maker.format(f"{low:g}", f"{high:g}")})
    proposal = f"Search {knob.name} from {words[0]} to {words[1]} next."
    return Alarm(str(edge.get("message", "")), proposal, range_strip_svg(strip), command)


def _progress(board: Board, found: Sequence[Line]) -> list[StageProgress]:
    by_stage: dict[int, list[Line]] = {}
    for line in found:
        by_stage.setdefault(line.stage, []).append(line)
    begun = [
        _stage(stage.name, stage.trials, stage.epochs, by_stage.get(stage.index, ()), stage.reason)
        for stage in board.stages
    ]
    asked = board.study.settings.get("stages") or ()
    to_come = [_stage(str(name), trials, epochs, (), "") for name, trials, epochs in asked[len(begun) :]]
    finished = board.study.state is State.COMPLETE
    return [one._replace(share=1.0, ended=one.trials) if finished else one for one in [*begun, *to_come]]


def _stage(name: str, trials: int, epochs: int, mine: Sequence[Line], reason: str) -> StageProgress:
    ended = sum(State(line.state).is_final for line in mine)
    # A trial that ended early has no work left either.
    work = sum(epochs if State(line.state).is_final else min(line.epochs, epochs) for line in mine)
    return StageProgress(name, trials, epochs, ended, min(1.0, work / max(trials * epochs, 1)), reason)


def _times(study: Study, work: float, stages: Sequence[StageProgress], running: bool) -> tuple[str, str]:
    """How long a study has taken, and how long it will yet, in words."""
    told = study.outcome.get("wall_seconds")
    if not running:
        return (duration_text(told) if isinstance(told, int | float) else MISSING), MISSING
    elapsed = max(0.0, time.time() - study.created)
    whole = sum(one.trials * one.epochs for one in stages)
    if elapsed < SETTLING_SECONDS or not work:
        return duration_text(elapsed), MISSING
    left = elapsed * (whole - work) / work
    return duration_text(elapsed), duration_text(left) if left >= 1 else MISSING
