"""A whole hyperparameter search beside the tools people use for it, all measured in one run.

    python -m benchmarks.search [--json] [--quick] [--only CASE,...] [--peers A,B,...]
                                [--trials N] [--epochs E] [--precision float32,medium] [--processes P]

Every peer gets the same pairs (learning rate, l2), which are what babysit itself draws, the same prepared
data, mini-batches, epochs and network, one process per core with one thread each, and measures the validation
accuracy after every epoch. Two times are reported:

- ``trial_steps_per_second``: update steps really trained, from the first trial's begin to the last one's end
  in the workers; models, evaluation and bookkeeping between trials included, start-up not.
- ``wall_seconds``: the whole program as its user waits for it, start-up, loading and shut-down included.
  babysit's also holds what only it does: reading the raw data, checks before the search, the best retrained,
  the test split, the report.

A loop does not stop a trial that explodes; babysit does, so it trains fewer steps: ``trained_steps`` of
``asked_steps``. ``ratio_to_babysit`` is the peer's trial-steps per second over babysit's at float32.
``other_cpu_seconds`` is what the rest of the machine worked meanwhile: trust a row where it is small.
``floor`` is no search but the first layer's two matrix products alone, at the shapes of a fused population.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from babysit.data.dataset import Dataset
from babysit.errors import BabysitError
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Numeric
from babysit.tuning.engines import local
from babysit.tuning.stages import draw_trials
from benchmarks.peers import babysit_search
from benchmarks.peers.task import Pair, Task, read_answer

ROOT = Path(__file__).resolve().parent.parent
RECIPES = Path(__file__).resolve().parent / "recipes"
PRECISIONS = ("float32", "medium", "bfloat16")
SEED = 0
FLOOR_MEMBERS = 16
"""Members whose first-layer products the floor computes: about what fits a CPU's cache best."""
_TIMEOUT = 1800.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A search.

    Attributes:
        name: of the case.
        recipe: its file in ``benchmarks/recipes``.
        net, shape, weight_scale: for the peers, see ``Task``.
        trials, epochs: the budget.
        peers: who takes part; everybody where it is empty.
        table: a table that it shares with other cases.
    """

    name: str
    recipe: str
    net: str
    shape: tuple[int, int]
    weight_scale: float
    trials: int
    epochs: int
    peers: tuple[str, ...] = ()
    table: str = ""

    @property
    def title(self) -> str:
        """For people."""
        layers = "a small LeNet" if self.net == "lenet" else f"{self.shape[0]}-{self.shape[1]}-10"
        return f"{self.table or self.name}: {layers}, epochs a trial: {self.epochs}"


_WIDE_PEERS = ("babysit", "loop", "optuna", "floor")
_COUNT, _COUNT_PEERS = "cost against the number of trials", ("babysit", "loop")
CASES = {
    case.name: case
    for case in (
        Case("cifar10", "cifar10", "two_layer", (3072, 50), 1e-4, 32, 1),
        Case("digits", "digits", "two_layer", (64, 50), 1e-2, 64, 10),
        # Ten times the work: the peers that tell something, one way each.
        Case("wide", "wide", "two_layer", (3072, 500), 1e-4, 8, 1, _WIDE_PEERS),
        Case("small", "small", "two_layer", (64, 32), 1e-2, 128, 10),
        Case("conv", "conv", "lenet", (64, 6), 0.0, 16, 5),
        # What a search costs by the number of its trials.
        *(
            Case(f"count-{trials}", "small", "two_layer", (64, 32), 1e-2, trials, 5, _COUNT_PEERS, _COUNT)
            for trials in (10, 100, 1000)
        ),
    )
}


@dataclass(frozen=True)
class Peer:
    """Who is measured.

    Attributes:
        name: of the peer.
        module: its program in ``benchmarks/peers``; empty for babysit's command line.
        flushes: whether denormals are flushed, every way that is measured.
        precisions: those it is measured at.
        needs: a package that must be installed.
        nets: the networks that it can train.
        network: "own" keeps what listens on every address from the world.
    """

    name: str
    module: str
    flushes: tuple[bool, ...] = (False, True)
    precisions: tuple[str, ...] = ("float32",)
    needs: str = "torch"
    nets: tuple[str, ...] = ("two_layer", "lenet")
    network: str = "shared"


PEERS = {
    peer.name: peer
    for peer in (
        Peer("babysit", "", (True,), PRECISIONS),  # it always flushes
        Peer("loop", "loop", precisions=("float32", "medium")),
        Peer("dataloader", "dataloader"),
        Peer("optuna", "optuna_study", needs="optuna"),
        Peer("ray", "ray_tune", needs="ray", network="own"),
        # NumPy cannot flush.
        Peer("sklearn", "sklearn_mlp", (False,), needs="sklearn", nets=("two_layer",)),
        Peer("floor", "floor", (True,), PRECISIONS, nets=("two_layer",)),
    )
}


@dataclass(frozen=True)
class Options:
    """What to measure; 0 and empty leave it to the case."""

    cases: tuple[str, ...] = tuple(CASES)
    peers: tuple[str, ...] = tuple(PEERS)
    trials: int = 0
    epochs: int = 0
    precisions: tuple[str, ...] = ("float32",)
    processes: int = 2
    quick: bool = False


class MissingError(Exception):
    """A measurement that cannot be made here; says why."""


def measure(options: Options, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """All rows, what was left out and why, and the machine."""
    rows: list[Row] = []
    skipped: list[dict[str, str]] = []
    for name in options.cases:
        case = _sized(CASES[name], options)
        try:
            measured = list(_case_rows(case, options, skipped, tell))
        except MissingError as missing:
            skipped.append({"case": name, "peer": "all", "reason": str(missing)})
            continue
        rows += _with_ratios(measured)
    return {"rows": rows, "skipped": skipped, "machine": machine()}


def _sized(case: Case, options: Options) -> Case:
    # Where the number of trials is what is asked, it stays.
    trials = case.trials if case.table else options.trials or case.trials
    return replace(case, trials=trials, epochs=options.epochs or case.epochs)


def _case_rows(
    case: Case, options: Options, skipped: list[dict[str, str]], tell: Callable[[str], None]
) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        task = prepared(case, options, Path(folder))
        for peer, asked in _plan(case, options, task):
            tell(f"{case.name}: {_label(peer.name, asked)}")
            try:
                yield _row(case, peer, asked)
            except MissingError as missing:
                reason = f"{missing} ({asked.precision}, flushed {asked.flushed})"
                skipped.append({"case": case.name, "peer": peer.name, "reason": reason})


def _label(peer: str, task: Task) -> str:
    return f"{peer}, {task.precision}{', flushed' if task.flushed else ''}"


def _plan(case: Case, options: Options, task: Task) -> Iterator[tuple[Peer, Task]]:
    """Who runs, and how: babysit first, because the others are compared with it."""
    for name in PEERS:
        peer = PEERS[name]
        if name not in options.peers or (case.peers and name not in case.peers) or case.net not in peer.nets:
            continue
        for precision in (kind for kind in options.precisions if kind in peer.precisions):
            # At other precisions, and where time is short, the better of the two ways will do.
            fewer = options.quick or case.peers or precision != "float32"
            for flushed in peer.flushes[-1:] if fewer else peer.flushes:
                yield peer, replace(task, flushed=flushed, precision=precision)


def prepared(case: Case, options: Options, folder: Path) -> Task:
    """Draws the pairs and writes the arrays, once for everybody and before any clock."""
    path = RECIPES / f"{case.recipe}.py"
    recipe = load_recipe(str(path))
    try:
        _write_arrays(recipe.data(), case, folder)
    except BabysitError as error:
        raise MissingError(f"no data: {str(error).splitlines()[0]}") from error
    size = FLOOR_MEMBERS
    return Task(
        recipe=str(path),
        net=case.net,
        shape=case.shape,
        weight_scale=case.weight_scale,
        batch=recipe.batch_size,
        pairs=pairs_of(recipe, case.trials),
        box=_box(recipe),
        epochs=case.epochs,
        processes=options.processes,
        flushed=False,
        precision="float32",
        population=size,
        data=str(folder),
        scratch="",
    )


def pairs_of(recipe: Recipe, trials: int) -> list[Pair]:
    """What babysit draws for the first stage."""
    drawn = draw_trials(recipe.full_space(), stage=0, count=trials, seed=SEED)
    found = [trial.hyperparameters for trial in drawn]
    return [(float(values["learning_rate"]), float(values["l2"])) for values in found]


def _box(recipe: Recipe) -> tuple[Pair, Pair]:
    rate, l2 = recipe.space["learning_rate"], recipe.space["l2"]
    assert isinstance(rate, Numeric)
    assert isinstance(l2, Numeric)
    return (rate.low, rate.high), (l2.low, l2.high)


def _write_arrays(dataset: Dataset, case: Case, folder: Path) -> None:
    for name, split in (("train", dataset.train), ("val", dataset.val)):
        x = dataset.inputs(split.x)
        np.save(folder / f"{name}_x.npy", x if case.net == "lenet" else x.reshape(len(x), -1))
        np.save(folder / f"{name}_y.npy", split.y.astype(np.int64))


def _row(case: Case, peer: Peer, task: Task) -> Row:
    if find_spec(peer.needs) is None:
        raise MissingError(f"{peer.needs} is not installed")
    if not peer.module and task.precision != "float32" and not babysit_search.knows_precision():
        raise MissingError("this babysit has no --precision")
    with tempfile.TemporaryDirectory(prefix="peer-") as scratch:
        task = replace(task, scratch=scratch)
        return {
            "case": case.name,
            "title": case.title,
            "peer": peer.name,
            "recipe": f"benchmarks/recipes/{case.recipe}.py",
            "precision": task.precision,
            "flushed": task.flushed,
            "trials": len(task.pairs),
            "epochs": task.epochs,
            **(_peer(peer, task) if peer.module else _babysit(task)),
        }


def _peer(peer: Peer, task: Task) -> Row:
    folder = Path(task.scratch)
    task.save(folder / "task.json")
    program = [sys.executable, "-m", f"benchmarks.peers.{peer.module}"]
    command = [*program, str(folder / "task.json"), str(folder / "answer.json")]
    report, _ = supervised(command, task, peer.network)
    trained = read_answer(folder / "answer.json")
    start, end = min(entry.start for entry in trained), max(entry.end for entry in trained)
    notes = [entry.note for entry in trained if entry.note]
    note = f"{len(notes)} trials: {notes[0]}" if notes else ""
    accuracies = [entry.accuracy for entry in trained if not math.isnan(entry.accuracy)]
    best = max(accuracies, default=math.nan)
    return _measured(task, report, sum(entry.steps for entry in trained), start, end, best, note)


def _babysit(task: Task) -> Row:
    report, output = supervised(babysit_search.command(task, SEED), task)
    found = babysit_search.read(task, output, report["started"])
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    row = _measured(task, report, found.steps, found.start, found.end, found.accuracy, states)
    return {**row, "printed_trial_steps_per_second": found.printed}


def _measured(
    task: Task, report: dict[str, Any], steps: int, start: float, end: float, accuracy: float, note: str
) -> Row:
    examples = len(np.load(Path(task.data) / "train_y.npy", mmap_mode="r"))
    return {
        "wall_seconds": report["wall_seconds"],
        "cpu_seconds": report["cpu_seconds"],
        "startup_seconds": start - report["started"],
        "trial_steps_per_second": steps / max(end - start, 1e-9),
        "trained_steps": steps,
        "asked_steps": len(task.pairs) * task.epochs * (examples // task.batch),
        "best_val_accuracy": None if math.isnan(accuracy) else accuracy,
        "other_cpu_seconds": report["other_cpu_seconds"],
        "leftovers": report["leftovers"],
        "note": note,
    }


def supervised(
    command: Sequence[str], task: Task, network: str = "shared", limit: float = _TIMEOUT
) -> tuple[dict[str, Any], str]:
    """Runs a program with all that it starts; its report, and what it printed."""
    folder = Path(task.scratch)
    report = folder / "report.json"
    with (folder / "output").open("w") as output, (folder / "errors").open("w") as errors:
        supervise = [sys.executable, "-m", "benchmarks.peers.supervise", str(report), str(limit), network]
        process = subprocess.Popen(
            [*supervise, *command], stdout=output, stderr=errors, env=_environment(), cwd=ROOT
        )
        try:
            process.wait()
        finally:
            process.terminate()  # after Ctrl-C: the supervisor ends everything below it
            process.wait()
    complaints = (folder / "errors").read_text().strip().splitlines()[-1:] or ["no message"]
    if not report.is_file():
        raise MissingError(complaints[0])
    found: dict[str, Any] = json.loads(report.read_text())
    printed = (folder / "output").read_text()
    # babysit ends with 1 when no trial completed, which is an answer.
    if found["returncode"] != 0 and not (found["returncode"] == 1 and printed.startswith("{")):
        raise MissingError(f"it ended with {found['returncode']}: {complaints[0]}")
    return found, printed


def _environment() -> dict[str, str]:
    """Builds the environment of all peers: one thread a process, no usage statistics, no proxy."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    path = os.pathsep.join(entry for entry in (str(ROOT), os.environ.get("PYTHONPATH", "")) if entry)
    return {**os.environ, **threads, **quiet, "PYTHONPATH": path}


