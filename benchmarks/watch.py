"""What the watch costs: steps of a small MLP and a conv net with it and without it, in turns.

    python -m benchmarks.watch [--steps 128] [--rounds 9] [--json]

A turn is ``steps`` steps of the same model on the same batches, watched or not; turns alternate, so that
whatever else the machine does falls on both alike. The ratios are medians over rounds, for the default
schedule's first 512 steps (every 16th sampled) and after them (every 64th); beside them stands the ratio of
two unwatched halves, which shows how much of it is the machine's noise.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median

import torch
from torch import Tensor, nn

from babysit.watching.own_loop import EVERY, watch
from babysit.watching.watcher import SPARSER

Maker = Callable[[], tuple[nn.Module, Tensor, Tensor]]


def small_mlp() -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, torch.randn(64, 784), torch.randint(0, 10, (64,))


def conv_net() -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(32, 10)),
    )
    return model, torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))


CASES: dict[str, Maker] = {"MLP 784-256-256-10, batch 64": small_mlp, "conv net 3x32x32, batch 16": conv_net}


def turn(make: Maker, steps: int, every: int | None) -> float:
    """Seconds of the processor a step: the machine may be shared, and nothing here waits.

    Args:
        make: makes model and batch.
        steps: how many are timed.
        every: steps from sample to sample; None without a watch.
    """
    torch.manual_seed(0)
    model, x, y = make()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
    watching = watch(model, optimizer, loss=criterion, every=every or EVERY)
    with watching if every else nullcontext():
        for step in range(steps + 32):
            if step == 32:  # the first steps are sampled densely, once a run
                started = time.process_time()
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            if every:
                watching.step(loss)
        return (time.process_time() - started) / steps


def measure(steps: int, rounds: int) -> list[dict[str, float | str]]:
    """One row a case: seconds a step with and without, and their ratio."""
    rows: list[dict[str, float | str]] = []
    for name, make in CASES.items():
        turn(make, 16, EVERY)
        turns = [
            [turn(make, steps, every) for every in (None, EVERY, SPARSER * EVERY)] for _ in range(rounds)
        ]
        off = [each[0] for each in turns]
        rows.append(
            {
                "case": name,
                "off": median(off),
                "first_512_steps": median(early / plain for plain, early, _ in turns),
                "after": median(later / plain for plain, _, later in turns),
                "noise": median(off[1::2]) / median(off[::2]),
            }
        )
    return rows


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.steps, options.rounds)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| case | off, ms a step | first 512 steps, on / off | after, on / off | off / off |")
    print("|---|---|---|---|---|")
    for row in rows:
        ratios = " | ".join(f"{row[name]:.3f}" for name in ("first_512_steps", "after", "noise"))
        print(f"| {row['case']} | {1000 * float(row['off']):.3f} | {ratios} |")


if __name__ == "__main__":
    main()
