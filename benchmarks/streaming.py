"""Data larger than memory: how fast they come, beside torch's DataLoader on the same files.

    python -m benchmarks.streaming [--json] [--gigabytes 2] [--memory 768] [--images 3000]
                                   [--batches 40] [--rounds 1]

Needs BABYSIT_DATA (CIFAR-10 gives the pictures). Two data sets are made in a temporary folder:

- ``npy``: uint8 rows [N, 3, 32, 32] in one ``.npy`` file of so many gigabytes;
- ``jpeg``: a folder of JPEG files of 128 x 128 pixels, read as 64 x 64; and once more behind ``cache=``.

``load`` takes batches of 256 rows in random order, as float32 minus the mean of each channel, and nothing
else; ``train`` also trains on them: babysit a population of 16 networks 3072-100-10, the hand-written loop
one after the other, so that it counts images times networks. The DataLoader gets what its manual says
(``__getitem__`` of one row, 0 and 2 workers) and, on ``npy``, the faster ``__getitems__`` of a whole batch.

Every case is a process of its own. Before it, the file leaves the system's cache. Where control groups of
memory can be made (root on Linux), the process may use only ``--memory`` MiB, cached pages of the file
included: so a file larger than that is read as one larger than the machine's memory would be.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from babysit.data import ChannelMean, Dataset, cifar10, image_folder, npy
from babysit.data.batches import Batches
from babysit.nn.networks import two_layer
from babysit.training.evaluation import evaluation_of
from babysit.training.losses import LOSSES
from babysit.training.plan import Candidate, Plan
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Trainer
from babysit.training.updates import UPDATES

BATCH = 256
NETWORKS = 16
SHAPE = (3, 32, 32)
ROW_BYTES = 3072
SIZE = (64, 64)
MEAN = np.float32(120)[None]
RATE = 1e-4

Batch = tuple[Tensor, Tensor]
Row = dict[str, Any]


class Case(NamedTuple):
    """One measurement.

    Attributes:
        files: "npy", "jpeg" or "cache".
        loader: who reads: "babysit", or "DataLoader" with its workers.
        work: "load" or "train".
        batches: how many are taken.
    """

    files: str
    loader: str
    work: str
    batches: int


def cases(batches: int, images: int) -> list[Case]:
    """Everything that is measured, peers beside ours."""
    loaders = ("babysit", "DataLoader, 0 workers", "DataLoader, 2 workers")
    batched = ("DataLoader, 0 workers, by batch", "DataLoader, 2 workers, by batch")
    found = [Case("npy", loader, "load", batches) for loader in (*loaders, *batched)]
    found += [Case("npy", loader, "train", batches // 4) for loader in ("babysit", *batched)]
    found += [Case("jpeg", loader, "load", images // BATCH) for loader in loaders]
    return [*found, Case("cache", "babysit", "load", images // BATCH)]


def make_rows(folder: Path, gigabytes: float) -> None:
    """The ``.npy`` files: CIFAR's pictures, over and over, each time shifted by some pixels."""
    pictures = np.asarray(cifar10().train.x)
    count = int(gigabytes * 2**30 / ROW_BYTES)
    x = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.uint8, shape=(count, *SHAPE))
    for number, start in enumerate(range(0, count, len(pictures))):
        part = x[start : start + len(pictures)]
        part[:] = np.roll(pictures[: len(part)], number, axis=-1)
    x.flush()
    labels = np.asarray(cifar10().train.y)
    np.save(folder / "y.npy", np.resize(labels, count))


def make_images(folder: Path, count: int) -> None:
    """The folder of JPEG files, ten classes."""
    from PIL import Image

    data = cifar10()
    for number, (pixels, label) in enumerate(zip(data.train.x[:count], data.train.y[:count], strict=True)):
        path = folder / "images" / data.classes[label] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).resize((128, 128)).save(path, quality=90)


class PlainRows:
    """A row at a time out of the mapped file, as the DataLoader's manual has it."""

    def __init__(self, folder: Path) -> None:
        self.x = np.load(folder / "x.npy", mmap_mode="r")
        self.y = np.load(folder / "y.npy")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.x[row].astype(np.float32) - MEAN), int(self.y[row])


