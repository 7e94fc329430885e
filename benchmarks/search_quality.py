"""The best validation accuracy against wall time: babysit, Optuna (TPE, median pruner), Ray Tune (ASHA).

    python -m benchmarks.search_quality [--json FILE] [--figures FOLDER] [--seeds 3] [--budget SECONDS]
                                        [--recipe CASE] [--epochs N] [--peers A,B,...]

Everybody searches the same ranges of learning rate and l2 for the same network on the same prepared data,
with the same mini-batches and at most as many epochs a trial, one process per core with one thread each,
denormals flushed. Time counts from the start of the program, so imports, loading and a cluster's start are
in it. A score counts from the moment it is known, after any epoch of any trial. Everybody has the same time,
and draws its own trials from its own seed; for each seed the programs run in turn. babysit's course includes
its retraining of the best; its score on the test split is not in it.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.peers.task import Task, clock, read_notes
from benchmarks.search import CASES, MissingError, Options, machine, names, prepared, supervised

BUDGET = 60.0
EPOCHS = 10
MARGIN = 60.0
"""Seconds beyond the budget after which a program that has not ended is ended; nothing in them counts."""


@dataclass(frozen=True)
class Searcher:
    """Who takes part.

    Attributes:
        name: for people.
        module: its program in ``benchmarks/peers``.
        needs: a package that must be installed.
        network: "own" keeps what listens on every address from the world.
    """

    name: str
    module: str
    needs: str
    network: str = "shared"


SEARCHERS = {
    "babysit": Searcher("babysit", "babysit_quality", "babysit"),
    "optuna": Searcher("Optuna, TPE + median pruner", "optuna_search", "optuna"),
    "ray": Searcher("Ray Tune, ASHA", "ray_search", "ray", "own"),
}

Course = list[tuple[float, float]]
"""Seconds since the start, and the best accuracy that is known from then on; rising."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What to measure."""

    case: str = "cifar10"
    peers: tuple[str, ...] = tuple(SEARCHERS)
    seeds: int = 3
    budget: float = BUDGET
    epochs: int = EPOCHS
    processes: int = 2


def measure(asked: Asked, tell: Callable[[str], None] = lambda _: None) -> Found:
    """The course of every run, who was left out and why, and the machine."""
    runs: list[Found] = []
    skipped = {name: reason for name in asked.peers if (reason := _missing(SEARCHERS[name]))}
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        options = Options(epochs=asked.epochs, processes=asked.processes)
        case = replace(CASES[asked.case], epochs=asked.epochs)
        task = replace(prepared(case, options, Path(folder)), flushed=True, pairs=())
        for seed in range(asked.seeds):
            for name in asked.peers:
                if name in skipped:
                    continue
                tell(f"seed {seed}: {name}")
                try:
                    runs.append(
                        {"peer": name, "seed": seed, **_run(SEARCHERS[name], task, seed, asked.budget)}
                    )
                except MissingError as missing:
                    skipped[name] = str(missing)
    return {"asked": vars(asked), "runs": runs, "skipped": skipped, "machine": machine()}


def _missing(searcher: Searcher) -> str:
    return "" if find_spec(searcher.needs) else f"{searcher.needs} is not installed"


def _run(searcher: Searcher, task: Task, seed: int, budget: float) -> Found:
    """One program, alone on the machine; its course, and when it knew its first score."""
    with tempfile.TemporaryDirectory(prefix="peer-") as scratch:
        task = replace(task, scratch=scratch, seed=seed, until=clock() + budget)
        task.save(Path(scratch) / "task.json")
        program = [sys.executable, "-m", f"benchmarks.peers.{searcher.module}"]
        command = [*program, f"{scratch}/task.json", f"{scratch}/answer.json"]
        report, _ = supervised(command, task, searcher.network, limit=budget + MARGIN)
        noted = sorted((when - report["started"], accuracy) for when, accuracy in read_notes(task))
    counted = [(when, accuracy) for when, accuracy in noted if when <= budget]
    return {
        "course": course(counted),
        "first_seconds": counted[0][0] if counted else math.nan,
        "epochs": len(counted),
        "wall_seconds": report["wall_seconds"],
        "cpu_seconds": report["cpu_seconds"],
        "other_cpu_seconds": report["other_cpu_seconds"],
    }


def course(noted: Sequence[tuple[float, float]]) -> Course:
    """Only where the best rises.

    Example:
        >>> course([(1, 0.2), (2, 0.1), (3, 0.4), (4, 0.4)])
        [(1, 0.2), (3, 0.4)]
    """
    best = list(accumulate((accuracy for _, accuracy in noted), max))
    return [
        (when, top)
        for (when, _), top, before in zip(noted, best, [-math.inf, *best], strict=False)
        if top > before
    ]


def at(found: Course, seconds: float) -> float:
    """The best that is known then; NaN before the first.

    Example:
        >>> at([(1.0, 0.2), (3.0, 0.4)], 2.5), at([(1.0, 0.2)], 0.5)
        (0.2, nan)
    """
    return max((accuracy for when, accuracy in found if when <= seconds), default=math.nan)


def times(budget: float) -> list[float]:
    """A handful of moments, closer together in the beginning.

    Example:
        >>> times(60)
        [5, 10, 15, 20, 30, 40, 60]
    """
    return [round(budget * share, 1) for share in (1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1)]


