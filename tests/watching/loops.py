"""Small training programs as people write them: data, a loop with places for faults, and nothing else."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from babysit import watch

SGD, Adam = torch.optim.SGD, torch.optim.Adam


def points(count=512, features=8, classes=4, seed=0, spread=2.0):
    """Clouds round one centre a class."""
    generator = torch.Generator().manual_seed(seed)
    centres = spread * torch.randn(classes, features, generator=generator)
    y = torch.randint(0, classes, (count,), generator=generator)
    return centres[y] + torch.randn(count, features, generator=generator), y


def curve(count=512, features=6, noise=0.1, scale=1.0, seed=0):
    """A smooth function of the features, as a column."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator)
    y = x[:, :1].sin() + x[:, 1:2] * x[:, 2:3] * 0.5 + noise * torch.randn(count, 1, generator=generator)
    return x, scale * y


def pictures(count=256, seed=0):
    """8 x 8 images with a bright row or column."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
    y = torch.randint(0, 4, (count,), generator=generator)
    for image, label in zip(x, y.tolist(), strict=True):
        line = image[0, 2 + label // 2 * 3] if label % 2 else image[0, :, 2 + label // 2 * 3]
        line += 1.5
    return x, y


def waves(count=256, length=12, seed=0):
    """Sequences whose class is their frequency."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=generator)
    phase = 6.28 * torch.rand(count, 1, generator=generator)
    time = torch.arange(length) / length * 6.28
    x = torch.sin((y[:, None] + 1) * time + phase) + 0.1 * torch.randn(count, length, generator=generator)
    return x[:, :, None], y


def mlp(inputs=8, hidden=32, outputs=4, activation=nn.ReLU, depth=2):
    layers = [nn.Linear(inputs, hidden), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(hidden, hidden), activation()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


class Functional(nn.Module):
    """An MLP whose activations are functions, as most models have them."""

    def __init__(self, inputs=8, outputs=4):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, outputs)

    def forward(self, x):
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


def convnet():
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
    )


class Recurrent(nn.Module):
    """An LSTM: its output is a tuple."""

    def __init__(self, classes=3):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, classes)

    def forward(self, x):
        _, (hidden, _) = self.lstm(x)
        return self.head(hidden[-1])


def accuracy(model, x, y):
    mode = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(1) == y).float().mean().item()
    model.train(mode)
    return share


def held_out(data):
    """Training examples, and an eighth of all that is not trained on."""
    x, y = data
    cut = len(x) - len(x) // 8
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def batches(data, size, generator):
    x, y = data
    order = torch.randperm(len(x), generator=generator)
    for start in range(0, len(x), size):
        rows = order[start : start + size]
        yield x[rows], y[rows]


def fit(
    model,
    data,
    criterion,
    optimizer,
    *,
    epochs=20,
    size=32,
    schedule=None,
    accumulate=1,
    zero=True,
    step=True,
    adjust=None,
    measured=False,
    before=None,
    watched=True,
    every=16,
):
    """The loop. Returns the report (None if not watched) and the losses."""
    order = torch.Generator().manual_seed(1)
    data, unknown = held_out(data) if measured else (data, data)
    watching = watch(model, optimizer, loss=criterion, name="run", every=every)
    losses, count = [], 0
    with watching if watched else torch.enable_grad():
        for _ in range(epochs):
            for x, y in batches(data, size, order):
                if before is not None:
                    before(model)
                if zero and count % accumulate == 0:
                    optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss = loss if adjust is None else adjust(loss)
                loss.backward()
                count += 1
                if step and count % accumulate == 0:
                    optimizer.step()
                    if schedule is not None:
                        schedule.step()
                if watched:
                    watching.step(loss)
                losses.append(loss.item())
            if watched and measured:
                watching.epoch(train_accuracy=accuracy(model, *data), val_accuracy=accuracy(model, *unknown))
    return (watching.report() if watched else None), losses


def warm_up(steps):
    return lambda step: min(1.0, (step + 1) / steps)


def cosine(steps):
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def order():
    return torch.Generator().manual_seed(1)


def halves(data):
    """Training and validation examples."""
    x, y = data
    cut = 3 * len(x) // 4
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def score(model, data, criterion, mode=False):
    """Accuracy and loss on held-out examples, batch by batch."""
    model.train(mode)
    right, total, loss = 0, 0, 0.0
    with torch.no_grad():
        for x, y in zip(data[0].split(32), data[1].split(32), strict=True):
            output = model(x)
            loss += criterion(output, y).item() * len(x)
            right += (output.argmax(1) == y).sum().item() if y.dtype == torch.long else 0
            total += len(x)
    model.train()
    return right / total, loss / total


def train(
    model,
    data,
    optimizer,
    criterion=None,
    *,
    epochs=12,
    size=32,
    schedule=None,
    after=None,
    mode=False,
    shuffle=True,
    held_out=None,
):
    """A loop with a validation after every epoch; ``after`` is called when a step is done."""
    criterion = criterion or nn.CrossEntropyLoss()
    known, unknown = (data, held_out) if held_out is not None else halves(data)
    generator = order()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(epochs):
            pairs = (
                batches(known, size, generator)
                if shuffle
                else zip(known[0].split(size), known[1].split(size), strict=True)
            )
            for x, y in pairs:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                if after is not None:
                    after(model)
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion, mode)
            classes = unknown[1].dtype == torch.long
            watching.epoch(val_loss=val_loss, **({"val_accuracy": accuracy} if classes else {}))
    return watching.report()
