from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call, vmap

from babysit.nn.dropout import MemberDropout, uniform, with_member_dropout


def test_the_numbers_are_uniform_and_independent():
    numbers = uniform(torch.tensor(7), (1000, 500))
    assert abs(numbers.mean().item() - 0.5) < 1e-3
    assert abs(numbers.var().item() - 1 / 12) < 1e-3
    counts = torch.histc(numbers, 20, 0, 1)
    chi_squared = ((counts - 25_000) ** 2 / 25_000).sum().item()
    assert chi_squared < 45  # 19 degrees of freedom: above 43.8 once in a thousand
    neighbours = torch.corrcoef(torch.stack([numbers[:, 1:].flatten(), numbers[:, :-1].flatten()]))[0, 1]
    assert abs(neighbours.item()) < 5e-3


def test_neighbouring_keys_are_independent():
    one, other = (uniform(torch.tensor(key), (200_000,)) for key in (1, 2))
    assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1].item()) < 0.01


def test_a_member_has_the_same_mask_alone_stacked_and_mapped():
    layer = MemberDropout(0.4)
    keys, rates, x = torch.tensor([11, 12, 13]), torch.tensor([0.1, 0.4, 0.9]), torch.randn(3, 5, 6)
    stacked = functional_call(layer, {"key": keys, "rate": rates}, x)

    def one(key, rate, row):
        return functional_call(layer, {"key": key, "rate": rate}, row)

    assert torch.equal(stacked, vmap(one)(keys, rates, x))
    for index in range(3):
        assert torch.equal(stacked[index], one(keys[index], rates[index], x[index]))


def test_inverted_dropout_keeps_the_mean_and_drops_the_share():
    for rate in (0.25, 0.5, 0.75):
        dropped = MemberDropout(rate)(torch.full((500, 500), 10.0))
        assert abs(dropped.mean().item() - 10) < 0.15
        assert abs((dropped == 0).double().mean().item() - rate) < 5e-3


def test_only_plain_dropout_is_replaced():
    model = with_member_dropout(
        nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2)), nn.Dropout2d())
    )
    assert [type(layer).__name__ for layer in (model[0], model[1][0], model[2])] == [
        "MemberDropout",
        "MemberDropout",
        "Dropout2d",
    ]
