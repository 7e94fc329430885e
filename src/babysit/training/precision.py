"""How exactly matrix products are computed: a table of precisions, and contexts that put everything back.

Weights, updates, losses and costs are float32 in every row of the table. What changes is what the products of
the forward and backward pass are computed from. bfloat16 has float32's range with 8 bits of precision, which
is why no loss scaling is needed. It pays where the processor multiplies it in hardware (AMX, AVX512-BF16,
tensor cores); elsewhere there is nothing to gain, and ``remark`` says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch

from babysit.errors import InputError

FLOAT32 = "float32"
AUTO = "auto"
WORTHWHILE = 1.2
"""``auto`` leaves float32 where a matrix product becomes at least this many times as fast."""

# torch's own types know these as modules without the attributes that they have.
_CUDA: Any = torch.backends.cuda
_ONEDNN: Any = torch.backends.mkldnn

_GEMM = (128, 1024, 768)
"""Rows, depth and columns of the product that is timed: about a batch, an image and a population."""


class Precision(NamedTuple):
    """One precision as the switches it stands for.

    Attributes:
        name: the name used on the command line.
        matmul: torch's precision of float32 matrix products, "highest" or "medium".
        autocast: what the forward pass is cast to; None leaves it in float32.
        about: what it does, in words.
    """

    name: str
    matmul: str
    autocast: torch.dtype | None
    about: str


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision(FLOAT32, "highest", None, "everything in float32"),
        Precision(
            "medium",
            "medium",
            None,
            "float32 tensors whose matrix products and convolutions may be computed from bfloat16 factors "
            "(TensorFloat32 on a GPU), summed in float32",
        ),
        Precision(
            "bfloat16",
            "highest",
            torch.bfloat16,
            "forward and backward pass in bfloat16 where torch.autocast holds it safe; weights, update and "
            "loss in float32",
        ),
    )
}

PRECISION_NAMES = (*PRECISIONS, AUTO)
"""Every name that may be asked for."""


def precision_named(name: str, device: str = "cpu") -> Precision:
    """The precision of that name; ``auto`` is the one that pays on this device.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: "cpu" or "cuda", default "cpu".

    Raises:
        InputError: when there is none; the message lists the names.

    Example:
        >>> precision_named("medium").matmul
        'medium'
        >>> precision_named("float16")
        Traceback (most recent call last):
        babysit.errors.InputError: there is no precision named 'float16'
          fix: use one of float32, medium, bfloat16, auto
    """
    if name == AUTO:
        return PRECISIONS["medium" if _pays("medium", device) else FLOAT32]
    if name not in PRECISIONS:
        raise InputError(
            f"there is no precision named {name!r}", fix=f"use one of {', '.join(PRECISION_NAMES)}"
        )
    return PRECISIONS[name]


@contextmanager
def precise(name: str, device: str = "cpu") -> Iterator[None]:
    """Runs a block with float32 matrix products of a precision, and puts torch's switches back afterwards.

    The switches belong to the process, not to the thread.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: for ``auto``, default "cpu".

    Raises:
        InputError: for an unknown name.

    Example:
        >>> with precise("medium"):
        ...     torch.get_float32_matmul_precision()
        'medium'
        >>> torch.get_float32_matmul_precision()
        'highest'

    Source: torch.set_float32_matmul_precision and its note on oneDNN's bfloat16 products.
    """
    chosen = precision_named(name, device)
    with _switches_restored():
        torch.set_float32_matmul_precision(chosen.matmul)
        # torch's one switch for products leaves convolutions alone.
        _ONEDNN.conv.fp32_precision = "bf16" if chosen.matmul == "medium" else "ieee"
        yield


def forward_context(name: str, device: str = "cpu") -> AbstractContextManager[None]:
    """What a forward pass runs in: torch.autocast for ``bfloat16``, nothing otherwise.

    The outputs may be bfloat16: the loss wants ``outputs.float()``. The backward pass needs no context.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: the device type of the tensors, default "cpu".

    Raises:
        InputError: for an unknown name.

    Example:
        >>> with forward_context("bfloat16"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.bfloat16
    """
    chosen = precision_named(name, device)
    if chosen.autocast is None:
        return contextlib.nullcontext()
    autocast: AbstractContextManager[None] = torch.autocast(device, dtype=chosen.autocast)
    return autocast


def remark(name: str, device: str = "cpu") -> str:
    """What the precision brings on this machine, in one line; empty for ``float32``, which needs no word.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: "cpu" or "cuda", default "cpu".

    Raises:
        InputError: for an unknown name.
    """
    chosen = precision_named(name, device)
    if name == AUTO:
        return f"auto chose {chosen.name}: {_reason(device)}"
    if chosen.name == FLOAT32:
        return ""
    if has_matrix_units(device):
        return f"{name}: matrix products {gain(name, device):.1f} x as fast as float32's, measured here"
    does = "medium computes like float32" if name == "medium" else "bfloat16 rounds and is no faster"
    return f"this processor has no matrix units: {does}, use float32"


def _reason(device: str) -> str:
    if not has_matrix_units(device):
        return "this processor has no matrix units"
    verdict = "" if _pays("medium", device) else f", less than {WORTHWHILE}"
    return f"medium makes matrix products {gain('medium', device):.1f} x as fast here{verdict}"


def _pays(name: str, device: str) -> bool:
    # Without the units a ratio above one is the noise of a busy machine.
    return has_matrix_units(device) and gain(name, device) >= WORTHWHILE


def has_matrix_units(device: str = "cpu") -> bool:
    """True where the device multiplies bfloat16 (or TensorFloat32) in hardware: AMX, AVX512-BF16, Arm's BF16.

    Example:
        >>> isinstance(has_matrix_units(), bool)
        True
    """
    if device.startswith("cuda"):
        return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
    return any("bf16" in name and bool(has) for name, has in _capabilities().items())


def _capabilities() -> dict[str, Any]:
    """What the processor can do, by name; torch before 2.13 tells less."""
    if hasattr(torch.cpu, "get_capabilities"):
        return dict(torch.cpu.get_capabilities())
    return {
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
    }


@cache
def gain(name: str, device: str = "cpu") -> float:
    """How many times as fast as in float32 one matrix product is; measured once per process, in about 50 ms.

    Args:
        name: one of ``PRECISIONS``.
        device: "cpu" or "cuda", default "cpu".
    """
    x, w = (torch.rand(shape, device=device) for shape in (_GEMM[:2], _GEMM[1:]))
    times = {FLOAT32: float("inf"), name: float("inf")}
    for _ in range(8):  # in turn, so that a busy moment does not fall on one of them only
        for each in times:
            with precise(each), forward_context(each, device):
                # The sum is read, so that a GPU has finished when the clock stops.
                times[each] = min(times[each], _seconds(lambda: (x @ w).sum().item()))
    return times[FLOAT32] / times[name]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


_AGREEING = (("none", "none"), ("tf32", "tf32"), ("tf32", "bf16"))
"""What torch's newer switches (CUDA, oneDNN) say where its older one says "highest", "high", "medium"."""


@contextmanager
def _switches_restored() -> Iterator[None]:
    """Puts back whatever torch's switches of float32 precision were, its older interface's and its newer."""
    conv, older, newer = _ONEDNN.conv.fp32_precision, _older(), _newer()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older)
        _set_newer(*newer)
        _ONEDNN.conv.fp32_precision = conv


def _older() -> str:
    """The older switch. Torch refuses to read it where the newer ones disagree, so they are made to agree."""
    newer = _newer()
    try:
        for agreeing in (newer, *_AGREEING):
            _set_newer(*agreeing)
            with contextlib.suppress(RuntimeError):
                return torch.get_float32_matmul_precision()
    finally:
        _set_newer(*newer)
    return "highest"


def _newer() -> tuple[str, str]:
    return _CUDA.matmul.fp32_precision, _ONEDNN.matmul.fp32_precision


def _set_newer(cuda: str, onednn: str) -> None:
    _CUDA.matmul.fp32_precision = cuda
    _ONEDNN.matmul.fp32_precision = onednn
