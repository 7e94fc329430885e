"""Programs from forums and repositories, rebuilt in our own words: each names the thread it came from.

A program gives what `babysit.check` needs and a loop for `babysit.watch`. Which answers are right was
written down from the names of the rules, before anything was run. Half "A" may be used for repairs, "B" is
only reported.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from tests.faults.zoo import seeded
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Step = Callable[[Tensor], None]
Loop = Callable[..., None]


@dataclass(frozen=True)
class Job:
    """One training program, ready to run.

    Attributes:
        model: the module that is trained.
        loss: the criterion, (outputs, targets) to a scalar.
        batches: a DataLoader or a list of (inputs, targets).
        optimizer: the one that trains, or several.
        loop: runs the training: ``loop(job, steps, on_step)``, where ``on_step(loss)`` ends every step.
    """

    model: nn.Module
    loss: Callable[..., Any]
    batches: Any
    optimizer: Any
    loop: Loop | None = None

    @property
    def parts(self) -> tuple[nn.Module, Callable[..., Any], Any, Any]:
        """What `babysit.check` takes."""
        return self.model, self.loss, self.batches, self.optimizer

    def run(self, steps: int, on_step: Step) -> None:
        """Trains for some steps."""
        (self.loop or usual)(self, steps, on_step)


@dataclass(frozen=True)
class Program:
    """One program of the field.

    Attributes:
        name: of the function.
        source: address of the thread, issue or example.
        check: what `babysit.check` may name first; empty where only the loop is at fault, or nothing.
        watch: what `babysit.watch` may name first; empty where it cannot see the fault, or nothing is wrong.
        faulty: whether anything is wrong at all.
        build: makes the job, seeded.
        checkable: False where the batches are no (inputs, targets) of the loss: then only a loop tells.
    """

    name: str
    source: str
    check: tuple[str, ...]
    watch: tuple[str, ...]
    faulty: bool
    build: Callable[[], Job]
    checkable: bool = True

    def accepted(self, door: str) -> tuple[str, ...]:
        """The right answers at a door: any that was written down for either, where it can see the fault.

        Args:
            door: "check" or "watch".
        """
        own = self.check if door == "check" else self.watch
        return tuple(dict.fromkeys((*self.check, *self.watch))) if own else ()

    @property
    def half(self) -> str:
        """ "A" or "B", by the name: a twin is in the half of its faulty program."""
        return "AB"[zlib.crc32(self.name.removesuffix("_twin").encode()) % 2]


FIELD: list[Program] = []
ISSUES: list[Program] = []


def _add(program: Program, module: str) -> None:
    """Adds a program once, though a search for doctests imports these modules under a second name."""
    programs = ISSUES if module.rpartition(".")[2].startswith("github_") else FIELD
    if program.name not in {known.name for known in programs}:
        programs.append(program)


def reported(
    source: str, *, check: str = "", watch: str = "", checkable: bool = True
) -> Callable[[Callable[[bool], Job]], Any]:
    """Registers a faulty program, with its right answers, and its healthy twin."""

    def register(build: Callable[[bool], Job]) -> Callable[[bool], Job]:
        name, twin = build.__name__, f"{build.__name__}_twin"
        answers = tuple(check.split()), tuple(watch.split())
        bad, good = (lambda: seeded(lambda: build(True))), (lambda: seeded(lambda: build(False)))
        _add(Program(name, source, *answers, True, bad, checkable), build.__module__)
        _add(Program(twin, source, (), (), False, good, checkable), build.__module__)
        return build

    return register


def healthy(source: str, *, checkable: bool = True) -> Callable[[Callable[[], Job]], Any]:
    """Registers a healthy program."""

    def register(build: Callable[[], Job]) -> Callable[[], Job]:
        program = Program(build.__name__, source, (), (), False, lambda: seeded(build), checkable)
        _add(program, build.__module__)
        return build

    return register


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from batches


def usual(job: Job, steps: int, on_step: Step) -> None:
    """The loop of the tutorials."""
    optimizers = job.optimizer if isinstance(job.optimizer, list) else [job.optimizer]
    for x, y in islice(endless(job.batches), steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = job.loss(job.model(x), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        on_step(loss)


class Rows(Dataset[Any]):
    """Arrays as people wrap them."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Any:
        return self.x[index], self.y[index]


def batched(x: Any, y: Any, size: int = 32, **options: Any) -> Any:
    """Batches in random order, the same each time."""
    generator = torch.Generator().manual_seed(1)
    return DataLoader(Rows(x, y), batch_size=size, **{"shuffle": True, "generator": generator, **options})


def one_hot(y: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(y, classes).float()


def adam(model: nn.Module, lr: float = 1e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr)


def sgd(model: nn.Module, lr: float, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, **options)
