"""babysit as its users run it: the command line, with a store of its own, on a recipe of their own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.stopwatch import read_marks, training_span
from benchmarks.peers.task import Task

_RECIPE = '''\
"""The benchmark's recipe, with a note of when its functions are called."""
from babysit.recipe.loading import load_recipe
from benchmarks.peers.stopwatch import timed

recipe = timed(load_recipe({recipe!r}), {marks!r})
'''
_PROGRAM = "from babysit.cli.main import main; main()"


class Searched(NamedTuple):
    """What a search of the command line did.

    Attributes:
        steps: trained in the search; the retraining of the best is not in it.
        start, end: of the training in the workers.
        accuracy: the best trial's.
        printed: the trial-steps per second that it prints, which includes the workers' start.
        states: how many trials ended how.
    """

    steps: int
    start: float
    end: float
    accuracy: float
    printed: float
    states: dict[str, int]


def command(task: Task, seed: int) -> list[str]:
    """The command line; writes the recipe that it names."""
    folder = Path(task.scratch)
    file = folder / "recipe.py"
    file.write_text(_RECIPE.format(recipe=task.recipe, marks=str(folder / "marks")))
    stages = f"coarse:{len(task.pairs)}x{task.epochs},final:1x{task.epochs}"
    precision = [] if task.precision == "float32" else ["--precision", task.precision]
    return [
        *program(),
        *("search", str(file), "--stages", stages, "--seed", str(seed), "--workers", str(task.processes)),
        *("--store", str(folder / "store.sqlite"), "--out", str(folder / "out"), "--json", *precision),
    ]


def program() -> list[str]:
    """The installed command, or the same from this interpreter."""
    installed = Path(sys.executable).with_name("babysit")
    return [str(installed)] if installed.is_file() else [sys.executable, "-c", _PROGRAM]


@cache
def knows_precision() -> bool:
    """Tells whether `babysit search` has the option --precision."""
    return (
        "--precision"
        in subprocess.run(
            [*program(), "search", "--help"], capture_output=True, text=True, check=True, env=_wide()
        ).stdout
    )


def _wide() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def read(task: Task, output: str, started: float) -> Searched:
    """From what the command printed and what the recipe noted."""
    outcome: dict[str, Any] = json.loads(output)
    seconds, printed = outcome["wall_seconds"], outcome["trial_steps_per_second"]
    marks = read_marks(Path(task.scratch) / "marks")
    # Where the notes do not tell, the whole search is timed, the workers' start included.
    span = training_span(marks) or (marks[-1].when - seconds, marks[-1].when)
    best = outcome["best"]
    if best:
        _check_drawn(task, best["hyperparameters"])
    return Searched(
        steps=round(printed * seconds),
        start=max(span[0], started),
        end=span[1],
        accuracy=best["val_accuracy"] if best else math.nan,
        printed=printed,
        states=outcome["states"],
    )


def _check_drawn(task: Task, values: dict[str, Any]) -> None:
    """The comparison is void unless babysit trained the pairs that everybody was given."""
    if (values["learning_rate"], values["l2"]) not in [tuple(pair) for pair in task.pairs]:
        raise ValueError("babysit drew other trials than its peers were given")
