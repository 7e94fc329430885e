"""Selection of the way a model is lowered, with its reason; a wrong fused form is never chosen."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.errors import RecipeError
from babysit.nn.networks import mlp
from babysit.training.lowering import WAYS, lower
from babysit.training.lowering import layers as known_layers
from babysit.training.population import stack
from reference.serial_training import DataDependent

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Calling(nn.Module):
    """A linear layer, and what the test does with it."""

    def __init__(self, function):
        super().__init__()
        self.inner, self.function = nn.Linear(4, 4), function

    def forward(self, x):
        return self.function(self, x)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand(4)


class Moody(nn.Module):
    """Another function in evaluation mode, which a graph cannot say."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(x) if self.training else self.inner(x) * 2


def hooked():
    model = nn.Sequential(nn.Linear(4, 2))
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)
    return model


def overwriting(module, x):
    y = module.inner(x)
    return y.relu_() + y  # y is relu(y) by now


class Unlowered(nn.Module):
    """A residual block with a function that has no fused form."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return x + torch.sinc(self.norm(self.inner(x)))


def sometimes(module, x):
    return module.inner(x) * 2 if random.random() < 0.0 else module.inner(x)


def branching():
    return nn.Sequential(nn.Linear(4, 4), DataDependent(4))


LOST = "its fused form differs from the model alone in {} mode"

CASES = {
    "known": (lambda: mlp(4, [3], 2, dropout=0.5), "fused", "every layer is known: 1 Flatten, 2 Linear"),
    "residual": (lambda: Calling(lambda m, x: x + F.relu(m.inner(x))), "fused", "1 Linear, 1 relu, 1 add"),
    "sizes": (lambda: Calling(lambda m, x: m.inner(x).view(x.size(0), 2, -1)), "fused", "every layer"),
    "one by one": (
        lambda: Calling(lambda m, x: m.inner(x).reshape(x.shape[0], 2, 2)),
        "fused",
        "every layer",
    ),
    "slices": (lambda: Calling(lambda m, x: m.inner(x)[:, : x.size(1) // 2] * 2), "fused", "every layer"),
    "a constant": (lambda: Calling(lambda m, x: m.inner(x) - torch.arange(4.0)), "fused", "every layer"),
    "clamp": (lambda: Calling(lambda m, x: m.inner(x).clamp(max=0.1)), "fused", "every layer"),
    "permute": (
        lambda: Calling(lambda m, x: m.inner(x).unsqueeze(-1).permute(0, -1, 1).squeeze(1)),
        "fused",
        "every layer",
    ),
    "whole mean": (lambda: Calling(lambda m, x: m.inner(x) - m.inner(x).mean()), "fused", "every layer"),
    "unknown function": (Unlowered, "vmap", "no fused form for sinc (sinc)"),
    "unknown method": (lambda: Calling(lambda m, x: m.inner(x).cumsum(1)), "vmap", "for cumsum (cumsum)"),
    "unknown argument": (
        lambda: Calling(lambda m, x: torch.mean(m.inner(x), 1, dtype=torch.float64)),
        "vmap",
        "no fused form for mean with these arguments (mean)",
    ),
    "unknown layer": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmin(1)),
        "vmap",
        "no fused form for Softmin (1)",
    ),
    "hooks": (hooked, "vmap", "the model has hooks"),
    "another in each mode": (Moody, "vmap", LOST.format("training")),
    "in place, seen elsewhere": (lambda: Calling(overwriting), "vmap", LOST.format("training")),
    "noise": (lambda: nn.Sequential(nn.Linear(4, 4), Noisy()), "serial", "it draws random numbers"),
    "a draw that decides": (
        lambda: Calling(sometimes),
        "vmap",
        "it draws random numbers of its own in training mode",
    ),
    "random layer": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.AlphaDropout(0.5)),
        "serial",
        "no fused form for AlphaDropout (1), and vmap refuses it:",
    ),
    "control flow": (branching, "serial", "its forward cannot be traced"),
    "cumulative average": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=None)),
        "serial",
        "no fused form for BatchNorm1d with a cumulative average (1)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_way_is_chosen_for_a_reason_and_equals_the_models_alone(name):
    make, kind, reason = CASES[name]
    models = [make() for _ in range(3)]
    population = stack(models)
    way = lower(population, X)
    assert way.kind == kind, way.reason
    assert reason in way.reason
    assert "\n" not in way.reason
    if name == "noise":
        return
    population.template.eval()
    outputs = way.forward(population.parameters, population.buffers, X)
    for index, alone in enumerate(models):
        torch.testing.assert_close(outputs[index], alone.eval()(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_may_be_asked_for(way):
    models = [mlp(4, [3], 2) for _ in range(3)]
    population = stack(models)
    lowering = lower(population, X, way)
    assert lowering.kind == way
    assert lowering.reason.startswith("as asked")
    outputs = lowering.forward(population.parameters, population.buffers, X, tape := [])
    torch.testing.assert_close(outputs, torch.stack([model(X) for model in models]), rtol=1e-5, atol=1e-6)
    assert bool(tape) == (way == "fused")


@pytest.mark.parametrize(
    ("way", "make", "words"),
    [
        ("fused", Unlowered, ("sinc", "fix: ask for 'vmap' or 'serial'")),
        ("vmap", branching, ("vmap refuses it", "fix: ask for 'serial'")),
        ("fastest", lambda: mlp(4, [3], 2), ("'fastest'", "fix: choose one of: fused, vmap, serial")),
    ],
)
def test_a_way_that_cannot_be_is_refused_with_a_fix(way, make, words):
    with pytest.raises(RecipeError) as refusal:
        lower(stack([make(), make()]), X, way)
    assert all(word in str(refusal.value) for word in words)


def doubled(use):
    return known_layers.BuiltLayer(lambda context, x: x.relu() * 2)


def only_the_first(use):
    layer, weight = use.layer, use.name("weight")
    return known_layers.BuiltLayer(lambda context, x: x @ context.parameters[weight][0].T + layer.bias)


@pytest.mark.parametrize(("kind", "form"), [(nn.ReLU, doubled), (nn.Linear, only_the_first)])
def test_a_wrong_form_is_found_out(kind, form, monkeypatch):
    """The proof itself: with a mistake in the table, no population goes that way."""
    monkeypatch.setitem(known_layers.LAYERS, kind, form)
    way = lower(stack([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)]), X)
    assert (way.kind, way.reason) == ("vmap", LOST.format("training"))


def test_a_form_that_forgets_the_running_statistics_is_found_out(monkeypatch):
    def forgetful(use):
        return known_layers.BuiltLayer(
            lambda context, x: (x - x.mean(1, True)) / (x.var(1, False, True) + 1e-5).sqrt()
        )

    monkeypatch.setitem(known_layers.LAYERS, nn.BatchNorm1d, forgetful)
    models = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)]
    assert lower(stack(models), X).reason == LOST.format("training")


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("make", [lambda: mlp(4, [6], 2, batch_norm=True, dropout=0.5), Unlowered])
def test_lowering_moves_neither_random_state_nor_buffers_nor_modes(make, rows):
    population = stack([make() for _ in range(3)])
    next(module for module in population.template.modules() if isinstance(module, nn.BatchNorm1d)).eval()
    modes = [module.training for module in population.template.modules()]
    names = set(vars(population.template))
    before = {name: value.clone() for name, value in population.buffers.items()}
    parameters = {name: value.detach().clone() for name, value in population.parameters.items()}
    state, x = torch.random.get_rng_state(), X[:rows].clone()
    lower(population, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(population.buffers[name], value) for name, value in before.items())
    assert all(torch.equal(population.parameters[name], value) for name, value in parameters.items())
    assert [module.training for module in population.template.modules()] == modes
    assert set(vars(population.template)) == names
    assert torch.equal(x, X[:rows])


def test_a_program_serves_fewer_members_than_it_was_made_for():
    models = [mlp(4, [6], 2, batch_norm=True) for _ in range(4)]
    forward = lower(stack(models), X).forward
    fewer = stack([models[2], models[0]])
    outputs = forward(fewer.parameters, fewer.buffers, X)
    torch.testing.assert_close(outputs, torch.stack([models[2](X), models[0](X)]), rtol=1e-5, atol=1e-6)


def test_the_reason_names_the_form_of_a_convolution():
    way = lower(
        stack([nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)) for _ in range(2)]),
        torch.zeros(2, 1, 7, 7),
    )
    assert way.reason == "every layer is known: 1 Conv2d (joint), 1 Conv2d (grouped)"


@pytest.mark.slow
def test_lowering_does_not_load_dynamo():
    script = (
        "import sys, torch; from torch import nn; from babysit.training.population import stack;"
        "from babysit.training.lowering import lower;"
        "lower(stack([nn.Sequential(nn.Linear(3, 2), nn.ReLU())] * 2), torch.zeros(2, 3));"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
