"""Seeding by name: every random stream is derived from one seed and a path of names.

A stream depends on its seed and its path only, so trial 7 draws the same numbers whether it trains alone,
as member 3 of a population, or in another process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *path: str | int) -> int:
    """Derives a 63-bit seed for the stream named by ``path``.

    Args:
        seed: the run's one seed, any integer.
        path: names and numbers that identify the stream, e.g. ``("trial", 7, "weights")``.

    Returns:
        An integer in [0, 2**63).

    Example:
        >>> derive(0, "trial", 7) == derive(0, "trial", 7)
        True
        >>> derive(0, "trial", 7) == derive(0, "trial", 8)
        False
    """
    text = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """Creates a NumPy generator for the stream named by ``path``.

    Example:
        >>> bool(numpy_generator(0, "order").random() == numpy_generator(0, "order").random())
        True
    """
    return np.random.default_rng(derive(seed, *path))


@contextmanager
def seeded(seed: int, *path: str | int) -> Iterator[None]:
    """Runs a block with torch's global generators seeded by ``path``, and restores their state afterwards.

    Example:
        >>> with seeded(0, "weights"):
        ...     first = torch.rand(1)
        >>> with seeded(0, "weights"):
        ...     bool(torch.rand(1) == first)
        True
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, *path))
        yield


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restores torch's global random state after a block.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with preserved_random_state():
        ...     _ = torch.rand(3)
        >>> before = torch.rand(1)
        >>> _ = torch.manual_seed(0)
        >>> bool(torch.rand(1) == before)
        True
    """
    with torch.random.fork_rng():
        yield
