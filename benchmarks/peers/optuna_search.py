"""Optuna as it is used for a search: TPE, and the median pruner after every epoch; one process per core.

The processes share one study in a journal file, its fastest storage that is safe for several.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.task import Task, Trained, answer, clock, note, pool
from benchmarks.peers.training import Data, Trial, load_data, settle

_given: tuple[Task, Data]
_NAME = "search"


def _storage(task: Task) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(Path(task.scratch) / "journal.log")))


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():  # what several processes should use is called experimental
        warnings.simplefilter("ignore")
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _search(process: int) -> None:
    """What one process does: trial after trial until the time is up."""
    task, data = _given
    settle(task)
    # Seeds of their own: processes that draw alike would try everything twice.
    sampler = _sampler(1000 * task.seed + process)
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=1)
    study = optuna.load_study(study_name=_NAME, storage=_storage(task), sampler=sampler, pruner=pruner)

    def objective(asked: optuna.Trial) -> float:
        pair = (
            asked.suggest_float("learning_rate", *task.box[0], log=True),
            asked.suggest_float("l2", *task.box[1], log=True),
        )
        trial = Trial(task, data, pair)
        for epoch in range(task.epochs):
            accuracy = trial.epoch()
            if trial.diverged:
                raise optuna.TrialPruned
            note(task, accuracy)
            asked.report(accuracy, epoch)
            if asked.should_prune() or clock() > task.until:
                raise optuna.TrialPruned
        return trial.best

    study.optimize(objective, timeout=task.until - clock())


def work(task: Task) -> list[Trained]:
    """Makes the study and has the processes search; what they find is noted as they find it."""
    global _given
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _given = task, load_data(task)
    optuna.create_study(study_name=_NAME, storage=_storage(task), direction="maximize")
    with pool(task.processes) as workers:
        workers.map(_search, range(task.processes), chunksize=1)
    return []


if __name__ == "__main__":
    answer(work)
