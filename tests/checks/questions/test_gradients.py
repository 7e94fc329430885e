"""The gradient check: right gradients pass whatever the network, wrong ones fail and are named."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.checks.questions.gradient_report import Band, GradientEntry, GradientReport, band_of
from babysit.checks.questions.gradients import check_gradients, gradients_match
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import arrays, digits
from babysit.nn.networks import mlp, two_layer
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import middle
from babysit.verdicts import Status

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2])


def checked(model, x=X, y=Y, loss_of=F.cross_entropy, **options):
    return check_gradients(model, loss_of, x, y, **options)


def made(*layers, seed=0):
    """A network of layers, each built by a function, so that the seed decides the weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(*[layer() if callable(layer) and not isinstance(layer, nn.Module) else layer
                               for layer in layers])  # fmt: skip


def net(*middle_layers, width=8, seed=0):
    return made(lambda: nn.Linear(6, width), *middle_layers, lambda: nn.Linear(width, 3), seed=seed)


class Doubled(torch.autograd.Function):
    """The identity with a backward that is wrong by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.factor * gradient, None


class Wrong(nn.Module):
    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return Doubled.apply(x, self.factor)


class WithSpare(nn.Module):
    """Its second layer is never used."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        return self.used(x)


def called(function):
    """A module of one function."""

    class Called(nn.Module):
        def forward(self, x):
            return function(x)

    return Called()


# Right gradients


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "layers",
    [
        [nn.Tanh()],
        [nn.Sigmoid()],
        [nn.GELU()],
        [nn.Softplus()],
        [nn.ReLU()],
        [nn.ReLU(inplace=True)],
        [nn.LeakyReLU(0.1)],
        [nn.PReLU()],
        [nn.ELU()],
        [nn.LayerNorm(8), nn.Tanh()],
        [nn.BatchNorm1d(8), nn.Tanh()],
        [nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.3)],
    ],
    ids=lambda layers: " ".join(type(layer).__name__ for layer in layers),
)
def test_right_gradients_are_happy(layers, seed):
    report = checked(net(*layers, seed=seed), seed=seed)
    assert report.band in (Band.HAPPY, Band.FINE), str(report)
    assert report.worst < 1e-5
    assert not report.problem
    assert not report.tiny


@pytest.mark.parametrize(
    "loss_of", [F.cross_entropy, F.multi_margin_loss, lambda out, y: out.square().mean()]
)
def test_any_loss_of_the_users_own(loss_of):
    assert checked(net(nn.Tanh()), loss_of=loss_of).worst < 1e-5


def test_a_convolution_with_pooling_is_checked_within_its_kinks():
    model = made(
        lambda: nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), lambda: nn.Linear(36, 3)
    )
    report = checked(model, torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert report.band in (Band.HAPPY, Band.FINE)
    assert [tensor.name for tensor in report.data] == ["0.weight", "0.bias", "4.weight", "4.bias"]


def test_integer_inputs_and_float_targets():
    model = made(lambda: nn.Embedding(5, 4), nn.Flatten(), lambda: nn.Linear(8, 1))
    report = checked(model, torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0.5], [2.0]]), F.mse_loss)
    assert report.band is Band.HAPPY


def test_large_pixels_and_small_weights_are_no_fault_of_the_gradient():
    pixels = 60 * torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    for activation in (nn.ReLU, nn.Tanh):
        model = made(lambda: nn.Linear(300, 20), activation(), lambda: nn.Linear(20, 3))
        report = checked(model, pixels)
        assert report.worst < 1e-6, str(report)
    small = two_layer(300, 50, 3, weight_scale=1e-4)
    assert checked(small, pixels).band in (Band.HAPPY, Band.FINE)


def test_ten_layers_are_checked_too():
    assert checked(mlp(6, [30] * 9, 3), entries=2).worst < 1e-4


# What is sampled


def test_every_tensor_gives_its_largest_gradient_and_some_at_random():
    report = checked(net(nn.Tanh()), entries=4)
    assert [tensor.name for tensor in report.data] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [len(tensor.entries) for tensor in report.data] == [4, 4, 4, 3]
    for tensor in report.data:
        assert abs(tensor.entries[0].analytic) == tensor.largest
        assert len({entry.index for entry in tensor.entries}) == len(tensor.entries)


