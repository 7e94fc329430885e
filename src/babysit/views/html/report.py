"""A study as one HTML file that needs nothing else: no request goes out, no font or script is fetched."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from babysit.diagnosis.wording import cause_lines
from babysit.records import Reading, Result, Run, Stage, State
from babysit.verdicts import Cause
from babysit.views.data.final_costs import costs_of
from babysit.views.data.final_stage import ensemble_facts, finalists, fold_text
from babysit.views.data.first_layer import weight_images
from babysit.views.data.formatting import (
    duration_text,
    is_searched,
    number_text,
    percent_text,
    range_text,
    score_text,
    silenced_text,
    value_text,
)
from babysit.views.data.ranked_trials import trial_table
from babysit.views.data.scatter import range_strip, scatter
from babysit.views.data.series import loss_curves, run_costs, run_scores
from babysit.views.data.study import Costs, Key, StudyView
from babysit.views.html.pages import render, write_page
from babysit.views.svg import figures
from babysit.views.svg.captions import Shown, gap_text
from babysit.views.svg.importance import importance_svg
from babysit.views.svg.run_figures import RunFigures

Data = TypeVar("Data")
_SHOWN_ALREADY = ("loss", "scores")
NO_COSTS: Costs = (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


class Headline(NamedTuple):
    """The answer, in the largest letters: what, how much, and the choice that gave it."""

    label: str
    score: str
    facts: tuple[tuple[str, str], ...]
    choice: tuple[tuple[str, str], ...]


class Alarm(NamedTuple):
    """A best value at the edge of its range."""

    message: str
    proposal: str
    figure: str


class FoundGroup(NamedTuple):
    """The same cause in one trial or many.

    Attributes:
        cause: as the first trial has it.
        trials: their names.
        size: how many they are.
    """

    cause: Cause
    trials: str
    size: int

    @property
    def details(self) -> list[str]:
        """The evidence, the symptoms, and what would tell it from the next cause."""
        return cause_lines(self.cause)[1:]


def render_report(view: StudyView) -> str:
    """The report of a study as HTML.

    Args:
        view: the study; whatever of it is missing, as in an interrupted one, is left out of the report.

    Returns:
        One self-contained page.
    """
    return render("report.html.j2", _contents(view))


def write_report(view: StudyView, path: str | os.PathLike[str]) -> Path:
    """Writes the report of a study to a file.

    Args:
        view: the study.
        path: the file; its folder is made.

    Returns:
        The file's path.

    Raises:
        InputError: the file cannot be written.
    """
    return write_page(render_report(view), path)


def _contents(view: StudyView) -> dict[str, Any]:
    outcome = view.study.outcome
    ties = _keys(outcome.get("ties"))
    alarms = [_alarm(edge) for edge in _mappings(outcome.get("edges"))]
    return {
        "study": view.study,
        "headline": _headline(view),
        "alarms": alarms,
        "silenced": [silenced_text(edge) for edge in _mappings(outcome.get("silenced"))],
        "advice": _advice(outcome, alarms),
        "tie_text": _tie_text(view, ties),
        "found": _found(view),
        "importance": [importance_svg([stage]) for stage in _mappings(outcome.get("importance"))],
        "importance_note": str(outcome.get("importance_note") or ""),
        "checks": view.checks,
        "stages": [(stage, _ranges(stage)) for stage in view.stages],
        "scatter": _figure(scatter(view), figures.scatter_svg),
        "losses": _figure(loss_curves(view), figures.loss_curves_svg),
        **_curves(view),
        "moved": _moved(view),
        "finalists": finalists(view),
        "weights": weight_images(view.first_layer),
        "table": trial_table(view, ties),
        "spark": figures.spark_svg,
        "settings": _settings(view),
        "finite": math.isfinite,
    }


def _figure(data: Data | None, draw: Callable[[Data], str]) -> str:
    return draw(data) if data is not None else ""


def _headline(view: StudyView) -> Headline:
    best = view.best
    outcome = view.study.outcome
    if best is None:
        exploded = view.results and all(result.run.state is State.EXPLODED for result in view.results)
        label = (
            "Every trial exploded: lower the learning rates"
            if exploded
            else "No trial has a validation score"
        )
        return Headline(label, "", _facts(view), ())
    reading = best.run.best
    accuracy = reading is not None and math.isfinite(reading.val_accuracy)
    choice = _choice(best, view.stages)
    final = outcome.get("final") or {}
    test = _tested(view, final) if isinstance(final, Mapping) else ()
    label = "best validation accuracy" if accuracy else "lowest validation loss"
    over_folds = fold_text(best)
    folds = (("over folds", over_folds),) if over_folds else ()
    return Headline(label, score_text(best), (*folds, *test, *ensemble_facts(final), *_facts(view)), choice)


def _tested(view: StudyView, final: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The score on the test split, of the retrained trial it was measured on."""
    accuracy, loss, trial = final.get("test_accuracy"), final.get("test_loss"), final.get("trial")
    name = f" of {view.trial_name((trial[0], trial[1]))}, retrained" if trial else ""
    if isinstance(accuracy, int | float) and math.isfinite(accuracy):
        return ((f"test accuracy{name}", percent_text(accuracy)),)
    return ((f"test loss{name}", number_text(loss)),) if isinstance(loss, int | float) else ()


