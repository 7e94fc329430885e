"""A loop that several processes train together with gloo, watched or not; its faults are chosen by name."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import babysit as bs
from forked import CONTEXT

STEPS = 60
FAULTS = ("", "told nan", "nan batch", "rank 1 raises", "rank 0 raises", "unwatched", "other steps")


def main(fault: str, folder: str) -> None:
    """Trains; what came of it is left in the folder, one file a rank."""
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    said = _train(fault, rank)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(said))
    if not said["ended"]:  # who has failed is gone at once
        dist.barrier()
        dist.destroy_process_group()


def _train(fault: str, rank: int) -> dict[str, Any]:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    # Another rank looks at other steps: nothing may wait for a step that somebody leaves out.
    watching = bs.watch(model, optimizer, loss=loss_of, every=5 if fault == "other steps" and rank else 16)
    ended = ""
    try:
        if fault == "unwatched":
            _loop(model, optimizer, loss_of, fault, rank, lambda _: None)
        else:
            with watching:
                _loop(model, optimizer, loss_of, fault, rank, watching.step)
            dist.barrier()  # all have said their last
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    report = watching.report()
    return {
        "ended": ended,
        "causes": [[cause.finding.rule, cause.finding.message] for cause in report.causes],
        "symptoms": [[one.rule for one in cause.symptoms] for cause in report.causes],
        "facts": list(report.facts),
        "layers": sorted({name for sample in watching.log().samples for name in sample.layers}),
        "failures": list(watching.log().failures),
        "weights": [value.tolist() for value in model.module.state_dict().values()],
    }


def _loop(model: Any, optimizer: Any, loss_of: Any, fault: str, rank: int, step: Any) -> None:
    generator = torch.Generator().manual_seed(rank)
    truth = torch.randn(8, 3, generator=torch.Generator().manual_seed(9))
    for number in range(1, STEPS + 1):
        x = torch.randn(16, 8, generator=generator)
        y = (x @ truth).argmax(1)
        if fault == "nan batch" and rank == 1 and number == 37:
            x[0, 0] = float("nan")
        if fault == f"rank {rank} raises" and number == 20:
            raise ValueError("a shard is missing")
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        step(loss * float("nan") if fault == "told nan" and rank == 1 and number >= 37 else loss)


def trained_together(fault: str, folder: Path, ranks: int = 2) -> list[dict[str, Any]]:
    """What each rank said, from forks of one process that has imported everything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    processes = [
        CONTEXT.Process(target=_ranked, args=({**told, "RANK": str(rank)}, fault, str(folder)))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        if process.is_alive():
            process.kill()
            raise TimeoutError("a rank waits for ever")
    return said_in(folder, ranks)


def said_in(folder: Path, ranks: int = 2) -> list[dict[str, Any]]:
    """What the ranks left in a folder."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]


def _ranked(environment: dict[str, str], fault: str, folder: str) -> None:
    os.environ.update(environment)
    main(fault, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
