"""``babysit.watch`` with a store: a loop of one's own, recorded as a study that the views can show."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from babysit.diagnosis.report import Report
from babysit.errors import InputError, StopRequested
from babysit.records import CommandKind, Details, Reading, Result, Run, State, Touch, Trial
from babysit.session.jobs.environment import environment
from babysit.training.requests import Request
from babysit.tuning.engines.events import told_of_stop
from babysit.watching.ranks import processes, rank
from babysit.watching.sample import Log
from babysit.watching.scaled_rates import ScaledRates
from babysit.watching.trace import CHANCE, quantities
from babysit.watching.watch import EVERY, Watch
from babysit.watching.watch import watch as watch_only
from babysit.watching.watcher import Watcher

if TYPE_CHECKING:  # loaded only where a store is asked for
    from babysit.session.commands.handler import RunDesk
    from babysit.store.writer import Writer

FLAG, RAISE = "flag", "raise"
"""How a loop wants to hear that it should stop."""

_SHARE = 100
"""Writing may take one part in so many of the loop's time."""
_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
"""How long the end of somebody's loop may be held up by a database server that is away."""


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
    """Watches a training loop: weights, losses and random numbers are the same with it and without.

    Nothing that goes wrong inside the watch reaches the loop; it is counted and told in the report.

    Args:
        model: the module that the loop calls.
        optimizer: the optimizer, or several of them.
        loss: the criterion; as a module it lets the watch see predictions beside targets.
        name: what to call the run in its report; by default the model's class.
        every: steps from sample to sample in the beginning. The first eight steps are sampled more often;
            after the 64th samples become rarer, until they are sixteen times as far apart.
        store: a path or a database's URL; the run is recorded there as a study of kind "watch", of several
            processes by the first only. With it the run can be touched while it trains, from the command
            line or the dashboard: its learning rate multiplied, or the run stopped. Default: no store, and
            then nothing is ever touched.
        stop: what becomes of a request to stop: with "flag", the default, ``watch.should_stop`` turns true,
            and it is for the loop to ask; with "raise", ``watch.step`` raises
            :class:`babysit.StopRequested`, which ends the loop and is caught as the context is left.
        dashboard: show the store in a browser meanwhile, from a process of its own; its address is printed
            on standard error. Needs a store, and the extra ``dashboard``. Default False.
        before: the report of ``babysit.check`` on the same program. The watch's report reasons over both: a
            symptom that is seen live is put under the cause found before. Default: None.

    Returns:
        A context manager; its hooks live while the context is open.

    Raises:
        InputError: the model is no module, ``every`` is below 1, ``stop`` is neither of the two, or there is
            nothing to show or to show it with.
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
    plain = watch_only(model, optimizer, loss=loss, name=name, every=every, before=before)
    if store is None or rank() != 0:
        return plain
    from babysit.session.dashboard import dashboard_beside
    from babysit.store.writer import Writer

    beside = dashboard_beside(store, _tell, wanted=dashboard)
    writer = Writer(store, patience_seconds=_PATIENCE_SECONDS)
    return RecordedWatch(plain._watcher, plain.name, writer, store, stop, beside, before)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class RecordedWatch(Watch):
    """A watched run that is written down while it goes on; ``watch`` makes it.

    Args:
        watcher: what collects.
        name: what to call the run.
        writer: of the store; closed with the context.
        url: of the store.
        stop: "flag" or "raise".
        beside: open as long as the context is; default nothing.
        before: what was found before it trained. Default: None.
    """

    def __init__(
        self,
        watcher: Watcher,
        name: str,
        writer: Writer,
        url: str,
        stop: str = FLAG,
        beside: AbstractContextManager[None] | None = None,
        before: Report | None = None,
    ) -> None:
        super().__init__(watcher, name, before)
        self._beside = beside or nullcontext()
        self._writer, self._url, self._stop = writer, url, stop
        self._scaled = ScaledRates(watcher.optimizers)
        self._desk: RunDesk | None = None
        self._stopping: Request | None = None
        self._raised: StopRequested | None = None
        self._touches: list[Touch] = []
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
        from babysit.session.commands.handler import RunDesk

        self._desk = RunDesk(self._url, self._study, self._refusal()).__enter__()

    def _refusal(self) -> str:
        """Why nothing can be done to the run; empty if it can."""
        together = processes()
        if together > 1:
            return f"{together} processes train this model together, and one alone must not change or end"
        if not self._scaled.possible:
            return "an optimizer of this loop has no hooks round its steps"
        return ""

    def step(self, loss: Tensor | float) -> None:
        """One step of the loop is done; now and then what is new is written down."""
        super().step(loss)
        if time.monotonic() >= self._due:
            self._watcher.guard(self._write)
        if self._desk is not None and not self._desk.inbox.is_empty:
            self._watcher.guard(self._heed, self._desk)
        if self._stopping is not None and self._stop == RAISE:
            self._watcher.guard(self._stopped)
            self._raised = StopRequested("somebody asked this run to stop")
            raise self._raised

    def _heed(self, desk: RunDesk) -> None:
        """Does what was asked since the last step."""
        for request in desk.requests([0]):
            if request.touch.kind is CommandKind.STOP:
                self._stopping = self._stopping or request
            else:
                self._scaled.factor *= request.touch.argument
                self._done(request)

    def _done(self, request: Request) -> None:
        step = self._watcher.steps
        self._touches.append(replace(request.touch, step=step))
        request.done(step)

    def _stopped(self) -> None:
        if self._stopping is not None and not any(one.kind is CommandKind.STOP for one in self._touches):
            self._done(self._stopping)

    @property
    def should_stop(self) -> bool:
        """Whether somebody asked the run to stop; the request counts as applied once the loop has asked."""
        self._watcher.guard(self._stopped)
        return self._stopping is not None

    @property
    def learning_rate_factor(self) -> float:
        """What every learning rate is multiplied with while an optimizer steps: 1 unless somebody asked."""
        return self._scaled.factor

    def _epoch(self, *values: float) -> None:
        super()._epoch(*values)
        self._write()

    def _write(self) -> None:
        started = time.monotonic()
        self._write_news(self._watcher.log())  # let go before the report makes one of its own
        self._writer.verdict(self._study, self._trial, self.report())
        now = time.monotonic()
        self._due = now + max(_SECONDS, _SHARE * (now - started))

    def _write_news(self, log: Log) -> None:
        self._write_layers(log)
        self._write_losses(log)

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

    def _losses(self, log: Log, last: int) -> tuple[range, Sequence[float]]:
        first, self._written_losses = self._written_losses, max(last, self._written_losses)
        return range(first + 1, self._written_losses + 1), log.losses[first : self._written_losses]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        ours = error is not None and error is self._raised
        kind, error = (None, None) if ours else (kind, error)
        super().__exit__(kind, error, trace)
        self._watcher.guard(self._scaled.stop)
        self._watcher.guard(self._write)
        if self._desk is not None:
            self._watcher.guard(self._desk.__exit__, kind, error, trace)
        self._watcher.guard(self._finish, error)
        self._watcher.guard(self._writer.close)
        self._watcher.guard(self._beside.__exit__, None, None, None)
        return ours

    def _finish(self, error: BaseException | None) -> None:
        log = self._watcher.log()
        run = Run(
            self._state(error),
            tuple(self._readings),
            log.losses[0] if log.losses else float("nan"),
            seconds=time.monotonic() - self._started,
            steps=log.steps,
            message="" if error is None else f"{type(error).__name__}: {error}",
            touches=tuple(self._touches),
        )
        run = told_of_stop(run) if run.was_stopped_by_hand and error is None else run
        verdicts = {self._trial.key: self.report()}
        self._writer.finish_trials(self._study, [Result(self._trial, run)], verdicts)
        self._writer.finish_study(self._study, run.state, {})

    def _state(self, error: BaseException | None) -> State:
        if error is None:
            by_hand = any(touch.kind is CommandKind.STOP for touch in self._touches)
            return State.STOPPED if by_hand else State.COMPLETE
        return State.STOPPED if isinstance(error, KeyboardInterrupt) else State.FAILED
