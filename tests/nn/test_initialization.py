from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from babysit.errors import InputError, RecipeError
from babysit.nn.activations import ACTIVATIONS
from babysit.nn.initialization import INITIALIZERS, initialize, recommended
from babysit.nn.layers import WeightedLayer, matrices
from babysit.nn.maxout import Maxout

WITHOUT_DATA = [name for name, row in INITIALIZERS.items() if not row.needs_data]


def weights(model):
    return [module.weight.detach().clone() for module in model.modules() if isinstance(module, WeightedLayer)]


@pytest.mark.parametrize("scheme", INITIALIZERS)
def test_the_same_seed_gives_the_same_weights_and_nothing_else_moves(scheme, model_and_batch):
    model, batch = model_and_batch
    twin = copy.deepcopy(model)
    initialize(twin, "he", seed=9)  # what a model held before does not matter
    held = {id(module) for module in model.modules() if isinstance(module, WeightedLayer)}
    others = [
        (m, copy.deepcopy(m.state_dict()))
        for m in model.modules()
        if not list(m.children()) and id(m) not in held
    ]
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()

    assert initialize(model, scheme, seed=5, batch=batch) is model
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    initialize(twin, scheme, seed=5, batch=batch)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.grad is None
        assert one.requires_grad
    for module, before in others:
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    if scheme not in ("zero", "constant"):
        initialize(twin, scheme, seed=6, batch=batch)
        assert not any(torch.equal(a, b) for a, b in zip(weights(model), weights(twin), strict=True))


@pytest.mark.parametrize("scheme", [name for name, row in INITIALIZERS.items() if not row.sets_bias])
def test_biases_are_zero_unless_asked_for(scheme, model_and_batch):
    model, batch = model_and_batch
    for bias in (None, 0.01):
        initialize(model, scheme, bias=bias, batch=batch)
        biases = [m.bias for m in model.modules() if isinstance(m, WeightedLayer) and m.bias is not None]
        assert biases
        assert all((b == (bias or 0)).all() for b in biases)


def test_a_layers_numbers_depend_on_its_name_only():
    small = initialize(nn.Sequential(nn.Linear(5, 6), nn.ReLU()), "he", seed=3)
    large = initialize(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 7)), "he", seed=3)
    assert torch.equal(small[0].weight, large[0].weight)
    xavier = initialize(copy.deepcopy(small), "xavier", seed=3)
    torch.testing.assert_close(small[0].weight, math.sqrt(2) * xavier[0].weight)


@pytest.mark.parametrize("scheme", ["he", "orthogonal", "default", "data_dependent", "lsuv"])
def test_two_layers_of_one_shape_get_different_numbers(scheme):
    twins = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    one, other = weights(initialize(twins, scheme, seed=3, batch=torch.randn(50, 5)))
    assert abs(nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)) < 0.9


def test_each_group_and_each_piece_is_a_linear_map_of_its_own():
    layers = [
        nn.Conv2d(64, 96, 3, groups=4),
        nn.Conv1d(512, 512, 9, groups=512),
        nn.ConvTranspose2d(64, 96, 3, groups=2),
        Maxout(100, 200, 3),
    ]
    for layer, fan_in in zip(layers, (16 * 9, 9, 32 * 9, 100), strict=True):
        initialize(layer, "he")
        expected = math.sqrt(2 / fan_in)
        assert layer.weight.std().item() == pytest.approx(
            expected, rel=4 / math.sqrt(2 * layer.weight.numel())
        )
        initialize(layer.double(), "orthogonal")
        for matrix in matrices(layer):
            W = matrix.flatten(1)
            gram = W @ W.T if len(W) <= W.shape[1] else W.T @ W
            torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("scheme", WITHOUT_DATA)
def test_every_precision(scheme, dtype):
    layer = initialize(nn.Linear(40, 30).to(dtype), scheme)
    assert layer.weight.dtype == dtype
    assert layer.weight.isfinite().all()


def test_options_reach_the_scheme():
    model = nn.Linear(500, 400)
    assert initialize(model, "small_random", scale=0.3).weight.std().item() == pytest.approx(0.3, rel=0.01)
    assert (initialize(model, "constant", value=0.5).weight == 0.5).all()
    assert initialize(model, "orthogonal", gain=3.0).weight.norm(dim=1).mean().item() == pytest.approx(3)
    std = initialize(model, "he", slope=1.0, mode="fan_out").weight.std().item()
    assert std == pytest.approx(400**-0.5, rel=0.01)
    assert initialize(model, "default", bias=0.25).bias.unique().item() == 0.25


def test_frozen_and_tied_weights():
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7, bias=False), nn.Linear(5, 7, bias=False))
    model[2].weight = model[1].weight
    model[1].weight.requires_grad_(False)
    initialize(model, "he", seed=1)
    alone = initialize(nn.Sequential(nn.ReLU(), nn.Linear(5, 7, bias=False)), "he", seed=1)
    assert torch.equal(model[2].weight, alone[1].weight)  # drawn once, under the first name
    assert not model[1].weight.requires_grad


def test_what_cannot_be_set_is_refused():
    with pytest.raises(RecipeError, match=r"'kaiming'[\s\S]*he, orthogonal"):
        initialize(nn.Linear(2, 2), "kaiming")
    with pytest.raises(RecipeError, match=r"no option 'gain'[\s\S]*slope=0.0, mode='fan_in'"):
        initialize(nn.Linear(2, 2), "he", gain=2.0)
    with pytest.raises(RecipeError, match=r"no option 'x'[\s\S]*none"):
        initialize(nn.Linear(2, 2), "zero", x=2.0)
    with pytest.raises(RecipeError, match="chooses the biases itself"):
        initialize(nn.Linear(2, 2), "data_dependent", batch=torch.randn(5, 2), bias=0.1)
    for scheme in ("data_dependent", "lsuv"):
        with pytest.raises(InputError, match="no batch was given"):
            initialize(nn.Linear(2, 2), scheme)
    for scheme, batch in (("he", None), ("lsuv", torch.ones(3, 2))):
        with pytest.raises(InputError, match="ReLU has no Linear"):
            initialize(nn.ReLU(), scheme, batch=batch)
    with pytest.raises(InputError, match="lazy"):
        initialize(nn.LazyLinear(3), "he")
    with pytest.raises(InputError, match="computed from other parameters"):
        initialize(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), "he")


def test_every_row_is_complete():
    for name, row in INITIALIZERS.items():
        assert row.name == name
        assert row.about
        assert row.source
    assert {name for name, row in INITIALIZERS.items() if row.needs_data} == {"data_dependent", "lsuv"}
    papers = " ".join(row.source for row in INITIALIZERS.values())
    for author in ("Glorot", "Saxe", "Sussillo", "He et al", "Krähenbühl", "Mishkin"):
        assert author in papers


def test_he_for_the_relu_family_and_xavier_for_the_rest():
    assert {recommended(name) for name in ("relu", "leaky_relu", "prelu", "elu")} == {"he"}
    assert {recommended(name) for name in ("tanh", "linear", "sigmoid", "maxout")} == {"xavier"}
    assert all(recommended(name) in INITIALIZERS for name in ACTIVATIONS)
    with pytest.raises(RecipeError, match="relu"):
        recommended("swush")
