"""The engine of one machine: populations in this process, or in one process per core.

Two processes with one thread each beat one process with two threads, because most operations of a small
network are too short to be shared. Workers are spawned, not forked: forking a process that holds a BLAS
thread pool can hang.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

import torch

from babysit.errors import InputError, WorkerError
from babysit.recipe.building import Prepared, prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.records import Command, Trial, Value
from babysit.training.precision import FLOAT32
from babysit.tuning.engines.calibration import calibrate
from babysit.tuning.engines.early_stop import NEVER, Ending, Judge, Key, nobody
from babysit.tuning.engines.events import Event, TrialDone
from babysit.tuning.engines.grouping import SizeFor, grouped
from babysit.tuning.engines.inbox import Answer, Answered, Inbox, nobody_asks, passed_on
from babysit.tuning.engines.populations import Crews

_UNMEASURED = 16


def never() -> bool:
    """Nobody asks an engine to stop."""
    return False


class Engine(Protocol):
    """Trains trials and tells what happens, in whatever order it happens."""

    def train(
        self, trials: Sequence[Trial], epochs: int, ending: Ending = NEVER, judge: Judge = nobody
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each.

        Args:
            trials: what to train.
            epochs: how many each gets.
            ending: what ends them early.
            judge: asked at each rung, when all events up to it have been taken.
        """
        ...

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials, also to one that is not begun; from any thread."""
        ...

    def close(self) -> None:
        """Ends whatever it had started; it is not to be used any more."""
        ...


class InProcess:
    """Trains in this process, population after population.

    Args:
        prepared: the recipe with its data.
        population: members that train together; measured where it is 0, the default.
        observe: whether layers and updates are looked at; the events carry what was seen.
        stop: asked after every epoch of a population; once it says yes, training ends with
            ``KeyboardInterrupt``, after the epoch's events.
        answered: told of each command that was done.
    """

    def __init__(
        self,
        prepared: Prepared,
        population: int = 0,
        *,
        observe: bool = False,
        stop: Callable[[], bool] = never,
        answered: Answered = nobody_asks,
    ) -> None:
        self._prepared, self._population, self._observe = prepared, population, observe
        self._stop, self._inbox = stop, Inbox(answered)

    def train(
        self, trials: Sequence[Trial], epochs: int, ending: Ending = NEVER, judge: Judge = nobody
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. See ``Engine.train``."""
        crews = Crews(self._prepared, epochs, observe=self._observe, ending=ending, inbox=self._inbox)
        for group in grouped(trials, measured_size(self._prepared, self._population, 1), workers=1):
            for events in crews.train(group):
                yield from events
                end_if(self._stop())
        for events in crews.finish():
            yield from events
            end_if(self._stop())
        for rung in ending.rungs:
            for events in crews.go_on(judge(rung)):
                yield from events
                end_if(self._stop())

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials. See ``Engine.touch``."""
        self._inbox.put(command)

    def close(self) -> None:
        """Nothing was started."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a worker process finds the recipe: by the words of the command line; and whether it observes."""

    recipe: str
    settings: tuple[str, ...]
    seed: int
    precision: str = FLOAT32
    way: str | None = None
    observe: bool = False
    folds: int = 0


class Processes:
    """Trains in worker processes; each loads the recipe and its data once, and stays until ``close``.

    Args:
        prepared: the recipe as this process holds it, for grouping.
        source: how the workers find it.
        workers: how many, at least 1.
        population: members that train together; measured where it is 0, the default.
        stop: asked after every epoch that a worker tells; once it says yes, each worker ends the epoch it
            is in, and training ends with ``KeyboardInterrupt``.
        answered: told of each command that was done.
    """

    def __init__(
        self,
        prepared: Prepared,
        source: Source,
        workers: int,
        population: int = 0,
        *,
        stop: Callable[[], bool] = never,
        answered: Answered = nobody_asks,
    ) -> None:
        self._prepared, self._source, self._workers = prepared, source, workers
        self._population, self._stop, self._answered = population, stop, answered
        self._lock = threading.Lock()  # the threads that train and that touch both know the workers
        self._started: list[_Worker] = []
        self._touching: dict[int, Command] = {}

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials. See ``Engine.touch``.

        Every worker is told: the one that has the trial now, or will have it, does it.
        """
        with self._lock:
            self._touching[command.id] = command
            for worker in self._started:
                worker.tell(command)

    def close(self) -> None:
        """Ends the workers."""
        with self._lock:
            _stop(self._started)
            self._started = []

    def train(
        self, trials: Sequence[Trial], epochs: int, ending: Ending = NEVER, judge: Judge = nobody
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. Whoever stops listening ends the workers.

        At a rung the workers wait until the slowest has come to it: whom the judge sees does not depend on
        how fast anybody was. See ``Engine.train`` for the arguments.

        Raises:
            WorkerError: when a worker dies; what it had finished was told before.
            InputError: what the recipe raised in a worker.
        """
        size_for = measured_size(self._prepared, self._population, self._workers)
        groups = grouped(trials, size_for, workers=self._workers)
        wanted = min(self._workers, len(groups))
        with self._lock:
            self._started += _start(self._source, wanted - len(self._started), self._touching.values())
        told = _collect(self._started[:wanted], groups, epochs, ending, judge, self._stop)
        yield from passed_on(told, self._answered, self._forget, self.close)

    def _forget(self, event: Event | Answer) -> None:
        """Drops the commands that no worker needs to be told any more."""
        with self._lock:
            if isinstance(event, Answer):
                self._touching.pop(event.command, None)
            elif isinstance(event, TrialDone) and self._touching:
                ended = event.trial.key
                self._touching = {id: one for id, one in self._touching.items() if one.trial != ended}


