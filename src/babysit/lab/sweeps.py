"""Sweeps of the lab: many settings trained at once as one population."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from babysit.data.batches import Batches
from babysit.data.dataset import Dataset
from babysit.lab.experiment import ExperimentResult, Options
from babysit.records import EXPLOSION_LIMIT, Run
from babysit.seeding import derive, seeded
from babysit.training.evaluation import evaluation_of
from babysit.training.losses import LOSSES
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, EpochReport, Plan, Trainer
from babysit.training.updates import UPDATES, UpdateRule


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs a block on one thread: the tensors are small, and equal order of sums gives equal numbers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def single_threaded(run: Callable[[Options], ExperimentResult]) -> Callable[[Options], ExperimentResult]:
    """Decorates an experiment so that it runs on one thread."""

    @functools.wraps(run)
    def alone(options: Options) -> ExperimentResult:
        with one_thread():
            return run(options)

    return alone


class SweepMember(NamedTuple):
    """One setting of a sweep.

    Attributes:
        make: builds the model; torch's global generator is seeded when it is called.
        rates: learning rate, l2 and the other settings of the update rule.
        draw: members of equal draw start from equal random numbers.
    """

    make: Callable[[], nn.Module]
    rates: Mapping[str, object]
    draw: int = 0


class Trace(NamedTuple):
    """Run of one member: the cost of every step, before its update, and the summary."""

    costs: NDArray[np.float64]
    run: Run


def trainer_of(
    members: Sequence[SweepMember],
    dataset: Dataset,
    *,
    seed: int,
    epochs: int,
    update: UpdateRule | str = "sgd",
    batch_size: int = 100,
    limit: float = EXPLOSION_LIMIT,
) -> Trainer:
    """Builds a trainer for all members of a sweep.

    Args:
        members: the settings; their models share an architecture.
        dataset: the data of all members.
        seed: the experiment's seed.
        epochs: the number of epochs.
        update: the update rule or its name.
        batch_size: examples per step.
        limit: of the explosion rule, in units of the first cost.
    """
    rule = UPDATES[update] if isinstance(update, str) else update
    plan = Plan(LOSSES["softmax"], rule, SCHEDULES["constant"], epochs, limit)
    candidates = []
    for member in members:
        with seeded(seed, "lab", member.draw):
            candidates.append(Candidate(member.make(), member.rates, key=derive(seed, member.draw) % 2**31))
    batches = Batches(dataset, batch_size, seed=derive(seed, "lab", "order"))
    return Trainer(candidates, plan, batches, evaluation_of(dataset, seed=seed))


def finish(trainer: Trainer) -> list[Trace]:
    """Trains to the end and returns every member's run, in the given order."""
    return collect(trainer, trainer.epochs())


def collect(trainer: Trainer, reports: Iterable[EpochReport]) -> list[Trace]:
    """Collects every member's run, in the given order, from the reports of the trainer's epochs."""
    costs: list[list[NDArray[np.float32]]] = [[] for _ in trainer.alive]
    for report in reports:
        for member, values in report.costs.items():
            costs[member].append(values)
    return [
        Trace(np.concatenate(own).astype(float), run) for own, run in zip(costs, trainer.runs(), strict=True)
    ]


def ladder(low: float, high: float, count: int) -> list[float]:
    """Returns ``count`` rates from low to high, evenly spaced in the logarithm.

    Example:
        >>> ladder(0.01, 1.0, 3)
        [0.01, 0.1, 1.0]
    """
    return [float(f"{rate:.4g}") for rate in np.geomspace(low, high, count)]


def epochs_until(run: Run, error: float, start: float) -> float | None:
    """Interpolates the epochs that a run took to reach a training error; None if it never did.

    Args:
        run: the run.
        error: the training error to reach, in [0, 1].
        start: the error before training, e.g. 0.9 for ten classes.
    """
    errors = [start, *(1 - reading.train_accuracy for reading in run.readings)]
    for epoch in range(1, len(errors)):
        if errors[epoch] <= error:
            fall = errors[epoch - 1] - errors[epoch]
            return epoch if fall <= 0 else epoch - (error - errors[epoch]) / fall
    return None


def smoothed(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Computes a running mean; the first values average the values so far."""
    total = np.cumsum(np.insert(values, 0, 0.0))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (total[stop] - total[start]) / (stop - start)


def final_cost(trace: Trace, window: int) -> float:
    """Averages the last costs; infinity for a run that exploded."""
    return math.inf if trace.run.explosion is not None else float(trace.costs[-window:].mean())
