"""Is the process that runs a study still there? One that was killed had no time to say that it ends."""

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
"""Where an unfinished study's outcome names the process that runs it."""

_PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """What tells this process from every other: its machine, its number, and when it was started.

    A number alone is given again to other processes, after a while or a restart.

    Example:
        >>> is_gone(this_process())
        False
    """
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_gone(process: Mapping[str, Any]) -> bool:
    """Whether a process has certainly ended; one of another machine cannot be asked, and has not.

    Args:
        process: as :func:`this_process` gave it.

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
    """Whether a study that never said how it ended has lost its process.

    Studies of earlier versions name no process; they stay as they are.
    """
    process = study.outcome.get(PROCESS)
    return study.state is State.RUNNING and isinstance(process, Mapping) and is_gone(process)


def running_elsewhere(study: Study) -> int:
    """The number of the other process of this machine that runs a study; 0 where none is known to."""
    process = study.outcome.get(PROCESS)
    if study.state is not State.RUNNING or not isinstance(process, Mapping) or is_gone(process):
        return 0
    pid, known = process.get("pid"), process.get("machine") == _machine() and process.get("started")
    return pid if known and isinstance(pid, int) and pid != os.getpid() else 0


def resume_command(study: Study, url: str = "", folder: Path = Path(USUAL_FOLDER)) -> str:
    """The command that goes on with a study, without the password of its store.

    Args:
        study: the study.
        url: of the store it is in; empty, the default, for the one in its folder.
        folder: where its reports and weights go, if the study does not say so itself.

    Example:
        >>> settings = {"settings": ["l2=1e-3"], "stages": [["coarse", 20, 3], ["final", 1, 9]]}
        >>> resume_command(Study(1, "digits", "digits", "search", 3, "f", settings, State.RUNNING, 0.0))
        'babysit search digits --seed 3 -s l2=1e-3 --stages coarse:20x3,final:1x9 --resume'
    """
    words, told = study_words(study), study.settings.get("out")
    if told is None and folder != Path(USUAL_FOLDER):  # a study of an earlier version
        words += ["--out", str(folder)]
    if url and url != store_in(told or folder):
        words += ["--store", without_password(url)]
    return shlex.join([*words, "--resume"])


def _machine() -> str:
    """The machine, and the group of processes in which a number means something; containers have theirs."""
    namespace = _PROC / "self" / "ns" / "pid"
    return f"{platform.node()} {os.readlink(namespace) if namespace.is_symlink() else ''}".strip()


def _started(pid: int) -> str:
    """When a living process was started; empty for one that is not there, or where nobody can say."""
    if sys.platform == "win32":
        return ""
    return _started_by_proc(pid) if (_PROC / "self" / "stat").exists() else _started_by_ps(pid)


def _started_by_proc(pid: int) -> str:
    try:
        # The name before the last bracket may hold anything; state is the third field, start the 22nd.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _started_by_ps(pid: int) -> str:
    try:
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
