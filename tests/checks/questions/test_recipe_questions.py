"""Each check passes on healthy set-ups and names what is wrong with sick ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from babysit.checks.questions.ask import preflight
from babysit.checks.questions.gradients import gradients_match
from babysit.checks.questions.initial_loss import first_costs, initial_loss
from babysit.checks.questions.learning_rate import Probe, bracket, learning_rate_bracket, probe_learning_rates
from babysit.checks.questions.overfit import overfits_tiny_subset
from babysit.checks.questions.regularization import regularization_raises_loss
from babysit.checks.questions.shared import rungs
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import arrays, digits
from babysit.nn.networks import mlp, two_layer
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform, middle
from babysit.verdicts import Status

PASS, WARN, FAIL = Status.PASS, Status.WARN, Status.FAIL


def centred_digits():
    return digits(preprocess=[MeanImage()])


def healthy(hp=None, inputs=64, outputs=10):
    return mlp(inputs, [50], outputs, weight_scale=1e-2)


def made(model=healthy, data=centred_digits, rate=None, **options):
    space = {"learning_rate": log_uniform(1e-5, 1e-1) if rate is None else rate}
    recipe = Recipe(data, model, **{"update": "momentum", "batch_size": 50, "space": space, **options})
    return prepare(recipe, seed=0), middle(recipe.full_space())


def table(targets):
    x = np.random.default_rng(0).normal(size=(1200, 8)).astype(np.float32)
    y = targets(x)
    return lambda: arrays(x[:1000], y[:1000], x[1000:], y[1000:])


def statuses(prepared, hyperparameters):
    return {result.name: result.status for result in preflight(prepared, hyperparameters)}


def all_pass(found):
    return all(status is PASS for status in found.values())


def zeros(hp):
    model = healthy()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def loud_outputs(hp):
    model = mlp(64, [50], 10)
    with torch.no_grad():
        model[-1].weight *= 100
    return model


def dead_units(hp):
    model = healthy()
    nn.init.constant_(model[1].bias, -1e3)
    return model


class IgnoresItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Linear(1, 10)

    def forward(self, x):
        return self.bias(torch.zeros(len(x), 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_built_in_digits_pass_every_check(seed):
    recipe = load_recipe("digits")
    found = statuses(prepare(recipe, seed=seed), middle(recipe.full_space()))
    assert list(found) == [
        "initial_loss",
        "regularization_raises_loss",
        "overfits_tiny_subset",
        "learning_rate_bracket",
        "gradients_match",
    ]
    assert all_pass(found)


@pytest.mark.slow
def test_the_hinge_loss_passes_every_check():
    assert all_pass(statuses(*made(loss="hinge")))


def test_a_regression_passes_every_check():
    data = table(lambda x: (x @ np.arange(8) / 10 + 0.5 * np.sin(3 * x[:, 0])).astype(np.float32))
    assert all_pass(statuses(*made(lambda hp: healthy(inputs=8, outputs=1), data, loss="mse")))


@pytest.mark.parametrize("seed", range(5))
def test_a_small_batch_of_a_regression_does_not_look_far_from_chance(seed):
    data = table(lambda x: (x @ np.arange(8)).astype(np.float32))
    prepared, hp = made(lambda hp: healthy(inputs=8, outputs=1), data, loss="mse", batch_size=10)
    prepared = prepare(prepared.recipe, seed=seed)
    assert initial_loss(prepared, hp).status is PASS


def test_a_regression_whose_targets_are_far_from_zero_is_told_to_centre_them():
    data = table(lambda x: (x[:, 0] + 100).astype(np.float32))
    found = initial_loss(*made(lambda hp: healthy(inputs=8, outputs=1), data, loss="mse"))
    assert found.status is FAIL
    assert found.value > 1000 * found.details["chance"]
    assert "centre the targets" in found.advice


def test_a_binary_task_passes_every_check():
    data = table(lambda x: (x[:, 0] + x[:, 1] > 0).astype(int))
    assert all_pass(statuses(*made(lambda hp: healthy(inputs=8, outputs=1), data, loss="binary")))


def test_a_network_with_batch_normalization_passes_every_check():
    def model(hp):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
        nn.init.normal_(net[-1].weight, std=1e-2)
        return net

    assert all_pass(statuses(*made(model)))


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.2, 0.5, 0.7])
def test_a_network_with_dropout_can_memorize(dropout):
    found = overfits_tiny_subset(*made(lambda hp: mlp(64, [100, 100], 10, dropout=dropout)))
    assert found.status is PASS


@pytest.mark.slow
def test_checks_do_not_disturb_the_random_state_or_each_other():
    prepared, hp = made()
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = [(r.name, r.value) for r in preflight(prepared, hp)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [(r.name, r.value) for r in preflight(prepared, hp)] == first


# The first loss


def test_the_lectures_initial_loss_is_the_logarithm_of_the_classes():
    found = initial_loss(*made())
    assert found.details["chance"] == pytest.approx(math.log(10))
    assert found.value == pytest.approx(math.log(10), rel=0.02)
    assert "2.3026" in found.expected


def test_the_first_loss_is_measured_without_regularization():
    prepared, hp = made()
    assert initial_loss(prepared, {**hp, "l2": 1e3}).value == initial_loss(prepared, {**hp, "l2": 0.0}).value


def test_loud_outputs_make_the_first_loss_too_high():
    found = initial_loss(*made(loud_outputs))
    assert found.status is FAIL
    assert found.value > 100
    assert "last layer" in found.advice


def test_a_first_loss_between_is_a_warning():
    def model(hp):
        net = healthy()
        nn.init.constant_(net[-1].bias[:1], 2.0)
        return net

    found = initial_loss(*made(model))
    assert found.status is WARN
    assert 1.1 * math.log(10) < found.value < 3 * math.log(10)


def test_labels_among_the_inputs_show_as_a_first_loss_below_chance():
    def leaking():
        y = np.arange(400) % 10
        x = 10 * np.eye(10, dtype=np.float32)[y]
        return arrays(x[:300], y[:300], x[300:], y[300:])

    found = initial_loss(*made(lambda hp: nn.Sequential(nn.Flatten(), nn.Identity(), _identity()), leaking))
    assert found.status is FAIL
    assert found.value < 0.5 * math.log(10)
    assert "labels among the inputs" in found.advice


def _identity():
    layer = nn.Linear(10, 10)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def test_a_first_loss_that_is_no_number_fails():
    def model(hp):
        net = healthy()
        nn.init.constant_(net[-1].bias, math.nan)
        return net

    found = initial_loss(*made(model))
    assert found.status is FAIL
    assert "NaN or infinite" in found.advice


# Regularization


def test_regularization_adds_half_of_it_times_the_squared_weights():
    prepared, hp = made()
    model = prepared.model(hp, ("check",))
    squares = sum(float(w.detach().double().square().sum()) for w in model.parameters() if w.dim() > 1)
    found = regularization_raises_loss(prepared, hp)
    assert found.status is PASS
    assert found.value - found.details["without"] == pytest.approx(0.5 * 1e3 * squares, rel=1e-5)


def test_zero_weights_leave_nothing_to_regularize():
    found = regularization_raises_loss(*made(zeros))
    assert found.status is FAIL
    assert found.value == pytest.approx(found.details["without"])


def test_more_regularization_costs_more():
    prepared, hp = made()
    costs = first_costs(prepared, hp, [0.0, 1.0, 1e3])
    assert costs == sorted(costs)
    assert costs[0] < costs[1] < costs[2]


# Twenty examples


def test_a_healthy_network_memorizes_twenty_examples():
    found = overfits_tiny_subset(*made())
    assert found.status is PASS
    assert found.value < 0.01
    assert found.details["train_accuracy"] == 1.0


def test_shuffled_labels_are_memorized_too_so_this_check_says_nothing_of_the_labels():
    def shuffled():
        data = centred_digits()
        np.random.default_rng(0).shuffle(data.train.y)
        return data

    assert overfits_tiny_subset(*made(data=shuffled)).status is PASS


@pytest.mark.slow
@pytest.mark.parametrize("model", [zeros, dead_units, lambda hp: IgnoresItsInput()])
def test_a_network_that_cannot_see_its_input_cannot_memorize(model):
    found = overfits_tiny_subset(*made(model))
    assert found.status is FAIL
    # The best it can do is to answer with the share of each class: two of twenty.
    assert found.value == pytest.approx(math.log(10), rel=0.05)
    assert "cannot memorize" in found.advice


@pytest.mark.slow
def test_two_examples_with_one_input_and_two_labels_cannot_be_memorized():
    def contradictory():
        x, y = np.ones((40, 4), np.float32), np.arange(40) % 2
        return arrays(x, y, x, y)

    found = overfits_tiny_subset(*made(lambda hp: healthy(inputs=4, outputs=2), contradictory))
    assert found.status is FAIL
    assert found.value == pytest.approx(math.log(2), rel=0.05)


def test_regularization_and_decay_do_not_hinder_memorizing():
    prepared, hp = made(learning_rate_decay=0.5)
    assert overfits_tiny_subset(prepared, {**hp, "l2": 1e3}).status is PASS


def test_learning_rates_that_all_explode_leave_no_cost():
    found = overfits_tiny_subset(*made(), rates=[1e4, 1e5])
    assert found.status is FAIL
    assert found.value == math.inf
    assert found.details["exploded"] == 2


def test_too_few_updates_do_not_memorize():
    assert overfits_tiny_subset(*made(), epochs=3, rates=[1e-3]).status is FAIL


# A softmax before the loss's own


@pytest.mark.slow
def test_a_doubled_softmax_shows_only_where_the_cost_must_become_tiny():
    found = statuses(*made(lambda hp: nn.Sequential(*healthy(), nn.Softmax(-1))))
    assert found["initial_loss"] is PASS
    assert found["regularization_raises_loss"] is PASS
    assert found["overfits_tiny_subset"] is FAIL


@pytest.mark.slow
def test_a_doubled_softmax_stops_at_its_own_floor():
    found = overfits_tiny_subset(*made(lambda hp: nn.Sequential(*healthy(), nn.Softmax(-1))))
    floor = math.log(math.e + 9) - 1  # one probability 1, nine 0, through another softmax
    assert found.value == pytest.approx(floor, abs=5e-3)
    assert found.details["train_accuracy"] > 0.9
    assert "return the logits" in found.advice


# Learning rates


def test_usable_learning_rates_lie_between_the_idle_and_the_exploding():
    probes = probe_learning_rates(*made(), steps=100)
    verdicts = [probe.verdict for probe in probes]
    assert verdicts[0] == "too low"
    assert verdicts[-1] == "exploding"
    assert "usable" in verdicts
    order = ["too low", "usable", "exploding"]
    assert [order.index(v) for v in verdicts] == sorted(order.index(v) for v in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "status"),
    [
        (1e3, FAIL),
        (1e-8, FAIL),
        (1e-2, PASS),
        (choice(1e-2, 2e-2), PASS),
        (choice(1e-2, 1e3), WARN),
        (choice(1e-8, 1e3), FAIL),
        (log_uniform(1e-9, 1e-8), FAIL),
        (log_uniform(10, 100), FAIL),
        (log_uniform(1e-5, 1e-1), PASS),
        (log_uniform(1e-9, 2e-3), WARN),
    ],
)
def test_the_recipes_own_learning_rate_is_held_against_the_usable_ones(rate, status):
    found = learning_rate_bracket(*made(rate=rate))
    assert found.status is status
    assert found.details["usable_low"] <= found.value <= found.details["usable_high"]
    assert 1e-3 <= found.value <= 0.3
    if status is not PASS:
        assert "search there" in found.advice


def test_a_network_that_no_rate_trains_fails_without_a_bracket():
    found = learning_rate_bracket(*made(dead_units))
    assert found.status is FAIL
    assert math.isnan(found.value)
    assert math.isnan(found.details["usable_low"])
    assert "no learning rate" in found.advice


@pytest.mark.slow
def test_pixels_scaled_by_a_hundred_move_the_bracket_down():
    def scaled():
        y = centred_digits()
        x = [100 * y.inputs(part.x) for part in (y.train, y.val)]
        return arrays(x[0], y.train.y, x[1], y.val.y)

    small = learning_rate_bracket(*made())
    large = learning_rate_bracket(*made(lambda hp: mlp(64, [50], 10, weight_scale=1e-4), scaled))
    assert large.details["usable_high"] < 0.1 * small.details["usable_high"]


def probes(verdicts, falls):
    return [Probe(10.0**n, v, f) for n, (v, f) in enumerate(zip(verdicts, falls, strict=True))]


def test_the_bracket_has_no_gap_and_holds_the_best():
    names = {"l": "too low", "u": "usable", "x": "exploding"}
    found = bracket(probes([names[c] for c in "luluux"], [0, 0.02, 0, 0.4, 0.9, math.nan]))
    assert found == (1e3, 1e4)
    assert bracket(probes(["too low", "exploding"], [0, math.nan])) is None
    assert bracket(probes(["usable"], [0.5])) == (1.0, 1.0)


@pytest.mark.parametrize(("low", "high", "count"), [(1e-8, 100, 21), (1e-6, 10, 15), (1, 1, 1)])
def test_the_rungs_reach_both_ends(low, high, count):
    found = rungs(low, high)
    assert len(found) == count
    assert found[0] == pytest.approx(low)
    assert found[-1] == pytest.approx(high, rel=1e-4)
    assert np.allclose(np.diff(np.log10(found)), 0.5, atol=1e-5)


def noisy(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 10))


@pytest.mark.parametrize("rate", [1e-8, 1e-7])
def test_the_noise_of_mini_batches_and_dropout_is_not_taken_for_learning(rate):
    recipe = Recipe(digits, noisy, batch_size=10, space={"learning_rate": rate})
    result = learning_rate_bracket(prepare(recipe, seed=0), middle(recipe.full_space()))
    assert result.status is Status.FAIL
    assert result.details["usable_low"] > 1e-6


def normalized(hp):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)
    )


def test_fresh_running_statistics_do_not_fail_a_normalized_network():
    recipe = Recipe(digits, normalized, space={"learning_rate": 1e-2})
    prepared, hyperparameters = prepare(recipe, seed=0), middle(recipe.full_space())
    assert initial_loss(prepared, hyperparameters).value < 2 * math.log(10)
    assert gradients_match(prepared, hyperparameters).status is Status.PASS


def test_the_memorization_check_is_free_of_every_regularization():
    space = {"learning_rate": 1e-2, "l1": 0.5, "l2": 1.0, "max_norm": 1e-3}
    recipe = Recipe(digits, lambda hp: two_layer(64, 20), space=space)
    prepared, hyperparameters = prepare(recipe, seed=0), middle(recipe.full_space())
    assert overfits_tiny_subset(prepared, hyperparameters).status is Status.PASS
