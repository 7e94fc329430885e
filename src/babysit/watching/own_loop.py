"""``babysit.watch``: two lines in a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn

from babysit.errors import InputError
from babysit.verdict.report import Report
from babysit.watching.ending import told
from babysit.watching.live_rules import failed, judge
from babysit.watching.quantities import Log
from babysit.watching.ranks import rank
from babysit.watching.watcher import Watcher

EVERY = 16
"""Cockpit's first-order instruments cost 4-29% of a step at every 16th step; ours must stay below 5%."""


def watch(
    model: nn.Module,
    optimizer: Any,
    *,
    loss: Any = None,
    name: str = "",
    every: int = EVERY,
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

    Returns:
        A context manager; its hooks live while the context is open.

    Raises:
        InputError: the model is no module, or ``every`` is below 1.

    Example:
        >>> import torch
        >>> model = nn.Linear(3, 1)
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
    if not isinstance(model, nn.Module):
        raise InputError(f"watch(model, optimizer): the model is a {type(model).__name__}, not an nn.Module")
    if every < 1:
        raise InputError(f"watch(every={every}): give the steps from sample to sample, at least 1")
    optimizers = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
    criterion = loss if isinstance(loss, nn.Module) else None
    return Watch(Watcher(model, optimizers, criterion, every), name or type(model).__name__)


class Watch:
    """A watched run; ``watch`` makes it.

    Args:
        watcher: what collects.
        name: what to call the run.
    """

    def __init__(self, watcher: Watcher, name: str) -> None:
        self.name = name
        self._watcher = watcher
        self._rank = 0

    def __enter__(self) -> Self:
        self._rank = rank()
        if not self._rank:
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._watcher.guard(self._ended, kind, error)
        self._watcher.stop()
        return None

    def _ended(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        self._watcher.ending = told(kind, error)

    def step(self, loss: Tensor | float) -> None:
        """One step of the loop is done: call it after ``optimizer.step()``.

        Args:
            loss: the tensor that ``backward`` was called on, or its value.
        """
        if not self._rank:
            try:  # as the guard does, for a call less at every step
                self._watcher.step(loss)
            except Exception as error:
                self._watcher.guard.failed(error)

    def epoch(
        self,
        *,
        val_accuracy: float = float("nan"),
        train_accuracy: float = float("nan"),
        val_loss: float = float("nan"),
    ) -> None:
        """One epoch is done.

        Args:
            val_accuracy: on the validation examples, in [0, 1].
            train_accuracy: on training examples, in [0, 1].
            val_loss: the mean loss on the validation examples.
        """
        self._watcher.guard(self._epoch, train_accuracy, val_accuracy, val_loss)

    def _epoch(self, *values: float) -> None:
        self._watcher.epoch(*map(float, values))

    @property
    def should_stop(self) -> bool:
        """Whether somebody asked the run to stop; without a store nobody can."""
        return False

    def log(self) -> Log:
        """Everything measured so far."""
        return self._watcher.log()

    def report(self) -> Report:
        """The verdict so far; it may be asked for at any time. In distributed training rank 0 has it."""
        if self._rank:
            return Report(self.name, facts=(f"rank {self._rank}: rank 0 watches and reports",))
        try:
            return judge(self.log(), self.name)
        except Exception as error:  # a report must not end a job
            failure = failed(1, f"{type(error).__name__}: {error}")
            return Report(self.name, (failure,), steps=self._watcher.steps)
