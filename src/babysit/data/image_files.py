"""Image files as rows: decoded when they are asked for, once, or once and for all into a file."""

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

_DRAFT = 2  # a JPEG is decoded at the smallest of its own scales that is at least so many times the size


class ImageFiles(Rows):
    """Images [N, channels, height, width] of uint8, each decoded when it is asked for. Needs Pillow.

    Args:
        paths: the files.
        size: (height, width) that every image is resized to; None: that of the first, which all must have.
        grayscale: one channel (luma) instead of three.

    Raises:
        DataError: the first image cannot be read.
    """

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None, *, grayscale: bool) -> None:
        self.paths, self._size, self._mode = list(paths), size, "L" if grayscale else "RGB"
        first = _image(self.paths[0], size, self._mode)
        self.shape, self.dtype = (len(self.paths), *first.shape), first.dtype

    def read(self, numbers: Array) -> Array:
        """See ``Rows.read``."""
        found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        for place, number in enumerate(numbers.tolist()):
            image = _image(self.paths[number], self._size, self._mode)
            self._refuse_other_size(self.paths[number], image)
            found[place] = image
        return found

    def digest(self) -> str:
        """Sixteen digits that change with the files' names, sizes, times, and with what is made of them."""
        told = hashlib.sha256(repr((self.shape, self._size, self._mode)).encode())
        for path in self.paths:
            status = path.stat()
            told.update(f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return told.hexdigest()[:16]

    def _refuse_other_size(self, path: Path, image: Array) -> None:
        expected = self.shape[1:]
        if image.shape != expected:
            this, first = (f"{height} x {width}" for _, height, width in (image.shape, expected))
            problem = f"{path} is {this} pixels (height x width), but {self.paths[0]} is {first}"
            raise DataError(problem, fix=f"pass size=({expected[1]}, {expected[2]}) to resize them all")


def decoded_once(images: ImageFiles, folder: Path, name: str) -> Mapped:
    """The images as rows of an ``.npy`` file, which is made if it is not there yet.

    Its name holds a digest of the image files, so that other files, or another size, make another one. It
    appears when it is whole.

    Args:
        images: what to decode.
        folder: where the file lies; made if absent.
        name: how the file's name begins.

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
    """One image as uint8 [channels, height, width]."""
    pillow = _pillow()

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


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise DataError("reading images needs Pillow", fix="pip install pillow") from error