def measured_size(prepared: Prepared, population: int, workers: int) -> SizeFor:
    """How many trials train together: so many, or where ``population`` is 0 as many as is fastest here."""

    def size(hyperparameters: Mapping[str, Value]) -> int:
        if population:
            return population
        try:
            size = calibrate(prepared, hyperparameters, workers=workers).size
            return max(1, size // max(1, prepared.folds))  # a trial is a member for each fold
        except InputError:  # a trial that cannot train fails by itself, with its reason
            return _UNMEASURED

    return size


def default_workers() -> int:
    """One worker for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    commands: Connection

    def tell(self, command: Command) -> None:
        with contextlib.suppress(OSError):  # whoever listens to a worker finds out that it died
            self.commands.send(command)


def _start(source: Source, count: int, commands: Collection[Command]) -> list[_Worker]:
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(count):
        ours, theirs = context.Pipe()
        heard, told = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, heard, source), daemon=True)
        process.start()
        theirs.close()
        heard.close()
        workers.append(_Worker(process, ours, told))
    for worker in workers:
        for command in commands:
            worker.tell(command)
    return workers


def end_if(asked: bool) -> None:
    """Ends training where that was asked for."""
    if asked:
        raise KeyboardInterrupt


def _collect(
    workers: list[_Worker],
    groups: list[list[Trial]],
    epochs: int,
    ending: Ending,
    judge: Judge,
    stop: Callable[[], bool],
) -> Iterator[Event | Answer]:
    """Hands out groups, first come first served, and what the judge decides at each rung."""
    waiting = list(reversed(groups))
    for worker in workers:
        _send(worker, (epochs, ending))
        _send(worker, waiting.pop())
    yield from _listen(workers, waiting, set(), stop)
    for rung in ending.rungs:
        reasons = judge(rung)
        for worker in workers:
            _send(worker, reasons)
        yield from _listen(workers, [], {worker.pipe for worker in workers}, stop)


def _listen(
    workers: list[_Worker],
    waiting: list[list[Trial]],
    finishing: set[Connection],
    stop: Callable[[], bool],
) -> Iterator[Event | Answer]:
    """Passes on what the workers tell until all are idle; who asks for a group gets one while there are any.

    Args:
        workers: all that have something to do.
        waiting: groups to hand out, the next one last.
        finishing: those who know that there will be no more groups.
        stop: once it says yes, each worker is heard to the end of its epoch and no further.
    """
    busy = {worker.pipe: worker for worker in workers}
    while busy:
        for ready in wait(list(busy)):
            pipe = next(pipe for pipe in busy if pipe is ready)
            message = _receive(busy[pipe])
            if isinstance(message, InputError):
                raise message
            if message is not None:
                yield from message
            if message and isinstance(message[0], Answer):
                continue  # it came in the middle of an epoch
            if stop():
                del busy[pipe]
            elif message is not None:
                continue
            elif waiting:
                _send(busy[pipe], waiting.pop())
            elif pipe not in finishing:
                finishing.add(pipe)
                _send(busy[pipe], None)
            else:
                del busy[pipe]
    end_if(stop())


def _send(worker: _Worker, message: tuple[int, Ending] | list[Trial] | Mapping[Key, str] | None) -> None:
    """Sends a stage's epochs and ending, its groups, None (no more will come), then each rung's reasons."""
    try:
        worker.pipe.send(message)
    except OSError:
        raise _died(worker) from None


def _receive(worker: _Worker) -> list[Event] | list[Answer] | InputError | None:
    try:
        message: list[Event] | list[Answer] | InputError | None = worker.pipe.recv()
    except (EOFError, OSError):  # OSError when it died half-way through a message
        raise _died(worker) from None
    return message


def _died(worker: _Worker) -> WorkerError:
    worker.process.join(5)
    return WorkerError(
        f"a worker process died (exit code {worker.process.exitcode}); it may have run out of memory.\n"
        "  fix: what was finished is kept; run the same command with --resume, "
        "with fewer --workers if memory was short"
    )


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        worker.commands.close()
        worker.process.terminate()
    for worker in workers:
        worker.process.join(5)


def _serve(pipe: Connection, commands: Connection, source: Source) -> None:
    """A worker's life: load the recipe, train the groups that come, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    inbox = Inbox(lambda answer: pipe.send([answer]))
    threading.Thread(target=_hear, args=(commands, inbox), daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            recipe = apply_settings(load_recipe(source.recipe), source.settings)
            prepared = prepare(
                recipe, seed=source.seed, precision=source.precision, way=source.way, folds=source.folds
            )
            while True:
                epochs, ending = pipe.recv()
                crews = Crews(prepared, epochs, observe=source.observe, ending=ending, inbox=inbox)
                _serve_stage(pipe, crews, ending)
        except InputError as error:
            pipe.send(error)


def _serve_stage(pipe: Connection, crews: Crews, ending: Ending) -> None:
    """Trains the groups of one stage until there are no more, then from rung to rung."""
    trials: list[Trial] | None = []
    while trials is not None:
        trials = pipe.recv()
        _tell(pipe, crews.finish() if trials is None else crews.train(trials))
    for _ in ending.rungs:
        _tell(pipe, crews.go_on(pipe.recv()))


def _tell(pipe: Connection, found: Iterator[list[Event]]) -> None:
    """Sends what happens, then None."""
    for events in found:
        pipe.send(events)  # an epoch's at once: a message each would cost more than the training
    pipe.send(None)


def _hear(commands: Connection, inbox: Inbox) -> None:
    """Puts into the inbox what the parent tells, so that training asks no pipe."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(commands.recv())


def _end_with_parent() -> None:
    # A parent that was killed cannot tell its workers; they would train on for nobody.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
