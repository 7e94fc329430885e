"""Damage to bytes: flips, cuts, splices, and numbers that promise too much where a length may stand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_PROMISES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_KINDS = ("flip", "cut", "drop", "repeat", "splice", "insert", "promise", "zeros")


@st.composite
def damaged(draw: st.DrawFn, originals: Sequence[bytes], most: int = 4) -> bytes:
    """One of the originals after one to ``most`` kinds of damage."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(_KINDS))
        at = draw(st.integers(0, len(data)))
        if draw(st.booleans()):
            at = min(at, draw(st.integers(0, 64)))  # headers stand at the beginning
        end = min(len(data), at + draw(st.integers(1, 16)))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at:end]
        elif kind == "repeat":
            data[at:at] = data[at:end] * draw(st.integers(1, 50))
        elif kind == "splice":
            other = draw(st.sampled_from(originals))
            start = draw(st.integers(0, len(other)))
            data[at:end] = other[start : start + draw(st.integers(0, 200))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif kind == "promise":
            data[at : at + 8] = draw(_promises)
        elif kind == "zeros":
            data[at:end] = bytes(end - at)
    return bytes(data)


@st.composite
def _promise(draw: st.DrawFn) -> bytes:
    width = draw(st.sampled_from(sorted(_WIDTHS)))
    number = draw(st.sampled_from(_PROMISES)) % 2 ** (8 * width)
    return struct.pack(draw(st.sampled_from("<>")) + _WIDTHS[width], number)


_promises: SearchStrategy[bytes] = _promise()
