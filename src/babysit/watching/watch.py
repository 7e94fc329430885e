"""A watched training loop, without a store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn

from babysit.diagnosis.detection import finding_of
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.errors import InputError
from babysit.watching.detect.loop import failed
from babysit.watching.exceptions import one_line
from babysit.watching.ranks import RankNote, RankReporter, notes, processes, rank
from babysit.watching.report import report_on
from babysit.watching.sample import WatchLog
from babysit.watching.watcher import Watcher

EVERY = 16
"""Cockpit's first-order instruments cost 4-29% of a step at every 16th step; ours must stay below 5%."""

_numbers = count(1)
"""Numbers of the watches of this program: all its processes open them in the same order."""


class Watch:
    """A watched run. :func:`babysit.watch` makes it and explains the arguments.

    Raises:
        InputError: the model is not a module, ``every`` is below 1, or ``before`` is not a report.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        *,
        loss: Any = None,
        name: str = "",
        every: int = EVERY,
        before: Report | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(
                f"watch(model, optimizer): the model is a {type(model).__name__}, not an nn.Module"
            )
        if every < 1:
            raise InputError(f"watch(every={every}): give the steps from sample to sample, at least 1")
        if before is not None and not isinstance(before, Report):
            raise InputError(
                f"watch(before=...) is a {type(before).__name__}, not a report",
                fix="give what babysit.check returned",
            )
        optimizers = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
        self.name = name or type(model).__name__
        self.before = before
        self._watcher = Watcher(model, optimizers, loss if isinstance(loss, nn.Module) else None, every)
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
        self._watcher.guard(self._end, kind, error)
        self._watcher.stop()
        return None

    def _end(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        self._watcher.ending = one_line(kind, error)
        if self._reporter is not None:
            self._reporter.end(self._watcher.ending)
        self._read_notes()

    def _read_notes(self) -> None:
        """Reads the notes of the other ranks while their store is open; does not wait for new ones."""
        if not self._rank and processes() > 1:
            self._notes = notes(self._number) or self._notes

    def step(self, loss: Tensor | float) -> None:
        """Records one step of the loop; call it after ``optimizer.step()``.

        Args:
            loss: the tensor that ``backward`` was called on, or its value.
        """
        try:  # the guard's work without its call, as this runs at every step
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
        """Records the end of an epoch.

        Args:
            val_accuracy: on the validation examples, in [0, 1].
            train_accuracy: on training examples, in [0, 1].
            val_loss: the mean loss on the validation examples.
        """
        self._watcher.guard(self._epoch, train_accuracy, val_accuracy, val_loss)

    def _epoch(self, train_accuracy: float, val_accuracy: float, val_loss: float) -> None:
        self._watcher.epoch(float(train_accuracy), float(val_accuracy), float(val_loss))

    @property
    def should_stop(self) -> bool:
        """True once the user has asked the run to stop; without a store that is not possible."""
        return False

    def log(self) -> WatchLog:
        """Returns everything measured so far."""
        self._watcher.guard(self._read_notes)
        return replace(self._watcher.log(), ranks=self._notes)

    def report(self) -> Report:
        """Returns the verdict so far, at any time. In distributed training only rank 0 has one."""
        if self._rank:
            return Report(name=self.name, facts=(f"rank {self._rank}: rank 0 watches and reports",))
        try:
            return report_on(self.log(), self.name, self.before)
        except Exception as error:  # a report must not end a job
            failure = finding_of(failed(1, f"{type(error).__name__}: {error}"), "step")
            return diagnose([failure], name=self.name, steps=self._watcher.steps)
