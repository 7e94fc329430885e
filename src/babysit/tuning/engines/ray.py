"""The engine of many machines: populations in the actors of a Ray cluster.

An actor is to this engine what a worker process is to the local one: it trains the groups of trials that it
is given with ``Crews`` of its own, so that results are the same to the last bit. The recipe and its data are
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
from babysit.records import Command, Trial
from babysit.tuning.engines.actor import Actor, Reasons, Told, versions
from babysit.tuning.engines.cluster import RayError, RayTaskError, connect, put, ray, room
from babysit.tuning.engines.early_stop import NEVER, Ending, Judge, Key, nobody
from babysit.tuning.engines.events import BegunAgain, Event, TrialDone, failed
from babysit.tuning.engines.grouping import grouped
from babysit.tuning.engines.inbox import Answer, Answered, nobody_asks, passed_on
from babysit.tuning.engines.local import end_if, measured_size, never

START_SECONDS = 300.0
"""So long no worker may be there before a search gives up; a cluster may be bringing up a machine."""

_LOOK_SECONDS = 0.5
"""How often Ctrl-C is looked for while no worker tells anything."""

_BY_HAND = "by hand"


class Cluster:
    """Trains in the actors of a Ray cluster, which stay until ``close``.

    It has the face of ``local.Processes``.

    Args:
        prepared: the recipe with its data, which is all that the workers get.
        workers: how many; 0, the default, for as many as the cluster has room for.
        population: members that train together; measured where it is 0, the default.
        address: of the cluster, as ``ray.init`` takes it; default a new one on this machine.
        observe: whether layers and updates are looked at; the events carry what was seen.
        stop: asked twice a second; once it says yes, each worker is heard to the end of its epoch, and
            training ends with ``KeyboardInterrupt``.
        answered: told of each command that was done.

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
        answered: Answered = nobody_asks,
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

        It is kept until the trial has ended: a worker that gets the trial of a lost one does it, too.
        """
        with self._lock:
            self._touching[command.id] = command
            for worker in self._started:
                worker.touch(command)

    def close(self) -> None:
        """Ends the workers, and the connection to the cluster where this engine made it."""
        self._end_workers()
        if self._connected:
            self._connected = False
            ray.shutdown()

    def train(
        self, trials: Sequence[Trial], epochs: int, ending: Ending = NEVER, judge: Judge = nobody
    ) -> Iterator[Event]:
        """Trains all trials; exactly one ``TrialDone`` each. See ``local.Processes.train``.

        What a lost worker had not finished is trained again from the beginning, by another one; a trial that
        loses its worker a second time has failed.

        Raises:
            WorkerError: no worker is left and none starts; what was finished was told before.
            InputError: what the recipe raised in a worker, or a worker of other versions.
        """
        size_for = measured_size(self._prepared, self._population, self._workers)
        groups = grouped(trials, size_for, workers=self._workers)
        if not groups:
            return
        self._start(min(self._workers, len(groups)) - len(self._started))
        stage = _Stage(self._started, self._lose, groups, epochs, ending, self._stop)
        yield from passed_on(stage.run(judge), self._answered, self._forget, self._end_workers)

    def _end_workers(self) -> None:
        with self._lock:
            for worker in self._started:
                ray.kill(worker.actor)
            self._started = []

    def _start(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                worker = _start(self._prepared.device, self._material, self._observe)
                for command in self._touching.values():
                    worker.touch(command)
                self._started.append(worker)

    def _lose(self, worker: _Worker) -> None:
        """A worker is gone; another takes its place, when there is room."""
        with self._lock:
            self._started.remove(worker)
        if worker.is_ready or not self._started:
            self._start(1)

    def _forget(self, event: Event | Answer) -> None:
        """Drops the commands that no worker needs to be told any more."""
        if isinstance(event, TrialDone) and self._touching:
            with self._lock:
                ended = event.trial.key
                self._touching = {id: one for id, one in self._touching.items() if one.trial != ended}


@dataclass(slots=True, eq=False)
class _Worker:
    """What the driver knows of an actor.

    Attributes:
        actor: its handle.
        versions: a reference to what it runs on.
        stream: of what it tells while it loads or trains; None while it has nothing to do.
        groups: what it was given in this stage.
        is_ready: whether it has loaded recipe and data.
        has_begun, has_finished: whether it had a group in this stage, and knows that there will be no more.
    """

    actor: Any
    versions: Any
    stream: Any
    groups: list[dict[Key, Trial]] = field(default_factory=list)
    is_ready: bool = False
    has_begun: bool = False
    has_finished: bool = False

    @property
    def is_training(self) -> bool:
        """Whether it will tell of trials."""
        return self.is_ready and self.stream is not None

    def new_stage(self) -> None:
        """Nothing of an earlier stage counts any more."""
        self.groups, self.has_begun, self.has_finished = [], False, False

    def ask(self, method: str, *arguments: object) -> None:
        """Has the actor do something that it tells of."""
        call = getattr(self.actor, method).options(num_returns="streaming")
        self.stream = call.remote(*arguments)

    def touch(self, command: Command) -> None:
        """Tells the actor what is asked of a trial."""
        self.actor.touch.options(concurrency_group=_BY_HAND).remote(command)

    def ended(self, told: Told) -> None:
        """Drops the trials that it has finished."""
        for event in told:
            if isinstance(event, TrialDone):
                for group in self.groups:
                    group.pop(event.trial.key, None)


class _Stage:
    """One stage's groups, on their way through the workers from rung to rung.

    Args:
        workers: all that there are; ``lose`` changes the list.
        lose: told of each worker that is lost.
        groups: what to train.
        epochs, ending: as in ``Engine.train``.
        stop: once it says yes, each worker is heard to the end of its epoch and no further.
    """

    def __init__(
        self,
        workers: list[_Worker],
        lose: Callable[[_Worker], None],
        groups: Sequence[Sequence[Trial]],
        epochs: int,
        ending: Ending,
        stop: Callable[[], bool],
    ) -> None:
        self._workers, self._lose, self._stop = workers, lose, stop
        self._epochs, self._ending = epochs, ending
        self._waiting = list(reversed(groups))
        self._lost: list[list[Trial]] = []
        self._losses: Counter[Key] = Counter()
        self._verdicts: list[Reasons] = []
        self._nobody_since = time.monotonic()

    def run(self, judge: Judge) -> Iterator[Event | Answer]:
        """Trains all groups to the first rung, and to the next one those that the judge leaves."""
        for worker in self._workers:
            worker.new_stage()
        yield from self._listen()
        for rung in self._ending.rungs:
            self._verdicts.append(judge(rung))
            for worker in self._workers:
                if worker.has_begun:
                    worker.ask("go_on", self._verdicts[-1])
            yield from self._listen()

    def _listen(self) -> Iterator[Event | Answer]:
        """Passes on what the workers tell until all are idle and nothing waits."""
        self._employ()
        while any(worker.is_training for worker in self._workers) or self._has_work():
            for worker in self._ready():
                yield from self._hear(worker)
                if worker.is_ready and self._stop():
                    worker.stream = None
            self._employ()
        end_if(self._stop())

    def _has_work(self) -> bool:
        return bool(self._waiting or self._lost) and not self._stop()

    def _employ(self) -> None:
        """Gives every idle worker the next thing to do, if there is any."""
        for worker in self._workers:
            if worker.is_ready and worker.stream is None and not self._stop():
                self._next(worker)

    def _next(self, worker: _Worker) -> None:
        if (self._lost or self._waiting) and not worker.has_begun:
            worker.actor.begin.remote(self._epochs, self._ending, len(self._verdicts))
            worker.has_begun = True
        if self._lost:
            self._give(worker, "again", self._lost.pop(), self._verdicts)
        elif self._waiting:
            self._give(worker, "train", self._waiting.pop())
        elif worker.has_begun and not worker.has_finished:
            worker.has_finished = True
            worker.ask("finish")

    def _give(self, worker: _Worker, method: str, group: Sequence[Trial], *more: object) -> None:
        worker.groups.append({trial.key: trial for trial in group})
        worker.ask(method, group, *more)

    def _ready(self) -> list[_Worker]:
        """Those that have something to tell, or are lost; nobody, if nothing happens for a while."""
        if any(worker.is_ready for worker in self._workers):
            self._nobody_since = time.monotonic()
        elif time.monotonic() - self._nobody_since > START_SECONDS:
            raise WorkerError(f"no worker of the Ray cluster could begin in {START_SECONDS:.0f} s\n  {_FIX}")
        telling = {id(worker.stream): worker for worker in self._workers if worker.stream is not None}
        streams = [worker.stream for worker in telling.values()]
        ready, _ = ray.wait(streams, num_returns=1, timeout=_LOOK_SECONDS)
        if ready:
            ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        return [telling[id(stream)] for stream in ready]

    def _hear(self, worker: _Worker) -> Iterator[Event | Answer]:
        """What one worker has to tell; a lost one's trials wait for another."""
        try:
            told = ray.get(next(worker.stream))
        except StopIteration:
            worker.stream, worker.is_ready = None, True
        except RayTaskError as error:
            _compare(worker)
            raise _raised(error) from None
        except RayError as error:
            yield from self._loses(worker, error)
        else:
            if not worker.is_ready:
                _compare(worker)
            worker.ended(told)
            yield from told

    def _loses(self, worker: _Worker, error: RayError) -> Iterator[Event]:
        worker.stream = None
        self._lose(worker)
        for group in worker.groups:
            self._losses.update(group.keys())
            for trial in group.values():
                twice = self._losses[trial.key] > 1
                yield failed(trial, _lost_twice(error)) if twice else BegunAgain(trial)
            again = [trial for key, trial in group.items() if self._losses[key] == 1]
            self._lost += [again] if again else []


