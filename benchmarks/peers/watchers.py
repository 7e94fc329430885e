"""One training loop as people write it: bare, and under each tool that watches it, at the tool's defaults.

Every loop is a function that makes one step; each tool, and the package it needs, stands in ``WATCHERS``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from babysit import watch

Step = Callable[[], None]


@dataclass(frozen=True)
class Task:
    """What is trained: a network and its one batch."""

    name: str
    model: Callable[[], nn.Module]
    x: Tensor
    y: Tensor

    def start(self) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
        """A fresh model, criterion and optimizer, always the same."""
        torch.manual_seed(0)
        model = self.model()
        optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
        return model, nn.CrossEntropyLoss(), optimizer


@contextmanager
def plain(task: Task) -> Iterator[Step]:
    """Runs the loop without a watcher."""
    model, criterion, optimizer = task.start()

    def step() -> None:
        optimizer.zero_grad()
        loss = criterion(model(task.x), task.y)
        loss.backward()
        optimizer.step()

    yield step


@contextmanager
def babysit_watch(task: Task) -> Iterator[Step]:
    """``babysit.watch`` with the criterion."""
    model, criterion, optimizer = task.start()
    with watch(model, optimizer, loss=criterion) as watching:

        def step() -> None:
            optimizer.zero_grad()
            loss = criterion(model(task.x), task.y)
            loss.backward()
            optimizer.step()
            watching.step(loss)

        yield step


@contextmanager
def torch_audit(task: Task) -> Iterator[Step]:
    """Its zero-touch mode: every step hooked, every 1000th audited (the first is one of them)."""
    from torch_audit import autopatch

    model, criterion, optimizer = task.start()
    auditor = autopatch(model, optimizer=optimizer)

    def step() -> None:
        optimizer.zero_grad()
        loss = criterion(model(task.x), task.y)
        loss.backward()
        optimizer.step()

    try:
        yield step
    finally:
        auditor.unpatch()


@contextmanager
def torchmortem(task: Task) -> Iterator[Step]:
    """Its "balanced" sampling: activations, gradients, weights every step; rank and curvature every 50th."""
    from torchmortem import Autopsy

    model, criterion, optimizer = task.start()
    with Autopsy(model, optimizer=optimizer) as autopsy:

        def step() -> None:
            optimizer.zero_grad()
            loss = criterion(model(task.x), task.y)
            loss.backward()
            optimizer.step()
            autopsy.step(loss=loss.item())

        yield step


def cockpit(every: int) -> Callable[[Task], Any]:
    """Its cheapest configuration, "economy".

    Args:
        every: steps from one measurement to the next; its default is every step.
    """

    @contextmanager
    def watched(task: Task) -> Iterator[Step]:
        from backpack import extend
        from cockpit import Cockpit
        from cockpit.utils.configuration import configuration
        from cockpit.utils.schedules import linear

        model, criterion, optimizer = task.start()
        model, criterion = extend(model), extend(criterion)
        each = nn.CrossEntropyLoss(reduction="none")
        seen = Cockpit(model.parameters(), quantities=configuration("economy", track_schedule=linear(every)))
        number = count()

        def step() -> None:
            at = next(number)
            optimizer.zero_grad()
            outputs = model(task.x)
            loss = criterion(outputs, task.y)
            info = {
                "batch_size": len(task.x),
                "individual_losses": each(outputs, task.y),
                "loss": loss,
                "optimizer": optimizer,
            }
            with seen(at, info=info):
                loss.backward(create_graph=seen.create_graph(at))
            optimizer.step()

        yield step

    return watched


@dataclass(frozen=True)
class Tool:
    """A way to watch, and the distribution that has it; none is needed for our own."""

    name: str
    package: str
    watched: Callable[[Task], Any]

    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        if not self.package:
            return ""
        try:
            version(self.package)
            with warnings.catch_warnings(), self.watched(_tiny()) as step:
                warnings.simplefilter("ignore")
                step()
        except Exception as error:  # whatever a peer's installation does, the others are measured
            return (
                f"{self.package}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
        return ""


def _tiny() -> Task:
    model = lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))  # noqa: E731
    return Task("tiny", model, torch.ones(4, 3), torch.zeros(4, dtype=torch.long))


WATCHERS = (
    Tool("babysit.watch", "", babysit_watch),
    Tool("torch-audit", "torch-audit", torch_audit),
    Tool("torchmortem", "torchmortem", torchmortem),
    Tool("Cockpit, economy", "cockpit-for-pytorch", cockpit(1)),
    Tool("Cockpit, economy, every 16th step", "cockpit-for-pytorch", cockpit(16)),
)
