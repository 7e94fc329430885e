"""Reading pickles that hold only numbers, text, containers and NumPy arrays; nothing in them is ever called.

A pickle is a program, and a downloaded one may be hostile. The names that NumPy's pickles refer to are
answered with stand-ins that only collect bytes, a type and a shape; every other name is refused. A small
pickle can also ask for much memory or time: ``opcodes`` looks through it first.
"""

from __future__ import annotations

import codecs
import io
import os
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from babysit.data.opcodes import check_opcodes
from babysit.data.preprocessing import Array

LARGEST = 2**28
"""No file of CIFAR-10 has an eighth of so many bytes."""


class _PickledType:
    """Stands in for ``numpy.dtype``: plain numbers only, so no type can smuggle in objects or fields."""

    def __init__(self, name: str | bytes, align: object = False, copy: object = False) -> None:
        self.dtype = np.dtype(name.decode("ascii") if isinstance(name, bytes) else name)
        if self.dtype.kind not in "buif":
            raise pickle.UnpicklingError(f"arrays of type {name!r} are not read from pickles")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _PickledArray:
    """Stands in for ``numpy.ndarray`` while its state is read."""

    values: Array

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, content = state
        self.values = _array(content, kind, shape, "F" if columns_first else "C").values


def _array(content: bytes, kind: _PickledType, shape: tuple[int, ...], order: Any) -> _PickledArray:
    made = _PickledArray()
    made.values = np.frombuffer(content, dtype=kind.dtype).reshape(shape, order=order)
    return made


def _empty(*_: object) -> _PickledArray:
    return _PickledArray()


class _Function:
    """A function that a pickle may call and, unlike Python's own, cannot set attributes of."""

    __slots__ = ("_called",)

    def __init__(self, called: Callable[..., Any]) -> None:
        self._called = called

    def __call__(self, *arguments: Any) -> Any:
        return self._called(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes what it refers to, which is not allowed in a data file")


CORES = ("numpy.core", "numpy._core")


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._unencoded = len(content)
        self._allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): _PickledArray,
            ("numpy", "dtype"): _PickledType,
            ("_codecs", "encode"): _Function(self._encode),
            **{(f"{core}.multiarray", "_reconstruct"): _Function(_empty) for core in CORES},
            **{(f"{core}.numeric", "_frombuffer"): _Function(_array) for core in CORES},
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not allowed in a data file")
        return self._allowed[module, name]

    def _encode(self, text: str, encoding: str | bytes) -> bytes:
        """How Python 3 writes bytes in protocol 2; only this one codec is ever used for it."""
        name = encoding.decode("ascii") if isinstance(encoding, bytes) else encoding
        if name != "latin1":
            raise pickle.UnpicklingError(f"codec {name!r} is not allowed")
        self._unencoded -= len(text)
        if self._unencoded < 0:  # one text again and again would fill memory
            raise pickle.UnpicklingError("it makes more bytes than it has")
        return codecs.encode(text, "latin1")


def load_arrays(file: BinaryIO) -> dict[str, Any]:
    """A pickled dictionary with text keys; NumPy arrays at its first level come out as arrays.

    Args:
        file: open for reading bytes; Python 2 pickles are read too.

    Raises:
        ValueError: it is no dictionary, or larger than ``LARGEST``.
        pickle.UnpicklingError: it is damaged, or refers to anything but numbers, containers and arrays.

    Example:
        >>> import io
        >>> load_arrays(io.BytesIO(pickle.dumps({"labels": [1, 2]})))
        {'labels': [1, 2]}
    """
    size = file.seek(0, os.SEEK_END)
    if size > LARGEST:
        raise ValueError(f"it has {size} bytes, too many for such a file")
    file.seek(0)
    packed = file.read()
    check_opcodes(packed)
    try:
        content = _ArrayUnpickler(packed).load()
    except MemoryError:  # Python's own word for frames that overlap, too
        told = f"it is damaged, or there is no memory for its {size} bytes"
        raise pickle.UnpicklingError(told) from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
    return {_text(key): _value(value) for key, value in content.items()}


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _value(value: object) -> object:
    return value.values if isinstance(value, _PickledArray) else value
