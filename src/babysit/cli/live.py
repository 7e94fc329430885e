"""`babysit live`: a run or a study in the terminal while it trains, e.g. on a remote shell."""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from babysit.cli.app import app, console_for
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.records import State
from babysit.session.commands.liveness import is_interrupted
from babysit.session.references import Reference, resolve
from babysit.store import overview, queries
from babysit.store.addresses import store_url
from babysit.store.commands import silence
from babysit.store.reader import Reader
from babysit.views.data.recorded_run import load_trial_view
from babysit.views.data.status import study_status
from babysit.views.data.trial_table import read_board
from babysit.views.terminal.live import run_frame, study_frame

_SINGLE = ("train", "watch")
"""The kinds of studies with a single trial, which is shown instead of the study."""


@app.command(epilog="Example: babysit live 3, babysit live 3/fine/7")
def live(
    what: Annotated[
        str, typer.Argument(help="A study or a trial: 3, a name, 3/0/12 or 3/best; default the newest study.")
    ] = "",
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds from frame to frame.", min=0.1, max=3600)] = 1.0,
) -> None:
    """Follow a run or a study in the terminal.

    Shown are loss, accuracies, rates and findings; q or Ctrl-C leaves.
    """
    console = console_for(False)
    with Reader(store_url(store, out)) as reader:
        meant = _meant(reader, what)
        frame, ended = _frame(reader, meant, console)
        if once or ended or not console.is_terminal:
            console.print(frame, highlight=False)
            return
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to leave
            last = _follow(reader, meant, console, every)
            console.print(last, highlight=False)


def _follow(reader: Reader, meant: Reference, console: Console, every: float) -> RenderableType:
    """Shows frame after frame until the run ends or the user leaves; returns the last one."""
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as shown:
        while True:
            frame, ended = _frame(reader, meant, console)
            if ended:
                return frame
            shown.update(Group(frame, Text("q leaves", style="dim")), refresh=True)
            if pressed(every):
                return frame


def _meant(reader: Reader, what: str) -> Reference:
    """Returns the study or trial; for a study with a single run, that run."""
    newest = queries.latest_study(reader) if not what else None
    meant = Reference(newest, None) if newest is not None else resolve(reader, what)
    lone = meant.key is None and meant.study.kind in _SINGLE
    return meant._replace(key=(0, 0)) if lone else meant


def _frame(reader: Reader, meant: Reference, console: Console) -> tuple[RenderableType, bool]:
    """Returns one frame, and True if the run has ended."""
    study = queries.study(reader, meant.study.id)
    gone = is_interrupted(study)
    if meant.key is None:
        found = overview.lines(reader, study.id)
        board = read_board(reader, study.id, found)
        now = study_status(reader, board, found, interrupted=gone)
        return study_frame(board, found, now, console.width), gone or study.state is not State.RUNNING
    view = load_trial_view(reader, study.id, meant.key)
    quiet = silence(reader, study.id) if study.state is State.RUNNING else math.nan
    ended = gone or view.result.run.state.is_final or study.state is not State.RUNNING
    return run_frame(view, console.width, quiet=quiet, interrupted=gone), ended


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Yields a function that waits some seconds or for the key q; without a keyboard only Ctrl-C leaves."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield _slept
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _pressed(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        # Not through sys.stdin, whose buffer would hide a key that came with another.
        keys = os.read(sys.stdin.fileno(), 64) if ready else None
        if keys is not None and (not keys or b"q" in keys.lower()):
            return True  # an empty read: the terminal is closed
    return False