def test_the_seed_decides_the_entries():
    model = net(nn.Tanh(), width=50)
    places = [[e.index for t in checked(model, seed=seed).data for e in t.entries] for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]


def test_frozen_parameters_are_left_out_and_scalars_are_not():
    model = net(nn.PReLU())
    model[0].weight.requires_grad_(False)
    model.register_parameter("gain", nn.Parameter(torch.tensor(2.0)))
    model.register_forward_hook(lambda module, _, out: out * module.gain)
    report = checked(model)
    assert "0.weight" not in [tensor.name for tensor in report.data]
    (gain,) = [tensor for tensor in report.data if tensor.name == "gain"]
    assert [entry.index for entry in gain.entries] == [()]
    assert gain.worst < 1e-7


def test_model_loss_and_random_state_stay_as_they_were():
    model = net(nn.BatchNorm1d(8), nn.Dropout(0.5))
    model(X).sum().backward()
    before, gradients = copy.deepcopy(model.state_dict()), [p.grad.clone() for p in model.parameters()]
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    checked(model, l2=0.1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert model.training
    assert next(model.parameters()).dtype == torch.float32


def test_inputs_that_the_model_overwrites_are_given_anew():
    x = X.clone()
    assert checked(net(nn.ReLU()).insert(0, called(lambda x: x.mul_(2))), x).worst < 1e-5
    assert torch.equal(x, X)


# Wrong gradients


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0, 1.1, math.nan])
def test_a_wrong_backward_is_found_and_the_tensors_before_it_are_named(factor):
    report = checked(net(Wrong(factor), nn.Tanh()), l2=0.1)
    assert report.named(Band.WRONG) == ("0.weight", "0.bias")
    assert report.band is Band.WRONG
    if math.isfinite(factor):
        error = abs(factor - 1) / max(abs(factor), 1)
        assert report.worst == pytest.approx(error, rel=1e-3)


def test_a_slightly_wrong_backward_is_uneasy_or_high():
    assert checked(net(Wrong(1.001), nn.Tanh())).band is Band.UNEASY
    assert checked(net(Wrong(1.00001), nn.Tanh())).band is Band.HIGH
    assert checked(net(Wrong(1.00001), nn.LeakyReLU())).band is Band.FINE


@pytest.mark.parametrize("cut", [lambda x: x.detach(), lambda x: x.data * 1.0])
def test_a_graph_cut_in_the_middle_is_wrong_before_the_cut(cut):
    assert checked(net(called(cut), nn.Tanh())).named(Band.WRONG) == ("0.weight", "0.bias")


def test_a_round_trip_through_numpy_is_wrong_before_it():
    through = called(lambda x: torch.from_numpy(x.detach().numpy() * 2))
    assert checked(net(through)).named(Band.WRONG) == ("0.weight", "0.bias")


# Kinks


