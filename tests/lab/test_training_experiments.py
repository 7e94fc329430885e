"""Learning rates, races, random search, update ratios: measured numbers against theory and the rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from babysit.lab.datasets import unit_data
from babysit.lab.experiment import Options, number, plain
from babysit.lab.learning_rate import pick_four, quietest
from babysit.lab.random_vs_grid import grid, hit_share, peak
from babysit.lab.relu_race import deep_race, network
from babysit.lab.sweeps import Trace, epochs_until, final_cost, ladder, one_thread, smoothed
from babysit.lab.update_ratio import UpdateRecorder, verdict
from babysit.records import Explosion, Reading, Run, State
from babysit.training.gradients import Dense
from babysit.training.updates import UPDATES


def run_of(*errors):
    readings = tuple(Reading(e, e * 10, 1.0, 1 - error, 0.5, 0.1) for e, error in enumerate(errors, 1))
    return Run(State.COMPLETE, readings)


def trace_of(costs, exploded=False):
    explosion = Explosion(len(costs), 1, 9.0, 2.3) if exploded else None
    state = State.EXPLODED if exploded else State.COMPLETE
    return Trace(np.array(costs, dtype=float), Run(state, (), 2.3, explosion))


def test_sixty_random_trials_hit_the_top_five_percent(outcome):
    data = outcome("random-vs-grid").data
    assert data["top_share_theory"] == pytest.approx(0.954, abs=5e-4)
    assert data["top_share_of_sixty"] == pytest.approx(0.954, abs=4 * math.sqrt(0.954 * 0.046 / 5000))
    assert data["distinct_values_of_nine_trials"] == {"grid": 3, "random": 9}


def test_random_finds_a_narrow_peak_more_often_than_a_grid(outcome):
    race = outcome("random-vs-grid").data["race"]
    assert all(r > g for r, g in zip(race["found"]["random"], race["found"]["grid"], strict=True))
    assert all(r > g for r, g in zip(race["mean_best"]["random"], race["mean_best"]["grid"], strict=True))


def test_a_grid_has_as_many_values_as_its_side():
    points = grid(3)
    assert points.shape == (9, 2)
    assert sorted(set(points[:, 0].round(6))) == pytest.approx([1 / 6, 0.5, 5 / 6], abs=1e-5)


def test_the_peak_is_where_it_was_put():
    points = np.array([[[0.3, 1.0], [0.8, 1.0]]])
    assert peak(points, np.array([[0.3]]))[0] == pytest.approx([1.0, 0.1], abs=1e-9)


def test_one_trial_hits_the_top_five_percent_one_time_in_twenty():
    assert hit_share(1, Options(quick=True)) == pytest.approx(0.05, abs=0.013)


def test_the_checks_before_training_meet_theory(outcome):
    checks = outcome("learning-rate").data["checks"]
    assert checks["initial"] == pytest.approx(math.log(10), abs=1e-3)
    assert checks["regularized"] == pytest.approx(checks["expected_regularized"], abs=1e-3)
    assert checks["regularized"] > checks["initial"] + 0.03


@pytest.mark.slow
def test_the_ladder_of_rates_shows_too_low_good_and_exploding(outcome):
    data = outcome("learning-rate", quick=False).data
    assert data["checks"]["overfit"] < 0.01
    rates = {entry["learning_rate"]: entry for entry in data["rates"]}
    low = rates[3e-3]
    assert low["verdict"] == "learning rate too low"
    assert low["best_val_accuracy"] > 0.2  # "Accuracy goes to 20% though, what's up?"
    assert rates[1e6]["verdict"] == "loss exploded"
    assert rates[1e6]["best_val_accuracy"] is None
    chosen = data["chosen"]
    assert chosen["low"] < chosen["good"] < chosen["very high"]
    assert rates[chosen["good"]]["best_val_accuracy"] > 0.95


def test_lines_of_a_run_are_in_the_lectures_words(outcome):
    lines = outcome("learning-rate").lines
    assert any(line.startswith("Finished epoch 1 / 2: cost 2.30") and ", lr " in line for line in lines)


def test_the_four_curves_are_told_apart():
    flat, slow, good, plateau = [2.3] * 4, [2.3, 2.2, 2.1, 2.0], [2.3, 1, 0.2, 0.1], [2.3, 1, 0.9, 0.9]
    traces = [*map(trace_of, (flat, slow, good, plateau)), trace_of([2.3, 9], exploded=True)]
    assert pick_four([1, 2, 3, 4, 5], traces, 1) == {"good": 2, "high": 3, "very high": 4, "low": 1}


def test_without_a_higher_rate_there_is_no_high_curve():
    assert pick_four([1], [trace_of([2.3, 1.0])], 1) == {"good": 0}


def test_the_quietest_rate_is_the_largest_that_is_too_low():
    assert quietest(["learning rate too low", "learning rate too low", "no finding"]) == 1
    assert quietest(["no finding"]) == 0


def test_epochs_to_an_error_are_interpolated():
    assert epochs_until(run_of(0.5, 0.3, 0.2), 0.25, start=0.9) == pytest.approx(2.5)
    assert epochs_until(run_of(0.1), 0.5, start=0.9) == pytest.approx(0.5)
    assert epochs_until(run_of(0.5, 0.4), 0.25, start=0.9) is None
    assert epochs_until(run_of(0.25), 0.25, start=0.2) == 1


def test_the_race_reports_a_ratio_and_asserts_none(outcome):
    data = outcome("relu-race", quick=True).data
    assert set(data["epochs_to_25_percent"]) == {"relu", "tanh"}
    assert data["tanh_over_relu"] is None or data["tanh_over_relu"] > 0
    assert set(data["deep"]) == {"22", "30"}


@pytest.mark.slow
def test_he_learns_thirty_layers_where_xavier_stalls():
    deep = deep_race(unit_data(Options(), 2500), 30, Options())
    he, xavier = (np.mean([own[-1] for own in deep[scheme]]) for scheme in ("he", "xavier"))
    assert he < 0.6
    assert xavier > 0.8


def test_the_races_network_has_the_asked_number_of_weight_layers():
    model = network(64, 10, 22, "relu", "he", 0)
    assert sum(isinstance(layer, torch.nn.Linear) for layer in model) == 22


def test_the_recorder_sees_the_actual_change():
    recorder = UpdateRecorder(UPDATES["momentum"], 3, lambda: [0, 2])
    rule = recorder.watched()
    rates = {"learning_rate": torch.tensor([0.1, 1.0]).double(), "momentum": torch.zeros(2).double()}
    for weights in (torch.ones(2, 3, 4), torch.ones(2, 3), torch.ones(2, 4, 3), torch.zeros(2, 4)):
        mine, plain, ones = weights.clone(), weights.clone(), torch.ones_like(weights)
        rule.update(mine, Dense(ones), rule.init(weights), rates)
        UPDATES["momentum"].update(plain, Dense(ones), rule.init(weights), rates)
        assert torch.equal(mine, plain)
    series = recorder.series()
    assert series.shape == (4, 5, 3, 1)
    assert series[0, 0, [0, 2], 0] == pytest.approx([0.1, 1.0])
    assert np.isnan(series[:, :, 1]).all()  # the member that left
    assert np.isnan(series[3, 0]).all()  # zeros have no ratio
    assert series[0, 3, [0, 2], 0] == pytest.approx([-0.1, -1.0])


def test_update_ratios_rise_with_the_learning_rate(outcome):
    found = outcome("update-ratio").data["median_ratio"]["W1"]
    assert found[0] < found[1] < found[2]
    assert [verdict(found[0]), verdict(found[2])] == ["low", "high"]


def test_the_ratio_of_extremes_is_not_the_ratio_of_norms(outcome):
    data = outcome("update-ratio").data
    pairs = zip(data["extremes_ratio_of_W1"], data["median_ratio"]["W1"], strict=True)
    assert all(abs(extremes / norms - 1) > 0.1 for extremes, norms in pairs)


def test_small_helpers():
    assert ladder(1e-4, 1.0, 3) == [1e-4, 1e-2, 1.0]
    assert smoothed(np.array([1.0, 3.0, 5.0]), 2).tolist() == [1.0, 2.0, 4.0]
    assert final_cost(trace_of([3, 1, 2]), 2) == 1.5
    assert final_cost(trace_of([3], exploded=True), 1) == math.inf
    assert number(1e-9) == "1.00e-09"
    assert plain(math.inf) is None


def test_one_thread_puts_the_threads_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
