"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28 pixels in idx files."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from babysit.data.dataset import Dataset, Split
from babysit.data.downloads import fetch, wanted
from babysit.data.files import data_root, read
from babysit.data.preprocessing import Array, Transformer
from babysit.data.validity import validate
from babysit.errors import DataError

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGIT_CLASSES = tuple(str(digit) for digit in range(10))
PARTS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
UNSIGNED_BYTE = 0x08
DEFLATED_MOST = 1032
"""Most bytes that one deflated byte stands for."""
COUNTED = 2**16
"""Most bytes after the promised values that are unpacked and counted."""
LARGEST = 2**30
"""Most values of one file; the largest data set of this kind, EMNIST by class, has two thirds of them."""


def fashion_mnist(
    root: str | Path | None = None,
    *,
    preprocess: Sequence[Transformer] = (),
    val: int = 5000,
    download: bool = False,
) -> Dataset:
    """Loads Fashion-MNIST: uint8 images [N, 1, 28, 28] in 0-255, ten kinds of clothing.

    Args:
        root: the folder of the four idx files (gzipped or not), or one that holds it as ``fashion-mnist``.
            Default: the data root (``BABYSIT_DATA``, else ``~/.cache/babysit``).
        preprocess: steps, fitted on the training split only.
        val: the number of last training rows that validate. Default: 5000.
        download: fetch it (30 MB) if it is absent; ``BABYSIT_DOWNLOAD=1`` does the same.

    Raises:
        DataError: absent, damaged or mislabelled; the message names the file and the fix.

    Example:
        >>> fashion_mnist().train.x.shape  # doctest: +SKIP
        (55000, 1, 28, 28)

    Source: Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms".
    """
    folder = _folder(root, ("fashion-mnist", "FashionMNIST/raw"), download)
    return _dataset("fashion-mnist", folder, FASHION_CLASSES, val, preprocess)


def mnist(
    root: str | Path | None = None,
    *,
    preprocess: Sequence[Transformer] = (),
    val: int = 5000,
    download: bool = False,
) -> Dataset:
    """Loads MNIST: uint8 images [N, 1, 28, 28] in 0-255, handwritten digits.

    Args:
        root: the folder of the four idx files (gzipped or not), or one that holds it as ``mnist``.
            Default: the data root (``BABYSIT_DATA``, else ``~/.cache/babysit``).
        preprocess: steps, fitted on the training split only.
        val: the number of last training rows that validate. Default: 5000.
        download: fetch it (11 MB) if it is absent; ``BABYSIT_DOWNLOAD=1`` does the same.

    Raises:
        DataError: absent, damaged or mislabelled; the message names the file and the fix.

    Example:
        >>> mnist().train.x.shape  # doctest: +SKIP
        (55000, 1, 28, 28)

    Source: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-Based Learning Applied to Document
    Recognition".
    """
    folder = _folder(root, ("mnist", "MNIST/raw"), download)
    return _dataset("mnist", folder, DIGIT_CLASSES, val, preprocess)


def hold_out_last(rows: Split, val: int, name: str) -> tuple[Split, Split]:
    """Splits rows into (train, val), where the last ``val`` rows validate; both are views.

    Raises:
        DataError: ``val`` leaves one of the two empty.

    Example:
        >>> train, val = hold_out_last(Split(np.zeros((5, 2)), np.arange(5)), 2, "mine")
        >>> train.y.tolist(), val.y.tolist()
        ([0, 1, 2], [3, 4])
    """
    if not 0 < val < len(rows):
        problem = f"{name} has {len(rows)} training rows, so val={val} is impossible"
        raise DataError(problem, fix=f"choose val between 1 and {len(rows) - 1}")
    cut = len(rows) - val
    return Split(rows.x[:cut], rows.y[:cut]), Split(rows.x[cut:], rows.y[cut:])


