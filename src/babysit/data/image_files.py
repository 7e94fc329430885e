"""Image files as rows: decoded on demand in every epoch, or once into a file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babysit.data.files import read
from babysit.data.mapped import Mapped
from babysit.data.prefetch import PIECE_VALUES, pieces
from babysit.data.rows import Array, Rows
from babysit.errors import DataError

_DRAFT = 2  # a JPEG is decoded at the smallest of its own scales that is at least this many times the size


class ImageFiles(Rows):
    """Images [N, channels, height, width] of uint8, each decoded on demand. Needs Pillow.

    Args:
        paths: the files.
        size: (height, width) that every image is resized to; None: all must have the first one's size.
        grayscale: one channel (luma) instead of three.

    Raises:
        DataError: the first image cannot be read.
    """

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None, *, grayscale: bool) -> None:
        self.paths, self._size, self._mode = list(paths), size, "L" if grayscale else "RGB"
        first = _image(self.paths[0], size, self._mode)
        self.shape, self.dtype = (len(self.paths), *first.shape), first.dtype

    def read(self, numbers: Array) -> Array:
        """Decodes the images of these numbers; see ``Rows.read``."""
        found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        for place, number in enumerate(numbers.tolist()):
            image = _image(self.paths[number], self._size, self._mode)
            if image.shape != self.shape[1:]:
                this, first = (f"{height} x {width}" for _, height, width in (image.shape, self.shape[1:]))
                problem = (
                    f"{self.paths[number]} is {this} pixels (height x width), but {self.paths[0]} is {first}"
                )
                fix = f"pass size=({self.shape[2]}, {self.shape[3]}) to resize them all"
                raise DataError(problem, fix=fix)
            found[place] = image
        return found

    def digest(self) -> str:
        """Computes 16 hexadecimal digits from the files' names, sizes and times and from the decoding
        options.
        """
        hashed = hashlib.sha256(repr((self.shape, self._size, self._mode)).encode())
        for path in self.paths:
            status = path.stat()
            hashed.update(f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return hashed.hexdigest()[:16]


def decoded_once(images: ImageFiles, folder: Path, name: str) -> Mapped:
    """Decodes the images into rows of an ``.npy`` file, unless that file exists already.

    Its name holds a digest of the image files, so other files or another size get another one. It appears
    only when it is complete.

    Args:
        images: the images to decode.
        folder: of the file; created if absent.
        name: the beginning of the file's name.

    Raises:
        DataError: an image cannot be read, or the folder cannot be written.
    """
    path = folder / f"{name}-{images.digest()}.npy"
    try:
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _decode_into(images, path)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise DataError(problem, fix="name a folder with room as cache=, or leave it out") from error
    return Mapped(path)


def _decode_into(images: ImageFiles, path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        try:
            header = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
            np.lib.format.write_array_header_2_0(file, header)
            for piece in pieces(images, max(1, PIECE_VALUES * len(images) // images.size)):
                file.write(piece.data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _image(path: Path, size: tuple[int, int] | None, mode: str) -> Array:
    """Decodes one image as uint8 [channels, height, width]."""
    try:
        pillow: Any = import_module("PIL.Image")
    except ImportError as error:
        raise DataError("reading images needs Pillow", fix="pip install pillow") from error

    def parse(file: BinaryIO) -> Array:
        with pillow.open(file) as opened:
            if size is not None:
                opened.draft(None, (_DRAFT * size[1], _DRAFT * size[0]))
            image = opened.convert(mode)
        if size is not None:
            image = image.resize((size[1], size[0]), pillow.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.uint8)
        return pixels[None] if mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    return read(path, parse, kind="an image", fix="save the image again, or remove the file")
