"""Which first layers are kept to be drawn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.session.jobs.first_layer import first_weights


def kept(model, shape):
    return first_weights(model.state_dict(), shape, step=7).snapshots


def test_a_unit_that_sees_the_whole_image_is_an_image():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 120), nn.ReLU(), nn.Linear(120, 10))
    (found,) = kept(model, (3, 8, 8))
    assert (found.name, found.step, found.values.shape) == ("chosen/1.weight", 7, (100, 3, 8, 8))
    weights = model[1].weight.detach()[5].reshape(3, 8, 8)
    assert torch.allclose(torch.from_numpy(found.values[5]).float(), weights, atol=1e-3)


def test_a_filter_is_an_image_too():
    (found,) = kept(nn.Sequential(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.Linear(96, 2)), (1, 8, 8))
    assert found.values.shape == (6, 1, 5, 5)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Linear(64, 3), (64,)),
        (nn.Linear(128, 3), (2, 8, 8)),
        (nn.Linear(10, 3), (1, 8, 8)),
        (nn.Conv1d(3, 4, 3), (3, 8, 8)),
        (nn.BatchNorm2d(3), (3, 8, 8)),
    ],
)
def test_nothing_is_kept_where_there_is_no_image(model, shape):
    assert kept(model, shape) == ()
