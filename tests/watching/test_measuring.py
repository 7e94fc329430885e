"""What a sample computes: parts stand for their tensors, and few operations say what many would."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.watching.measuring import PART, Parts, Scalars, active_units, layer_scalars, spread_over_examples


def scaled_norm(value):
    return value.norm().item() / value.numel() ** 0.5


@pytest.mark.parametrize("shape", [(256, 784), (1000, 1024), (40_003,), (64, 32, 3, 3), (3, 7)], ids=str)
def test_a_part_has_the_norm_of_its_tensor(shape):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    part = Parts()(value)
    assert part.numel() <= PART or part is value
    assert scaled_norm(part) == pytest.approx(scaled_norm(value), rel=0.03)


@pytest.mark.parametrize("width", [64, 128, 784, 1024, 4096])
def test_a_part_sees_all_columns_of_a_matrix_alike(width):
    """Images have columns that are always zero: a part that met only those would see no update."""
    matrix = torch.zeros(512, width)
    matrix[:, width // 2 :] = 1.0
    assert Parts()(matrix).mean().item() == pytest.approx(0.5, abs=0.12)


def test_a_part_is_the_same_places_every_time_and_its_copy_is_a_copy():
    parts, value = Parts(), torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    kept = parts.copy(value)
    assert torch.equal(kept, parts(value))
    small = torch.ones(3)
    copied = parts.copy(small)
    small += 1
    assert copied.tolist() == [1.0, 1.0, 1.0]


def test_parts_of_a_tensor_in_another_memory_order():
    value = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(0))
    turned = value.to(memory_format=torch.channels_last)
    assert torch.equal(Parts()(value), Parts()(turned))


def test_sums_and_norms_of_layers():
    outputs = [torch.randn(8, 5), torch.tensor([[0.99, 0.0], [-0.99, -1.0]])]
    (total, norm), (_, _, saturated) = layer_scalars([nn.Linear, nn.Tanh], outputs)
    assert total.item() == pytest.approx(outputs[0].sum().item())
    assert norm.item() == pytest.approx(outputs[0].norm().item())
    assert saturated.item() == 0.75


def test_mixed_types_are_read_together():
    scalars = Scalars()
    scalars.add("a", [torch.tensor(1.5, dtype=torch.bfloat16), torch.tensor([0.25, 0.75])], 7)
    scalars.add("b", [torch.tensor(True)])
    assert scalars.read() == {"a": [1.5, 0.25, 0.75], "b": [1.0]}
    assert scalars.sizes["a"] == 7


def test_units_lie_in_the_second_dimension_of_maps_and_in_the_last_of_tokens():
    maps = torch.zeros(2, 3, 4, 4)
    maps[1, 2, 0, 0] = 1.0
    assert active_units(maps, units_first=True).tolist() == [False, False, True]
    tokens = torch.zeros(2, 5, 3)
    tokens[0, 4, 1] = 1.0
    assert active_units(tokens, units_first=False).tolist() == [False, True, False]


def test_a_constant_answer_has_no_spread():
    assert spread_over_examples(torch.tensor([[1.0, -3.0]]).expand(16, 2)).item() == 0.0
