"""A fused population computes what its members compute alone: outputs, gradients, buffers, tape."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from babysit.nn.activations import ACTIVATIONS
from babysit.nn.maxout import Maxout
from babysit.nn.networks import mlp
from babysit.seeding import seeded
from babysit.training.lowering import lower
from babysit.training.population import stack
from reference.members_alone import MembersAlone

P, B = 3, 5
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}


seq = nn.Sequential


class Residual(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, width))
        self.scale = nn.Parameter(torch.randn(width))
        self.register_buffer("shift", torch.randn(width))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(F.relu(x + self.block(x) * self.scale + self.shift))


class ConvResidual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        x = x + self.norm2(self.conv2(y))
        mean = F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        return self.head(torch.cat([mean, torch.flatten(F.max_pool2d(x, x.shape[-1]), 1)], dim=1))


class Text(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embedding = nn.Embedding(11, 5, **options)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.embedding(x).mean(dim=1))


class Attention(nn.Module):
    """One head written out; the position is a parameter of fewer axes than what it is added to."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(4, 6))
        self.qkv, self.norm, self.head = nn.Linear(6, 18), nn.LayerNorm(6), nn.Linear(6, 2)

    def forward(self, x):
        x = x + self.position
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(-2, -1) / 6**0.5, dim=-1)
        return self.head((x + weights @ v)[:, 0])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer, self.spare = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.outer.weight = self.inner.weight

    def forward(self, x):
        self.spare(x)  # has no part in the output
        return self.outer(torch.tanh(self.inner(x)))


def frozen():
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def conv_net(**options):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4, **options),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Conv2d(4, 6, 3, stride=2, dilation=1, padding="valid", groups=2),
        nn.BatchNorm2d(6, **options),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def series_net():
    return seq(
        *(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.AvgPool1d(2)),
        *(nn.Conv1d(4, 3, 3, bias=False), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(6, 2)),
    )


def pools():
    return seq(
        *(nn.AvgPool2d(3, 1, 1), nn.Conv2d(2, 3, 3), nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1, ceil_mode=True)),
        *(nn.AdaptiveMaxPool2d(3), nn.AdaptiveAvgPool2d(2), nn.Flatten(2), nn.MaxPool1d(2), nn.Flatten()),
    )


ROWS, SERIES, IMAGES = (B, 6), (B, 2, 12), (B, 2, 8, 8)

MODELS = {
    "mlp": (ROWS, lambda: mlp(6, [7, 8], 3, batch_norm=True, dropout=0.4)),
    "mlp over three axes": ((B, 4, 6), lambda: seq(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2, bias=False))),
    "one layer": (ROWS, lambda: nn.Linear(6, 2, bias=False)),
    "batch norm first": (ROWS, lambda: seq(nn.BatchNorm1d(6, momentum=0.3), nn.Linear(6, 2))),
    "dropout first": (ROWS, lambda: seq(nn.Dropout(0.5), nn.Linear(6, 2))),
    "no tracking": (ROWS, lambda: seq(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False))),
    "conv": (IMAGES, conv_net),
    "conv, no affine": (IMAGES, lambda: conv_net(affine=False, momentum=0.5)),
    "conv 1d": (SERIES, series_net),
    "conv groups on shared input": (IMAGES, lambda: seq(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten())),
    "group norm": (
        IMAGES,
        lambda: seq(nn.GroupNorm(1, 2), nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()),
    ),
    "layer norm": (ROWS, lambda: seq(nn.LayerNorm(6), nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 2))),
    "layer norm over images": (IMAGES, lambda: seq(nn.Conv2d(2, 3, 3), nn.LayerNorm([3, 6, 6]))),
    "plain layer norm": (ROWS, lambda: seq(nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 2))),
    "prelu": (ROWS, lambda: seq(nn.Linear(6, 4), nn.PReLU(4), nn.Linear(4, 4), nn.PReLU())),
    "prelu on images": (IMAGES, lambda: seq(nn.PReLU(2), nn.Conv2d(2, 3, 3), nn.PReLU(3))),
    "maxout": (ROWS, lambda: seq(Maxout(6, 4, 3), Maxout(4, 2, bias=False))),
    "softmax": (ROWS, lambda: seq(nn.Linear(6, 4), nn.Softmax(1), nn.Linear(4, 3), nn.LogSoftmax(-1))),
    "unflatten": (ROWS, lambda: seq(nn.Linear(6, 8), nn.Unflatten(1, (2, 4)), nn.Linear(4, 2), nn.Flatten())),
    "pools": (IMAGES, pools),
    "pool after linear": (ROWS, lambda: seq(nn.Linear(6, 8), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(2))),
    "in place": (
        ROWS,
        lambda: seq(nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Linear(4, 4), nn.ELU(0.7, True)),
    ),
    "residual": (ROWS, Residual),
    "residual conv": (IMAGES, ConvResidual),
    "attention": ((B, 4, 6), Attention),
    "tied": (ROWS, Tied),
    "frozen": (ROWS, frozen),
    "a layer used twice": (ROWS, lambda: seq(*[nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh()] * 2)),
}


