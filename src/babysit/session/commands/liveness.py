"""Liveness of the process that runs a study: a killed process leaves its study marked as running."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babysit.records import State, Study
from babysit.store.addresses import USUAL_FOLDER, store_in, without_password
from babysit.views.data.command_lines import study_words

PROCESS = "process"
"""The key of an unfinished study's outcome under which its process is described."""

_PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """Identifies this process by its machine, its number and its start time.

    A number alone is reused for other processes, after a while or a restart.

    Example:
        >>> is_gone(this_process())
        False
    """
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_gone(process: Mapping[str, Any]) -> bool:
    """Tells whether a process has certainly ended; for one of another machine the answer is no.

    Args:
        process: as :func:`this_process` describes it.

    Example:
        >>> is_gone({**this_process(), "started": "long ago"})
        True
        >>> is_gone({**this_process(), "started": "long ago", "machine": "another"})
        False
    """
    pid, started = process.get("pid"), process.get("started")
    if process.get("machine") != _machine() or not isinstance(pid, int) or not started:
        return False
    return _started(pid) != str(started)


def is_interrupted(study: Study) -> bool:
    """Tells whether a study is marked as running although its process has ended.

    Studies of earlier versions name no process and are never interrupted.
    """
    process = study.outcome.get(PROCESS)
    return study.state is State.RUNNING and isinstance(process, Mapping) and is_gone(process)


def running_elsewhere(study: Study) -> int:
    """Returns the number of another process of this machine that runs a study; 0 if none is known."""
    process = study.outcome.get(PROCESS)
    if study.state is not State.RUNNING or not isinstance(process, Mapping) or is_gone(process):
        return 0
    pid, known = process.get("pid"), process.get("machine") == _machine() and process.get("started")
    return pid if known and isinstance(pid, int) and pid != os.getpid() else 0


def resume_command(study: Study, url: str = "", folder: Path = Path(USUAL_FOLDER)) -> str:
    """Returns the command that resumes a study, without the password of its store.

    Args:
        study: the study.
        url: its store. Default: the one in its folder.
        folder: the folder of its reports and weights, if the study does not record it.

    Example:
        >>> settings = {"settings": ["l2=1e-3"], "stages": [["coarse", 20, 3], ["final", 1, 9]]}
        >>> resume_command(Study(1, "digits", "digits", "search", 3, "f", settings, State.RUNNING, 0.0))
        'babysit search digits --seed 3 -s l2=1e-3 --stages coarse:20x3,final:1x9 --resume'
    """
    words, recorded = study_words(study), study.settings.get("out")
    if recorded is None and folder != Path(USUAL_FOLDER):  # a study of an earlier version
        words += ["--out", str(folder)]
    if url and url != store_in(recorded or folder):
        words += ["--store", without_password(url)]
    return shlex.join([*words, "--resume"])


def _machine() -> str:
    """Names the machine and its process namespace; containers have their own."""
    namespace = _PROC / "self" / "ns" / "pid"
    return f"{platform.node()} {os.readlink(namespace) if namespace.is_symlink() else ''}".strip()


def _started(pid: int) -> str:
    """Returns the start time of a running process; empty if there is none, or it cannot be read."""
    if sys.platform == "win32":
        return ""
    try:
        if not (_PROC / "self" / "stat").exists():
            command = ["ps", "-o", "lstart=", "-p", str(pid)]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=5, check=False
            ).stdout.strip()
        # The name before the last bracket may hold anything; state is the third field, start the 22nd.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
