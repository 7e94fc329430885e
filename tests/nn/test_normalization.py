from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from babysit.errors import InputError, RecipeError
from babysit.nn.initialization import initialize
from babysit.nn.normalization import fold_batch_norm, insert_batch_norm, redundant_biases


def gaussian(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def kinds(model):
    return [type(layer).__name__ for layer in model]


def settled(model, x, steps=20):
    """The model in evaluation mode after some training batches, with norm parameters of all sizes."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.normal_(module.bias)
    for step in range(steps):
        model(x + 0.1 * step)
    return model.eval()


class Block(nn.Module):
    """A module with a Sequential inside and a layer outside it."""

    def __init__(self):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 1)
        )
        self.skip = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.path(x) + self.skip(x)


# What the lecture says of batch normalization, held against torch's own layer.


def test_a_batch_is_normalized_by_its_own_mean_and_biased_variance():
    x = 3 * gaussian(50, 4) + 7
    layer = nn.BatchNorm1d(4).double()
    y = layer(x)
    mean, variance = x.mean(0), x.var(0, correction=0)
    torch.testing.assert_close(y, (x - mean) / (variance + layer.eps).sqrt())
    assert y.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(y.std(0, correction=0), (variance / (variance + layer.eps)).sqrt())


def test_the_running_variance_is_the_unbiased_one_and_starts_at_one():
    x, layer = gaussian(5, 3), nn.BatchNorm1d(3).double()
    layer(x)
    torch.testing.assert_close(layer.running_mean, 0.1 * x.mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * x.var(0, correction=1))


def test_gamma_and_beta_set_the_mean_and_the_deviation_and_can_undo_it_all():
    x, layer = 3 * gaussian(200, 3) + 7, nn.BatchNorm1d(3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2, 3]))
        layer.bias.copy_(torch.tensor([11.0, 12, 13]))
        torch.testing.assert_close(layer(x).mean(0), layer.bias)
        torch.testing.assert_close(layer(x).std(0, correction=0), layer.weight, rtol=1e-5, atol=0)
        layer.weight.copy_((x.var(0, correction=0) + layer.eps).sqrt())
        layer.bias.copy_(x.mean(0))
        assert (layer(x) - x).abs().max() < 1e-12


def test_a_convolution_has_one_mean_and_variance_per_channel():
    y = nn.BatchNorm2d(3).double()(5 * gaussian(8, 3, 6, 6) + 2)
    assert y.mean((0, 2, 3)).abs().max() < 1e-12
    assert (y.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_it_is_differentiable_and_scale_free():
    layer, W = nn.BatchNorm1d(4, eps=1e-12).double(), gaussian(4, 5).requires_grad_()
    x = gaussian(10, 5, seed=1)
    assert torch.autograd.gradcheck(lambda z: layer(z), (gaussian(10, 4).requires_grad_(),))
    upstream = gaussian(10, 4, seed=2)
    (one,) = torch.autograd.grad(layer(x @ W.T), W, upstream)
    (other,) = torch.autograd.grad(layer(x @ (3 * W).T), W, upstream)
    torch.testing.assert_close(layer(x @ (3 * W).T), layer(x @ W.T))
    torch.testing.assert_close(one, other)  # with respect to 3 W itself it is a third
    z = gaussian(10, 4).requires_grad_()
    y = layer(z)
    (dz,) = torch.autograd.grad(y, z, upstream)
    assert dz.sum(0).abs().max() < 1e-12
    assert (dz * y).sum(0).abs().max() < 1e-9


def test_in_training_an_example_depends_on_its_batch_mates_and_in_evaluation_not():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).double()
    first, others = gaussian(1, 4), [gaussian(7, 4, seed=seed) for seed in (1, 2)]
    one, other = (model(torch.cat([first, mates]))[0] for mates in others)
    assert (one - other).abs().max() > 0.1
    model.eval()
    one, other = (model(torch.cat([first, mates]))[0] for mates in others)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(model(first)[0], one)


def test_torch_refuses_a_batch_of_one_in_training():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        nn.BatchNorm1d(3)(torch.zeros(1, 3))


def test_it_carries_the_gradient_through_ten_layers_where_it_would_explode():
    plain = nn.Sequential(*[part for _ in range(10) for part in (nn.Linear(100, 100), nn.Tanh())])
    plain = initialize(plain.double(), "small_random", scale=1.0)
    ratios = []
    for model in (plain, insert_batch_norm(plain)):
        model(gaussian(200, 100)).square().mean().backward()
        sizes = [module.weight.grad.norm() for module in model if isinstance(module, nn.Linear)]
        ratios.append((sizes[0] / sizes[-1]).item())
    assert ratios[0] > 500
    assert 0.1 < ratios[1] < 10


# insert_batch_norm


def test_it_goes_between_each_layer_and_its_nonlinearity_and_not_behind_the_last():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.ELU(),
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.Tanh(),
        nn.Dropout(),
        nn.Linear(16, 10),
    )
    convolutional = ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ELU", "Flatten"]
    wanted = [*convolutional, "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear"]
    found = insert_batch_norm(model)
    assert kinds(found) == wanted
    assert [found[1].num_features, found[4].num_features, found[8].num_features] == [8, 4, 16]
    assert list(found._modules) == [str(i) for i in range(12)]
    assert found(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert kinds(model) == [kind for kind in wanted if not kind.startswith("Batch")]


def test_nested_and_named_sequentials():
    inner = nn.Sequential()
    inner.add_module("fc", nn.Linear(4, 5))
    inner.add_module("act", nn.ReLU())
    model = nn.Sequential(inner, nn.Sequential(nn.Linear(5, 6)), nn.ReLU(), nn.Linear(6, 2))
    found = insert_batch_norm(model)
    assert list(dict(found[0].named_children())) == ["fc", "fc_norm", "act"]
    assert kinds(found[1]) == ["Linear", "BatchNorm1d"]  # the nonlinearity follows outside
    assert kinds(found) == ["Sequential", "Sequential", "ReLU", "Linear"]
    assert found(torch.zeros(3, 4)).shape == (3, 2)


def test_what_needs_none_gets_none():
    model = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 1), nn.Sigmoid()
    )
    assert kinds(insert_batch_norm(model)) == kinds(model)
    assert kinds(insert_batch_norm(insert_batch_norm(model))) == kinds(model)
    hidden = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 1))
    assert kinds(insert_batch_norm(hidden)) == ["Linear", "BatchNorm1d", "Sigmoid", "Linear"]
    block = nn.Sequential(Block(), nn.ReLU())
    assert repr(insert_batch_norm(block)) == repr(block)


def test_the_copy_shares_nothing_and_keeps_weights_dtype_and_mode():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double().eval()
    found = insert_batch_norm(model)
    assert torch.equal(found[0].weight, model[0].weight)
    ours = {p.data_ptr() for p in model.parameters()}
    assert not ours & {p.data_ptr() for p in found.parameters()}
    assert found[1].weight.dtype == torch.float64
    assert not found[1].training
    assert insert_batch_norm(model.train())[1].training


def test_each_dimension_has_its_norm():
    for conv, norm, shape in (
        (nn.Conv1d, "BatchNorm1d", (2, 3, 9)),
        (nn.Conv2d, "BatchNorm2d", (2, 3, 9, 9)),
        (nn.Conv3d, "BatchNorm3d", (2, 3, 9, 9, 9)),
        (nn.ConvTranspose2d, "BatchNorm2d", (2, 3, 9, 9)),
    ):
        found = insert_batch_norm(nn.Sequential(conv(3, 4, 3), nn.ReLU()))
        assert kinds(found)[1] == norm
        found(torch.zeros(shape))


def test_only_a_sequential_can_be_changed():
    with pytest.raises(RecipeError, match="put into a Block"):
        insert_batch_norm(Block())


# redundant_biases


def test_a_bias_before_a_norm_layer_is_idle_and_its_gradient_is_zero():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)),
        nn.InstanceNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.Linear(8, 2),
    ).double()
    idle = redundant_biases(model)
    assert idle == ["0.0.bias", "0.3.bias", "6.bias"]
    loss = nn.functional.cross_entropy(model(gaussian(20, 3, 8, 8)), torch.arange(20) % 2)
    loss.backward()
    sizes = {name: parameter.grad.abs().max().item() for name, parameter in model.named_parameters()}
    assert max(sizes[name] for name in idle) < 1e-14
    assert min(sizes[name] for name in ("3.bias", "10.bias", "11.bias")) > 1e-6


def test_idle_biases_are_found_in_sequentials_inside_other_modules():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Block()), nn.ReLU())
    assert redundant_biases(model) == ["1.0.path.0.bias"]
    assert redundant_biases(Block()) == ["path.0.bias"]
    assert redundant_biases(nn.Linear(2, 2)) == []


def test_a_bias_that_counts_in_another_place_is_not_idle():
    shared = nn.Linear(4, 4)
    assert redundant_biases(nn.Sequential(shared, nn.BatchNorm1d(4), nn.ReLU(), shared)) == []
    assert redundant_biases(nn.Sequential(shared, nn.BatchNorm1d(4), shared, nn.BatchNorm1d(4))) == ["0.bias"]


# fold_batch_norm


def mixed():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=4, padding=1, padding_mode="circular")),
        nn.BatchNorm2d(8, affine=False),
        nn.Tanh(),
        nn.ConvTranspose2d(8, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(676, 5),
        nn.BatchNorm1d(5),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_folded_model_is_the_same_function(dtype, tolerance):
    torch.manual_seed(0)
    x = gaussian(16, 3, 8, 8, dtype=dtype)
    model = settled(mixed().to(dtype), x)
    before = copy.deepcopy(model.state_dict())
    expected = model(x)
    folded = fold_batch_norm(model)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded.modules())
    assert (folded(x) - expected).abs().max() < tolerance * expected.abs().max()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert set(folded.state_dict()) - {"0.bias"} <= set(before)
    assert not any(module.training for module in folded.modules())


def test_folding_inside_other_modules_and_with_a_norm_used_twice():
    x = gaussian(16, 3, 8, 8)
    model = settled(nn.Sequential(Block(), nn.ReLU()).double(), x)
    torch.testing.assert_close(fold_batch_norm(model)(x), model(x))
    norm = nn.BatchNorm1d(4)
    model = settled(nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 4), norm).double(), gaussian(9, 4))
    torch.testing.assert_close(fold_batch_norm(model)(gaussian(9, 4)), model(gaussian(9, 4)))


def parametrized():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4)).eval()


def shared():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.BatchNorm1d(4), nn.ReLU(), layer).eval()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "'1' is in training mode"),
        (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4)).eval(), "'0' has no Linear or Conv"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4)).eval(), "'2' has no Linear or Conv"),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(4)).eval(), "of its size"),
        (nn.BatchNorm1d(4).eval(), "has no Linear or Conv"),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)).eval(), "no running"),
        (nn.Sequential(nn.ConvTranspose1d(4, 4, 2, groups=2), nn.BatchNorm1d(4)).eval(), "in groups"),
        (nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.BatchNorm1d(4)}).eval(), "'b' has no Linear or Conv"),
        (parametrized(), "parametrized"),
        (shared(), "used elsewhere"),
    ],
)
def test_what_cannot_be_folded_exactly_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        fold_batch_norm(model)
