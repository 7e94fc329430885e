"""Optuna: one process per core on one study in a journal file, its fastest storage that is safe for several.

The pairs are enqueued, so its sampler has nothing to do; an objective returns its best accuracy and reports
nothing on the way, which is the least that a study can store.
"""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.task import Task, Trained, answer, clock, pool, together
from benchmarks.peers.training import Data, Trial, load_data, settle

_given: tuple[Task, Data]
_NAME = "benchmark"


def _storage(task: Task) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(Path(task.scratch) / "journal.log")))


def _share(trials: int) -> list[Trained]:
    """What one process does: so many of the waiting trials."""
    task, data = _given
    settle(task)
    study = optuna.load_study(
        study_name=_NAME, storage=_storage(task), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    found: list[Trained] = []

    def objective(asked: optuna.Trial) -> float:
        start = clock()
        pair = (
            asked.suggest_float("learning_rate", *task.box[0], log=True),
            asked.suggest_float("l2", *task.box[1], log=True),
        )
        trial = Trial(task, data, pair)
        for _ in range(task.epochs):
            trial.epoch()
        found.append(Trained(start, clock(), trial.steps, trial.best))
        return trial.best

    study.optimize(objective, n_trials=trials)
    return found


def work(task: Task) -> list[Trained]:
    """Makes the study, enqueues the pairs, has the processes work them off."""
    global _given
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _given = task, load_data(task)
    study = optuna.create_study(study_name=_NAME, storage=_storage(task), direction="maximize")
    for learning_rate, l2 in task.pairs:
        study.enqueue_trial({"learning_rate": learning_rate, "l2": l2})
    # Equal shares: without a limit a process would start a trial that was not enqueued.
    shares = [len(task.pairs[first :: task.processes]) for first in range(task.processes)]
    with pool(task.processes) as workers:
        return together(workers.map(_share, shares, chunksize=1))


if __name__ == "__main__":
    answer(work)