class BatchedRows(PlainRows):
    """A batch at a time out of the mapped file."""

    def __getitems__(self, rows: list[int]) -> Batch:
        return torch.from_numpy(self.x[rows].astype(np.float32) - MEAN), torch.from_numpy(self.y[rows])


class PlainImages:
    """An image at a time, decoded and resized by Pillow."""

    def __init__(self, folder: Path) -> None:
        classes = sorted(path for path in (folder / "images").iterdir())
        self.files = [(path, label) for label, name in enumerate(classes) for path in sorted(name.iterdir())]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        from PIL import Image

        path, label = self.files[row]
        with Image.open(path) as opened:
            image = opened.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
        return torch.from_numpy(pixels - MEAN), label


def ours(case: Case, folder: Path) -> Dataset:
    """The data set as babysit reads it."""
    steps = [ChannelMean()]
    if case.files == "npy":
        return npy(folder / "x.npy", folder / "y.npy", val=1000, test=0, preprocess=steps)
    cache = folder / "cache" if case.files == "cache" else None
    return image_folder(
        folder / "images", SIZE, in_memory=False, cache=cache, val=100, test=0, preprocess=steps
    )


def theirs(case: Case, folder: Path) -> Iterable[Batch]:
    """A DataLoader of the same files."""
    whole = "by batch" in case.loader
    rows: Any = PlainImages(folder) if case.files == "jpeg" else (BatchedRows if whole else PlainRows)(folder)
    workers = int(case.loader.split(", ")[1].split()[0])
    collate = _as_it_is if whole else None
    fork = "fork" if workers else None  # as a script's own workers start on Linux
    return DataLoader(
        rows,
        BATCH,
        shuffle=True,
        num_workers=workers,
        collate_fn=collate,
        drop_last=True,
        multiprocessing_context=fork,
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch


def measured(case: Case, folder: Path, memory: int, answers: Any) -> None:
    """Runs one case in this process, inside its group, and sends what it found."""
    with limited(memory):
        torch.set_num_threads(2)
        found = _ours(case, folder) if case.loader == "babysit" else _theirs(case, folder)
        answers.send({**found, "own_mib": round(_own_memory())})


def _ours(case: Case, folder: Path) -> Row:
    data = ours(case, folder)
    batches = Batches(data, BATCH, seed=0, in_memory_bytes=0)
    if case.work == "load":
        return _timed(batches.epoch(1), case.batches, images=BATCH)
    plan = Plan(LOSSES["softmax"], UPDATES["sgd"], SCHEDULES["constant"], epochs=1)
    members = [Candidate(two_layer(3072), {"learning_rate": RATE}) for _ in range(NETWORKS)]
    trainer = Trainer(members, plan, batches, evaluation_of(data, seed=0))
    list(itertools.islice(batches.epoch(2), 2))
    started = time.perf_counter()
    next(trainer.epochs(steps=case.batches))
    seconds = time.perf_counter() - started
    return {"images": case.batches * BATCH * NETWORKS, "seconds": seconds}


def _theirs(case: Case, folder: Path) -> Row:
    loader = theirs(case, folder)
    if case.work == "load":
        return _timed(loader, case.batches, images=BATCH)
    model, loss = two_layer(3072), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        loss(model(batch[0]), batch[1]).backward()
        optimizer.step()

    return _timed(loader, case.batches, images=BATCH, work=step)


def _timed(
    batches: Iterable[Batch], count: int, *, images: int, work: Callable[[Batch], object] = lambda _: None
) -> Row:
    """Images a second from the moment that the first batch is asked for; workers start before it."""
    stream = iter(batches)
    work(next(stream))
    started, done = time.perf_counter(), 0
    for batch in itertools.islice(stream, count - 1):
        work(batch)
        done += images
    return {"images": done, "seconds": time.perf_counter() - started}


@contextlib.contextmanager
def limited(mebibytes: int) -> Iterator[None]:
    """This process, and what it starts, in a control group of so much memory, page cache included."""
    root = Path("/sys/fs/cgroup/memory")
    group = root / f"babysit-{os.getpid()}"
    if not group_possible():
        yield
        return
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(mebibytes * 2**20))
    home = _group_of(os.getpid())
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (root / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        with contextlib.suppress(OSError):  # workers of a DataLoader may still be on their way out
            group.rmdir()


def group_possible() -> bool:
    """True where control groups of memory (version 1) can be made."""
    return os.access("/sys/fs/cgroup/memory/memory.limit_in_bytes", os.R_OK) and os.access(
        "/sys/fs/cgroup/memory", os.W_OK
    )


def _group_of(process: int) -> str:
    lines = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    return next(line.split(":")[2] for line in lines if ":memory:" in line)


def _own_memory() -> float:
    """MiB that belong to this process alone: no pages of files, which the system may take back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def forget(path: Path) -> None:
    """Puts a file, or every file of a folder, out of the system's cache."""
    for each in [path] if path.is_file() else filter(Path.is_file, path.rglob("*")):
        handle = os.open(each, os.O_RDONLY)
        os.fdatasync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def run(case: Case, folder: Path, memory: int) -> Row:
    """One case in a process of its own, its files cold."""
    if case.files == "cache":
        ours(case, folder)  # decodes, unless that is done
    forget(folder)
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(case, folder, memory, sending))
    process.start()
    sending.close()
    try:
        return receiving.recv()
    except EOFError:
        raise SystemExit(f"{case} ended without an answer (exit code {process.exitcode})") from None
    finally:
        process.join()
        receiving.close()


