"""What a watch costs: one loop bare, with babysit.watch and with its peers, each at its default schedule.

    python -m benchmarks.watch [--steps 1024] [--rounds 3] [--only WORD] [--json]

All loops train the same model on the same batch in one process, 16 steps each in turn, so that whatever else
the machine does falls on all alike. A step's cost is the processor's time (nothing here waits), and the least
of all rounds for that very step: a sampled step is one in every round. Overheads are sums over steps, the
dense first ones included: of the first 512 steps, and of those after them. The bare loop runs twice; how much
the two differ is the noise of the machine. A peer that is not installed is named and left out (``pip install
--group bench``); one that cannot take a model is named with its reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from contextlib import ExitStack
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.peers.watchers import WATCHERS, Step, Task, Tool, plain

_TURN, DENSE = 16, 512


def small_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def tiny_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def conv_net(norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), norm(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), norm(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), norm(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(32, 10)),
    )


def bare_conv_net() -> nn.Module:
    return conv_net(nn.Identity)


def tasks() -> list[Task]:
    """What is trained; Cockpit's instruments refuse batch norm, so the conv net comes with it and without."""
    torch.manual_seed(0)
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (64,))
    return [
        Task("MLP 784-256-256-10, batch 64", small_mlp, torch.randn(64, 784), labels),
        Task("conv net 3x32x32, batch norm, batch 16", conv_net, images, labels[:16]),
        Task("conv net 3x32x32, batch 16", bare_conv_net, images, labels[:16]),
        Task("MLP 64-32-10, batch 32", tiny_mlp, torch.randn(32, 64), labels[:32]),
    ]


def turn(step: Step, steps: int) -> list[float]:
    """Measures the processor seconds of each step."""
    times = []
    for _ in range(steps):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return times


def one_round(task: Task, tools: list[Tool], steps: int) -> dict[str, list[float]]:
    """Every step's seconds, by tool, "off" and "off again"."""
    with ExitStack() as stack:
        loops = {"off": stack.enter_context(plain(task))}
        loops |= {tool.name: stack.enter_context(tool.watched(task)) for tool in tools}
        loops["off again"] = stack.enter_context(plain(task))
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(0, steps, _TURN):
            for name, step in loops.items():
                times[name] += turn(step, _TURN)
    return times


def able(task: Task, tools: list[Tool]) -> tuple[list[Tool], dict[str, str]]:
    """The tools that can take a model, and why the others cannot."""
    reasons = {}
    for tool in tools:
        try:
            with tool.watched(task) as step:
                turn(step, 2)
        except Exception as error:  # a peer's refusal is a result
            reasons[tool.name] = f"{type(error).__name__}: {error}".splitlines()[0][:100]
    return [tool for tool in tools if tool.name not in reasons], reasons


def measure(task: Task, tools: list[Tool], steps: int, rounds: int) -> dict[str, Any]:
    """Overheads of one task by tool, in shares of the bare loop's time."""
    taking_part, reasons = able(task, tools)
    found = [one_round(task, taking_part, steps) for _ in range(rounds)]
    typical = {name: list(map(min, zip(*(each[name] for each in found), strict=True))) for name in found[0]}
    off = typical.pop("off")
    return {
        "case": task.name,
        "steps": len(off),
        "off_seconds_a_step": median(off),
        "noise": {"first": _over(typical["off again"], off, 0), "after": _over(typical["off again"], off, 1)},
        "overheads": {
            name: {"first": _over(times, off, 0), "after": _over(times, off, 1)}
            for name, times in typical.items()
            if name != "off again"
        },
        "refused": reasons,
    }


def _over(times: list[float], off: list[float], phase: int) -> float | None:
    part = slice(DENSE, None) if phase else slice(0, DENSE)
    return sum(times[part]) / sum(off[part]) - 1 if off[part] else None


def show(rows: list[dict[str, Any]], missing: dict[str, str]) -> None:
    """Prints a table a task."""
    for name, reason in missing.items():
        print(f"{name} is missing ({reason})")
    for row in rows:
        print(f"\n{row['case']}: {1000 * row['off_seconds_a_step']:.2f} ms a step, unwatched")
        print(f"| who | first {min(DENSE, row['steps'])} steps | after |\n|---|---|---|")
        for name, over in {**row["overheads"], "noise: off again": row["noise"]}.items():
            print(f"| {name} | {_share(over['first'])} | {_share(over['after'])} |")
        for name, reason in row["refused"].items():
            print(f"| {name} | cannot: {reason} | |")


def _share(over: float | None) -> str:
    return "" if over is None else f"{over:+.1%}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2 * DENSE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only the cases with this word in their name")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # peers talk of their hooks
    warnings.simplefilter("ignore")
    missing = {} if options.alone else {tool.name: why for tool in WATCHERS if (why := tool.missing())}
    tools = [tool for tool in WATCHERS if tool.name not in missing and not (options.alone and tool.package)]
    chosen = [task for task in tasks() if options.only in task.name]
    rows = [measure(task, tools, options.steps, options.rounds) for task in chosen]
    if options.json:
        print(json.dumps({"rows": rows, "missing": missing}, indent=2))
        return
    show(rows, missing)


if __name__ == "__main__":
    main()
