"""CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels in ten classes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from babysit.data.dataset import Dataset, Split
from babysit.data.downloads import fetch, wanted
from babysit.data.files import data_root, read
from babysit.data.idx import hold_out_last
from babysit.data.pickles import LARGEST, load_arrays
from babysit.data.preprocessing import Array, Transformer
from babysit.data.validity import validate
from babysit.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-python.tar.xz")
TRAINING_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
FILES = (*TRAINING_FILES, "test_batch")
FIX = (
    f"put the folder {FOLDER} (python version: {', '.join(FILES)}) or {ARCHIVES[0]} there, point root= or "
    "BABYSIT_DATA to the folder that holds it, or let it be fetched with download=True or BABYSIT_DOWNLOAD=1"
)


def cifar10(
    root: str | Path | None = None,
    *,
    preprocess: Sequence[Transformer] = (),
    val: int = 1000,
    download: bool = False,
) -> Dataset:
    """Loads CIFAR-10, python version: uint8 images [N, 3, 32, 32] in 0-255, planes R, G, B.

    Args:
        root: the folder of pickles, a folder that holds it, or the .tar.gz / .tar.xz itself. Default: the
            data root (``BABYSIT_DATA``, else ``~/.cache/babysit``).
        preprocess: steps, fitted on the training split only.
        val: the number of last training rows that validate. Default: 1000, rows 49000 to 50000 as in the
            lecture.
        download: fetch it (170 MB) if it is absent; ``BABYSIT_DOWNLOAD=1`` does the same.

    Raises:
        DataError: absent, damaged or mislabelled; the message names the file and the fix.

    Example:
        >>> cifar10().train.x.shape  # doctest: +SKIP
        (49000, 3, 32, 32)

    Source: CS231n (2017) lecture 6; Krizhevsky (2009), "Learning Multiple Layers of Features from Tiny
    Images".
    """
    folder = Path(root).expanduser() if root is not None else data_root()
    place = _located(folder)
    if (place is None or not _is_complete(place)) and wanted(download):
        fetch("cifar10", folder)
        _unpack(folder / ARCHIVES[0], folder / FOLDER)
        place = folder / FOLDER
    if place is None:
        raise DataError(f"CIFAR-10 was not found in {folder}", fix=FIX)
    if place.is_dir():
        batches = {name: read(place / name, _batch, kind="a CIFAR-10 pickle", fix=FIX) for name in FILES}
    else:
        again = "name the CIFAR-10 python archive itself (.tar.gz or .tar.xz), or fetch it again"
        batches = read(place, _archived_batches, kind="a tar archive of CIFAR-10", fix=again)
    test = batches.pop("test_batch")
    train, held_out = hold_out_last(_joined(batches), val, "CIFAR-10")
    return validate(Dataset("cifar10", train, held_out, test, CLASSES)).preprocessed(preprocess)


def _located(root: Path) -> Path | None:
    """Finds the folder of pickles or the archive, a complete one if there is any; otherwise returns None."""
    if root.is_file():
        return root
    folders = [folder for folder in (root, root / FOLDER) if any((folder / name).exists() for name in FILES)]
    archives = [root / name for name in ARCHIVES if (root / name).is_file()]
    places = sorted([*folders, *archives], key=_is_complete, reverse=True)
    return places[0] if places else None


def _is_complete(place: Path) -> bool:
    return place.is_file() or all((place / name).exists() for name in FILES)


def _archived_batches(file: BinaryIO) -> dict[str, Split]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        found = {name: _batch(content) for name, content in _members(archive)}
    missing = [name for name in FILES if name not in found]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return found


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for member in archive:
        if member.size > LARGEST:  # files that are skipped must be unpacked, too
            raise ValueError(f"its file {member.name[:80]} has {member.size} bytes, too many for CIFAR-10")
        name = PurePosixPath(member.name).name
        content = archive.extractfile(member) if member.isfile() and name in FILES else None
        if content is not None:
            yield name, content  # type: ignore[misc]  # IO[bytes] reads like a BinaryIO


def _batch(file: BinaryIO) -> Split:
    content = load_arrays(file)
    missing = [key for key in ("data", "labels") if key not in content]
    if missing:
        raise ValueError(f"it holds no {' and no '.join(missing)}; it has {', '.join(content) or 'nothing'}")
    x, labels = content["data"], content["labels"]
    # Checked before np.asarray, which would expand lists that hold each other.
    are_whole = isinstance(labels, list | tuple) and all(type(label) is int for label in labels)
    if not isinstance(labels, np.ndarray) and not are_whole:
        raise ValueError("its labels are not integers from 0 to 9")
    y = np.asarray(labels)
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.shape[1:] != (3072,):
        raise ValueError("its images are not uint8 of shape [N, 3072]")
    if len(x) != len(y):
        raise ValueError(f"it has {len(x)} images but {len(y)} labels")
    if y.dtype.kind not in "iu" or y.ndim != 1 or (y < 0).any() or (y > 9).any():
        raise ValueError("its labels are not integers from 0 to 9")
    return Split(x.reshape(-1, 3, 32, 32), y.astype(np.int64))


def _joined(batches: dict[str, Split]) -> Split:
    """Joins the training batches; each is dropped once copied, so that memory holds few images twice."""
    x = np.empty((sum(map(len, batches.values())), 3, 32, 32), dtype=np.uint8)
    labels: list[Array] = []
    start = 0
    for name in TRAINING_FILES:
        batch = batches.pop(name)
        x[start : start + len(batch)] = np.asarray(batch.x)
        start += len(batch)
        labels.append(batch.y)
    return Split(x, np.concatenate(labels))


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def unpack(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="r:*") as opened:
            for name, content in _members(opened):
                # Renamed when whole, so that a second process never reads half a file.
                part = folder / f".{name}.{os.getpid()}"
                part.write_bytes(content.read())
                part.replace(folder / name)

    read(archive, unpack, kind="a tar archive of CIFAR-10", fix="remove it and fetch it again")