def _choice(best: Result, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
    """The best hyperparameters, those that were searched first."""
    searched = {name for stage in stages for name, box in stage.box.items() if is_searched(box)}
    names = sorted(best.trial.hyperparameters, key=lambda name: name not in searched)
    return tuple((name, value_text(best.trial.hyperparameters[name])) for name in names)


def _facts(view: StudyView) -> tuple[tuple[str, str], ...]:
    states = [result.run.state for result in view.results]
    counts = [f"{states.count(state)} {state.value}" for state in State if states.count(state)]
    trials = f"{len(states)} ({', '.join(counts)})" if counts else "none"
    facts = [("trials", trials)]
    speed = view.study.outcome.get("trial_steps_per_second")
    if speed == 0:  # resumed, with nothing left to train: its clock tells nothing
        return tuple(facts)
    wall = view.study.outcome.get("wall_seconds")
    if isinstance(wall, int | float):
        facts.append(("took", duration_text(wall)))
    if isinstance(speed, int | float) and math.isfinite(speed):
        facts.append(("speed", f"{speed:,.0f} trial-steps/s"))
    return tuple(facts)


def _alarm(edge: Mapping[str, Any]) -> Alarm:
    strip = range_strip(edge)
    ends = [edge.get("new_low"), edge.get("new_high")]
    name = edge.get("name", "")
    proposal = f"Search {name} from {value_text(ends[0])} to {value_text(ends[1])} next." if strip else ""
    return Alarm(str(edge.get("message", "")), proposal, _figure(strip, figures.range_strip_svg))


def _advice(outcome: Mapping[str, Any], alarms: Sequence[Alarm]) -> list[str]:
    """The advice that no alarm gives already."""
    told = {alarm.message for alarm in alarms}
    return [str(line) for line in outcome.get("advice") or () if line not in told]


def _tie_text(view: StudyView, ties: set[Key]) -> str:
    tied = [key for key in sorted(ties) if view.best is not None and key != view.best.trial.key]
    return f"Within one standard error of the best, so a tie: {view.trial_names(tied)}." if tied else ""


def _found(view: StudyView) -> list[FoundGroup]:
    """Groups the causes of all trials by problem and place, the most severe first, then the most frequent."""
    groups: dict[tuple[str, str], list[tuple[Key, Cause]]] = {}
    for key, verdict in view.verdicts.items():
        for cause in verdict.causes:
            groups.setdefault((cause.rule, cause.finding.where), []).append((key, cause))
    found = [_group(view, members) for members in groups.values()]
    return sorted(found, key=lambda group: (group.cause.finding.severity.rank, -group.size))


def _group(view: StudyView, members: Sequence[tuple[Key, Cause]]) -> FoundGroup:
    return FoundGroup(members[0][1], view.trial_names([key for key, _ in members]), len(members))


def _ranges(stage: Stage) -> list[tuple[str, str, bool]]:
    return [
        (name, range_text(box) if isinstance(box, Mapping) else str(box), is_searched(box))
        for name, box in stage.box.items()
    ]


def _curves(view: StudyView) -> dict[str, Any]:
    """The curves of the final training where there was one, else those of the best trial."""
    final = view.study.outcome.get("final") or {}
    if isinstance(final, Mapping) and final.get("readings"):
        return _run_curves("the final training", *_final_run(final))
    if view.best is None:
        return _run_curves("", Run(State.WAITING), NO_COSTS)
    key = view.best.trial.key
    return _run_curves(
        f"the best trial, {view.trial_name(key)},", view.best.run, view.costs.get(key, NO_COSTS)
    )


def _moved(view: StudyView) -> list[Shown]:
    """How the layers of one trial moved: all that was recorded but loss and scores, which have figures."""
    if view.look is None or not view.look.has_layers:
        return []
    return [shown for shown in RunFigures(view.look).shown() if shown.key not in _SHOWN_ALREADY]


def _run_curves(name: str, run: Run, costs: Costs) -> dict[str, Any]:
    scores = run_scores(run.readings)
    return {
        "curves_of": name,
        "cost_curve": _figure(run_costs(run, costs), figures.run_costs_svg),
        "score_curve": _figure(scores, figures.scores_svg),
        "gap": scores.gap if scores else math.nan,
        "gap_text": gap_text(scores.gap, run.readings[-1].train_accuracy) if scores else "",
    }


def _final_run(final: Mapping[str, Any]) -> tuple[Run, Costs]:
    names = {field.name for field in fields(Reading)}
    kept = [{name: one[name] for name in names & one.keys()} for one in _mappings(final["readings"])]
    steps, costs = costs_of(final)
    first = float(costs[0]) if len(costs) else math.nan
    run = Run(State.COMPLETE, tuple(Reading(**reading) for reading in kept), first_cost=first)
    return run, (steps, costs)


def _settings(view: StudyView) -> list[tuple[str, str]]:
    """Everything needed to ask the same question again."""
    study = view.study
    shown = [("recipe", study.recipe), ("seed", str(study.seed)), ("fingerprint", study.fingerprint)]
    return shown + [(str(name), _setting_text(value)) for name, value in study.settings.items()]


def _setting_text(value: Any) -> str:
    if isinstance(value, Mapping):
        if "kind" in value:
            return range_text(value)
        return ", ".join(f"{name} {_setting_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_setting_text(inner) for inner in value)
    return value_text(value)


def _keys(pairs: Any) -> set[Key]:
    return {(int(pair[0]), int(pair[1])) for pair in pairs or ()}


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values or () if isinstance(value, Mapping)]
