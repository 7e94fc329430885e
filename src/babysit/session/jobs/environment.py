"""Where a study ran: versions and the processor, written down as it begins."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

_PROCESSORS = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Versions of what computes, the system, and the processor with its cores.

    Example:
        >>> list(environment())
        ['babysit', 'python', 'torch', 'system', 'processor', 'threads']
    """
    return {
        "babysit": version("babysit"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
