"""The benchmark of streaming: every loader is given the same work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.streaming import BATCH, Case, cases, ours, show, theirs
from PIL import Image

from babysit.data.batches import Batches
from benchmarks import streaming


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six hundred rows whose first pixel is their label, and as many pictures of one colour."""
    place: Path = tmp_path_factory.mktemp("files")
    labels = np.arange(1800) % 10
    x = np.full((1800, *streaming.SHAPE), 120, dtype=np.uint8)
    x[:, 0, 0, 0] = labels
    np.save(place / "x.npy", x)
    np.save(place / "y.npy", labels)
    for number in range(600):
        path = place / "images" / f"class {number % 10}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((70, 70, 3), 20 * (number % 10), dtype=np.uint8)).save(path)
    return place


@pytest.mark.parametrize("case", [case for case in cases(4, 1024) if "2 workers" not in case.loader])
def test_every_loader_gives_whole_batches_with_their_own_labels(folder, case):
    if case.loader == "babysit":
        loader = Batches(ours(case, folder), BATCH, seed=0, in_memory_bytes=0).epoch(1)
        offset = float(ours(case, folder).preprocessing[0].mean_[0])
    else:
        loader, offset = theirs(case, folder), float(streaming.MEAN[0])
    x, y = next(iter(loader))
    size = streaming.SHAPE if case.files == "npy" else (3, *streaming.SIZE)
    assert (tuple(x.shape), x.dtype, tuple(y.shape), y.dtype) == (
        (BATCH, *size),
        torch.float32,
        (BATCH,),
        torch.int64,
    )
    factor = 1 if case.files == "npy" else 20
    assert torch.allclose(x[:, 0, 0, 0] + offset, factor * y.float(), atol=1e-3)


def test_a_table_shows_peers_as_a_part_of_ours(capsys):
    rows = [
        {**Case("npy", loader, "load", 4)._asdict(), "images_per_second": rate, "own_mib": 100}
        for loader, rate in (("babysit", 2000), ("DataLoader, 0 workers", 500))
    ]
    show(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-3:] == ["2,000", "1.00", "100"]
    assert lines[2].split()[-3:] == ["500", "0.25", "100"]
