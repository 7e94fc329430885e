"""What the trainer's observer costs: the same populations with it and without it, epoch by epoch in turn.

    BABYSIT_DATA=... python -m benchmarks.observer [--epochs 10] [--members 16] [--json]

Measured is processor time of one thread, which other programs on the machine disturb less than the clock.
The costs of both must be equal to the last bit, or the benchmark fails. `python -m benchmarks.observer
--store` runs a whole search of 100 trials with the observer and without, and gives the store's size.
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from babysit.recipe.building import Prepared, prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.recipe.space import Space
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.tuning.engines.events import EpochDone
from babysit.tuning.engines.populations import TrialPopulation
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import draw_trials

CASES = (("cifar10", ()), ("digits", ()))


def population(prepared: Prepared, members: int, epochs: int, *, observe: bool) -> TrialPopulation:
    space: Space = prepared.recipe.full_space()
    # Trials of one shape, and gentle ones: an explosion would end both early, but not at one cost.
    trials = [
        type(trial)(0, number, {**first.hyperparameters, "learning_rate": 1e-4 * (1 + number / members)})
        for first in draw_trials(space, stage=0, count=1, seed=0)
        for number, trial in enumerate([first] * members)
    ]
    candidates = [prepared.candidate(trial.hyperparameters, ("trial", *trial.key)) for trial in trials]
    return TrialPopulation(prepared, trials, candidates, epochs, observe=observe)


def overhead(recipe: str, settings: tuple[str, ...], members: int, epochs: int) -> dict[str, object]:
    """Processor seconds of both, epoch after epoch in turn; what the events weigh on their way."""
    prepared = prepare(apply_settings(load_recipe(recipe), settings), seed=0)
    plain = population(prepared, members, epochs, observe=False)
    observed = population(prepared, members, epochs, observe=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    weights = {False: 0, True: 0}
    costs: dict[bool, list[np.ndarray]] = {False: [], True: []}
    while plain.is_running:
        order = (False, True) if len(seconds[True]) % 2 else (True, False)
        for which in order:
            started = time.process_time()
            events = (observed if which else plain).epoch()
            message = pickle.dumps(events)
            seconds[which].append(time.process_time() - started)
            weights[which] += len(message)
            costs[which] += [event.costs for event in events if isinstance(event, EpochDone)]
    if not all(np.array_equal(a, b) for a, b in zip(costs[False], costs[True], strict=True)):
        raise SystemExit(f"{recipe}: the observer changed the costs")
    return {
        "recipe": recipe,
        "members": members,
        "epochs": epochs,
        "plain_seconds": sum(seconds[False]),
        "observed_seconds": sum(seconds[True]),
        "overhead": sum(seconds[True]) / sum(seconds[False]) - 1,
        "median_epoch_overhead": float(np.median(seconds[True]) / np.median(seconds[False]) - 1),
        "message_bytes": {"plain": weights[False], "observed": weights[True]},
    }


def store_size(recipe: str, stages: str) -> dict[str, object]:
    """The size of the store after a whole search, and its processor time, with the observer and without."""
    found: dict[str, object] = {"recipe": recipe, "stages": stages}
    for observe in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            prepared = prepare(load_recipe(recipe), seed=0)
            started = time.process_time()
            run_search(
                Job(recipe, folder=Path(folder)), prepared, SearchSettings(stages=stages, observe=observe)
            )
            name = "observed" if observe else "plain"
            found[f"{name}_seconds"] = time.process_time() - started
            found[f"{name}_bytes"] = (Path(folder) / "babysit.sqlite").stat().st_size
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--recipe", choices=[name for name, _ in CASES], default=None)
    parser.add_argument("--setting", action="append", default=[], help="name=value, as for babysit search")
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--stages", default="coarse:100x5")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(name, settings) for name, settings in CASES if asked.recipe in (None, name)]
    if asked.store:
        rows = [store_size(name, asked.stages) for name, _ in cases]
    else:
        rows = [
            overhead(name, (*settings, *asked.setting), asked.members, asked.epochs)
            for name, settings in cases
        ]
    for row in rows:
        print(json.dumps(row) if asked.json else "  ".join(f"{name}={value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
