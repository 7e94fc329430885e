"""``babysit.watch``: your own training loop, watched and, with a store, recorded as a study."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from babysit.diagnosis.report import Report
from babysit.errors import InputError, StopRequested
from babysit.records import CommandKind, Details, Reading, Result, Run, State, Touch, Trial
from babysit.session.jobs.environment import environment
from babysit.training.requests import MemberRequest
from babysit.tuning.engines.events import with_stop_message
from babysit.watching.ranks import processes, rank
from babysit.watching.sample import WatchLog
from babysit.watching.scaled_rates import ScaledRates
from babysit.watching.trace import CHANCE, quantities
from babysit.watching.watch import EVERY, Watch

if TYPE_CHECKING:  # loaded only where a store is asked for
    from babysit.session.commands.handler import RunCommandHandler

FLAG, RAISE = "flag", "raise"
"""Ways in which a loop learns that it should stop."""

_SHARE = 100
"""Writing may take one hundredth of the loop's time."""
_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
"""Longest time for which an unreachable database server delays the end of the loop."""


def watch(
    model: torch.nn.Module,
    optimizer: Any,
    *,
    loss: Any = None,
    name: str = "",
    every: int = EVERY,
    store: str | None = None,
    stop: str = FLAG,
    dashboard: bool = False,
    before: Report | None = None,
) -> Watch:
    """Watches a training loop. Weights, losses and random numbers are the same with it and without.

    An exception inside the watch never reaches the loop. It is counted and shown in the report.

    Args:
        model: the module that the loop calls.
        optimizer: the optimizer, or several of them.
        loss: the criterion. As a module it lets the watch see predictions beside targets.
        name: the run's name in its report. Default: the model's class.
        every: steps from sample to sample at first. The first eight steps are sampled more often. After step
            64 samples become rarer, until they are sixteen times as far apart.
        store: a path or a database's URL. The run is recorded there as a study of kind "watch"; of several
            processes only the first records. With a store the run can be changed while it trains, from the
            command line or the dashboard: its learning rate multiplied, or the run stopped. Default: no
            store, and the run cannot be changed.
        stop: what a request to stop does. With "flag" ``watch.should_stop`` turns true, and the loop has to
            ask for it. With "raise" ``watch.step`` raises :class:`babysit.StopRequested`, which ends the
            loop and is caught as the context is left. Default: "flag".
        dashboard: show the store in a browser meanwhile, from a process of its own; its address is printed
            on standard error. Needs a store, and the extra ``dashboard``. Default: False.
        before: the report of ``babysit.check`` on the same program. The watch's report reasons over both: a
            symptom of the run is listed under the cause that the check found. Default: None.

    Returns:
        A context manager; its hooks live while the context is open.

    Raises:
        InputError: the model is not a module, ``every`` is below 1, ``before`` is not a report, ``stop`` is
            neither of the two, or there is no store or no extra to show it with.
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
    if stop not in (FLAG, RAISE):
        raise InputError(f"watch(stop={stop!r}): there is no such way to stop", fix=f"{FLAG!r} or {RAISE!r}")
    if dashboard and store is None:
        raise InputError("watch(dashboard=True) has nothing to show", fix="give a store, store='runs.sqlite'")
    watched = {"loss": loss, "name": name, "every": every, "before": before}
    if store is None or rank() != 0:
        return Watch(model, optimizer, **watched)
    return RecordedWatch(model, optimizer, store=store, stop=stop, dashboard=dashboard, **watched)


class RecordedWatch(Watch):
    """A watched run that is recorded in a store while it trains; :func:`babysit.watch` makes it.

    Args:
        model, optimizer, store, stop, dashboard: as for :func:`babysit.watch`.
        watched: the other arguments of :class:`Watch`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: Any,
        *,
        store: str,
        stop: str = FLAG,
        dashboard: bool = False,
        **watched: Any,
    ) -> None:
        super().__init__(model, optimizer, **watched)
        from babysit.session.dashboard import dashboard_beside
        from babysit.store.writer import Writer

        self._beside = dashboard_beside(
            store, lambda line: print(line, file=sys.stderr, flush=True), wanted=dashboard
        )
        self._writer = Writer(store, patience_seconds=_PATIENCE_SECONDS)
        self._url, self._stop = store, stop
        optimizers = self._watcher.optimizers
        self._scaled = ScaledRates(optimizers)
        self._handler: RunCommandHandler | None = None
        self._stopping: MemberRequest | None = None
        self._raised: StopRequested | None = None
        self._touches: list[Touch] = []
        self._study = -1
        self._readings: list[Reading] = []
        self._written_losses = self._written_step = 0
        self._started = time.monotonic()
        self._due = self._started + _SECONDS
        rates = {float(group.get("lr", 0.0)) for each in optimizers for group in each.param_groups}
        names = ", ".join(type(each).__name__ for each in optimizers)
        self._trial = Trial(0, 0, {"learning_rate": max(rates, default=0.0), "optimizer": names})

    def __enter__(self) -> RecordedWatch:
        self._watcher.guard(self._begin)
        self._beside.__enter__()
        self._watcher.guard(self._scaled.start)  # before the watcher's own hooks, which then read what counts
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
        from babysit.session.commands.handler import RunCommandHandler

        self._handler = RunCommandHandler(self._url, self._study, self._refusal()).__enter__()

    def _refusal(self) -> str:
        """Returns the reason why the run cannot be changed; empty if it can."""
        together = processes()
        if together > 1:
            return f"{together} processes train this model together, and one alone must not change or end"
        if not self._scaled.possible:
            return "an optimizer of this loop has no hooks round its steps"
        return ""

    def step(self, loss: Tensor | float) -> None:
        """Records one step of the loop, and now and then writes what is new to the store."""
        super().step(loss)
        if time.monotonic() >= self._due:
            self._watcher.guard(self._write)
        if self._handler is not None and not self._handler.inbox.is_empty:
            self._watcher.guard(self._apply_requests, self._handler)
        if self._stopping is not None and self._stop == RAISE:
            self._watcher.guard(self._answer_stop)
            self._raised = StopRequested("this run was asked to stop")
            raise self._raised

    def _apply_requests(self, handler: RunCommandHandler) -> None:
        """Applies the requests that arrived since the last step."""
        for request in handler.requests([0]):
            if request.touch.kind is CommandKind.STOP:
                self._stopping = self._stopping or request
            else:
                self._scaled.factor *= request.touch.argument
                self._answer(request)

    def _answer(self, request: MemberRequest) -> None:
        step = self._watcher.steps
        self._touches.append(replace(request.touch, step=step))
        request.done(step)

    def _answer_stop(self) -> None:
        if self._stopping is not None and not any(one.kind is CommandKind.STOP for one in self._touches):
            self._answer(self._stopping)

    @property
    def should_stop(self) -> bool:
        """True once the user has asked the run to stop. Reading it marks the request as applied."""
        self._watcher.guard(self._answer_stop)
        return self._stopping is not None

    @property
    def learning_rate_factor(self) -> float:
        """The factor on every learning rate while an optimizer steps. Default: 1."""
        return self._scaled.factor

    def _epoch(self, train_accuracy: float, val_accuracy: float, val_loss: float) -> None:
        super()._epoch(train_accuracy, val_accuracy, val_loss)
        self._write()

    def _write(self) -> None:
        started = time.monotonic()
        log = self._watcher.log()
        self._write_layers(log)
        self._write_losses(log)
        del log  # frees the losses before the report makes its own log
        self._writer.verdict(self._study, self._trial, self.report())
        now = time.monotonic()
        self._due = now + max(_SECONDS, _SHARE * (now - started))

    def _write_layers(self, log: WatchLog) -> None:
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

    def _write_losses(self, log: WatchLog) -> None:
        """Writes the losses since the last call, and the reading of each epoch among them."""
        for epoch in log.epochs[len(self._readings) :]:
            rate = next((rate for sample in log.samples[-1:] for rate in sample.rates), float("nan"))
            accuracies = (epoch.train_accuracy, epoch.val_accuracy)
            number, cost = len(self._readings) + 1, log.losses[epoch.step - 1] if epoch.step else float("nan")
            self._readings.append(Reading(number, epoch.step, cost, *accuracies, rate, epoch.val_loss))
            self._writer.epoch(self._study, self._trial, self._readings[-1], *self._losses(log, epoch.step))
        self._writer.costs(self._study, self._trial, *self._losses(log, log.steps))

    def _losses(self, log: WatchLog, last: int) -> tuple[range, Sequence[float]]:
        first, self._written_losses = self._written_losses, max(last, self._written_losses)
        return range(first + 1, self._written_losses + 1), log.losses[first : self._written_losses]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_own_stop = error is not None and error is self._raised
        kind, error = (None, None) if is_own_stop else (kind, error)
        super().__exit__(kind, error, trace)
        self._watcher.guard(self._scaled.stop)
        self._watcher.guard(self._write)
        if self._handler is not None:
            self._watcher.guard(self._handler.__exit__, kind, error, trace)
        self._watcher.guard(self._finish, error)
        self._watcher.guard(self._writer.close)
        self._watcher.guard(self._beside.__exit__, None, None, None)
        return is_own_stop

    def _finish(self, error: BaseException | None) -> None:
        log = self._watcher.log()
        is_stopped = any(touch.kind is CommandKind.STOP for touch in self._touches)
        if error is None:
            state = State.STOPPED if is_stopped else State.COMPLETE
        else:
            state = State.STOPPED if isinstance(error, KeyboardInterrupt) else State.FAILED
        run = Run(
            state,
            tuple(self._readings),
            log.losses[0] if log.losses else float("nan"),
            seconds=time.monotonic() - self._started,
            steps=log.steps,
            message="" if error is None else f"{type(error).__name__}: {error}",
            touches=tuple(self._touches),
        )
        run = with_stop_message(run) if is_stopped and error is None else run
        verdicts = {self._trial.key: self.report()}
        self._writer.finish_trials(self._study, [Result(self._trial, run)], verdicts)
        self._writer.finish_study(self._study, run.state, {})
