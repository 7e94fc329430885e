"""Small training programs as people write them: faulty ones with healthy twins, and unusual healthy ones.

A program returns (model, loss, batches, optimizer). The zoo is split in two halves by turns: thresholds may
be tuned on the first half only. A module with a ``SET`` is a set of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits, load_wine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

Parts = tuple[nn.Module, Callable[..., Any], Any, Any]


@dataclass(frozen=True)
class Case:
    """One program of the zoo.

    Attributes:
        name: of the function.
        causes: the right answers; empty for a healthy program.
        build: makes it.
        half: "tuned", "held out", "later" or "added".
    """

    name: str
    causes: tuple[str, ...]
    build: Callable[[], Parts]
    half: str


FAULTY: list[Case] = []
HEALTHY: list[Case] = []


def _half(build: Callable[..., Parts], cases: list[Case]) -> str:
    name: str = build.__globals__.get("SET", "")
    return name or ("tuned", "held out")[sum(case.half in ("tuned", "held out") for case in cases) % 2]


def fault(*causes: str) -> Callable[[Callable[[bool], Parts]], Callable[[bool], Parts]]:
    """Registers a program that takes whether it is to be faulty, and its healthy twin."""

    def register(build: Callable[[bool], Parts]) -> Callable[[bool], Parts]:
        half = _half(build, FAULTY)
        name = build.__name__
        FAULTY.append(Case(name, causes, lambda: seeded(lambda: build(True)), half))
        HEALTHY.append(Case(f"{name}_twin", (), lambda: seeded(lambda: build(False)), half))
        return build

    return register


def healthy(build: Callable[[], Parts]) -> Callable[[], Parts]:
    """Registers a healthy program."""
    half = _half(build, HEALTHY)
    HEALTHY.append(Case(build.__name__, (), lambda: seeded(build), half))
    return build


def seeded(build: Callable[[], Parts]) -> Parts:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def adam(model: nn.Module, lr: float = 1e-3, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr, **options)


def sgd(model: nn.Module, lr: float = 0.1, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


@cache
def _data(name: str) -> tuple[Any, Any]:
    table = {"digits": load_digits, "wine": load_wine, "diabetes": load_diabetes}[name]()
    order = np.random.default_rng(0).permutation(len(table.data))
    return table.data[order].astype("float32"), table.target[order]


def digits(*, raw: bool = False, image: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = _data("digits")
    found = torch.tensor(x if raw else (x - 4.88) / 6.02)
    return (found.reshape(-1, 1, 8, 8) if image else found), torch.tensor(y)


def wine(*, raw: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = _data("wine")
    return torch.tensor(x if raw else (x - x.mean(0)) / x.std(0)), torch.tensor(y)


def diabetes(*, raw: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = _data("diabetes")
    y = y.astype("float32")
    return torch.tensor(x * 20), torch.tensor(y if raw else (y - y.mean()) / y.std())[:, None]


def binary() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = wine()
    return x, (y == 1).float()[:, None]


def loader(x: torch.Tensor, y: torch.Tensor, size: int = 32, **options: Any) -> Any:
    return DataLoader(TensorDataset(x, y), batch_size=size, **{"shuffle": True, **options})


def mlp(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU, last: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, fan_out), act()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]), *([last] if last else []))