def members(make, count=P, dtype=torch.float64):
    """Models whose every parameter and buffer differs, also where a layer starts with ones."""
    models = []
    for index in range(count):
        with seeded(0, "member", index):
            model = make().to(dtype)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
            models.append(model)
    return models


def batch(shape, step, dtype):
    with seeded(1, "batch", step):
        return torch.randn(shape, dtype=dtype)


def close(found, expected, dtype):
    tolerance = TOLERANCES[dtype]
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale)


def assert_equal_to_members_alone(make, inputs, dtype=torch.float64, steps=3):
    models = members(make, dtype=dtype)
    population, twin = stack(models), MembersAlone(models)
    lowering = lower(population, inputs(0))
    assert lowering.kind == "fused", lowering.reason
    for step in range(steps):
        keys = torch.arange(P) * 100 + step
        population.set_keys(keys)
        twin.set_keys(keys)
        assert_one_pass_equal(lowering, population, twin, inputs(step), dtype)
    population.template.eval()
    twin.train(False)
    outputs = lowering.forward(population.parameters, population.buffers, inputs(0))
    close(outputs, twin.outputs(inputs(0)), dtype)


def assert_one_pass_equal(lowering, population, twin, x, dtype):
    tape = []
    population.template.train()
    twin.train(True)
    outputs = lowering.forward(population.parameters, population.buffers, x, tape)
    expected = twin.outputs(x)
    close(outputs, expected, dtype)
    for name, value in twin.buffers().items():
        if not name.endswith("key"):
            close(population.buffers[name], value, value.dtype if value.is_floating_point() else dtype)
    with seeded(2, "cotangents"):
        cotangents = torch.randn_like(expected)
    gradients = twin.gradients(expected, cotangents)
    wanted = [population.parameters[name] for name in gradients] + [record.outputs for record in tape]
    found = torch.autograd.grad(outputs, wanted, cotangents, allow_unused=True)
    for (name, gradient), mine in zip(gradients.items(), found, strict=False):
        assert (mine is None) == (gradient is None), name
        if gradient is not None:
            close(mine, gradient, dtype)
    for record, errors in zip(tape, found[len(gradients) :], strict=True):
        assert_record_gives_gradients(record, errors, gradients, dtype)


def assert_record_gives_gradients(record, errors, gradients, dtype):
    inputs = record.inputs.expand(P, *record.inputs.shape) if record.shared else record.inputs
    errors, inputs = errors.reshape(P, -1, errors.shape[-1]), inputs.reshape(P, -1, inputs.shape[-1])
    close(errors.transpose(1, 2) @ inputs, gradients[record.weight], dtype)
    if record.bias is not None:
        close(errors.sum(1), gradients[record.bias], dtype)


@pytest.mark.parametrize("name", MODELS)
def test_members_equal_themselves_alone(name):
    shape, make = MODELS[name]
    assert_equal_to_members_alone(make, lambda step: batch(shape, step, torch.float64))


@pytest.mark.parametrize("name", ["mlp", "conv", "residual conv", "attention"])
def test_members_equal_themselves_alone_in_single_precision(name):
    shape, make = MODELS[name]
    assert_equal_to_members_alone(make, lambda step: batch(shape, step, torch.float32), torch.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_form(name):
    options = {"in_features": 4, "out_features": 4} if name == "maxout" else {}
    make = ACTIVATIONS[name].make
    assert_equal_to_members_alone(
        lambda: nn.Sequential(nn.Linear(6, 4), make(**options), nn.Linear(4, 2)),
        lambda step: batch(ROWS, step, torch.float64),
    )


@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}])
def test_text_equals_members_alone(options):
    with seeded(0, "tokens"):
        tokens = torch.randint(0, 11, (3, B, 7))
    tokens[0, 0, :3] = 3
    assert_equal_to_members_alone(lambda: Text(**options), lambda step: tokens[step])


@pytest.mark.parametrize("channels", [1, 4])
def test_images_are_kept_channels_last_without_a_copy(channels):
    population = stack(
        members(lambda: seq(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3)))
    )
    x = batch((B, channels, 10, 10), 0, torch.float64)
    outputs = lower(population, x).forward(population.parameters, population.buffers, x)
    assert outputs.transpose(0, 1).permute(0, 3, 4, 1, 2).is_contiguous()


