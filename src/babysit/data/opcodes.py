"""A look through a pickle before it is run: a few bytes of it can ask for gigabytes, or for years."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterator

_ALLOWED = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2",
    "LONG", "LONG1", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "PUT",
    "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
}  # fmt: skip
"""What pickles of dictionaries of arrays, numbers and texts are made of, in every protocol."""

_LINES = pickletools.UP_TO_NEWLINE
_PREFIXES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_LENGTHS = {ord(op.code): op.arg.n if op.arg else 0 for op in pickletools.opcodes if op.name in _ALLOWED}
"""Opcode -> how long its argument is, or how that is told."""
_NAMES = {ord(op.code): op.name for op in pickletools.opcodes}
_PUTS = {code for code, name in _NAMES.items() if name.endswith("PUT") or name == "MEMOIZE"}
_GETS = {code for code, name in _NAMES.items() if name.endswith("GET")}
_TUPLES = {code for code, name in _NAMES.items() if "TUPLE" in name}
_GLOBAL, _STOP = ord("c"), ord(".")

_MOST_REPEATED = 16


def check_opcodes(content: bytes) -> None:
    """Refuses a pickle that would take memory or time out of all proportion to its size.

    Three ways are known: a length that is longer than the pickle; a place in its memo so high that the memo
    fills memory; and tuples that hold each other twice over forty levels, whose hash is computed 2^40 times.

    Args:
        content: the pickle.

    Raises:
        pickle.UnpicklingError: it is one of these, or damaged, or made of anything but data.

    Example:
        >>> check_opcodes(pickle.dumps({"labels": [1, 2]}))
        >>> check_opcodes(b"Nr\\xff\\xff\\xff\\xff.")
        Traceback (most recent call last):
        _pickle.UnpicklingError: it asks for place 4294967295 in a memo, but has 7 bytes
    """
    tuples: set[int] = set()
    places: set[int] = set()
    repeated = before = 0
    for code, start, end in _opcodes(content):
        if code in _PUTS:
            place = _place(code, content[start:end], len(places))
            if not 0 <= place <= len(content):
                raise pickle.UnpicklingError(
                    f"it asks for place {place} in a memo, but has {len(content)} bytes"
                )
            places.add(place)
            (tuples.add if before in _TUPLES else tuples.discard)(place)
        elif code in _GETS and _place(code, content[start:end], -1) in tuples:
            repeated += 1
            if repeated > _MOST_REPEATED:
                raise pickle.UnpicklingError("it holds the same tuples again and again")
        before = code


def _opcodes(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Every opcode with the beginning and the end of its argument."""
    at, size = 0, len(content)
    while at < size:
        code = content[at]
        at += 1
        length = _LENGTHS.get(code)
        if length is None:
            raise pickle.UnpicklingError(
                f"it holds {_NAMES.get(code, hex(code))}, as no pickle of arrays does"
            )
        end = at + length
        if length == _LINES:
            end = content.find(b"\n", at) + 1
            if code == _GLOBAL and end:
                end = content.find(b"\n", end) + 1
        elif length < 0:
            prefix = _PREFIXES[length]
            end = at + prefix + int.from_bytes(content[at : at + prefix], "little")
        if not at <= end <= size:
            raise pickle.UnpicklingError(f"it ends within its {_NAMES[code]}")
        yield code, at, end
        if code == _STOP:
            return
        at = end


def _place(code: int, argument: bytes, following: int) -> int:
    """The place in the memo that an opcode names: in digits, in bytes, or the one that follows."""
    if _LENGTHS[code] == _LINES:
        return int(argument) if argument[:-1].isdigit() else -1
    return int.from_bytes(argument, "little") if argument else following