def _with_ratios(rows: list[Row]) -> list[Row]:
    ours = next((row for row in rows if row["peer"] == "babysit" and row["precision"] == "float32"), None)
    for row in rows:
        for name, measured in (
            ("ratio_to_babysit", "trial_steps_per_second"),
            ("wall_ratio_to_babysit", "wall_seconds"),
        ):
            row[name] = row[measured] / ours[measured] if ours else None
    return rows


def machine() -> dict[str, Any]:
    """What it was measured on."""
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(facts.get("flags", "").split())
    return {
        "cpu": facts.get("model name", platform.processor()),
        "cores": local.default_workers(),
        "amx": "amx_tile" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("babysit", "torch", "numpy", "optuna", "ray", "scikit-learn")},
    }


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def page(found: dict[str, Any]) -> str:
    """One Markdown table a case."""
    lines = ["machine: " + ", ".join(f"{key} {value}" for key, value in found["machine"].items())]
    for title in dict.fromkeys(row["title"] for row in found["rows"]):
        lines += ["", f"### {title}", "", *_HEAD]
        lines += [_line(row) for row in found["rows"] if row["title"] == title]
    if found["skipped"]:
        lines += ["", "Left out:", ""]
        lines += [f"- {entry['case']}, {entry['peer']}: {entry['reason']}" for entry in found["skipped"]]
    return "\n".join(lines)


