"""Precisions of matrix products, as contexts that restore torch's switches; and flushing of denormals.

Weights, updates, losses and costs are always float32; a precision concerns the factors of the products in
the forward and backward pass. bfloat16 has float32's range with 8 bits of precision, so no loss scaling is
needed. It is faster where the processor multiplies it in hardware (AMX, AVX512-BF16, tensor cores); elsewhere
there is no gain, and ``remark`` says so.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch

from babysit.errors import InputError

FLOAT32 = "float32"
AUTO = "auto"
WORTHWHILE = 1.2
"""``auto`` replaces float32 if a matrix product becomes at least this many times as fast."""

# torch's type stubs lack some attributes of these modules.
_CUDA: Any = torch.backends.cuda
_ONEDNN: Any = torch.backends.mkldnn

_GEMM = (128, 1024, 768)
"""Rows, depth and columns of the timed product: about a batch, an image and a population."""


class Precision(NamedTuple):
    """One precision, as a set of switches.

    Attributes:
        name: the name used on the command line.
        matmul: torch's precision of float32 matrix products, "highest" or "medium".
        autocast: the type that the forward pass is cast to; None leaves it in float32.
        about: a description.
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
"""Every name that is accepted."""


def precision_named(name: str, device: str = "cpu") -> Precision:
    """Returns the precision of that name; ``auto`` is the fastest worthwhile one on this device.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: "cpu" or "cuda". Default: "cpu".

    Raises:
        InputError: there is none; the message lists the names.

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
    """Runs a block with float32 matrix products of a precision, and restores torch's switches afterwards.

    The switches belong to the process, not to the thread.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: for ``auto``. Default: "cpu".

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
    conv, older, newer = _ONEDNN.conv.fp32_precision, _older(), _newer()
    try:
        torch.set_float32_matmul_precision(chosen.matmul)
        # torch's switch for products does not apply to convolutions.
        _ONEDNN.conv.fp32_precision = "bf16" if chosen.matmul == "medium" else "ieee"
        yield
    finally:
        torch.set_float32_matmul_precision(older)
        _set_newer(*newer)
        _ONEDNN.conv.fp32_precision = conv


def forward_context(name: str, device: str = "cpu") -> AbstractContextManager[None]:
    """Returns the context of a forward pass: torch.autocast for ``bfloat16``, a null context otherwise.

    The outputs may be bfloat16: the loss needs ``outputs.float()``. The backward pass needs no context.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: the device type of the tensors. Default: "cpu".

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
    """Describes the gain of a precision on this machine, in one line; "" for ``float32``.

    Args:
        name: one of ``PRECISION_NAMES``.
        device: "cpu" or "cuda". Default: "cpu".

    Raises:
        InputError: for an unknown name.
    """
    chosen = precision_named(name, device)
    if name == AUTO:
        reason = "this processor has no matrix units"
        if has_matrix_units(device):
            verdict = "" if _pays("medium", device) else f", less than {WORTHWHILE}"
            reason = f"medium makes matrix products {gain('medium', device):.1f} x as fast here{verdict}"
        return f"auto chose {chosen.name}: {reason}"
    if chosen.name == FLOAT32:
        return ""
    if has_matrix_units(device):
        return f"{name}: matrix products {gain(name, device):.1f} x as fast as float32's, measured here"
    does = "medium computes like float32" if name == "medium" else "bfloat16 rounds and is no faster"
    return f"this processor has no matrix units: {does}, use float32"


def _pays(name: str, device: str) -> bool:
    # Without matrix units a ratio above one is measurement noise.
    return has_matrix_units(device) and gain(name, device) >= WORTHWHILE


def has_matrix_units(device: str = "cpu") -> bool:
    """Tells whether the device multiplies bfloat16 or TensorFloat32 in hardware (AMX, AVX512-BF16, Arm BF16).

    Example:
        >>> isinstance(has_matrix_units(), bool)
        True
    """
    if device.startswith("cuda"):
        return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
    return any("bf16" in name and bool(has) for name, has in _capabilities().items())


def _capabilities() -> dict[str, Any]:
    """Reads the processor's capabilities by name; torch before 2.13 reports only two of them."""
    if hasattr(torch.cpu, "get_capabilities"):
        return dict(torch.cpu.get_capabilities())
    return {
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
    }


@cache
def gain(name: str, device: str = "cpu") -> float:
    """Measures the speed of a matrix product relative to float32, once per process, in about 50 ms.

    Args:
        name: one of ``PRECISIONS``.
        device: "cpu" or "cuda". Default: "cpu".
    """
    x, w = (torch.rand(shape, device=device) for shape in (_GEMM[:2], _GEMM[1:]))
    times = {FLOAT32: float("inf"), name: float("inf")}
    for _ in range(8):  # in turn, so that a busy moment of the machine does not affect one of them only
        for each in times:
            with precise(each), forward_context(each, device):
                started = time.perf_counter()
                (x @ w).sum().item()  # reading the sum makes a GPU finish before the clock stops
                times[each] = min(times[each], time.perf_counter() - started)
    return times[FLOAT32] / times[name]


_AGREEING = (("none", "none"), ("tf32", "tf32"), ("tf32", "bf16"))
"""torch's newer switches (CUDA, oneDNN) that agree with its older "highest", "high" and "medium"."""


def _older() -> str:
    """Reads torch's older switch, which raises while the newer ones disagree: they are set to agree first."""
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


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flushes numbers below 1e-38 to zero inside: they make a step eight times as slow and change nothing.

    The switch belongs to the thread, hence to the caller, so it is restored.
    """
    was_flushed = sys.float_info.min * 0.5 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushed)
