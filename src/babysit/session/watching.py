"""``babysit.watch`` with a store: a loop of one's own, recorded as a study that the views can show."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from babysit.records import Details, Reading, Result, Run, State, Trial
from babysit.session.environment import environment
from babysit.watching.own_loop import EVERY, Watch
from babysit.watching.own_loop import watch as watch_only
from babysit.watching.quantities import Log
from babysit.watching.ranks import rank
from babysit.watching.trace import CHANCE, quantities
from babysit.watching.watcher import Watcher

if TYPE_CHECKING:  # loaded only where a store is asked for
    from babysit.store.writer import Writer

_SHARE = 100
"""Writing may take one part in so many of the loop's time."""
_SECONDS = 1.0


def watch(
    model: torch.nn.Module,
    optimizer: Any,
    *,
    loss: Any = None,
    name: str = "",
    every: int = EVERY,
    store: str | None = None,
) -> Watch:
    """Watches a training loop: weights, losses and random numbers are the same with it and without.

    Nothing that goes wrong inside the watch reaches the loop; it is counted and told in the report.

    Args:
        model: the module that the loop calls.
        optimizer: the optimizer, or several of them.
        loss: the criterion; as a module it lets the watch see predictions beside targets.
        name: what to call the run in its report; by default the model's class.
        every: steps from sample to sample in the beginning. The first eight steps are sampled more often;
            after the 64th samples become rarer, until they are eight times as far apart.
        store: a path or a database's URL; the run is recorded there as a study of kind "watch", of several
            processes by the first only. Default: no store.

    Returns:
        A context manager; its hooks live while the context is open.

    Raises:
        InputError: the model is no module, or ``every`` is below 1.
        StoreError: the store cannot be made or opened.

    Example:
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x = torch.arange(12.0).reshape(4, 3) / 12
        >>> with watch(model, optimizer, name="line") as watching:
        ...     for _ in range(60):
        ...         optimizer.zero_grad()
        ...         loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        ...         loss.backward()
        ...         optimizer.step()
        ...         watching.step(loss)
        >>> watching.report().healthy
        True
    """
    plain = watch_only(model, optimizer, loss=loss, name=name, every=every)
    if store is None or rank() != 0:
        return plain
    from babysit.store.writer import Writer

    return RecordedWatch(plain._watcher, plain.name, Writer(store))


class RecordedWatch(Watch):
    """A watched run that is written down while it goes on; ``watch`` makes it.

    Args:
        watcher: what collects.
        name: what to call the run.
        writer: of the store; closed with the context.
    """

    def __init__(self, watcher: Watcher, name: str, writer: Writer) -> None:
        super().__init__(watcher, name)
        self._writer = writer
        self._study = -1
        self._readings: list[Reading] = []
        self._written_losses = self._written_step = 0
        self._started = time.monotonic()
        self._due = self._started + _SECONDS
        rates = {float(group.get("lr", 0.0)) for each in watcher.optimizers for group in each.param_groups}
        optimizers = ", ".join(type(each).__name__ for each in watcher.optimizers)
        self._trial = Trial(0, 0, {"learning_rate": max(rates, default=0.0), "optimizer": optimizers})

    def __enter__(self) -> RecordedWatch:
        self._watcher.guard(self._begin)
        super().__enter__()
        return self

    def _begin(self) -> None:
        self._study = self._writer.begin_study(
            name=self.name,
            recipe="",
            kind="watch",
            seed=0,
            fingerprint="",
            settings={"environment": environment()},
        )
        self._writer.begin_trials(self._study, [self._trial])

    def step(self, loss: Tensor | float) -> None:
        """One step of the loop is done; now and then what is new is written down."""
        super().step(loss)
        if time.monotonic() >= self._due:
            self._watcher.guard(self._write)

    def _epoch(self, *values: float) -> None:
        super()._epoch(*values)
        self._write()

    def _write(self) -> None:
        started = time.monotonic()
        log = self._watcher.log()
        self._write_layers(log)
        self._write_losses(log)
        self._writer.findings(self._study, self._trial, self.report().findings)
        now = time.monotonic()
        self._due = now + max(_SECONDS, _SHARE * (now - started))

    def _write_layers(self, log: Log) -> None:
        series: dict[str, tuple[list[int], list[float]]] = {}
        fresh = [sample for sample in log.samples if sample.step > self._written_step]
        points = [(sample.step, *point) for sample in fresh for point in quantities(sample)]
        if fresh:
            self._written_step = fresh[-1].step
            if math.isfinite(log.chance):
                points.append((self._written_step, CHANCE, log.chance))
            points += [
                (self._written_step, f"layers/{name}/dead", units.share) for name, units in log.units.items()
            ]
        for step, name, value in points:
            steps, values = series.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
        self._writer.details(self._study, self._trial, Details(series))

    def _write_losses(self, log: Log) -> None:
        """The losses since the last time, and the reading of each epoch among them."""
        for epoch in log.epochs[len(self._readings) :]:
            rate = next((rate for sample in log.samples[-1:] for rate in sample.rates), float("nan"))
            accuracies = (epoch.train_accuracy, epoch.val_accuracy)
            number, cost = len(self._readings) + 1, log.losses[epoch.step - 1] if epoch.step else float("nan")
            self._readings.append(Reading(number, epoch.step, cost, *accuracies, rate, epoch.val_loss))
            self._writer.epoch(self._study, self._trial, self._readings[-1], *self._losses(log, epoch.step))
        self._writer.costs(self._study, self._trial, *self._losses(log, log.steps))

    def _losses(self, log: Log, last: int) -> tuple[range, tuple[float, ...]]:
        first, self._written_losses = self._written_losses, max(last, self._written_losses)
        return range(first + 1, self._written_losses + 1), log.losses[first : self._written_losses]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._watcher.guard(self._write)
        self._watcher.guard(self._finish, error)
        self._watcher.guard(self._writer.close)

    def _finish(self, error: BaseException | None) -> None:
        log = self._watcher.log()
        state = State.COMPLETE if error is None else State.FAILED
        state = State.STOPPED if isinstance(error, KeyboardInterrupt) else state
        run = Run(
            state,
            tuple(self._readings),
            log.losses[0] if log.losses else float("nan"),
            seconds=time.monotonic() - self._started,
            steps=log.steps,
            message="" if error is None else f"{type(error).__name__}: {error}",
        )
        findings = {self._trial.key: self.report().findings}
        self._writer.finish_trials(self._study, [Result(self._trial, run)], findings)
        self._writer.finish_study(self._study, state, {})
