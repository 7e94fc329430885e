"""Activations, preprocessing, initialization, batch normalization: measured numbers against theory."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from babysit.lab import initialization, ten_layers
from babysit.lab.dead_units import SILENT_THEORY
from babysit.lab.experiment import Options
from babysit.lab.initialization import HE_RELU, KNOWN, LARGE, LECTURE, SMALL, XAVIER_RELU, XAVIER_TANH, cases
from babysit.lab.preprocessing import clouds, sheet
from babysit.lab.saturation import measure_scale
from babysit.lab.ten_layers import Case, passage
from babysit.lab.zigzag import path
from babysit.nn.initialization import INITIALIZERS

# Between-seed standard deviations of a layer's std, relative for the shrinking nets (lecture rows 45-53).
HE_SD = (0.002, 0.016, 0.026, 0.041, 0.054, 0.068, 0.086, 0.088, 0.099, 0.113)
SPREAD = {
    SMALL: [t * (0.0016 + (0.013 - 0.0016) * i / 9) for i, t in enumerate(KNOWN[SMALL].theory)],
    LARGE: [1e-4] * 10,
    XAVIER_TANH: [0.002] * 10,
    # ReLU's relative spread is He's: the nets differ by a factor 2^(-1/2) a layer and nothing else.
    XAVIER_RELU: [t * sd / 0.825645 for t, sd in zip(KNOWN[XAVIER_RELU].theory, HE_SD, strict=True)],
    HE_RELU: HE_SD,
}
NAMES = [f"{case.activation}-{case.scheme}-{dict(case.options).get('scale', '')}" for case in LECTURE]


@pytest.fixture
def passages(outcome):
    """Case -> its ten layers, as the experiment tells them."""
    layers = [
        SimpleNamespace(number=entry["layer"], **entry) for entry in outcome("initialization").data["layers"]
    ]
    found = {case: layers[10 * place : 10 * place + 10] for place, case in enumerate(LECTURE)}
    assert all({layer.scheme for layer in found[case]} == {case.scheme} for case in LECTURE)
    assert all({layer.activation for layer in found[case]} == {case.activation} for case in LECTURE)
    return found


@pytest.mark.parametrize("case", LECTURE, ids=NAMES)
def test_layer_stds_are_within_four_seed_deviations_of_theory(passages, case):
    for layer, theory, spread in zip(passages[case], KNOWN[case].theory, SPREAD[case], strict=True):
        assert abs(layer.std - theory) <= 4 * spread, layer.number


@pytest.mark.parametrize("case", LECTURE, ids=NAMES)
def test_the_lectures_own_stds_are_within_four_seed_deviations_too(case):
    known = KNOWN[case]
    for lecture, theory, spread in zip(known.lecture, known.theory, SPREAD[case], strict=True):
        if lecture is not None:
            # The slides print six decimals; their first He layer and large layer are one draw each.
            assert abs(lecture - theory) <= 4 * spread + 1e-6


@pytest.mark.parametrize("case", [SMALL, LARGE, XAVIER_TANH])
def test_tanh_layers_have_mean_zero(passages, case):
    # 500,000 activations that share 500 columns of weights: the mean's deviation is about std / 500.
    assert all(abs(layer.mean) < 4 * layer.std / math.sqrt(500 * 1000) * 10 for layer in passages[case])


def test_relu_layer_means_follow_theory(passages):
    for layer, sd in zip(passages[HE_RELU], HE_SD, strict=True):
        assert abs(layer.mean - 0.56419) <= 4 * sd
    for number, (layer, sd) in enumerate(zip(passages[XAVIER_RELU], HE_SD, strict=True)):
        shrunk = 2 ** (-(number + 1) / 2)
        assert abs(layer.mean - 0.56419 * shrunk) <= 4 * sd * shrunk


@pytest.mark.parametrize(
    ("case", "top", "bottom", "tolerance"),
    [
        (SMALL, 0.223, 2.97e-7, 0.06),
        (XAVIER_TANH, 0.948, 0.267, 0.03),
        (XAVIER_RELU, 0.711, 0.0314, 0.1),
        (HE_RELU, 1.02, 1.02, 0.1),
        (LARGE, 3.49, 2.6e5, 0.15),
    ],
)
def test_gradient_stds_at_the_top_and_at_the_bottom(passages, case, top, bottom, tolerance):
    layers = passages[case]
    assert layers[-1].gradient_std == pytest.approx(top, rel=tolerance)
    assert layers[0].gradient_std == pytest.approx(bottom, rel=tolerance)


def test_small_weights_give_every_layer_the_same_tiny_weight_gradient(passages):
    found = [layer.weight_gradient_std for layer in passages[SMALL]]
    assert found == pytest.approx([4.2e-8] * 10, rel=0.06)


def test_initialization_data_has_the_promised_keys(outcome):
    layers = outcome("initialization").data["layers"]
    assert {"scheme", "activation", "layer", "mean", "std", "gradient_std"} <= set(layers[0])
    assert [entry["layer"] for entry in layers[:10]] == list(range(1, 11))
    lines = outcome("initialization").lines
    assert lines[1].startswith("input layer had mean ")
    assert lines[2].startswith("hidden layer 1 had mean ")


def test_every_scheme_is_tried_with_tanh_and_with_relu():
    found = {(case.scheme, case.activation) for case in cases()}
    assert found >= {(scheme, unit) for scheme in INITIALIZERS for unit in ("tanh", "relu")}


def test_every_scheme_gives_the_promised_rows_in_a_small_network(monkeypatch):
    monkeypatch.setattr(ten_layers, "WIDTH", 50)
    monkeypatch.setattr(ten_layers, "ROWS", 100)
    layers = initialization.run(Options()).data["layers"]
    keys = {"scheme", "activation", "layer", "mean", "std", "gradient_std", "weight_gradient_std", "options"}
    assert all(set(layer) == keys for layer in layers)
    assert [layer["layer"] for layer in layers] == list(range(1, 11)) * len(cases())
    told = [(layer["scheme"], layer["activation"], layer["options"]) for layer in layers[::10]]
    assert told == [(case.scheme, case.activation, dict(case.options)) for case in cases()]


def stds(scheme, activation):
    return [layer.std for layer in passage(Case("", scheme, activation), seed=0).layers]


def test_without_a_nonlinearity_xavier_keeps_the_variance():
    assert stds("xavier", "linear") == pytest.approx([1.0] * 10, abs=0.04)


def test_torchs_default_shrinks_to_the_floor_of_its_biases():
    assert 0.01 < stds("default", "relu")[-1] < 0.03


@pytest.mark.slow
def test_lsuv_gives_every_layer_the_statistics_of_the_first():
    assert stds("lsuv", "tanh") == pytest.approx([0.6279] * 10, rel=0.06)


def test_zero_weights_pass_nothing():
    assert stds("zero", "relu") == [0.0] * 10


def test_saturation_vanishes_locally_and_explodes_in_full():
    found = measure_scale(1.0, seed=0)
    assert np.mean(found.slopes < 0.02) == pytest.approx(0.904, abs=0.004)
    assert 1e-13 < np.median(found.slopes) < 3e-12
    assert found.growth == pytest.approx(3.48, rel=0.02)
    assert found.theory == pytest.approx(found.growth, rel=0.02)


@pytest.mark.slow
def test_a_gradient_neither_grows_nor_shrinks_where_its_local_slopes_say_so():
    for scale in (0.01, 0.05, 0.3):
        found = measure_scale(scale, seed=1)
        assert found.growth == pytest.approx(found.theory, rel=0.03)


def test_activations_match_theory_within_four_standard_errors(outcome):
    data = outcome("activations").data
    for name, found in data["activations"].items():
        error = 4 * found["std_theory"] / math.sqrt(data["samples"])
        assert abs(found["mean"] - found["mean_theory"]) <= error, name
        assert found["std"] == pytest.approx(found["std_theory"], rel=0.02), name
        assert found["mean_square"] == pytest.approx(1 / found["gain"] ** 2, rel=0.03), name


def test_the_slides_three_probes(outcome):
    found = outcome("activations").data["activations"]
    assert found["sigmoid"]["local_gradients"] == pytest.approx([4.5396e-5, 0.25, 4.5396e-5], rel=1e-4)
    assert found["tanh"]["local_gradients"] == pytest.approx([8.2446e-9, 1, 8.2446e-9], rel=1e-4)
    assert found["relu"]["local_gradients"] == [0, 0, 1]
    assert found["leaky_relu"]["local_gradients"][0] == pytest.approx(0.01)
    assert all(seconds > 0 for seconds in outcome("activations").data["seconds"].values())


def test_positive_inputs_need_more_steps(outcome):
    races = outcome("zigzag").data["races"]
    best = {kind: min(s for s in found["mean_steps"] if s is not None) for kind, found in races.items()}
    assert best["positive"] > 1.5 * best["centred"]
    assert races["centred"]["best_rate"] > 2 * races["positive"]["best_rate"]


def test_gradient_signs_follow_theory(outcome):
    for entry in outcome("zigzag").data["signs"]:
        share = entry["share"]
        if entry["kind"] == "centred":
            wanted = 2.0 ** (1 - entry["dimensions"])
            assert share == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / 1000))
        elif entry["batch"] == 1:
            assert share == 1.0
        else:
            assert 0.6 < share < 0.9  # a mini-batch mixes the signs


def test_every_step_with_positive_inputs_lies_in_an_allowed_quadrant(outcome):
    steps = np.diff(np.array(outcome("zigzag").data["paths"]["positive"]), axis=0)
    assert ((steps >= 0).all(1) | (steps <= 0).all(1)).all()


def test_a_path_of_no_steps_starts_at_the_origin():
    assert path(np.empty((0, 2)), rate=1.0).tolist() == [[0.0, 0.0]]


def test_clouds_have_the_promised_moments():
    stages = clouds(seed=3)
    cov = {name: np.cov(x.astype(float).T, bias=True) for name, x in stages.items()}
    assert abs(stages["zero-centred"].mean(0)).max() < 1e-6
    assert np.diag(cov["normalised"]) == pytest.approx([1, 1], abs=1e-5)
    assert abs(cov["decorrelated"][0, 1]) < 1e-5
    assert cov["whitened"] == pytest.approx(np.eye(2), abs=1e-3)


def test_a_sheet_tiles_images_with_gaps():
    images = np.arange(5 * 1 * 8 * 8, dtype=np.float32).reshape(5, 1, 8, 8)
    tiled = sheet(images, each_alone=False)
    assert tiled.shape == (26, 26, 3)
    assert tiled[0, 0].tolist() == [0, 0, 0]
    assert tiled[8].min() == 1  # the gap
    assert sheet(images, each_alone=True)[9:17, 9:17].min() == 0


def test_dead_units_have_no_gradient_and_never_change(outcome):
    fate = outcome("dead-units").data["after_death"]
    assert 10 < fate["dead"] < fate["units"]
    assert fate["largest_gradient_of_dead"] == 0.0
    assert fate["dead_that_moved"] == 0
    assert fate["smallest_gradient_of_living"] > 0
    assert fate["living_that_moved"] == fate["units"] - fate["dead"]


def test_dead_units_rise_with_the_learning_rate_on_positive_inputs(outcome):
    centred, positive, _ = outcome("dead-units").data["dead"]
    assert positive[0][-1] <= 0.02
    assert positive[-1][-1] > 0.5
    assert all(rate[-1] is None or rate[-1] < 0.05 for rate in centred)


def test_silent_units_of_a_healthy_net_follow_row_23(outcome):
    silent = np.array(outcome("dead-units").data["silent"])
    error = 4 * np.maximum(np.sqrt(np.array(SILENT_THEORY) / 500 / len(silent)), 0.004)
    assert (abs(silent.mean(0) - SILENT_THEORY) <= error).all()


def test_batch_norm_bounds_the_gradient_and_ties_batch_mates(outcome):
    data = outcome("batchnorm").data
    first = {way: np.array(norms) for way, norms in data["first_gradient"].items()}
    # Two decades of weight scale: without it the gradient goes with the seventh power, with it hardly at all.
    assert first["without"][-1] / first["without"][-2] > 1e6
    assert first["with"][-1] / first["with"][-2] < 10
    assert data["output_std_over_batch_mates"]["eval"] == 0
    assert data["output_std_over_batch_mates"]["train"] > 0.01


@pytest.mark.slow
def test_batch_norm_allows_higher_rates_and_any_start(outcome):
    data = outcome("batchnorm", quick=False).data
    largest = data["largest_stable_rate"]
    assert largest["with"] > 3 * largest["without"]
    accuracy = data["val_accuracy"]
    assert min(accuracy["with"]) > 0.6
    assert min(accuracy["without"]) < 0.2
    assert max(accuracy["without"]) > 0.9
