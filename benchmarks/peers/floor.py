"""The floor: nothing but the first layer's two matrix products, at the shapes of a fused population.

Forward W[P*H, D] @ X^T[D, B], weight gradient G[P*H, B] @ X[B, D]; no bias, no loss, no update, no data.
"""

from __future__ import annotations

import math

import torch

from benchmarks.peers.task import Task, Trained, answer, clock, pool
from benchmarks.peers.training import settle

_SECONDS, _WARM_UP = 1.5, 3
_given: Task


def _products(process: int) -> Trained:
    task = _given
    settle(task)
    kind = torch.bfloat16 if task.precision == "bfloat16" else torch.float32
    members = min(task.population, math.ceil(len(task.pairs) / task.processes))
    inputs, hidden = task.shape
    weights = torch.randn(members * hidden, inputs).to(kind)
    gradient = torch.empty_like(weights)
    batches = [torch.randn(task.batch, inputs).to(kind) for _ in range(8)]
    back = torch.randn(members * hidden, task.batch).to(kind)
    outputs = torch.empty_like(back)
    steps, start = -_WARM_UP, clock()
    while steps <= 0 or clock() - start < _SECONDS:
        if steps == 0:
            start = clock()
        x = batches[steps % len(batches)]
        torch.mm(weights, x.t(), out=outputs)
        torch.mm(back, x, out=gradient)
        steps += 1
    return Trained(start, clock(), steps * members, math.nan)


def work(task: Task) -> list[Trained]:
    """The same in every process, at the same time."""
    global _given
    _given = task
    with pool(task.processes) as workers:
        found: list[Trained] = workers.map(_products, range(task.processes), chunksize=1)
    return found


if __name__ == "__main__":
    answer(work)
