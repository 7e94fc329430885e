"""The engine of many machines: populations in the actors of a Ray cluster.

An actor is to this engine what a worker process is to the local one. It trains the groups of trials that it
gets with its own ``Populations``, so that results are the same to the last bit. The recipe and its data are
put once into Ray's object store: all workers of a node share one copy, and no node needs a file of theirs.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from babysit.errors import InputError, WorkerError
from babysit.recipe.building import Prepared
from babysit.records import Command, Trial, TrialKey
from babysit.tuning.engines.actor import Actor, Messages, Reasons, versions
from babysit.tuning.engines.cluster import RayError, RayTaskError, connect, put, ray, room
from babysit.tuning.engines.early_stop import NEVER, EarlyStop, Prune, prune_none
from babysit.tuning.engines.events import Event, Restarted, TrialDone, failed
from babysit.tuning.engines.grouping import grouped
from babysit.tuning.engines.inbox import Answered, Reply, forward_events, ignore_replies
from babysit.tuning.engines.local import end_if, measured_size, never

START_SECONDS = 300.0
"""The time without any worker after which a search fails; a cluster may be starting a machine."""

_LOOK_SECONDS = 0.5
"""The time after which Ctrl-C is looked for while no worker sends anything."""

_COMMANDS = "commands"
"""A thread of each actor for commands, so that they need not wait for the training."""


class Cluster:
    """Trains in the actors of a Ray cluster, which stay until ``close``.

    Its interface is that of ``local.Processes``.

    Args:
        prepared: the recipe with its data, which is all that the workers get.
        workers: their number. Default: 0, as many as the cluster has room for.
        population: members that train together. Default: 0, measured.
        address: of the cluster, as ``ray.init`` takes it. Default: a new one on this machine.
        observe: layers and updates are sampled, and the events hold the samples.
        stop: called twice a second; once it returns True, each worker is received to the end of its epoch,
            and training ends with ``KeyboardInterrupt``.
        answered: receives the reply to each command.

    Raises:
        InputError: the cluster cannot be reached, or has no room for a worker.
    """

    def __init__(
        self,
        prepared: Prepared,
        workers: int = 0,
        population: int = 0,
        address: str = "",
        *,
        observe: bool = False,
        stop: Callable[[], bool] = never,
        answered: Answered = ignore_replies,
    ) -> None:
        self._prepared, self._population, self._observe = prepared, population, observe
        self._stop, self._answered = stop, answered
        self._lock = threading.Lock()  # the threads that train and that touch both know the workers
        self._started: list[_Worker] = []
        self._touching: dict[int, Command] = {}
        self._connected = connect(address, workers)
        try:
            self._workers = room(prepared.device, workers)
            self._material = put(prepared)
        except BaseException:
            self.close()
            raise

    def touch(self, command: Command) -> None:
        """Takes a command to one of the trials. See ``Engine.touch``.

        It is kept until the trial has ended, for a worker that gets the trial of a lost one.
        """
        with self._lock:
            self._touching[command.id] = command
            for worker in self._started:
                worker.touch(command)

    def close(self) -> None:
        """Ends the workers, and the connection to the cluster if this engine made it."""
        self._end_workers()
        if self._connected:
            self._connected = False
            ray.shutdown()

    def train(
        self, trials: Sequence[Trial], epochs: int, early_stop: EarlyStop = NEVER, prune: Prune = prune_none
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. See ``local.Processes.train``.

        The unfinished trials of a lost worker restart in another one; a trial that loses its worker a second
        time has failed.

        Raises:
            WorkerError: no worker is left and none starts; the finished trials were reported before.
            InputError: raised by the recipe in a worker, or for a worker of other versions.
        """
        size_for = measured_size(self._prepared, self._population, self._workers)
        groups = grouped(trials, size_for, workers=self._workers)
        if not groups:
            return
        self._start(min(self._workers, len(groups)) - len(self._started))
        stage = _Stage(self._started, self._lose, groups, epochs, early_stop, self._stop)
        yield from forward_events(stage.run(prune), self._answered, self._forget, self._end_workers)

    def _end_workers(self) -> None:
        with self._lock:
            for worker in self._started:
                ray.kill(worker.actor)
            self._started = []

    def _start(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                worker = _new_worker(self._prepared.device, self._material, self._observe)
                for command in self._touching.values():
                    worker.touch(command)
                self._started.append(worker)

    def _lose(self, worker: _Worker) -> None:
        """Drops a lost worker; another takes its place when there is room."""
        with self._lock:
            self._started.remove(worker)
        if worker.is_ready or not self._started:
            self._start(1)

    def _forget(self, event: Event | Reply) -> None:
        """Drops the commands that no worker needs any more."""
        if isinstance(event, TrialDone) and self._touching:
            with self._lock:
                ended = event.trial.key
                self._touching = {id: one for id, one in self._touching.items() if one.trial != ended}


@dataclass(slots=True, eq=False)
class _Worker:
    """The driver's view of an actor.

    Attributes:
        actor: its handle.
        versions: a reference to its versions.
        stream: of its messages while it loads or trains; None while it is idle.
        groups: the groups that it got in this stage.
        is_ready: it has loaded recipe and data.
        has_begun, has_finished: it got a group in this stage; it knows that there are no more.
    """

    actor: Any
    versions: Any
    stream: Any
    groups: list[dict[TrialKey, Trial]] = field(default_factory=list)
    is_ready: bool = False
    has_begun: bool = False
    has_finished: bool = False

    @property
    def is_training(self) -> bool:
        """True while it trains."""
        return self.is_ready and self.stream is not None

    def new_stage(self) -> None:
        """Forgets the earlier stage."""
        self.groups, self.has_begun, self.has_finished = [], False, False

    def call(self, method: str, *arguments: object) -> None:
        """Calls a method of the actor that yields messages."""
        method_of = getattr(self.actor, method).options(num_returns="streaming")
        self.stream = method_of.remote(*arguments)

    def touch(self, command: Command) -> None:
        """Sends a command to the actor."""
        self.actor.touch.options(concurrency_group=_COMMANDS).remote(command)


class _Stage:
    """One stage's groups, on their way through the workers from rung to rung.

    Args:
        workers: all workers; ``lose`` changes the list.
        lose: called with each worker that is lost.
        groups: the groups of trials.
        epochs, early_stop: as in ``Engine.train``.
        stop: once it returns True, each worker is received to the end of its epoch and no further.
    """

    def __init__(
        self,
        workers: list[_Worker],
        lose: Callable[[_Worker], None],
        groups: Sequence[Sequence[Trial]],
        epochs: int,
        early_stop: EarlyStop,
        stop: Callable[[], bool],
    ) -> None:
        self._workers, self._lose, self._stop = workers, lose, stop
        self._epochs, self._early_stop = epochs, early_stop
        self._waiting = list(reversed(groups))
        self._lost: list[list[Trial]] = []
        self._losses: Counter[TrialKey] = Counter()
        self._verdicts: list[Reasons] = []
        self._none_since = time.monotonic()

    def run(self, prune: Prune) -> Iterator[Event | Reply]:
        """Trains all groups to the first rung, prunes there, and trains the others to the next one."""
        for worker in self._workers:
            worker.new_stage()
        yield from self._train()
        for rung in self._early_stop.rungs:
            self._verdicts.append(prune(rung))
            for worker in self._workers:
                if worker.has_begun:
                    worker.call("next_rung", self._verdicts[-1])
            yield from self._train()

    def _train(self) -> Iterator[Event | Reply]:
        """Yields the messages of the workers until all are idle and nothing waits."""
        self._employ()
        while any(worker.is_training for worker in self._workers) or (
            (self._waiting or self._lost) and not self._stop()
        ):
            for worker in self._ready():
                yield from self._receive(worker)
                if worker.is_ready and self._stop():
                    worker.stream = None
            self._employ()
        end_if(self._stop())

    def _employ(self) -> None:
        """Gives every idle worker its next task, if there is any."""
        for worker in self._workers:
            if not worker.is_ready or worker.stream is not None or self._stop():
                continue
            if (self._lost or self._waiting) and not worker.has_begun:
                worker.actor.begin.remote(self._epochs, self._early_stop, len(self._verdicts))
                worker.has_begun = True
            if self._lost:
                group = self._lost.pop()
                worker.groups.append({trial.key: trial for trial in group})
                worker.call("again", group, self._verdicts)
            elif self._waiting:
                group = list(self._waiting.pop())
                worker.groups.append({trial.key: trial for trial in group})
                worker.call("train", group)
            elif worker.has_begun and not worker.has_finished:
                worker.has_finished = True
                worker.call("finish")

    def _ready(self) -> list[_Worker]:
        """Returns the workers that have a message or are lost; none, if nothing happens for a while."""
        if any(worker.is_ready for worker in self._workers):
            self._none_since = time.monotonic()
        elif time.monotonic() - self._none_since > START_SECONDS:
            raise WorkerError(f"no worker of the Ray cluster could begin in {START_SECONDS:.0f} s\n  {_FIX}")
        by_stream = {id(worker.stream): worker for worker in self._workers if worker.stream is not None}
        streams = [worker.stream for worker in by_stream.values()]
        ready, _ = ray.wait(streams, num_returns=1, timeout=_LOOK_SECONDS)
        if ready:
            ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        return [by_stream[id(stream)] for stream in ready]

    def _receive(self, worker: _Worker) -> Iterator[Event | Reply]:
        """Yields the messages of one worker; the trials of a lost one wait for another."""
        try:
            messages: Messages = ray.get(next(worker.stream))
        except StopIteration:
            worker.stream, worker.is_ready = None, True
        except RayTaskError as error:
            _refuse_other_versions(worker)
            raise _raised(error) from None
        except RayError as error:
            yield from self._restart_trials(worker, error)
        else:
            if not worker.is_ready:
                _refuse_other_versions(worker)
            for event in messages:
                if isinstance(event, TrialDone):
                    for group in worker.groups:
                        group.pop(event.trial.key, None)
            yield from messages

    def _restart_trials(self, worker: _Worker, error: RayError) -> Iterator[Event]:
        """Drops a lost worker; its trials restart, and those that lost one before have failed."""
        worker.stream = None
        self._lose(worker)
        for group in worker.groups:
            self._losses.update(group.keys())
            for trial in group.values():
                if self._losses[trial.key] > 1:
                    reason = str(error).strip().splitlines() or [type(error).__name__]
                    yield failed(trial, f"lost its worker twice, the second time so: {reason[-1].strip()}")
                else:
                    yield Restarted(trial)
            again = [trial for key, trial in group.items() if self._losses[key] == 1]
            self._lost += [again] if again else []


_FIX = (
    "fix: what was finished is kept; see that the cluster has a free CPU (`ray status`), "
    "and run the same command with --resume"
)


def _raised(error: RayTaskError) -> Exception:
    """Returns the exception that a worker raised, as it would be raised here."""
    if isinstance(error.cause, InputError):
        return error.cause
    reason = str(error).strip().splitlines()[-1]
    if isinstance(error.cause, ImportError):
        fix = "install on every machine of the cluster what the recipe imports, and the same babysit"
        return InputError(f"a worker of the Ray cluster cannot load the recipe: {reason}", fix=fix)
    return WorkerError(f"a worker of the Ray cluster raised {reason}\n  {_FIX}")


def _refuse_other_versions(worker: _Worker) -> None:
    """Refuses a worker that would have other results."""
    try:
        theirs = ray.get(worker.versions)
    except RayTaskError as error:
        raise _raised(error) from None
    for name, ours in versions().items():
        if theirs[name] != ours:
            raise InputError(
                f"a worker of the Ray cluster has {name} {theirs[name]}, this process {ours}",
                fix="install the same versions on every machine of the cluster; "
                "the same seed would not give the same results",
            )


def _new_worker(device: str, material: Any, observe: bool) -> _Worker:
    gpus = {} if device == "cpu" else {"num_gpus": 1}
    remote = ray.remote(num_cpus=1, concurrency_groups={_COMMANDS: 1}, **gpus)(Actor)
    actor = remote.options(scheduling_strategy="SPREAD").remote(observe)
    worker = _Worker(actor, actor.versions.remote(), None)
    worker.call("load", material)
    return worker
