"""One trial in plain PyTorch, as people write it; the loop, the study and the cluster all train with this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.task import Pair, Task, Trained, clock


class TwoLayer(nn.Module):
    """W2 max(0, W1 x + b1) + b2."""

    def __init__(self, inputs: int, hidden: int, weight_scale: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.scores = nn.Linear(hidden, 10)
        for layer in (self.hidden, self.scores):
            nn.init.normal_(layer.weight, std=weight_scale)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.scores(F.relu(self.hidden(x.flatten(1))))
        return scores


class LeNet(nn.Module):
    """Two convolutions and two linear layers, for 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 16, 3, padding=1)
        self.hidden = nn.Linear(64, 84)
        self.scores = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        scores: Tensor = self.scores(F.relu(self.hidden(x.flatten(1))))
        return scores


class Data(NamedTuple):
    """The prepared tensors."""

    train_x: Tensor
    train_y: Tensor
    val_x: Tensor
    val_y: Tensor


def load_data(task: Task) -> Data:
    """The arrays that were prepared before the clock started; call it before any trial, and before a fork."""
    _load_optimizer(task)
    return Data(*(torch.from_numpy(np.load(Path(task.data) / f"{name}.npy")) for name in Data._fields))


def _load_optimizer(task: Task) -> None:
    """Has the first optimizer load what it needs, two seconds of it: that is start-up, not training."""
    model = build(task)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def settle(task: Task) -> None:
    """One thread, the precision, and whether denormals are flushed; the last belongs to the thread."""
    torch.set_num_threads(1)
    if task.flushed:
        torch.set_flush_denormal(True)
    if task.precision == "medium":
        torch.set_float32_matmul_precision("medium")


def build(task: Task) -> nn.Module:
    """The network of the task."""
    return LeNet() if task.net == "lenet" else TwoLayer(*task.shape, task.weight_scale)


def sliced(task: Task, data: Data) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of tensors in memory, sliced by a permutation."""
    order = torch.randperm(len(data.train_x))
    for start in range(0, len(order) - task.batch + 1, task.batch):
        rows = order[start : start + task.batch]
        yield data.train_x[rows], data.train_y[rows]


class Trial:
    """A model and its optimizer, trained epoch by epoch.

    Args:
        task: batch size and network.
        data: what to train on.
        pair: learning rate and l2.
        loader: use a DataLoader instead of slices.
    """

    def __init__(self, task: Task, data: Data, pair: Pair, *, loader: bool = False) -> None:
        self.task, self.data = task, data
        self.model = build(task)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=pair[0], weight_decay=pair[1])
        self.steps, self.best = 0, 0.0
        self.loader = (
            DataLoader(
                TensorDataset(data.train_x, data.train_y), batch_size=task.batch, shuffle=True, drop_last=True
            )
            if loader
            else None
        )

    def epoch(self) -> float:
        """Trains one epoch; returns the validation accuracy after it."""
        self.model.train()
        for x, y in sliced(self.task, self.data) if self.loader is None else self.loader:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.steps += 1
        accuracy = self.accuracy()
        self.best = max(self.best, accuracy)
        return accuracy

    @property
    def diverged(self) -> bool:
        """True if a weight is NaN or infinite, which the accuracy does not show."""
        return not all(bool(weight.isfinite().all()) for weight in self.model.parameters())

    @torch.no_grad()
    def accuracy(self) -> float:
        """On the validation split."""
        self.model.eval()
        right: Tensor = self.model(self.data.val_x).argmax(1) == self.data.val_y
        return right.float().mean().item()


def train(task: Task, data: Data, number: int, *, loader: bool = False) -> Trained:
    """One whole trial."""
    start = clock()
    torch.manual_seed(number)
    trial = Trial(task, data, task.pairs[number], loader=loader)
    for _ in range(task.epochs):
        trial.epoch()
    return Trained(start, clock(), trial.steps, trial.best)
