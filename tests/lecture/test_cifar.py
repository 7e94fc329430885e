"""The lecture's figures on the real CIFAR-10, rows 72-104 of its claims."""

from __future__ import annotations

import math
import os
import statistics

import pytest

from babysit.readings.report import report_on
from babysit.recipe.space import middle
from babysit.records import State
from babysit.session.jobs.recorder import context_of
from babysit.verdicts import Status
from benchmarks import lecture

pytestmark = [
    pytest.mark.cifar,
    pytest.mark.skipif(
        "BABYSIT_DATA" not in os.environ, reason="needs the real CIFAR-10: set BABYSIT_DATA to its folder"
    ),
]


def test_the_first_cost_is_at_chance_and_regularization_raises_it():
    without, with_l2 = lecture.initial_costs()
    assert without == pytest.approx(math.log(10), abs=1e-3)
    assert with_l2 == pytest.approx(3.07, abs=0.02)


def test_twenty_examples_are_memorized():
    result = lecture.overfit()
    assert result.status is Status.PASS
    assert result.value < 0.01
    assert result.details["train_accuracy"] == 1.0


@pytest.mark.slow
def test_a_learning_rate_of_1e_6_is_too_low_and_the_accuracy_is_explained():
    found = lecture.single(1e-6)
    readings = found.run.readings
    assert abs(found.run.first_cost - readings[-1].cost) < 1e-3
    assert 0.15 <= readings[-1].val_accuracy <= 0.25
    finding, *symptoms = found.findings
    assert finding.rule == "learning_rate_too_low"
    assert [symptom.rule for symptom in symptoms] == ["plateau"]
    assert "accuracy still rose" in finding.message


def test_a_learning_rate_of_1e6_explodes_at_once_and_reports_no_accuracy():
    found = lecture.single(1e6)
    assert found.run.state is State.EXPLODED
    assert found.run.explosion.step <= 3
    assert found.run.best is None
    assert not found.run.readings
    broken = "loss_exploded" if math.isfinite(found.run.explosion.cost) else "loss_not_finite"
    assert [finding.rule for finding in found.findings] == [broken]


@pytest.fixture(scope="module")
def runs_at_3e_3():
    """As `lecture.single(3e-3)`, and seven more starts beside it."""
    prepared = lecture.cifar("learning_rate=0.003", "l2=1e-6", "learning_rate_decay=1")
    values = middle(prepared.recipe.full_space())
    trainer = prepared.trainer([(values, ("trial", 0, start)) for start in range(8)], 10)
    assert len(list(trainer.epochs())) <= 10
    context = context_of(prepared, values)
    return [lecture.Single(run, list(report_on(run, context).findings)) for run in trainer.runs()]


@pytest.mark.slow
def test_a_learning_rate_of_3e_3_explodes_about_when_the_lectures_does(runs_at_3e_3):
    """At epoch 5 in the lecture. The run is chaotic: the last bits of a sum decide the epoch, not whether."""
    runs = [found.run for found in runs_at_3e_3]
    assert {run.state for run in runs} == {State.EXPLODED}
    assert 2 <= statistics.median(run.explosion.epoch for run in runs) <= 6


def test_the_run_at_3e_3_is_told_as_exploded(runs_at_3e_3):
    for found in runs_at_3e_3:
        assert found.run.state is State.EXPLODED
        assert found.run.explosion.ratio > 3
        (finding,) = found.findings
        assert finding.rule in ("loss_exploded", "loss_not_finite")
        assert f"epoch {found.run.explosion.epoch}" in finding.message


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_best_of_the_fine_stage_end_above_052_and_warn_only_near_an_edge(tmp_path):
    """Three of the fine stage's best, trained anew; all 124 trials are what `make docs` trains."""
    found = lecture.search_among_the_best(tmp_path)
    best, edges, final = (found.outcome[name] for name in ("best", "edges", "final"))
    assert found.outcome["states"] == {"complete": 3}
    assert best["val_accuracy"] >= 0.50
    position = math.log10(best["hyperparameters"]["learning_rate"] / 1e-4)
    alarmed = any(edge["name"] == "learning_rate" for edge in edges)
    assert alarmed == (position < 0.05 or position > 0.95)
    assert final["val_accuracy"] >= 0.52
    assert final["test_accuracy"] > 0.48
    assert final["ensemble"]["test_accuracy"] > final["test_accuracy"]
