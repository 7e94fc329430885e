"""What the tests of the data room share: where real data lie, and small files in the published formats."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from babysit.data.cifar import FILES
from babysit.data.idx import PARTS


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets."""
    folder = os.environ.get("BABYSIT_DATA")
    if not folder:
        pytest.skip("BABYSIT_DATA does not name a folder of real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def real_cifar() -> Path:
    """The folder of the real CIFAR-10 pickles."""
    folder = Path(os.environ.get("BABYSIT_DATA", "absent")) / "cifar-10-batches-py"
    if not (folder / "data_batch_1").is_file():
        pytest.skip("the real CIFAR-10 is absent: set BABYSIT_DATA to the folder of cifar-10-batches-py")
    return folder


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty data root, and no download."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("BABYSIT_DATA", str(root))
    monkeypatch.delenv("BABYSIT_DOWNLOAD", raising=False)
    return root


def cifar_batch(number: int, rows: int = 20) -> dict[bytes, object]:
    """The content of one CIFAR-10 pickle: made pixels, every label."""
    pixels = np.random.default_rng(number).integers(0, 256, (rows, 3072), dtype=np.uint8)
    labels = [row % 10 for row in range(rows)]
    return {b"batch_label": b"made", b"labels": labels, b"data": pixels, b"filenames": [b"a.png"] * rows}


@pytest.fixture
def cifar_folder(tmp_path: Path) -> Path:
    """Six small pickles with the layout of CIFAR-10: 5 x 20 training rows and 20 test rows."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(FILES):
        (folder / name).write_bytes(pickle.dumps(cifar_batch(number), protocol=2))
    return folder


def idx_bytes(values: np.ndarray) -> bytes:
    """A uint8 array in the idx format."""
    header = bytes([0, 0, 8, values.ndim])
    return header + np.array(values.shape, dtype=">u4").tobytes() + values.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """Four small gzipped idx files: 30 training and 10 test images of 28 x 28."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in PARTS:
        rows = 30 if part.startswith("train") else 10
        labels = np.arange(rows, dtype=np.uint8) % 10
        values = labels if "labels" in part else rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        (folder / f"{part}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    return folder


@pytest.fixture
def refuse_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is written as ever, but reading it fails as it does without permission."""
    original = Path.open

    def refuse(self: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if mode == "rb":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
