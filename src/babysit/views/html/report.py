"""Renders a study as one self-contained HTML file that fetches nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from babysit.diagnosis.wording import cause_lines
from babysit.records import Reading, Run, State, TrialKey
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
from babysit.views.data.study import Costs, StudyView
from babysit.views.html.pages import render, write_page
from babysit.views.svg import figures
from babysit.views.svg.captions import gap_text
from babysit.views.svg.importance import importance_svg
from babysit.views.svg.run_figures import RunFigures

Data = TypeVar("Data")
_SHOWN_ALREADY = ("loss", "scores")
NO_COSTS: Costs = (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


class Headline(NamedTuple):
    """The best score with its hyperparameters, in the largest letters."""

    label: str
    score: str
    facts: tuple[tuple[str, str], ...]
    choice: tuple[tuple[str, str], ...]


class EdgeWarning(NamedTuple):
    """A warning of a best value at the edge of its range."""

    message: str
    proposal: str
    figure: str


class FoundGroup(NamedTuple):
    """The same cause in one trial or many.

    Attributes:
        cause: the cause in the first trial.
        trials: the names of the trials.
        size: the number of trials.
    """

    cause: Cause
    trials: str
    size: int

    @property
    def details(self) -> list[str]:
        """The evidence, the symptoms, and the experiment that separates it from the next cause."""
        return cause_lines(self.cause)[1:]


def render_report(view: StudyView) -> str:
    """Renders the report of a study as HTML.

    Args:
        view: the study; the report leaves out what it lacks, e.g. after an interruption.

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
    outcome, standing = view.study.outcome, view.standing
    ties = {result.trial.key for result in standing.ties}
    tied = [key for key in sorted(ties) if view.best is not None and key != view.best.trial.key]
    warned = {edge.message for edge in standing.edges}
    has_layers = view.look is not None and view.look.has_layers
    layers = RunFigures(view.look).shown() if view.look is not None and has_layers else []
    alarms = []
    for edge in standing.edges:
        strip, ends = range_strip(edge), (value_text(edge.new_low), value_text(edge.new_high))
        proposal = f"Search {edge.name} from {ends[0]} to {ends[1]} next." if strip else ""
        alarms.append(EdgeWarning(edge.message, proposal, _figure(strip, figures.range_strip_svg)))
    ranges = [
        [
            (name, range_text(box) if isinstance(box, Mapping) else str(box), is_searched(box))
            for name, box in stage.box.items()
        ]
        for stage in view.stages
    ]
    return {
        "study": view.study,
        "headline": _headline(view),
        "alarms": alarms,
        "silenced": [
            *(silenced_text(edge) for edge in standing.silenced),
            *([standing.no_alarms] if standing.no_alarms else []),
        ],
        "advice": [line for line in standing.advice if line not in warned],
        "tie_text": (
            f"Within one standard error of the best, so a tie: {view.trial_names(tied)}." if tied else ""
        ),
        "found": _found(view),
        "importance": [importance_svg([stage]) for stage in _mappings(outcome.get("importance"))],
        "importance_note": str(outcome.get("importance_note") or ""),
        "checks": view.checks,
        "stages": list(zip(view.stages, ranges, strict=True)),
        "scatter": _figure(scatter(view), figures.scatter_svg),
        "losses": _figure(loss_curves(view), figures.loss_curves_svg),
        **_curves(view),
        "moved": [shown for shown in layers if shown.key not in _SHOWN_ALREADY],
        "finalists": finalists(view),
        "weights": weight_images(view.first_layer),
        "table": trial_table(view, ties),
        "spark": figures.spark_svg,
        "settings": [
            ("recipe", view.study.recipe),
            ("seed", str(view.study.seed)),
            ("fingerprint", view.study.fingerprint),
            *((str(name), _setting_text(value)) for name, value in view.study.settings.items()),
        ],
        "finite": math.isfinite,
    }


def _figure(data: Data | None, draw: Callable[[Data], str]) -> str:
    return draw(data) if data is not None else ""


