"""``babysit.watch``: two lines in a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn

from babysit.diagnosis.asking import finding_of
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.errors import InputError
from babysit.watching.detect.loop import failed
from babysit.watching.exceptions import told
from babysit.watching.ranks import RankNote, RankReporter, notes, processes, rank
from babysit.watching.report import judge
from babysit.watching.sample import Log
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
    before: Report | None = None,
) -> Watch:
    """Watches a training loop: weights, losses and random numbers are the same with it and without.

    Nothing that goes wrong inside the watch reaches the loop; it is counted, and the report says so.

    Args:
        model: the module that the loop calls.
        optimizer: the optimizer, or several of them.
        loss: the criterion; as a module it lets the watch see predictions beside targets.
        name: what to call the run in its report; by default the model's class.
        every: steps from sample to sample in the beginning. The first eight steps are sampled more often;
            after the 64th samples become rarer, until they are sixteen times as far apart.
        before: the report of ``babysit.check`` on the same program. The watch's report reasons over both: a
            symptom that is seen live is put under the cause found before. Default: None.

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
    if before is not None and not isinstance(before, Report):
        raise InputError(
            f"watch(before=...) is a {type(before).__name__}, not a report",
            fix="give what babysit.check returned",
        )
    optimizers = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
    criterion = loss if isinstance(loss, nn.Module) else None
    return Watch(Watcher(model, optimizers, criterion, every), name or type(model).__name__, before)


_numbers = count(1)
"""Of the watches of this program: all its processes come to them in one order."""


class Watch:
    """A watched run; ``watch`` makes it.

    Args:
        watcher: what collects.
        name: what to call the run.
        before: what was found before it trained. Default: None.
    """

    def __init__(self, watcher: Watcher, name: str, before: Report | None = None) -> None:
        self.name = name
        self.before = before
        self._watcher = watcher
        self._rank, self._number = 0, 0
        self._reporter: RankReporter | None = None
        self._notes: tuple[RankNote, ...] = ()

    def __enter__(self) -> Self:
        self._rank, self._number = rank(), next(_numbers)
        if self._rank:
            self._reporter = RankReporter(self._rank, self._number, self._watcher.every)
        else:
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
        if self._reporter is not None:
            self._reporter.end(self._watcher.ending)
        self._read_notes()

    def _read_notes(self) -> None:
        """What the others say, as long as they are there to be read; waits for none of them."""
        if not self._rank and processes() > 1:
            self._notes = notes(self._number) or self._notes

    def step(self, loss: Tensor | float) -> None:
        """One step of the loop is done: call it after ``optimizer.step()``.

        Args:
            loss: the tensor that ``backward`` was called on, or its value.
        """
        try:  # as the guard does, for a call less at every step
            if self._reporter is None:
                self._watcher.step(loss)
            else:
                self._reporter.step(loss)
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
        self._watcher.guard(self._read_notes)
        return replace(self._watcher.log(), ranks=self._notes)

    def report(self) -> Report:
        """Returns the verdict so far, at any time. In distributed training rank 0 has it."""
        if self._rank:
            return Report(name=self.name, facts=(f"rank {self._rank}: rank 0 watches and reports",))
        try:
            return judge(self.log(), self.name, self.before)
        except Exception as error:  # a report must not end a job
            failure = finding_of(failed(1, f"{type(error).__name__}: {error}"), "step")
            return diagnose([failure], name=self.name, steps=self._watcher.steps)
