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
from typing import Any, Protocol

import torch

from babysit.errors import InputError, WorkerError
from babysit.recipe.building import Prepared, prepare
from babysit.recipe.loading import Settings, apply_settings, load_recipe
from babysit.records import Command, Trial, TrialKey, Value
from babysit.tuning.engines.calibration import calibrate
from babysit.tuning.engines.early_stop import NEVER, EarlyStop, Prune, prune_none
from babysit.tuning.engines.events import Event, TrialDone
from babysit.tuning.engines.grouping import SizeFor, grouped
from babysit.tuning.engines.inbox import Answered, Inbox, Reply, forward_events, ignore_replies
from babysit.tuning.engines.populations import Populations

_UNMEASURED = 16


def never() -> bool:
    """Returns False: no request stops the engine."""
    return False


class Engine(Protocol):
    """An engine: trains trials and reports events, in any order."""

    def train(
        self, trials: Sequence[Trial], epochs: int, early_stop: EarlyStop = NEVER, prune: Prune = prune_none
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each.

        Args:
            trials: the trials.
            epochs: of each.
            early_stop: the rules that end them early.
            prune: called at each rung, when all events up to it have been taken.
        """
        ...

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials, also to one that has not started; from any thread."""
        ...

    def close(self) -> None:
        """Ends all that it had started; it must not be used afterwards."""
        ...


class InProcess:
    """Trains in this process, population after population.

    Args:
        prepared: the recipe with its data.
        population: members that train together. Default: 0, measured.
        observe: layers and updates are sampled, and the events hold the samples.
        stop: called after every epoch of a population; once it returns True, training ends with
            ``KeyboardInterrupt``, after the epoch's events.
        answered: receives the reply to each command.
    """

    def __init__(
        self,
        prepared: Prepared,
        population: int = 0,
        *,
        observe: bool = False,
        stop: Callable[[], bool] = never,
        answered: Answered = ignore_replies,
    ) -> None:
        self._prepared, self._population, self._observe = prepared, population, observe
        self._stop, self._inbox = stop, Inbox(answered)

    def train(
        self, trials: Sequence[Trial], epochs: int, early_stop: EarlyStop = NEVER, prune: Prune = prune_none
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. See ``Engine.train``."""
        populations = Populations(
            self._prepared, epochs, observe=self._observe, early_stop=early_stop, inbox=self._inbox
        )
        for group in grouped(trials, measured_size(self._prepared, self._population, 1), workers=1):
            for events in populations.train(group):
                yield from events
                end_if(self._stop())
        for events in populations.finish():
            yield from events
            end_if(self._stop())
        for rung in early_stop.rungs:
            for events in populations.next_rung(prune(rung)):
                yield from events
                end_if(self._stop())

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials. See ``Engine.touch``."""
        self._inbox.put(command)

    def close(self) -> None:
        """Ends nothing, since no process was started."""


class Processes:
    """Trains in worker processes; each loads the recipe and its data once, and stays until ``close``.

    Args:
        prepared: the recipe as this process holds it, for grouping.
        recipe: its name or file, by which each worker loads it.
        settings: applied to it, as ``apply_settings`` takes them.
        workers: how many, at least 1.
        population: members that train together. Default: 0, measured.
        observe: layers and updates are sampled, and the events hold the samples.
        stop: called after every epoch of a worker; once it returns True, each worker ends its epoch, and
            training ends with ``KeyboardInterrupt``.
        answered: receives the reply to each command.
    """

    def __init__(
        self,
        prepared: Prepared,
        recipe: str,
        settings: Settings,
        workers: int,
        population: int = 0,
        *,
        observe: bool = False,
        stop: Callable[[], bool] = never,
        answered: Answered = ignore_replies,
    ) -> None:
        self._prepared, self._workers = prepared, workers
        how = {name: getattr(prepared, name) for name in ("seed", "precision", "way", "folds")}
        self._arguments = (recipe, settings, how, observe)
        self._population, self._stop, self._answered = population, stop, answered
        self._lock = threading.Lock()  # the threads that train and that touch both know the workers
        self._started: list[_Worker] = []
        self._touching: dict[int, Command] = {}

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials. See ``Engine.touch``.

        Every worker gets it: the one that has the trial now, or will have it, carries it out.
        """
        with self._lock:
            self._touching[command.id] = command
            for worker in self._started:
                worker.send(command)

    def close(self) -> None:
        """Ends the workers."""
        with self._lock:
            _stop(self._started)
            self._started = []

    def train(
        self, trials: Sequence[Trial], epochs: int, early_stop: EarlyStop = NEVER, prune: Prune = prune_none
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. Closing the iterator ends the workers.

        At a rung the workers wait for the slowest, so that pruning does not depend on timing. See
        ``Engine.train`` for the arguments.

        Raises:
            WorkerError: when a worker dies; the trials that it had finished were reported before.
            InputError: raised by the recipe in a worker.
        """
        size_for = measured_size(self._prepared, self._population, self._workers)
        groups = grouped(trials, size_for, workers=self._workers)
        wanted = min(self._workers, len(groups))
        with self._lock:
            self._started += _start(self._arguments, wanted - len(self._started), self._touching.values())
        messages = _collect(self._started[:wanted], groups, epochs, early_stop, prune, self._stop)
        yield from forward_events(messages, self._answered, self._forget, self.close)

    def _forget(self, event: Event | Reply) -> None:
        """Drops the commands that no worker needs any more."""
        with self._lock:
            if isinstance(event, Reply):
                self._touching.pop(event.command, None)
            elif isinstance(event, TrialDone) and self._touching:
                ended = event.trial.key
                self._touching = {id: one for id, one in self._touching.items() if one.trial != ended}


def measured_size(prepared: Prepared, population: int, workers: int) -> SizeFor:
    """Returns the size of a population for a trial: ``population``, or if it is 0 the fastest one here."""

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
    """Returns one worker for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    commands: Connection

    def send(self, command: Command) -> None:
        with contextlib.suppress(OSError):  # that a worker died is found out where its messages are received
            self.commands.send(command)


def _start(arguments: tuple[object, ...], count: int, commands: Collection[Command]) -> list[_Worker]:
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(count):
        ours, theirs = context.Pipe()
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, receiving, *arguments), daemon=True)
        process.start()
        theirs.close()
        receiving.close()
        workers.append(_Worker(process, ours, sending))
    for worker in workers:
        for command in commands:
            worker.send(command)
    return workers


def end_if(requested: bool) -> None:
    """Ends training on request."""
    if requested:
        raise KeyboardInterrupt


def _collect(
    workers: list[_Worker],
    groups: list[list[Trial]],
    epochs: int,
    early_stop: EarlyStop,
    prune: Prune,
    stop: Callable[[], bool],
) -> Iterator[Event | Reply]:
    """Hands out groups, first come first served, and the trials to prune at each rung."""
    waiting = list(reversed(groups))
    for worker in workers:
        _send(worker, (epochs, early_stop))
        _send(worker, waiting.pop())
    yield from _messages(workers, waiting, set(), stop)
    for rung in early_stop.rungs:
        reasons = prune(rung)
        for worker in workers:
            _send(worker, reasons)
        yield from _messages(workers, [], {worker.pipe for worker in workers}, stop)


def _messages(
    workers: list[_Worker],
    waiting: list[list[Trial]],
    finishing: set[Connection],
    stop: Callable[[], bool],
) -> Iterator[Event | Reply]:
    """Yields the messages of the workers until all are idle; an idle worker gets a group while there are any.

    Args:
        workers: all that have a group.
        waiting: groups to hand out, the next one last.
        finishing: the workers that know that there are no more groups.
        stop: once it returns True, each worker is received to the end of its epoch and no further.
    """
    busy = {worker.pipe: worker for worker in workers}
    while busy:
        # Only the connections of workers are waited for.
        for pipe in (pipe for ready in wait(list(busy)) for pipe in list(busy) if pipe is ready):
            worker = busy[pipe]
            try:
                message: list[Event] | list[Reply] | InputError | None = pipe.recv()
            except (EOFError, OSError):  # OSError when it died half-way through a message
                raise _died(worker) from None
            if isinstance(message, InputError):
                raise message
            yield from message or ()
            if message and isinstance(message[0], Reply):
                continue  # it came in the middle of an epoch
            if stop() or (message is None and _is_idle(worker, waiting, finishing)):
                del busy[pipe]
    end_if(stop())


def _is_idle(worker: _Worker, waiting: list[list[Trial]], finishing: set[Connection]) -> bool:
    """Gives a worker the next group, or says once that there is none; returns True if it knew that."""
    if waiting:
        _send(worker, waiting.pop())
    elif worker.pipe not in finishing:
        finishing.add(worker.pipe)
        _send(worker, None)
    else:
        return True
    return False


def _send(
    worker: _Worker, message: tuple[int, EarlyStop] | list[Trial] | Mapping[TrialKey, str] | None
) -> None:
    """Sends a stage's epochs and early stop, its groups, None (no more), then the reasons at each rung."""
    try:
        worker.pipe.send(message)
    except OSError:  # it has ended; the error that ended it may still be in the pipe
        for _ in range(2):  # the first read may fail because what was sent before was not read
            with contextlib.suppress(EOFError, OSError):
                while worker.pipe.poll():
                    last = worker.pipe.recv()
                    if isinstance(last, InputError):
                        raise last from None
        raise _died(worker) from None


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


def _serve(
    pipe: Connection,
    commands: Connection,
    recipe: str,
    settings: Settings,
    how: dict[str, Any],
    observe: bool,
) -> None:
    """Runs a worker: loads the recipe, trains the groups that it gets, ends with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    inbox = Inbox(lambda reply: pipe.send([reply]))
    threading.Thread(target=_receive_commands, args=(commands, inbox), daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            prepared = prepare(apply_settings(load_recipe(recipe), settings), **how)
            while True:
                epochs, early_stop = pipe.recv()
                populations = Populations(
                    prepared, epochs, observe=observe, early_stop=early_stop, inbox=inbox
                )
                trials: list[Trial] | None = []
                while trials is not None:
                    trials = pipe.recv()
                    _report(pipe, populations.finish() if trials is None else populations.train(trials))
                for _ in early_stop.rungs:
                    _report(pipe, populations.next_rung(pipe.recv()))
        except InputError as error:
            pipe.send(error)


def _report(pipe: Connection, found: Iterator[list[Event]]) -> None:
    """Sends the events, then None."""
    for events in found:
        pipe.send(events)  # of an epoch at once: a message each would cost more than the training
    pipe.send(None)


def _receive_commands(commands: Connection, inbox: Inbox) -> None:
    """Puts the parent's commands into the inbox, so that the training reads no pipe."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(commands.recv())


def _end_with_parent() -> None:
    # A parent that was killed cannot end its workers, which would train on.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