_HEAD = (
    "| peer | trials | precision | denormals flushed | trial-steps/s | of babysit's | whole, s | start-up, s "
    "| CPU, s | CPU of others, s | steps trained | best val. accuracy | note |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def _line(row: Row) -> str:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    steps = f"{row['trained_steps']:,} of {row['asked_steps']:,}" if row["peer"] != "floor" else ""
    cells = (
        row["peer"],
        str(row["trials"]),
        row["precision"],
        "yes" if row["flushed"] else "no",
        number(row["trial_steps_per_second"], ",.0f"),
        number(row["ratio_to_babysit"], ".2f"),
        number(row["wall_seconds"], ".1f"),
        number(row["startup_seconds"], ".1f"),
        number(row["cpu_seconds"], ".1f"),
        number(row["other_cpu_seconds"], ".1f"),
        steps,
        number(row["best_val_accuracy"], ".3f"),
        row["note"],
    )
    return f"| {' | '.join(cells)} |"


def names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads a list of names, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        asked = tuple(text.split(","))
        for name in asked:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return asked

    return parse


def _options() -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Options()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="8 trials of 1 epoch, each peer one way only")
    parser.add_argument("--only", type=names(list(CASES)), default=usual.cases, metavar="CASE,...")
    parser.add_argument("--peers", type=names(list(PEERS)), default=usual.peers, metavar="PEER,...")
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--precision", type=names(PRECISIONS), default=usual.precisions, metavar="P,...")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    trials, epochs = (asked.trials or 8, asked.epochs or 1) if asked.quick else (asked.trials, asked.epochs)
    options = Options(asked.only, asked.peers, trials, epochs, asked.precision, asked.processes, asked.quick)
    return options, asked.json


def main() -> None:
    """Measures and prints."""
    options, as_json = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that folders and programs go, too
    found = measure(options, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if as_json else page(found))


if __name__ == "__main__":
    main()
