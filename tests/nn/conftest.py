"""Small models of every kind that a scheme must be able to set, each with a batch for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.nn.maxout import Maxout


class Backwards(nn.Module):
    """Holds its layers in the opposite order to the one it runs them in, and in a dict."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(12, 3)
        self.middle = nn.ModuleDict({"b": nn.Linear(16, 12), "a": nn.Linear(8, 16)})

    def forward(self, x):
        return self.last(self.middle["b"](self.middle["a"](x).relu()).relu())


class Residual(nn.Module):
    """A stem, one block used twice, another with a skip of its own, a head: the shape of a ResNet."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False))
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.skip = nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.block(x)
        x = x + self.block(x)
        x = self.down(x.relu()) + self.skip(x)
        return {"scores": self.head(x.relu().mean((2, 3))), "names": ["a"]}


def images(seed=0):
    return torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def vectors(seed=0):
    return torch.randn(256, 8, generator=torch.Generator().manual_seed(seed))


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 4)), vectors),
    "backwards": (Backwards, vectors),
    "maxout": (lambda: nn.Sequential(Maxout(8, 10, 3), nn.PReLU(), nn.Linear(10, 4)), vectors),
    "conv": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=4),
            nn.Tanh(),
            nn.ConvTranspose2d(8, 6, 3, groups=2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(486, 4),
        ),
        images,
    ),
    "residual": (Residual, images),
}


@pytest.fixture(params=MODELS)
def model_and_batch(request):
    """A fresh model in training mode and a batch for it; one case per kind of model."""
    make, data = MODELS[request.param]
    return make(), data()