def curve(runs: Sequence[Found], moments: Sequence[float]) -> list[float]:
    """The mean over seeds at some moments; NaN until every seed has a score."""
    return [statistics.fmean(at(run["course"], moment) for run in runs) for moment in moments]


def of_peer(found: Found, name: str) -> list[Found]:
    """One peer's runs."""
    return [run for run in found["runs"] if run["peer"] == name]


def behind(found: Found) -> list[str]:
    """From when until when the mean of babysit is below a peer's, in sentences; every tenth of a second."""
    moments = [step / 10 for step in range(round(10 * found["asked"]["budget"]) + 1)]
    if not of_peer(found, "babysit"):
        return []
    ours, said = curve(of_peer(found, "babysit"), moments), []
    for name in found["asked"]["peers"]:
        runs = of_peer(found, name)
        if name == "babysit" or not runs:
            continue
        # Who has no score yet is behind everybody who has one.
        pairs = zip(ours, curve(runs, moments), strict=True)
        spans = _spans([not math.isnan(theirs) and not mine >= theirs for mine, theirs in pairs], moments)
        where = " and ".join(f"{low:.1f} to {high:.1f} s" for low, high in spans)
        said.append(f"babysit is behind {SEARCHERS[name].name} {'at ' + where if spans else 'never'}")
    return said


def _spans(flags: Sequence[bool], moments: Sequence[float]) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    for flag, moment in zip(flags, moments, strict=True):
        if flag and spans and spans[-1][1] >= moment - 0.15:
            spans[-1] = (spans[-1][0], moment)
        elif flag:
            spans.append((moment, moment))
    return spans


def page(found: Found) -> str:
    """Markdown: the accuracies at some moments, the end, and where babysit is behind."""
    asked, moments = found["asked"], times(found["asked"]["budget"])
    heads = [
        "who",
        "first score after",
        *(f"{moment:g} s" for moment in moments),
        "spread at the end",
        "trial-epochs",
    ]
    lines = [
        "machine: " + ", ".join(f"{key} {value}" for key, value in found["machine"].items()),
        "",
        f"{asked['case']}: mean over seeds (there are {asked['seeds']}) of the best validation "
        f"accuracy so far; {asked['budget']:g} s each, at most {asked['epochs']} epochs a trial",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
    ]
    for name in asked["peers"]:
        if runs := of_peer(found, name):
            lines.append(_line(SEARCHERS[name].name, runs, moments))
    lines += ["", *(f"- {line}" for line in behind(found))]
    lines += [f"- left out: {name}: {reason}" for name, reason in found["skipped"].items()]
    return "\n".join(lines)


def _line(name: str, runs: Sequence[Found], moments: Sequence[float]) -> str:
    means = ["–" if math.isnan(value) else f"{value:.3f}" for value in curve(runs, moments)]
    ends = [at(run["course"], moments[-1]) for run in runs]
    first = statistics.fmean(run["first_seconds"] for run in runs)
    epochs = statistics.fmean(run["epochs"] for run in runs)
    cells = [name, f"{first:.1f} s", *means, f"{min(ends):.3f} to {max(ends):.3f}", f"{epochs:.0f}"]
    return f"| {' | '.join(cells)} |"


def draw(found: Found, folder: Path) -> None:
    """The courses as SVG and PNG: the mean as a line, the seeds' extent as a band."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    asked = found["asked"]
    moments = [asked["budget"] * step / 1000 for step in range(1001)]
    mpl.rcParams["svg.hashsalt"] = "babysit"
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for name in asked["peers"]:
        runs = of_peer(found, name)
        if not runs:
            continue
        each = [[at(run["course"], moment) for moment in moments] for run in runs]
        (line,) = axes.step(moments, curve(runs, moments), where="post", label=SEARCHERS[name].name)
        low, high = ([pick(values) for values in zip(*each, strict=True)] for pick in (min, max))
        axes.fill_between(moments, low, high, step="post", alpha=0.15, color=line.get_color(), linewidth=0)
    axes.set(xlabel="seconds since the program's start", ylabel="best validation accuracy so far")
    axes.set_title(f"{asked['case']}: mean over seeds and their extent ({asked['seeds']})")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "search-quality.svg", metadata={"Date": None})
    figure.savefig(folder / "search-quality.png", dpi=150)
    plt.close(figure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Asked()
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figures", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=usual.seeds)
    parser.add_argument("--budget", type=float, default=usual.budget, metavar="SECONDS")
    parser.add_argument("--epochs", type=int, default=usual.epochs)
    parser.add_argument(
        "--recipe", choices=("cifar10", "digits", "wide", "conv", "small"), default=usual.case
    )
    parser.add_argument("--peers", type=names(list(SEARCHERS)), default=usual.peers, metavar="PEER,...")
    return parser.parse_args()


def main() -> None:
    """Measures, prints, and writes what is asked for."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that folders and programs go, too
    asked = Asked(arguments.recipe, arguments.peers, arguments.seeds, arguments.budget, arguments.epochs)
    found = measure(asked, lambda text: print(text, file=sys.stderr, flush=True))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    if arguments.figures:
        draw(found, arguments.figures)
    print(page(found))


if __name__ == "__main__":
    main()
