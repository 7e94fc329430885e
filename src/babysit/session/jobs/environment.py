"""The environment of a study: versions and the processor, recorded at its start."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

_PROCESSORS = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Returns the versions of Python, babysit and PyTorch, the system, and the processor with its cores.

    Example:
        >>> list(environment())
        ['babysit', 'python', 'torch', 'system', 'processor', 'threads']
    """
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    return {
        "babysit": version("babysit"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor}, {os.cpu_count()} cores",
        "threads": str(torch.get_num_threads()),
    }