def _headline(view: StudyView) -> Headline:
    best, final = view.best, view.study.outcome.get("final") or {}
    if best is None:
        exploded = view.results and all(result.run.state is State.EXPLODED for result in view.results)
        label = (
            "Every trial exploded: lower the learning rates"
            if exploded
            else "No trial has a validation score"
        )
        return Headline(label, "", _facts(view), ())
    reading = best.run.best
    is_accuracy = reading is not None and math.isfinite(reading.val_accuracy)
    label = "best validation accuracy" if is_accuracy else "lowest validation loss"
    facts = []
    if over_folds := fold_text(best):
        facts.append(("over folds", over_folds))
    if isinstance(final, Mapping):
        # The score on the test split belongs to the retrained trial.
        accuracy, loss, trial = final.get("test_accuracy"), final.get("test_loss"), final.get("trial")
        name = f" of {view.trial_name((trial[0], trial[1]))}, retrained" if trial else ""
        if isinstance(accuracy, int | float) and math.isfinite(accuracy):
            facts.append((f"test accuracy{name}", percent_text(accuracy)))
        elif isinstance(loss, int | float):
            facts.append((f"test loss{name}", number_text(loss)))
    searched = {name for stage in view.stages for name, box in stage.box.items() if is_searched(box)}
    values = best.trial.hyperparameters
    names = sorted(values, key=lambda name: name not in searched)
    choice = tuple((name, value_text(values[name])) for name in names)
    return Headline(label, score_text(best), (*facts, *ensemble_facts(final), *_facts(view)), choice)


def _facts(view: StudyView) -> tuple[tuple[str, str], ...]:
    states = [result.run.state for result in view.results]
    counts = [f"{states.count(state)} {state.value}" for state in State if states.count(state)]
    trials = f"{len(states)} ({', '.join(counts)})" if counts else "none"
    facts = [("trials", trials)]
    speed = view.study.outcome.get("trial_steps_per_second")
    if speed == 0:  # resumed with nothing left to train: its clock says nothing
        return tuple(facts)
    wall = view.study.outcome.get("wall_seconds")
    if isinstance(wall, int | float):
        facts.append(("took", duration_text(wall)))
    if isinstance(speed, int | float) and math.isfinite(speed):
        facts.append(("speed", f"{speed:,.0f} trial-steps/s"))
    return tuple(facts)


def _found(view: StudyView) -> list[FoundGroup]:
    """Groups the causes of all trials by problem and place, the most severe first, then the most frequent."""
    groups: dict[tuple[str, str], list[tuple[TrialKey, Cause]]] = {}
    for key, verdict in view.verdicts.items():
        for cause in verdict.causes:
            groups.setdefault((cause.rule, cause.finding.where), []).append((key, cause))
    found = [
        FoundGroup(members[0][1], view.trial_names([key for key, _ in members]), len(members))
        for members in groups.values()
    ]
    return sorted(found, key=lambda group: (group.cause.finding.severity.rank, -group.size))


def _curves(view: StudyView) -> dict[str, Any]:
    """Returns the curves of the final training if there was one, else those of the best trial."""
    final = view.study.outcome.get("final") or {}
    if isinstance(final, Mapping) and final.get("readings"):
        names = {field.name for field in fields(Reading)}
        kept = [{name: one[name] for name in names & one.keys()} for one in _mappings(final["readings"])]
        steps, costs = costs_of(final)
        first = float(costs[0]) if len(costs) else math.nan
        run = Run(State.COMPLETE, tuple(Reading(**reading) for reading in kept), first_cost=first)
        return _run_curves("the final training", run, (steps, costs))
    if view.best is None:
        return _run_curves("", Run(State.WAITING), NO_COSTS)
    key = view.best.trial.key
    return _run_curves(
        f"the best trial, {view.trial_name(key)},", view.best.run, view.costs.get(key, NO_COSTS)
    )


def _run_curves(name: str, run: Run, costs: Costs) -> dict[str, Any]:
    scores = run_scores(run.readings)
    return {
        "curves_of": name,
        "cost_curve": _figure(run_costs(run, costs), figures.run_costs_svg),
        "score_curve": _figure(scores, figures.scores_svg),
        "gap": scores.gap if scores else math.nan,
        "gap_text": gap_text(scores.gap, run.readings[-1].train_accuracy) if scores else "",
    }


def _setting_text(value: Any) -> str:
    if isinstance(value, Mapping):
        if "kind" in value:
            return range_text(value)
        return ", ".join(f"{name} {_setting_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_setting_text(inner) for inner in value)
    return value_text(value)


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values or () if isinstance(value, Mapping)]