def measure(folder: Path, *, rounds: int, memory: int, batches: int, images: int) -> Iterator[Row]:
    """Every case, in turn, so many times; medians."""
    wanted = cases(batches, images)
    found: dict[Case, list[Row]] = {case: [] for case in wanted}
    for _ in range(rounds):
        for case in wanted:
            row = run(case, folder, memory)
            rate = row["images"] / row["seconds"]
            print(
                f"{case.files} {case.work} {case.loader}: {rate:,.0f} images/s", file=sys.stderr, flush=True
            )
            found[case].append(row)
    for case, rows in found.items():
        rate = statistics.median(row["images"] / row["seconds"] for row in rows)
        own = max(row["own_mib"] for row in rows)
        yield {**case._asdict(), "images_per_second": round(rate), "own_mib": own}


def show(rows: list[Row]) -> None:
    """The table, ours first in each group, the others as a part of it."""
    print(f"{'files':6} {'work':6} {'loader':32} {'images/s':>10} {'of ours':>8} {'own MiB':>8}")
    for files, work in dict.fromkeys((row["files"], row["work"]) for row in rows):
        group = [row for row in rows if (row["files"], row["work"]) == (files, work)]
        for row in group:
            part = row["images_per_second"] / group[0]["images_per_second"]
            own = row["own_mib"]
            print(f"{files:6} {work:6} {row['loader']:32} {row['images_per_second']:10,} {part:8.2f} {own:8}")


def main() -> None:
    """Makes the files, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the .npy file")
    parser.add_argument(
        "--memory", type=int, default=768, help="MiB that a case may use, where that can be held"
    )
    parser.add_argument("--images", type=int, default=3000, help="JPEG files")
    parser.add_argument("--batches", type=int, default=40, help="taken from the .npy file")
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_rows(folder, asked.gigabytes)
        make_images(folder, asked.images)
        size = {
            "rounds": asked.rounds,
            "memory": asked.memory,
            "batches": asked.batches,
            "images": asked.images,
        }
        rows = list(measure(folder, **size))
    if asked.json:
        print(json.dumps(rows))
        return
    held = f"{asked.memory} MiB a case" if group_possible() else "not limited"
    print(f".npy file {asked.gigabytes:g} GiB, memory {held}, {asked.images:,} JPEG files")
    show(rows)


if __name__ == "__main__":
    main()