def parse_idx(file: BinaryIO) -> Array:
    """Reads the array in an idx file of unsigned bytes, gzipped or not.

    The format: bytes 0, 0, type, number of dimensions; then each dimension as a big-endian 32-bit integer;
    then the values.

    Args:
        file: open for reading bytes.

    Returns:
        uint8, in the file's shape.

    Raises:
        ValueError: wrong first bytes, more or fewer values than the header says, or more than could be.
    """
    content = file.read()
    packed = content[:2] == b"\x1f\x8b"
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != UNSIGNED_BYTE or start[3] not in (1, 3):
        raise ValueError(f"its first bytes are {start.hex(' ') or 'absent'}, not 00 00 08 01 or 00 00 08 03")
    sizes = stream.read(4 * start[3])
    if len(sizes) != 4 * start[3]:
        raise ValueError("it ends within its header")
    shape = tuple(np.frombuffer(sizes, dtype=">u4").tolist())
    promised = math.prod(shape)
    # The header's promise is checked before anything is unpacked: a small file may hold gigabytes of zeros.
    if promised > min(LARGEST, len(content) * (DEFLATED_MOST if packed else 1)):
        raise ValueError(
            f"its header says shape {list(shape)}, which a file of {len(content)} bytes cannot hold"
        )
    values = stream.read(promised + COUNTED)
    if len(values) != promised:
        count = f"{len(values)} bytes" if len(values) < promised + COUNTED else "many more bytes"
        raise ValueError(f"its header says shape {list(shape)}, but {count} of values follow")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _folder(root: str | Path | None, subfolders: tuple[str, ...], download: bool) -> Path:
    """Finds the folder of the set's files, downloaded if requested; without any file, the folder to put them
    in.
    """
    # The data root holds several sets with equal file names, so there only its subfolders count.
    base = Path(root).expanduser() if root is not None else data_root()
    candidates = [*([base] if root is not None else []), *(base / name for name in subfolders)]
    found = [folder for folder in candidates if len(_absent(folder)) < len(PARTS)]
    folder = found[0] if found else base / subfolders[0]
    if _absent(folder) and wanted(download):
        fetch(subfolders[0], folder)
    return folder


def _absent(folder: Path) -> list[str]:
    return [f"{part}.gz" for part in PARTS if not _file(folder, part).exists()]


def _file(folder: Path, part: str) -> Path:
    """Picks the gzipped file, or the plain one if only that exists."""
    plain, packed = folder / part, folder / f"{part}.gz"
    return plain if plain.exists() and not packed.exists() else packed


def _dataset(
    name: str, folder: Path, classes: tuple[str, ...], val: int, preprocess: Sequence[Transformer]
) -> Dataset:
    absent = _absent(folder)
    if absent:
        fix = (
            f"put {', '.join(absent)} into {folder}, point root= or BABYSIT_DATA elsewhere, "
            "or let it be fetched with download=True or BABYSIT_DOWNLOAD=1"
        )
        raise DataError(f"{name} is not complete in {folder}", fix=fix)
    train = _images_and_labels(_file(folder, PARTS[0]), _file(folder, PARTS[1]))
    test = _images_and_labels(_file(folder, PARTS[2]), _file(folder, PARTS[3]))
    train, held_out = hold_out_last(train, val, name)
    return validate(Dataset(name, train, held_out, test, classes)).preprocessed(preprocess)


def _images_and_labels(images: Path, labels: Path) -> Split:
    again = "fetch the file again, or take it from another mirror"
    x = read(images, parse_idx, kind="an idx file of images", fix=again)
    y = read(labels, parse_idx, kind="an idx file of labels", fix=again)
    if x.ndim != 3 or y.ndim != 1:
        problem = f"{images} has shape {list(x.shape)} and {labels} has {list(y.shape)}"
        raise DataError(problem, fix="images need shape [N, rows, columns] and labels [N]: are they swapped?")
    if len(x) != len(y):
        problem = f"{images} has {len(x)} images but {labels} has {len(y)} labels"
        raise DataError(problem, fix="take both files from the same data set")
    if len(y) and y.max() > 9:
        row = int(np.argmax(y > 9))
        raise DataError(
            f"{labels} has label {y[row]} in row {row} (from 0), but labels go from 0 to 9", fix=again
        )
    return Split(x[:, None], y.astype(np.int64))