def one_unit(bias):
    """relu(w x + b) with x = 1, w = 0: the pre-activation is the bias."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    nn.init.constant_(model[0].bias, bias)
    return model


def test_the_notes_own_example_of_a_kink_is_reported_and_not_judged():
    report = checked(one_unit(-1e-6), torch.ones(1, 1), loss_of=lambda out, _: out.sum(), burn_in=0)
    assert [tensor.kinks for tensor in report.data] == [1, 1]
    (entry,) = report.data[1].entries
    assert entry.analytic == 0
    assert entry.numeric == pytest.approx(0.45, rel=1e-6)  # (9e-6 - 0) / 2e-5
    assert entry.error == 1
    assert report.band is Band.UNJUDGED


@pytest.mark.parametrize("bias", [-2e-5, 2e-5])
def test_beside_the_kink_the_entry_is_judged(bias):
    report = checked(one_unit(bias), torch.ones(1, 1), loss_of=lambda out, _: out.sum(), burn_in=0)
    assert (report.kinks, report.worst) == (0, pytest.approx(0, abs=1e-9))


def test_a_smaller_step_crosses_fewer_kinks():
    rows = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400) % 3
    crossed = [
        checked(net(nn.ReLU(), width=60), rows, labels, step=step).kinks for step in (1e-2, 1e-4, 1e-7)
    ]
    assert crossed[0] > crossed[1] >= crossed[2]


# Nothing to compare


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (net(called(torch.Tensor.sigmoid_)), ""),
        (net(called(lambda x: x.exp().add_(1))), "inplace"),
        (nn.Sequential(nn.Linear(6, 3), called(lambda x: x.detach())), "does not require grad"),
        (nn.Sequential(nn.Flatten()), "no parameter"),
        (nn.Sequential(nn.Linear(6, 3), called(lambda x: x * math.nan)), "the loss is nan"),
    ],
    ids=["in place, allowed", "in place", "detached output", "no parameter", "nan"],
)
def test_a_model_without_gradients_is_a_fault_in_words(model, said):
    report = checked(model)
    assert (report.is_fault, said in report.problem) == (bool(said), True)
    assert bool(report.problem) == bool(said)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Linear(6, 3), called(lambda x: x[5])), "IndexError"),
        (nn.Sequential(called(lambda x: x.float()), nn.Linear(6, 3)), "float64"),
        (nn.Sequential(nn.Linear(6, 3), called(lambda x: x.float() * 2)), "casts to torch.float32"),
        (nn.Sequential(nn.Linear(6, 3), called(lambda x: x + time.perf_counter())), "from one evaluation to"),
    ],
    ids=["raises", "wants float32", "casts", "clock"],
)  # fmt: skip
def test_a_model_that_cannot_be_checked_is_a_limit_in_words(model, said):
    report = checked(model, loss_of=lambda out, y: out.square().mean())
    assert not report.is_fault
    assert said in report.problem
    assert math.isnan(report.worst)
    assert report.band is Band.UNJUDGED


def test_weights_that_no_gradient_reaches_are_named():
    dead = net(nn.ReLU())
    nn.init.constant_(dead[0].bias, -100)
    assert checked(dead).tiny == ("0.weight", "2.weight")
    assert checked(WithSpare()).tiny == ("spare.weight",)
    faint = checked(net(nn.Tanh()), loss_of=lambda out, y: 1e-12 * F.cross_entropy(out, y))
    assert faint.tiny == ("0.weight", "2.weight")


def test_a_bias_before_batch_normalization_has_no_gradient_and_that_is_no_fault():
    report = checked(net(nn.BatchNorm1d(8), nn.Tanh()))
    assert not report.tiny
    assert report.band is not Band.WRONG


# Regularization


def test_regularization_is_compared_alone_for_weights_only():
    report = checked(net(nn.Tanh()), l2=1e3)
    assert [tensor.name for tensor in report.regularization] == ["0.weight", "2.weight"]
    assert all(tensor.worst < 1e-7 for tensor in report.regularization)
    assert checked(net(nn.Tanh())).regularization == ()
    for alone, together in zip(checked(net(nn.Tanh())).data, report.data, strict=True):
        assert alone.entries == together.entries


# Bands


@pytest.mark.parametrize(
    ("error", "with_kinks", "without"),
    [
        (0.0, "happy", "happy"),
        (1e-7, "happy", "happy"),
        (1e-5, "fine", "high"),
        (1e-4, "fine", "high"),
        (1e-3, "uneasy", "uneasy"),
        (1e-2, "uneasy", "uneasy"),
        (0.011, "wrong", "wrong"),
        (math.inf, "wrong", "wrong"),
        (math.nan, "unjudged", "unjudged"),
    ],
)
def test_bands_of_the_notes(error, with_kinks, without):
    assert (str(band_of(error, has_kinks=True)), str(band_of(error, has_kinks=False))) == (
        with_kinks,
        without,
    )


def test_the_error_is_relative_to_the_larger_and_both_zero_passes():
    assert GradientEntry((), 1.0, 0.5).error == 0.5
    assert GradientEntry((), 0.0, 0.0).error == 0
    assert GradientEntry((), 0.0, 1e-3).error == 1
    assert GradientEntry((), -1.0, 1.0).error == 2
    assert GradientEntry((), math.nan, 1.0).error == math.inf
    assert not GradientEntry((), 0.0, 1e-11, rounding=1e-10).judged


def test_an_empty_report_has_nothing_to_say():
    assert (GradientReport().band, GradientReport().kinks) == (Band.UNJUDGED, 0)
    assert str(GradientReport(problem="no")) == "no"


def test_a_report_prints_a_line_a_tensor():
    lines = str(checked(net(nn.Tanh()), l2=1.0)).splitlines()
    assert [line.split()[:2] for line in lines] == [
        [name, "happy"] for name in ("0.weight", "0.bias", "2.weight", "2.bias", "0.weight", "2.weight")
    ]


# As a check of a recipe


def recipe_of(model, **options):
    space = {"learning_rate": 1e-2}
    data = lambda: digits(preprocess=[MeanImage()])  # noqa: E731
    recipe = Recipe(data, model, **{"batch_size": 50, "space": space, **options})
    return prepare(recipe, seed=0), middle(recipe.full_space())


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
@pytest.mark.parametrize("weight_scale", [None, 1e-2, 1e-4])
def test_a_recipe_with_right_gradients_passes(loss, weight_scale):
    found = gradients_match(*recipe_of(lambda hp: two_layer(64, weight_scale=weight_scale), loss=loss))
    assert found.status is Status.PASS, found.advice
    assert found.value < 1e-4
    assert [tensor["name"] for tensor in found.details["tensors"]][:2] == ["1.weight", "1.bias"]


def test_a_recipe_with_a_wrong_backward_fails_and_names_the_tensor():
    layers = [nn.Flatten(), lambda: nn.Linear(64, 20), Wrong(), nn.ReLU(), lambda: nn.Linear(20, 10)]
    found = gradients_match(*recipe_of(lambda hp: made(*layers)))
    assert found.status is Status.FAIL
    assert found.value == pytest.approx(0.5, rel=1e-3)
    assert "the gradient of 1.weight, 1.bias is not the slope" in found.advice


@pytest.mark.parametrize(
    ("last", "status", "said"),
    [
        (called(lambda x: x.detach()), Status.FAIL, "backpropagation fails"),
        (called(lambda x: x.float() * 1), Status.WARN, "stay unchecked"),
        (called(lambda x: 1e-13 * x), Status.WARN, "no gradient above 1e-09 reaches 1.weight"),
        (Wrong(1.001), Status.WARN, "nearly the slope"),
    ],
)
def test_what_else_the_check_says(last, status, said):
    found = gradients_match(*recipe_of(lambda hp: made(nn.Flatten(), lambda: nn.Linear(64, 10), last)))
    assert found.status is status
    assert said in found.advice


def test_entries_that_all_lie_at_kinks_are_a_warning():
    def model(hp):
        net = two_layer(64)
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        return nn.Sequential(*net, nn.ReLU())

    found = gradients_match(*recipe_of(model))
    assert found.status is Status.WARN


def test_no_warning_of_torchs_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients_match(*recipe_of(lambda hp: mlp(64, [20, 20], 10, dropout=0.5)))


def test_the_gradients_of_the_digits_network_are_right():
    recipe = load_recipe("digits")
    prepared, hyperparameters = prepare(recipe, seed=0), middle(recipe.full_space())
    assert gradients_match(prepared, hyperparameters).status is Status.PASS


def test_the_gradients_of_the_lectures_network_on_pixels_are_right():
    pixels, labels = (
        np.random.default_rng(0).integers(0, 256, (200, 3072), dtype=np.uint8),
        np.arange(200) % 10,
    )
    data = arrays(pixels[:100], labels[:100], pixels[100:], labels[100:], preprocess=[MeanImage()])
    recipe = load_recipe("cifar10")
    prepared = prepare(replace(recipe, data=lambda: data), seed=0)
    assert gradients_match(prepared, middle(recipe.full_space())).status is Status.PASS


@pytest.mark.slow
def test_the_compiler_is_not_imported():
    """torch._dynamo takes longer to import than all the checks together."""
    code = (
        "import sys, torch; from torch import nn\n"
        "from babysit.checks.questions.gradients import check_gradients\n"
        "loss = nn.functional.cross_entropy\n"
        "print(check_gradients(nn.Linear(2, 2), loss, torch.ones(2, 2), torch.tensor([0, 1])).band)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["happy", "False"]
