"""A population beside the loop people write: trial-steps per second, both measured in the same run.

    python -m benchmarks.population [--steps 60] [--json]

The peer is honest: one nn.Module and one torch.optim.SGD a trial, one thread, denormals flushed, the same
mini-batches; and a second peer, ``vmap(grad)``, as the functional documentation suggests. Ratios are to the
first peer. Times on a shared machine are noisy: run it twice.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from babysit.data.batches import Batches
from babysit.data.in_memory import arrays
from babysit.nn.networks import two_layer
from babysit.seeding import numpy_generator
from babysit.training.evaluation import evaluation_of
from babysit.training.losses import LOSSES
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES

CASES = (
    ("lecture's net", 3072, 50, 100, (1, 8, 16, 32)),
    ("small net", 64, 100, 50, (1, 8, 16, 32)),
)
RATE, MOMENTUM, L2 = 1e-6, 0.9, 1e-3


def models(inputs: int, hidden: int, members: int) -> list[nn.Module]:
    return [two_layer(inputs, hidden, weight_scale=1e-4) for _ in range(members)]


def batches_of(inputs: int, batch: int, steps: int) -> Batches:
    generator = numpy_generator(0, "benchmark")
    x = generator.normal(0, 60, (batch * 8, inputs)).astype("float32")
    y = generator.integers(0, 10, batch * 8)
    y[:10] = range(10)
    return Batches(arrays(x, y, x[:batch], y[:batch]), batch, seed=0)


def hand_written(
    inputs: int, hidden: int, members: int, x: torch.Tensor, y: torch.Tensor
) -> Callable[[], None]:
    """One step of every trial, one after another."""
    trials = models(inputs, hidden, members)
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=L2) for model in trials
    ]

    def step() -> None:
        for model, optimizer in zip(trials, optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    return step


def mapped(inputs: int, hidden: int, members: int, x: Tensor, y: Tensor) -> Callable[[], None]:
    """One step of all trials through vmap(grad), with a hand-placed momentum update."""
    trials = models(inputs, hidden, members)
    parameters, buffers = stack_module_state(trials)  # type: ignore[arg-type]
    values = {name: value.detach() for name, value in parameters.items()}
    velocity = {name: torch.zeros_like(value) for name, value in values.items()}

    def loss(own: dict[str, torch.Tensor], rest: dict[str, torch.Tensor]) -> torch.Tensor:
        return F.cross_entropy(functional_call(trials[0], (own, rest), (x,)), y)

    gradient = vmap(grad(loss))

    def step() -> None:
        for name, found in gradient(values, buffers).items():
            velocity[name].mul_(MOMENTUM).add_(found + L2 * values[name])
            values[name].sub_(velocity[name], alpha=RATE)

    return step


def population(inputs: int, hidden: int, members: int, batches: Batches, steps: int) -> float:
    """Seconds of ``steps`` steps of the trainer, explosion rule and all; the evaluation is tiny."""
    plan = Plan(LOSSES["softmax"], UPDATES["momentum"], SCHEDULES["constant"], epochs=10**6)
    candidates = [
        Candidate(model, {"learning_rate": RATE, "momentum": MOMENTUM, "l2": L2})
        for model in models(inputs, hidden, members)
    ]
    evaluation = evaluation_of(batches.dataset, seed=0, train_rows=10)
    trainer = Trainer(candidates, plan, batches, evaluation)
    list(trainer.epochs(steps=5))
    started = time.perf_counter()
    list(trainer.epochs(steps=5 + steps))
    return time.perf_counter() - started


def timed(step: Callable[[], None], steps: int) -> float:
    for _ in range(3):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - started


def measure(steps: int) -> list[dict[str, float | str]]:
    """One row a case and population size."""
    rows: list[dict[str, float | str]] = []
    for name, inputs, hidden, batch, sizes in CASES:
        batches = batches_of(inputs, batch, steps)
        x, y = next(iter(batches.epoch(1)))
        for members in sizes:
            done = steps * members
            loop = done / timed(hand_written(inputs, hidden, members, x, y), steps)
            vmapped = done / timed(mapped(inputs, hidden, members, x, y), steps)
            ours = done / population(inputs, hidden, members, batches, steps)
            rows.append(
                {
                    "case": f"{name} {inputs}-{hidden}-10, batch {batch}",
                    "members": members,
                    "loop": loop,
                    "vmap": vmapped / loop,
                    "babysit": ours / loop,
                    "babysit_per_second": ours,
                }
            )
    return rows


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = measure(options.steps)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| case | members | loop, trial-steps/s | vmap(grad) | babysit | babysit, trial-steps/s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {row['members']} | {row['loop']:,.0f} | {row['vmap']:.2f}x "
            f"| {row['babysit']:.2f}x | {row['babysit_per_second']:,.0f} |"
        )


if __name__ == "__main__":
    main()
