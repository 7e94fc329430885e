"""The figures of a recorded run: what there is, in the network's order, causes and touches marked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from babysit.records import CommandKind, Explosion, Reading, Result, Run, State, Touch, Trial
from babysit.verdicts import Cause, Evidence, Finding, Severity, Verdict
from babysit.views.data.learning_rates import rate_changes
from babysit.views.data.links import linked_causes
from babysit.views.data.recorded_run import TrialView
from babysit.views.svg.run_figures import KEYS, RunFigures, step_of
from views.studies import EVIL, study
from views.svg.test_heatmap import histogram

STEPS = np.arange(1, 201, dtype=np.int32)
LOOKS = np.arange(1, 201, 10, dtype=np.int32)


def curve(value):
    return LOOKS, np.full(len(LOOKS), value, np.float32)


def view(**changes):
    readings = tuple(Reading(n, 50 * n, 2.3 / n, 0.2 * n, 0.19 * n, 1e-3) for n in range(1, 5))
    run = Run(State.COMPLETE, readings, 2.3, steps=200)
    given = {
        "study": study(chance_loss=math.log(10)),
        "stage": None,
        "result": Result(Trial(0, 0, {"learning_rate": 1e-3}), run),
        "costs": (STEPS, (2.3 / np.sqrt(STEPS)).astype(np.float32)),
        "series": {
            "learning_rate": (LOOKS, np.where(LOOKS < 100, 1e-3, 1e-4).astype(np.float32)),
            **{f"layers/{n}.weight/update_ratio": curve(1e-3) for n in (10, 2, 0)},
            **{f"layers/{n}.weight/gradient_norm": curve(0.1 * (n + 1)) for n in (10, 2, 0)},
            "layers/3/dead": curve(1.0),
            "layers/3/std": curve(0.5),
            "layers/3/mean": curve(0.1),
        },
        "histograms": {f"activations/{EVIL}": [histogram(1), histogram(90)]},
        **changes,
    }
    return TrialView(**given)


def finding(rule, since=2, unit="epoch"):
    seen = (Evidence("dead units", 1.0, "below 0.5", "why"),)
    return Finding(rule, Severity.WARNING, "somewhere", since, "it is so", seen, "do", "source", unit)


def svg_of(figures, key, causes=()):
    return next(shown for shown in figures.shown(causes) if shown.key == key)


def test_there_is_a_figure_for_what_was_measured_and_for_nothing_else():
    found = RunFigures(view())
    assert found.keys == [
        "loss",
        "scores",
        "updates",
        "gradients",
        "dead",
        "spread",
        "means",
        "rates",
        "activations",
    ]
    bare = RunFigures(view(series={}, histograms={}, costs=(STEPS[:0], np.empty(0, np.float32))))
    assert bare.keys == ["scores", "rates"]
    nothing = view(series={}, histograms={}, costs=(STEPS[:0], np.empty(0, np.float32)))
    waiting = replace(nothing, result=Result(nothing.result.trial, Run(State.WAITING)))
    assert RunFigures(waiting).keys == []
    assert set(found.keys) <= set(KEYS)


def test_layers_come_in_the_order_of_their_numbers():
    _, updates = RunFigures(view()).curves["updates"]
    assert [line.name for line in updates.lines] == ["0.weight", "2.weight", "10.weight"]
    assert [line.shade for line in updates.lines] == [0.0, 0.5, 1.0]


def test_a_tensor_that_never_moves_lies_at_the_foot():
    series = {"layers/0.weight/update_ratio": curve(0.0), "layers/2.weight/update_ratio": curve(1e-3)}
    _, updates = RunFigures(view(series=series)).curves["updates"]
    still, moving = updates.lines
    assert {height for _, height in still.points} == {0.0}
    assert [height for _, height in moving.points] == pytest.approx(
        [updates.levels[0].place] * len(LOOKS), abs=1e-6
    )
    low, high = updates.band
    assert low < updates.levels[0].place < high


@pytest.mark.parametrize(
    ("rule", "key"),
    [("dead_units", "dead"), ("learning_rate_too_low", "updates"), ("vanishing_gradients", "gradients"),
     ("overfitting", "scores"), ("loss_exploded", "loss"), ("learning_rate_zero", "rates"), ("tea", "")],
)  # fmt: skip
def test_a_cause_leads_to_the_figure_of_its_problem_and_is_marked_there(rule, key):
    found = Verdict((Cause(finding(rule)),))
    figures = RunFigures(view(verdict=found))
    causes = linked_causes(found, figures.keys)
    assert [each.link for each in causes] == [key]
    for shown in figures.shown(causes):
        marked = shown.key == key and key not in ("scores", "")
        assert ("it is so" in shown.svg) is marked


def test_an_epoch_begins_at_its_first_step():
    run = view().result.run
    assert [step_of(finding("plateau", since), run) for since in (0, 1, 2, 4, 9)] == [0, 1, 51, 151, 201]
    assert step_of(finding("plateau", 77, "step"), run) == 77


def test_what_was_done_by_hand_is_marked_once():
    changed = RunFigures(view())
    assert "learning rate 1e-3 to 1e-4, seen at step 101" in svg_of(changed, "loss").svg
    one = view()
    touched = replace(one.result.run, touches=(Touch(CommandKind.SCALE_LEARNING_RATE, 100, 0.1),))
    svg = svg_of(RunFigures(replace(one, result=Result(one.result.trial, touched))), "loss").svg
    assert "by the user after step 100: learning rate times 0.1" in svg
    assert "seen at step" not in svg


def test_a_schedule_is_not_marked_change_by_change():
    rates = (LOOKS, np.geomspace(1e-1, 1e-4, len(LOOKS)).astype(np.float32))
    figures = RunFigures(view(series={"learning_rate": rates}))
    assert len(rate_changes(list(zip(*map(np.ndarray.tolist, rates), strict=True)))) == 19
    assert "lr ×" not in svg_of(figures, "loss").svg


def test_an_exploded_run_is_clipped_and_says_so():
    costs = np.append(np.full(100, 2.3), np.geomspace(2.3, 1e30, 20)).astype(np.float32)
    run = Run(State.EXPLODED, (), 2.3, Explosion(104, 1, 100.0, 2.3), steps=120)
    one = view(costs=(np.arange(1, 121, dtype=np.int32), costs), result=Result(Trial(0, 0, {}), run))
    _, loss = RunFigures(one).curves["loss"]
    assert loss.y.high < 20
    assert "exploded at step 104" in svg_of(RunFigures(one), "loss").svg


def test_steps_without_a_number_are_marked_red_and_told():
    costs = np.full(200, 1.0, np.float32)
    costs[150:] = np.nan
    figures = RunFigures(view(costs=(STEPS, costs)))
    shown = svg_of(figures, "loss")
    assert "From step 151 on it is NaN or infinite." in shown.caption
    assert 'class="broken"' in shown.svg
    assert figures.x.high == 151 + 37


def test_names_of_layers_are_escaped():
    series = {f"layers/{EVIL}/dead": curve(0.5), "layers/b/dead": curve(0.1)}
    drawn = RunFigures(view(series=series)).shown()
    assert all("<script>" not in shown.svg + shown.legend for shown in drawn)