NEIGHBOURS = (
    "mlp",
    "conv",
    "conv 1d",
    "group norm",
    "layer norm",
    "prelu on images",
    "residual conv",
    "attention",
)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_nan_member_leaves_the_others_bit_identical(name):
    shape, make = MODELS[name]
    assert_isolated(make, batch(shape, 0, torch.float32))


def assert_isolated(make, x):
    results = []
    for sick in (False, True):
        models = members(make, dtype=torch.float32)
        if sick:
            with torch.no_grad():
                for parameter in models[1].parameters():
                    parameter.fill_(math.nan)
        population = stack(models)
        lowering = lower(population, x)
        assert lowering.kind == "fused", lowering.reason
        outputs = [lowering.forward(population.parameters, population.buffers, x) for _ in range(2)][-1]
        gradients = torch.autograd.grad(outputs.square().sum(), list(population.parameters.values()))
        results.append([outputs, *gradients, *population.buffers.values()])
    for healthy, beside in zip(*results, strict=True):
        assert torch.equal(healthy[[0, 2]], beside[[0, 2]])
    assert results[1][0][1].isnan().all()


def test_running_statistics_land_in_the_population_and_only_in_training():
    population = stack(members(lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))))
    forward = lower(population, batch(ROWS, 0, torch.float64)).forward
    assert population.buffers["1.num_batches_tracked"].tolist() == [0] * P
    population.template.eval()
    forward(population.parameters, population.buffers, batch(ROWS, 0, torch.float64))
    assert not population.buffers["1.running_mean"].any()
    population.template.train()
    forward(population.parameters, population.buffers, batch(ROWS, 0, torch.float64))
    assert population.buffers["1.num_batches_tracked"].tolist() == [1] * P
    assert population.buffers["1.running_mean"].all()


def test_the_tape_records_the_layers_whose_gradient_is_one_product():
    def recorded(make):
        population, tape, x = stack(members(make)), [], batch(ROWS, 0, torch.float64)
        lower(population, x).forward(population.parameters, population.buffers, x, tape)
        return [(record.weight, record.bias, record.shared) for record in tape]

    assert recorded(lambda: mlp(6, [4], 2)) == [("1.weight", "1.bias", True), ("3.weight", "3.bias", False)]
    assert recorded(frozen) == [("2.weight", None, False), ("4.weight", "4.bias", False)]
    assert recorded(Tied) == []  # its weight is used twice, and the spare layer has no part in the output
    assert recorded(MODELS["a layer used twice"][1]) == []


def test_the_outputs_of_linear_layers_lie_units_first_and_no_operation_copies_them():
    population, tape = stack(members(lambda: mlp(6, [7, 8], 3))), []
    x = batch(ROWS, 0, torch.float64)
    lowering = lower(population, x)
    outputs = lowering.forward(population.parameters, population.buffers, x, tape)
    for record, units in zip(tape, (7, 8, 3), strict=True):
        assert record.outputs.stride() == (units * B, 1, B)
    for errors in torch.autograd.grad(outputs.square().sum(), [record.outputs for record in tape]):
        assert errors.transpose(1, 2).is_contiguous()


STACKABLE = {
    "linear": lambda width: (nn.Linear(width, 5), 5),
    "narrow": lambda width: (nn.Linear(width, 3, bias=False), 3),
    "maxout": lambda width: (Maxout(width, 4), 4),
    "batch norm": lambda width: (nn.BatchNorm1d(width), width),
    "layer norm": lambda width: (nn.LayerNorm(width), width),
    "group norm": lambda width: (nn.GroupNorm(1, width), width),
    "relu": lambda width: (nn.ReLU(), width),
    "tanh": lambda width: (nn.Tanh(), width),
    "prelu": lambda width: (nn.PReLU(width), width),
    "dropout": lambda width: (nn.Dropout(0.3), width),
    "softmax": lambda width: (nn.Softmax(-1), width),
    "nested": lambda width: (nn.Sequential(nn.Linear(width, 4), nn.Sequential(nn.Sigmoid())), 4),
}


@settings(max_examples=25)
@given(st.lists(st.sampled_from(sorted(STACKABLE)), max_size=6))
def test_any_stack_of_known_layers_equals_its_members_alone(names):
    def make():
        layers, width = [], 6
        for name in (*names, "linear"):
            layer, width = STACKABLE[name](width)
            layers.append(layer)
        return nn.Sequential(*layers)

    # Two examples more than the proof takes, so that batch norm is no mere sign.
    assert_equal_to_members_alone(make, lambda step: batch((7, 6), step, torch.float64), steps=2)
