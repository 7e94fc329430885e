"""Ray Tune as it is used for a search: random trials under ASHA; one actor per core, used again."""

from __future__ import annotations

import os
from typing import Any

import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from benchmarks.peers.ray_tune import cluster
from benchmarks.peers.task import Task, Trained, answer, clock, note
from benchmarks.peers.training import Trial, load_data, settle


class Searcher(tune.Trainable):
    """One epoch a step; the data stay loaded from trial to trial."""

    def setup(self, config: dict[str, Any], task: dict[str, Any]) -> None:  # type: ignore[override]
        """Loads the data and begins the actor's first trial."""
        self.task = Task(**task)
        settle(self.task)
        torch.manual_seed(self.task.seed)
        self.data = load_data(self.task)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the actor's next trial."""
        self.trial = Trial(self.task, self.data, (new_config["learning_rate"], new_config["l2"]))
        return True

    def step(self) -> dict[str, Any]:
        """Trains an epoch."""
        settle(self.task)  # flushing belongs to the thread, and an actor may have several
        accuracy, diverged = self.trial.epoch(), self.trial.diverged
        if not diverged:
            note(self.task, accuracy)
        return {"val_accuracy": 0.0 if diverged else accuracy, "done": diverged}


def work(task: Task) -> list[Trained]:
    """Starts the cluster, searches until the time is up, stops it."""
    with cluster(task.processes):
        _tuner(task).fit()
    return []


def _tuner(task: Task) -> tune.Tuner:
    rate, l2 = task.box
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(Searcher, task=vars(task)), {"cpu": 1}),
        param_space={"learning_rate": tune.loguniform(*rate), "l2": tune.loguniform(*l2)},
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            num_samples=-1,  # until the time is up
            time_budget_s=task.until - clock(),
            search_alg=BasicVariantGenerator(max_concurrent=task.processes, random_state=task.seed),
            scheduler=ASHAScheduler(max_t=task.epochs, grace_period=1, reduction_factor=3),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=os.path.abspath(task.scratch),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )


if __name__ == "__main__":
    # The cluster's workers look the class up by its module, which must not be called __main__.
    from benchmarks.peers import ray_search

    answer(ray_search.work)
