"""Checkpoints that resume bit for bit: tensors as safetensors, other data as JSON inside, no pickle."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from babysit.errors import CheckpointError

_FORMAT = "babysit-checkpoint-1"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> None:
    """Writes a checkpoint atomically: a crash leaves the former file or the new one.

    Args:
        path: the file, usually ``*.safetensors``.
        tensors: name -> tensor.
        data: plain data; floats are restored exactly, NaN and infinity too.

    Raises:
        CheckpointError: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    text = json.dumps(data)
    metadata = {"format": _FORMAT, "data": text, "sum": _checksum(tensors, text)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, part, metadata)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}",
            fix="choose a folder that can be written and has room, with --out",
        ) from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint.

    Returns:
        The tensors and the plain data as they were given to ``save_checkpoint``.

    Raises:
        CheckpointError: the file is missing, damaged or not a babysit checkpoint.

    Example:
        >>> import tempfile, torch
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "weights.safetensors"
        >>> save_checkpoint(path, {"w": torch.ones(2)}, {"epoch": 3})
        >>> load_checkpoint(path)
        ({'w': tensor([1., 1.])}, {'epoch': 3})
        >>> folder.cleanup()
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}", fix="leave --resume out to start afresh")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is no babysit checkpoint", fix="give a file that babysit wrote")
    text = metadata.get("data", "")
    if metadata.get("sum", "") not in ("", _checksum(tensors, text)):  # an older babysit wrote none
        raise _damaged(path, "its bytes are not those that were written")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(data, dict):
        raise _damaged(path, "its data are no object")
    return tensors, data


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """Computes a checksum of a checkpoint, since a flipped bit in a weight would go unnoticed."""
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint {path} is damaged: {why}", fix="delete it and start afresh")
