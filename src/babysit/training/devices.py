"""Devices that populations train on: a CPU, or an NVIDIA GPU through CUDA."""

from __future__ import annotations

import torch

from babysit.errors import InputError

AUTO = "auto"


def device_named(name: str) -> str:
    """Returns the device of that name after a check that it exists; ``auto`` is the GPU if there is one.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:1".

    Returns:
        The name as torch spells it.

    Raises:
        InputError: for an unknown name, or a GPU that torch does not see.

    Example:
        >>> device_named("cpu")
        'cpu'
        >>> device_named("tpu")
        Traceback (most recent call last):
        babysit.errors.InputError: there is no device named 'tpu'
          fix: use auto, cpu, cuda or cuda:N
    """
    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise InputError(f"there is no device named {name!r}", fix="use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        seen = f"torch sees {count} of them" if count else "torch sees no GPU"
        raise InputError(f"the device {name} is not there: {seen}", fix="use --device cpu")
    return name
