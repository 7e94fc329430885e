"""Processes of their own that are there at once: the command line, and the workers of a search.

A new Python takes two seconds to import torch and babysit. Here one process imports them, and every other
is a fork of it: with a pid, signals, an environment, output and an exit code of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from babysit.cli.commands import COMMANDS
from babysit.cli.main import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(sorted({f"babysit.cli.{command.module}" for command in COMMANDS}))


class Command:
    """``babysit WORDS`` with the interface of ``subprocess.Popen``, as far as the tests need it.

    Args:
        words: of the command line.
        before: called in the process before the command.
    """

    def __init__(self, *words: str, before: Callable[[], None] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("out", "err")]
        here = dict(os.environ), os.getcwd()
        self._process = CONTEXT.Process(target=_run, args=(words, before, here, *self._files))
        self._process.start()
        self.pid = self._process.pid
        atexit.register(self.kill)  # Python waits for those that are left

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the end; what was printed, and what was printed as errors."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("babysit", timeout)
        out, err = (path.read_text() if path.exists() else "" for path in self._files)
        return out, err

    @property
    def errors(self) -> str:
        """What it has printed as errors so far."""
        return self._files[1].read_text() if self._files[1].exists() else ""


def _run(
    words: tuple[str, ...],
    before: Callable[[], None] | None,
    here: tuple[dict[str, str], str],
    out: Path,
    err: Path,
) -> None:
    for number, path in enumerate((out, err), start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(here[0])
    os.chdir(here[1])
    torch.set_num_threads(1)
    if before is not None:
        before()
    sys.argv = ["babysit", *words]
    main()
