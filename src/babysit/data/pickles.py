"""Reader of pickles that hold only numbers, text, containers and NumPy arrays; nothing in them is ever run.

A pickle is a program, and a downloaded one may be hostile. Stand-ins that only collect bytes, a type and a
shape replace the names that NumPy's pickles refer to. Every other name is refused.
"""

from __future__ import annotations

import io
import os
import pickle
import re
from typing import Any, BinaryIO

import numpy as np

from babysit.data.preprocessing import Array

LARGEST = 2**28
"""Most bytes of one file that are read; no file of CIFAR-10 has an eighth of them."""


class _PickledType:
    """Stand-in for ``numpy.dtype``: plain numbers only, so no type can smuggle in objects or fields."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not re.fullmatch(r"[buif]\d{1,2}", text):
            raise pickle.UnpicklingError(f"arrays of type {text!r} are not read from pickles")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _PickledArray:
    """Stand-in for ``numpy.ndarray``: its state becomes a view of bytes of the pickle."""

    values: Array

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, content = state
        self.values = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if columns_first else "C")


class _TextKeys(dict[str | bytes, Any]):
    """Dictionary that takes only text as keys: the hash of tuples that hold each other can take years."""

    def __setitem__(self, key: str | bytes, value: object) -> None:
        if not isinstance(key, str | bytes):
            raise pickle.UnpicklingError(f"it has a {type(key).__name__} as a key, not text")
        super().__setitem__(key, value)


class _ArrayUnpickler(pickle._Unpickler):
    """Unpickler that builds nothing but data.

    It is Python's own: the faster one in C allocates as much memory as the highest memo index asks for.
    """

    dispatch = {  # noqa: RUF012  # declared by the base class
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in (pickle.EMPTY_SET, pickle.FROZENSET)
    }
    # The loader of BYTEARRAY8 would allocate as many bytes as the pickle asks for.
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._encoded: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in for a name of NumPy's.

        None of them can be changed by a pickle: classes and methods refuse it, and the function is a new one.
        """
        match module.replace("numpy._core", "numpy.core"), name:  # the name since NumPy 2, and before
            case "numpy", "dtype":
                return _PickledType
            case "numpy", "ndarray":
                return _PickledArray
            case "numpy.core.multiarray", "_reconstruct":
                return lambda *_: _PickledArray()
            case "numpy.core.numeric", "_frombuffer":
                return self._from_buffer
            case "_codecs", "encode":
                return self._encode
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not allowed in a data file")

    def _from_buffer(
        self, content: bytes, kind: _PickledType, shape: tuple[int, ...], order: str
    ) -> _PickledArray:
        """Builds an array as protocol 5 describes it."""
        made = _PickledArray()
        made.__setstate__((1, shape, kind, order == "F", content))
        return made

    def _encode(self, text: str, encoding: str) -> bytes:
        """Returns the bytes that Python 3 writes as text in protocol 2; each text takes memory once."""
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("it encodes text in a codec that is not allowed in a data file")
        if text not in self._encoded:
            self._encoded[text] = text.encode("latin1")
        return self._encoded[text]

    def _load_dictionary(self: Any) -> None:
        items = self.pop_mark()
        self.append(_TextKeys())
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][key] = value

    def _load_empty_dictionary(self: Any) -> None:
        self.append(_TextKeys())

    dispatch[pickle.DICT[0]] = _load_dictionary
    dispatch[pickle.EMPTY_DICT[0]] = _load_empty_dictionary


def load_arrays(file: BinaryIO) -> dict[str, Any]:
    """Loads a pickled dictionary with text keys; NumPy arrays at its first level come out as arrays.

    Args:
        file: open for reading bytes; pickles of Python 2 are read too.

    Raises:
        ValueError: it is not a dictionary, or larger than ``LARGEST``.
        pickle.UnpicklingError: it is damaged, or refers to anything but numbers, containers and arrays.

    Example:
        >>> load_arrays(io.BytesIO(pickle.dumps({"labels": [1, 2]})))
        {'labels': [1, 2]}
    """
    size = file.seek(0, os.SEEK_END)
    if size > LARGEST:
        raise ValueError(f"it has {size} bytes, too many for such a file")
    file.seek(0)
    try:
        content = _ArrayUnpickler(file.read()).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # damage can make an unpickler raise anything
        raise pickle.UnpicklingError(f"it is damaged ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
    arrays = {}
    for key, value in content.items():
        name = key.decode("latin1") if isinstance(key, bytes) else key
        arrays[name] = value.values if isinstance(value, _PickledArray) else value
    return arrays
