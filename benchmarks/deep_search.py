"""Three stages over depth, width, batch norm, dropout and update rule on CIFAR-10: the best against time.

    BABYSIT_DATA=... python -m benchmarks.deep_search [--json FILE] [--figures FOLDER] [OPTION...]

It is `babysit search cifar10-deep` with your further options behind, in a store of its own.
Time counts from the start of the program: imports, checks and all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.babysit_quality import listen

COMMAND = ("search", "cifar10-deep")

Noted = list[tuple[float, str, float]]
"""Seconds since the start, the stage, and an accuracy that is known from then on."""


def measure(options: list[str]) -> dict[str, Any]:
    """Runs the command; every epoch of every trial, and what came of it."""
    started, noted = time.monotonic(), Noted()
    listen(lambda stage, accuracy: noted.append((time.monotonic() - started, stage, accuracy)))
    from babysit import Study
    from babysit.cli.main import main as babysit

    with tempfile.TemporaryDirectory(prefix="deep-") as folder:
        sys.argv = ["babysit", *COMMAND, "--out", folder, *options]
        with contextlib.suppress(SystemExit):
            babysit()
        outcome = dict(Study(f"sqlite:///{folder}/babysit.sqlite", 1).outcome)
    spent = sum(os.times()[:4])
    return {"noted": noted, "seconds": time.monotonic() - started, "cpu_seconds": spent, "outcome": outcome}


def rises(noted: Noted) -> Noted:
    """Only where the best rises.

    Example:
        >>> rises([(1.0, "coarse", 0.2), (2.0, "coarse", 0.1), (3.0, "fine", 0.4)])
        [(1.0, 'coarse', 0.2), (3.0, 'fine', 0.4)]
    """
    found: Noted = []
    for when, stage, accuracy in noted:
        if not found or accuracy > found[-1][2]:
            found.append((when, stage, accuracy))
    return found


def page(found: dict[str, Any]) -> str:
    """Markdown: the best after each minute in which it rose, and the end."""
    by_minute = {int(when // 60): (when, stage, best) for when, stage, best in rises(found["noted"])}
    lines = ["| after | stage | best validation accuracy |", "|---|---|---|"]
    lines += [f"| {when:.0f} s | {stage} | {best:.4f} |" for when, stage, best in by_minute.values()]
    final = found["outcome"]["final"]
    return "\n".join(
        [
            *lines,
            "",
            f"in all {found['seconds']:.0f} s, {found['cpu_seconds']:.0f} s of processor time; the chosen: "
            f"validation {final['val_accuracy']:.4f}, test {final['test_accuracy']:.4f}, "
            f"{final['hyperparameters']}; "
            f"ensemble: {final['ensemble']}",
        ]
    )


def draw(found: dict[str, Any], folder: Path) -> None:
    """Every epoch as a dot, the best so far as a stair."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "babysit"
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for stage in dict.fromkeys(stage for _, stage, _ in found["noted"]):
        own = [(when, accuracy) for when, name, accuracy in found["noted"] if name == stage]
        axes.plot(
            *zip(*own, strict=True), ".", markersize=4, alpha=0.6, label=f"{stage}: an epoch of a trial"
        )
    best = rises(found["noted"])
    axes.step(
        [when for when, _, _ in best] + [found["seconds"]],
        [accuracy for _, _, accuracy in best] + [best[-1][2]],
        where="post",
        color="black",
        linewidth=1,
        label="best so far",
    )
    axes.set(xlabel="seconds since the program's start", ylabel="validation accuracy", title="cifar10-deep")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "deep-search.svg", metadata={"Date": None})
    figure.savefig(folder / "deep-search.png", dpi=150)
    plt.close(figure)


def main() -> None:
    """Measures, prints, and writes what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figures", type=Path, metavar="FOLDER")
    arguments, options = parser.parse_known_args()
    found = measure(options)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, default=str))
    if arguments.figures:
        draw(found, arguments.figures)
    print(page(found))


if __name__ == "__main__":
    main()
