"""In distributed training one process reports: all see the same losses, and eight reports are noise."""

from __future__ import annotations

import os

import torch


def rank() -> int:
    """This process's place among those that train together; 0 if it is alone.

    Example:
        >>> rank()
        0
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    told = os.environ.get("RANK", "0")
    return int(told) if told.isdigit() and "WORLD_SIZE" in os.environ else 0


def processes() -> int:
    """How many processes train together; 1 for one alone.

    Example:
        >>> processes()
        1
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    told = os.environ.get("WORLD_SIZE", "1")
    return int(told) if told.isdigit() and "RANK" in os.environ else 1
