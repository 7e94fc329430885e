"""The watcher: it samples steps of a training loop and makes the log of the run.

A sample lasts from a forward pass to the optimizer step, and waits for the next backward pass to see whether
the gradients were zeroed. Between samples no hook stays in an optimizer that has stepped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from torch import Tensor, nn

from babysit.loss_graph import LossGraph, read_loss
from babysit.watching.capture import Capture, ExceptionGuard, Removable
from babysit.watching.history import History, Losses
from babysit.watching.instruments import Instruments
from babysit.watching.measuring import Scalars
from babysit.watching.pending import PendingSample
from babysit.watching.sample import Epoch, Setup, WatchLog, middle
from babysit.watching.schedule import checks_stale_gradients, next_sample
from babysit.watching.setup import set_up
from babysit.watching.updates import Updates, reached

_PATIENCE = 64
"""Most steps that a sample waits for an optimizer step: gradients may be accumulated."""
_GRAPHS = 3
"""Number of losses whose graph is read; a graph does not change from step to step."""


class _Phase(Enum):
    IDLE = auto()
    SAMPLING = auto()
    TRAILING = auto()


class Watcher:
    """Collector of a run's log.

    Args:
        model: the module being trained; it is never changed.
        optimizers: those that train it.
        criterion: the loss, if it is a module.
        every: steps from sample to sample.

    Attributes:
        steps: steps done.
    """

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Any], criterion: nn.Module | None, every: int
    ) -> None:
        self.guard = ExceptionGuard()
        self.model, self.optimizers, self.every = model, optimizers, every
        self.setup = Setup()
        self.guard(self._set_up)
        seen = nn.Identity() if self.setup.compiled and not hasattr(model, "_orig_mod") else model
        self.capture = Capture(seen, criterion, self.guard, self._on_backward)
        self.instruments = Instruments(seen, self.guard)
        self.ending = ""
        self.updates = 0
        self.epochs: list[Epoch] = []
        self.graph: LossGraph | None = None
        self._losses, self._history = Losses(), History()
        self._changes = Updates(model)
        self._graphs = 0
        self._hooks: list[Removable] = []
        self._hooked: list[Any] = []
        self._step_hooks: list[Removable] = []
        self._samples = 0
        self._phase = _Phase.IDLE
        self._marked = (0, time.perf_counter())
        self._opened, self._at = 0, 0
        self._due: float = math.inf
        self._attend_at: float = 0
        self.steps = 0
        self._reset()

    def _reset(self) -> None:
        self._scalars = Scalars()
        self._active: dict[str, Tensor] = {}
        self._changes.forget()
        self._stepped, self._measured = False, False
        self._examples, self._single = 0, False
        self._training: bool | None = None
        self._stale: bool | None = None
        self._rates: tuple[float, ...] = ()

    def _set_up(self) -> None:
        self.setup = set_up(self.model, self.optimizers)

    def start(self) -> None:
        """Sets the hooks of the optimizers and waits for the first step."""
        for optimizer in self.optimizers:
            self.guard(self._hook, optimizer)
        self.guard(self.instruments.passes.start)
        self.guard(self._open)

    def _hook(self, optimizer: Any) -> None:
        self._hooks.append(optimizer.register_step_post_hook(self._after_step))
        self._hooked.append(optimizer)

    def stop(self) -> None:
        """Removes every hook."""
        self.guard(self.instruments.passes.stop)
        for hook in self._hooks:
            self.guard(hook.remove)
        self._hooks, self._hooked = [], []
        self.guard(self._close)
        self.guard(self._finish)
        self._phase, self._due = _Phase.IDLE, math.inf

    # Steps and epochs.

    def step(self, loss: Tensor | float) -> None:
        """Records a step.

        Args:
            loss: its loss: the tensor that backward was called on, or a number.
        """
        self._losses.add(loss)
        self.steps += 1
        if self.steps >= self._attend_at:
            self._attend(loss)

    def _attend(self, loss: Tensor | float) -> None:
        """Handles a step of a sample, or one whose passes are counted."""
        self.instruments.passes.stepped(self.steps)
        if self._phase is _Phase.SAMPLING:
            self._sampled(loss)
        elif self._phase is _Phase.TRAILING or self.steps + 1 >= self._due:
            self._finish()
            if self.steps + 1 >= self._due:
                marked, then = self._marked
                if self.steps > marked:
                    self._history.paces.append((time.perf_counter() - then) / (self.steps - marked))
                self._open()
        self._wait()

    def _wait(self) -> None:
        idle = self._phase is _Phase.IDLE
        self._attend_at = min(self._due - 1, self.instruments.passes.due) if idle else 0

    def epoch(self, train_accuracy: float, val_accuracy: float, val_loss: float) -> None:
        """Records an epoch, with what the user reports of it."""
        self.instruments.passes.epoch(self.steps)
        self.epochs.append(Epoch(self.steps, train_accuracy, val_accuracy, val_loss))
        self._wait()

    def _open(self) -> None:
        self._reset()
        self.instruments.open()
        self.capture.arm()
        self._hook_steps()
        self._opened = self.steps
        self._phase = _Phase.SAMPLING

    def _hook_steps(self) -> None:
        self._step_hooks = [each.register_step_pre_hook(self._before_step) for each in self._hooked]
        if not self._hooks:
            self._step_hooks += [each.register_step_post_hook(self._after_step) for each in self._hooked]

    def _close(self) -> None:
        """Removes the hooks of a sample, and after the first update also those that waited for it."""
        for hook in [*self._step_hooks, *(self._hooks if self.updates else [])]:
            hook.remove()
        self._step_hooks, self._hooks = [], [] if self.updates else self._hooks
        self.capture.disarm()
        self.capture.forget()

    def _sampled(self, loss: Tensor | float) -> None:
        seen = loss if isinstance(loss, Tensor) and loss.requires_grad else self.capture.loss
        if self._graphs < _GRAPHS and seen is not None:
            self._graphs += 1
            graph = read_loss(seen)
            self.graph = graph if self.graph is None or self.graph.cut else self.graph
        if self._stepped or self.steps - self._opened >= _PATIENCE:
            self._rates = self._rates or _rates(self.optimizers)
            self._phase = _Phase.TRAILING
            self._at = self.steps
            self._close()
            if checks_stale_gradients(self._samples):
                self.capture.arm(inside=False)
                self._hook_steps()
            else:
                self._finish()

    def _finish(self) -> None:
        """Ends the sample, if there is one."""
        if self._phase is not _Phase.TRAILING:
            return
        self._close()
        self._phase = _Phase.IDLE
        self._samples += 1
        sample = PendingSample(
            step=self._at,
            stepped=self._stepped,
            rates=self._rates,
            training=self._training,
            stale=self._stale,
            scalars=self._scalars,
            dims=self._changes.dims,
            examples=self._examples,
        )
        self._history.keep(sample, self._active)
        self._due = next_sample(self._at, self.every, self._history.stretch)
        self._reset()
        self._losses.flush()
        self._marked = (self.steps, time.perf_counter())

    # Called by the hooks.

    def _on_backward(self) -> None:
        """Measures the batch when its backward pass starts; after a sample looks for stale gradients."""
        if self._phase is _Phase.TRAILING:
            found = self._changes.find_stale_gradients(self._scalars)
            self._stale = self._stale if found is None else found
        else:
            self._measure()

    def _measure(self) -> None:
        self._training, self._measured = self.capture.training, True
        output = self.capture.output
        self._single = self.capture.single
        self._examples = output.shape[0] if output is not None else 0
        given, judged = self.capture.given, self.capture.judged  # measuring drops them
        self._active = self.capture.measure(self._scalars)
        self.instruments.measure(self._scalars, given, judged)

    def _before_step(self, optimizer: Any, *_: object) -> None:
        if self._phase is _Phase.SAMPLING:
            self.guard(self._measure_before, optimizer)
        elif self._phase is _Phase.TRAILING:
            self.guard(self.instruments.noise.compare, self._scalars)

    def _after_step(self, optimizer: Any, *_: object) -> None:
        self.updates += 1
        if self._phase is _Phase.SAMPLING:
            self.guard(self._measure_after, optimizer)

    def _measure_before(self, optimizer: Any) -> None:
        if not self._measured:
            self._measure()
        self._rates = _rates(self.optimizers)
        self._changes.before(optimizer)
        self._active = reached(self.capture.layers, self._active)

    def _measure_after(self, optimizer: Any) -> None:
        changed = self._changes.after(optimizer, self._scalars)
        if changed and checks_stale_gradients(self._samples):  # only then the next step is measured too
            self._changes.probe(changed)
            self.instruments.remember(changed)
        self._stepped = True

    # The log.

    def log(self) -> WatchLog:
        """Returns everything measured so far, frozen."""
        return WatchLog(
            setup=self.setup,
            losses=self._losses.read(),
            updates=self.updates,
            samples=tuple(self._history.samples()),
            epochs=tuple(self.epochs),
            units=self._history.units(),
            graph=self.graph,
            failures=(self.guard.failures, self.guard.first),
            seconds=middle(self._history.paces),
            passes=self.instruments.passes.observed(),
            ending=self.ending,
            single_output=self._single,
        )


def _rates(optimizers: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(group.get("lr", math.nan)) for each in optimizers for group in each.param_groups)