_FIX = (
    "fix: what was finished is kept; see that the cluster has a free CPU (`ray status`), "
    "and run the same command with --resume"
)


def _lost_twice(error: RayError) -> str:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return f"lost its worker twice, the second time so: {reason[-1].strip()}"


def _raised(error: RayTaskError) -> Exception:
    """What a worker raised, as it would be raised here."""
    if isinstance(error.cause, InputError):
        return error.cause
    reason = str(error).strip().splitlines()[-1]
    if isinstance(error.cause, ImportError):
        fix = "install on every machine of the cluster what the recipe imports, and the same babysit"
        return InputError(f"a worker of the Ray cluster cannot load the recipe: {reason}", fix=fix)
    return WorkerError(f"a worker of the Ray cluster raised {reason}\n  {_FIX}")


def _compare(worker: _Worker) -> None:
    """Refuses a worker that would find other results."""
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


def _start(device: str, material: Any, observe: bool) -> _Worker:
    gpus = {} if device == "cpu" else {"num_gpus": 1}
    # What is asked of trials by hand has a thread of its own, so that it need not wait for the training.
    remote = ray.remote(num_cpus=1, concurrency_groups={_BY_HAND: 1}, **gpus)(Actor)
    actor = remote.options(scheduling_strategy="SPREAD").remote(observe)
    worker = _Worker(actor, actor.versions.remote(), None)
    worker.ask("load", material)
    return worker
