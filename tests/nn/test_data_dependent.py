from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from babysit.errors import InputError, RecipeError
from babysit.nn.data_dependent import data_dependent, lsuv
from babysit.nn.layers import WeightedLayer
from babysit.nn.maxout import Maxout


def first_preactivations(model, batch):
    """[values, channels] of every layer at its first use in evaluation mode, by name."""
    found, handles = {}, []

    def hook(name, layer):
        def look(_, inputs, output):
            z = layer.affine(inputs[0]) if isinstance(layer, Maxout) else output
            columns = z.transpose(0, 1).flatten(1).T if z.dim() > 2 else z
            found.setdefault(name, columns.detach().double())

        return look

    for name, module in model.named_modules():
        if isinstance(module, WeightedLayer):
            handles.append(module.register_forward_hook(hook(name, module)))
    with torch.no_grad():
        copy_of = model.eval()(batch)
    for handle in handles:
        handle.remove()
    model.train()
    assert copy_of is not None
    return found


def relu_net(depth=6, width=40, bias=True):
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width, bias=bias), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, 10, bias=bias)).double()


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unevenness(rates):
    return max(rates.values()) / min(rates.values())


def average_rates(model, batch, draws=200):
    """C_k of every Linear layer by its definition: the gradient of each example by itself."""
    layers = [module for module in model if isinstance(module, nn.Linear)]
    totals = torch.zeros(len(layers), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for draw in range(draws):
        output = model(batch[draw % len(batch)])
        eta = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        gradients = torch.autograd.grad(eta @ output, [layer.weight for layer in layers])
        totals += torch.stack([g.square().sum() for g in gradients])
    sizes = torch.stack([layer.weight.detach().square().sum() for layer in layers])
    return (totals / draws / sizes).sqrt()


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_step_one_gives_every_channel_the_same_mean_and_deviation(model_and_batch, beta):
    model, batch = model_and_batch
    model, batch = model.double(), batch.double()
    data_dependent(model, batch, beta=beta, passes=0)
    found = first_preactivations(model, batch)
    assert found
    for name, values in found.items():
        std, mean = torch.std_mean(values, dim=0, correction=0)
        assert (std - 1).abs().max() < 1e-10
        if model.get_submodule(name).bias is not None:
            assert (mean - beta).abs().max() < 1e-10


@pytest.mark.parametrize("bias", [True, False])
def test_step_two_evens_out_a_homogeneous_net_at_once_and_keeps_its_output(bias):
    x, model = gaussian(300, 40), relu_net(bias=bias)
    before = data_dependent(model, x, passes=0, seed=4)
    output = model(x).detach()
    rates = data_dependent(model, x, passes=1, seed=4)
    assert unevenness(before) > 2
    assert unevenness(rates) < 1 + 1e-9
    torch.testing.assert_close(model(x).detach(), output)  # the factors multiply to 1
    assert math.prod(rates.values()) == pytest.approx(math.prod(before.values()), rel=1e-9)


def test_step_two_evens_out_every_kind_of_model(model_and_batch):
    model, batch = model_and_batch
    before = unevenness(data_dependent(model, batch, passes=0))
    after = unevenness(data_dependent(model, batch))
    assert after < 1.05
    assert after <= before


@pytest.mark.parametrize("nonlinearity", [nn.Tanh, nn.Sigmoid, nn.ELU])
def test_step_two_evens_out_what_is_not_homogeneous_by_repetition(nonlinearity):
    parts = [part for _ in range(8) for part in (nn.Linear(50, 50), nonlinearity())]
    model = nn.Sequential(*parts, nn.Linear(50, 10)).double()
    x = gaussian(200, 50)
    assert unevenness(data_dependent(model, x, passes=0)) > 2
    assert unevenness(data_dependent(model, x)) < 1.05


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(3 * x)


def test_more_passes_never_make_it_worse():
    parts = [part for _ in range(5) for part in (nn.Linear(20, 20), Sine())]
    model, x = nn.Sequential(*parts, nn.Linear(20, 5)).double(), gaussian(200, 20)
    found, weights = [], []
    for passes in range(9):
        found.append(unevenness(data_dependent(model, x, passes=passes)))
        weights.append(model[0].weight.detach().clone())
    assert found == sorted(found, reverse=True)
    same = [index for index in range(8) if found[index] == found[index + 1]]
    assert same  # some passes overshoot here, and then the best one so far is kept
    assert all(torch.equal(weights[index], weights[index + 1]) for index in same)


def test_the_rates_are_those_of_the_definition():
    model, x = relu_net(depth=3), gaussian(400, 40)
    rates = torch.tensor(list(data_dependent(model, x, passes=0).values()), dtype=torch.float64)
    torch.testing.assert_close(rates, average_rates(model, x, draws=2000), rtol=0.15, atol=0)
    data_dependent(model, x)
    even = average_rates(model, x, draws=2000)
    assert even.max() / even.min() < 1.2


def test_a_weight_scaled_by_r_and_undone_above_divides_its_rate_by_r_squared():
    model, x = relu_net(depth=2, bias=False), gaussian(100, 40)
    before = average_rates(model, x)
    with torch.no_grad():
        model[0].weight *= 3
        model[2].weight /= 3
    after = average_rates(model, x)
    torch.testing.assert_close(after / before, torch.tensor([1 / 9, 9, 1], dtype=torch.float64))


def test_layers_are_set_in_the_order_of_execution(model_and_batch):
    model, batch = model_and_batch
    order = list(first_preactivations(model, batch))
    assert list(data_dependent(model, batch)) == order
    assert list(lsuv(model, batch)) == order


@pytest.mark.parametrize("tolerance", [0.1, 0.05, 0.01])
def test_lsuv_gives_every_layer_unit_variance(model_and_batch, tolerance):
    model, batch = model_and_batch
    counts = lsuv(model, 3 * batch, tolerance=tolerance)
    assert set(counts.values()) <= {0, 1}  # the layers are linear, so one factor is exact
    for values in first_preactivations(model, 3 * batch).values():
        assert abs(values.var(correction=0).item() - 1) < tolerance


def test_lsuv_rescales_an_orthonormal_layer_once_and_only_by_a_factor():
    model, x = nn.Linear(30, 20).double(), 4 * gaussian(500, 30)
    assert lsuv(model, x, tolerance=0.05) == {"": 1}
    gram = model.weight @ model.weight.T
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(20, dtype=torch.float64))
    values = model(x)
    assert values.var(correction=0).item() == pytest.approx(1, abs=1e-12)
    twice = copy.deepcopy(model)
    assert lsuv(twice, x, tolerance=0.05) == {"": 1}  # it starts afresh
    assert torch.equal(twice.weight, model.weight)


