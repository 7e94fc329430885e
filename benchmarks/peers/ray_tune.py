"""Ray Tune: a local cluster, one actor per core that is used again for the next trial, no loggers.

Its daemons listen on every address in spite of their settings, so it runs in its own network.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import torch
from ray import tune

from benchmarks.peers.task import Task, Trained, answer, clock
from benchmarks.peers.training import Trial, load_data, settle

_LOOPBACK = "127.0.0.1"


class Worker(tune.Trainable):
    """One epoch a step; the data stay loaded from trial to trial."""

    def setup(self, config: dict[str, Any], task: dict[str, Any]) -> None:  # type: ignore[override]
        """Loads the data and begins the actor's first trial."""
        self.task = Task(**task)
        settle(self.task)
        self.data = load_data(self.task)
        self._begin(config["number"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the actor's next trial."""
        self._begin(new_config["number"])
        return True

    def _begin(self, number: int) -> None:
        self.start = clock()
        torch.manual_seed(number)
        self.trial = Trial(self.task, self.data, self.task.pairs[number])

    def step(self) -> dict[str, Any]:
        """Trains an epoch."""
        settle(self.task)  # flushing belongs to the thread, and an actor may have several
        accuracy = self.trial.epoch()
        return {
            "val_accuracy": accuracy,
            "trained": Trained(self.start, clock(), self.trial.steps, self.trial.best)._asdict(),
        }


@contextmanager
def cluster(processes: int) -> Iterator[None]:
    """A local cluster with so many processors, and nothing left of it afterwards."""
    # A path of its own: the cluster's sockets must lie under a short one.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    os.environ["HOME"] = folder  # where it leaves a token
    try:
        ray.init(
            num_cpus=processes,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address=_LOOPBACK,
            _temp_dir=folder,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def work(task: Task) -> list[Trained]:
    """Starts the cluster, tunes, stops it."""
    with cluster(task.processes):
        return _tuned(task)


def _tuned(task: Task) -> list[Trained]:
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(Worker, task=vars(task)), {"cpu": 1}),
        param_space={"number": tune.grid_search(list(range(len(task.pairs))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=task.processes, reuse_actors=True),
        run_config=tune.RunConfig(
            name="benchmark",
            storage_path=os.path.abspath(task.scratch),
            stop={"training_iteration": task.epochs},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(str(results.errors[0]))
    return [Trained(**result.metrics["trained"]) for result in results]  # type: ignore[attr-defined]


if __name__ == "__main__":
    # The cluster's workers look the class up by its module, which must not be called __main__.
    from benchmarks.peers import ray_tune

    answer(ray_tune.work)
