"""Memory over a million steps of a real training, a search and a watched loop: it must stay flat.

    python -m benchmarks.memory [--of train search watch] [--steps 1000000] [--json]

- train: `babysit train` of benchmarks/recipes/tiny.py (8-8-2, 16 examples a step, 1000 steps an epoch), with
  its observer, its store and its checkpoints;
- search: a search of four trials of this many steps, trained together in one process;
- watch: a plain training loop in a `babysit.watch` with a store.

Each runs in its own process, forked from one that has everything imported. From outside, its resident memory
is read five times a second, and the number of its steps from its store. The result is the maximum between two
marks: 1%, 10%, 50% and 100% of the steps. A run keeps four bytes per step, its cost.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import babysit
from babysit.errors import StoreError
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import run_search
from babysit.session.jobs.train import train
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings
from benchmarks.loading.looking import resident

RECIPE = str(Path(__file__).parent / "recipes" / "tiny.py")
STEPS_OF_AN_EPOCH = 1000
MARKS = (0.01, 0.1, 0.5, 1.0)
"""Fractions of the steps between which memory is measured."""


def trained(store: str, folder: Path, steps: int) -> None:
    """One run."""
    job = _job(store, folder, steps)
    train(job, open_job(job))


def searched(store: str, folder: Path, steps: int) -> None:
    """Four trials at once."""
    job = _job(store, folder, steps)
    run_search(
        job, open_job(job), SearchSettings(stages=f"coarse:4x{steps // STEPS_OF_AN_EPOCH}", population=4)
    )


def _job(store: str, folder: Path, steps: int) -> Job:
    return Job(RECIPE, (f"epochs={steps // STEPS_OF_AN_EPOCH}",), store=store, folder=folder)


def watched(store: str, _: Path, steps: int) -> None:
    """A plain loop."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    criterion = torch.nn.CrossEntropyLoss()
    x, y = torch.randn(4000, 8), torch.randint(0, 2, (4000,))
    with babysit.watch(model, optimizer, loss=criterion, store=store, name="loop") as watching:
        for step in range(steps):
            at = 4 * step % 4000
            optimizer.zero_grad()
            loss = criterion(model(x[at : at + 4]), y[at : at + 4])
            loss.backward()
            optimizer.step()
            watching.step(loss)


KINDS: dict[str, Callable[[str, Path, int], None]] = {"train": trained, "search": searched, "watch": watched}


def measure(kind: str, steps: int) -> dict[str, Any]:
    """Runs one kind, and looks at it from outside."""
    with tempfile.TemporaryDirectory(prefix="babysit-memory-") as name:
        folder = Path(name)
        store = str(folder / "runs.sqlite")
        started = time.monotonic()
        child = _forked(KINDS[kind], store, folder, steps)
        marks = [round(share * steps) for share in MARKS]
        largest = dict.fromkeys(marks, 0.0)
        before = done = 0
        while not _ended(child, folder):
            done, before = _steps(store) or done, done
            mark = next((one for one in marks if before < one), marks[-1])
            largest[mark] = max(largest[mark], resident(child))
            if before < mark <= done:
                print(f"{kind}: {largest[mark]:.1f} MiB to step {mark:,}", file=sys.stderr, flush=True)
            time.sleep(0.2)
        return {
            "kind": kind,
            "steps": _steps(store),
            "seconds": time.monotonic() - started,
            "largest_mib": {f"{mark:,}": mib for mark, mib in largest.items()},
            "store_mib": Path(store).stat().st_size / 2**20,
        }


def _forked(work: Callable[[str, Path, int], None], store: str, folder: Path, steps: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work(store, folder, steps)
        code = 0
    except BaseException as error:
        (folder / "errors.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _ended(child: int, folder: Path) -> bool:
    done, status = os.waitpid(child, os.WNOHANG)
    if done and status:
        raise SystemExit(f"it ended early: {(folder / 'errors.txt').read_text()}")
    return bool(done)


def _steps(store: str) -> int:
    """How many steps the run that has come furthest has done; 0 while there is none."""
    with suppress(StoreError), Reader(store) as reader:
        return max((one.steps for one in queries.changes(reader, 0).summaries), default=0)
    return 0


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--of", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--steps", type=int, default=1_000_000, help="default a million")
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for kind in chosen.of:
        print(f"{kind}: {chosen.steps:,} steps ...", file=sys.stderr, flush=True)
        found.append(measure(kind, chosen.steps))
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        maxima = ", ".join(f"{mib:.1f} MiB to step {mark}" for mark, mib in one["largest_mib"].items())
        print(f"{one['kind']}: {maxima}; {one['seconds']:.0f} s, the store {one['store_mib']:.1f} MiB")


if __name__ == "__main__":
    main()