def test_lsuv_looks_at_what_earlier_layers_give_after_their_rescaling():
    model, x = relu_net(depth=10), gaussian(400, 40)
    lsuv(model, x, tolerance=0.05)
    for values in first_preactivations(model, x).values():
        assert 0.95 < values.std().item() < 1.05


def test_a_layer_used_twice_or_tied_is_set_at_its_first_use():
    shared = nn.Linear(8, 8)
    twice = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(8, 2))
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    tied[2].weight = tied[0].weight
    x = gaussian(200, 8).float()
    for model in (twice, tied):
        assert list(lsuv(model, x)) == ["0", "3"]
        assert abs(first_preactivations(model, x)["0"].var().item() - 1) < 0.1
        assert unevenness(data_dependent(model, x)) < 1.05


class Counting(nn.Module):
    """Counts its calls in a buffer, replaces another, and draws noise."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x):
        self.calls += 1
        self.last = x[:2, 0].detach()
        return x + 0 * torch.rand_like(x)


@pytest.mark.parametrize("scheme", [data_dependent, lsuv])
def test_nothing_but_weights_and_biases_changes(scheme):
    model = nn.Sequential(
        nn.Linear(8, 8), Counting(), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 3)
    )
    model[2].eval()
    model[5].weight.requires_grad_(False)
    model[0].register_forward_pre_hook(lambda *_: None)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    last, state = model[1].last, torch.get_rng_state()
    scheme(model, gaussian(100, 8).float())
    assert torch.equal(torch.get_rng_state(), state)
    assert model[1].last is last
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert [m.training for m in model] == [True, True, False, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [True, True, True, True, False, True]
    assert all(p.grad is None for p in model.parameters())
    assert sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()) == 1


class Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle, self.loose = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        return self.used(x) + self.loose(x).detach() + (self.idle(x) if self.training else 0)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.loose = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        return self.used(x) + self.loose(x).detach()


class Silent(nn.Module):
    """Returns a tensor without gradients, and something that is no tensor."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    @torch.no_grad()
    def forward(self, x):
        return self.layer(x), ["text"]


def dead_layer():
    return nn.Sequential(nn.Linear(8, 8), nn.Threshold(1e9, 0.0), nn.Linear(8, 4))


BATCH = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
REFUSALS = {
    "never runs": (Forgetful, BATCH, "never runs layer 'idle'", (data_dependent, lsuv)),
    "detached": (Detached, BATCH, "gradient of size 0.0 for layer 'loose'", (data_dependent,)),
    "no gradient": (Silent, BATCH, "returns no tensor that a gradient", (data_dependent,)),
    "no examples": (dead_layer, BATCH[:0], "no examples to layer '0'", (data_dependent, lsuv)),
    "dead": (dead_layer, BATCH, "layer '2' give one value for the whole batch", (data_dependent, lsuv)),
    "one example": (dead_layer, BATCH[:1], "8 of 8 channels of layer '0'", (data_dependent,)),
    "equal examples": (dead_layer, BATCH[:1].repeat(50, 1), "8 of 8 channels", (data_dependent,)),
    "zeros": (dead_layer, torch.zeros(50, 8), "layer '0' give one value", (data_dependent, lsuv)),
    "nan": (dead_layer, BATCH * math.nan, "not finite", (data_dependent, lsuv)),
    "infinite": (dead_layer, BATCH / 0, "not finite", (data_dependent, lsuv)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_why_and_leaves_the_model_as_it_was(name):
    make, batch, message, refusing = REFUSALS[name]
    for scheme in refusing:
        model = make()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(InputError, match=message):
            scheme(model, batch)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert model.training
        assert all(module.training for module in model.modules())
        assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_batch_that_does_not_fit_gives_torchs_message_and_leaves_no_trace():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        lsuv(model, torch.randn(50, 7))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model[0]._forward_pre_hooks


def test_options_out_of_range_are_refused():
    for options in ({"tolerance": 0.0}, {"tolerance": math.nan}, {"iterations": 0}):
        with pytest.raises(RecipeError, match="tolerance above 0 and 1 iteration"):
            lsuv(nn.Linear(8, 4), BATCH, **options)
    with pytest.raises(RecipeError, match="0 or more"):
        data_dependent(nn.Linear(8, 4), BATCH, passes=-1)


def test_a_variance_that_cannot_be_reached_is_refused():
    with pytest.raises(InputError, match="still has variance"):
        lsuv(nn.Linear(8, 4).bfloat16(), BATCH.bfloat16(), tolerance=1e-7, iterations=3)


def test_half_precision_reaches_what_it_can():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).bfloat16()
    lsuv(model, BATCH.bfloat16())
    assert unevenness(data_dependent(model, BATCH.bfloat16())) < 1.05
