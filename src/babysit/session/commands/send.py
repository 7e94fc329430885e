"""Asking something of a live run, and waiting for the answer."""

from __future__ import annotations

import getpass
import math
import platform
import re
import time
from collections.abc import Callable, Sequence

from babysit.errors import InputError
from babysit.records import Command, CommandKind, State, Study
from babysit.session.commands.liveness import is_interrupted, resume_command
from babysit.session.references import Reference, resolve
from babysit.store import queries
from babysit.store.commands import SILENT_SECONDS, Commands
from babysit.store.queries import Key
from babysit.store.reader import Reader

LOOK_SECONDS = 0.2
"""How often whoever waits looks for the answer."""


def this_user() -> str:
    """Who asks, as the record keeps it: user and machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        user = "user"
    return f"{user}@{platform.node()}"


def ask(
    url: str, text: str, kind: CommandKind, *, argument: float = math.nan, by: str | None = None
) -> Command:
    """Asks something of what a text names.

    Args:
        url: of the store.
        text: a study or a trial, see :func:`babysit.session.references.resolve`. A stop that names a search
            as a whole ends the search; the one run of a training or a watched loop needs no number.
        kind: what is asked: stop, scale_learning_rate or extend_study.
        argument: the factor, or the number of trials.
        by: who asks; default this user.

    Raises:
        InputError: there is no such study or trial, it has ended, or its process is gone.
        StoreError: the store cannot be read or written.
    """
    with Reader(url) as reader:
        found = resolve(reader, text)
        refuse_lost(found.study, url)
        wanted, trial = _meant(reader, found, kind, text)
    with Commands(url) as commands:
        who = this_user() if by is None else by
        return commands.ask(found.study.id, wanted, trial=trial, argument=argument, by=who)


def refuse_lost(study: Study, url: str) -> None:
    """Refuses a study whose process was killed: it is called running, but nobody is there.

    Args:
        study: the study.
        url: of its store.

    Raises:
        InputError: naming the command that goes on with it.
    """
    if is_interrupted(study):
        raise InputError(
            f"study {study.id} was interrupted: its process is gone, and nobody would hear a request",
            fix=f"go on with it first: {resume_command(study, url)}",
        )


def _meant(reader: Reader, found: Reference, kind: CommandKind, text: str) -> tuple[CommandKind, Key | None]:
    if kind is CommandKind.EXTEND_STUDY:
        if found.key is not None:
            raise InputError(f"{text} is one trial", fix=f"extend its study: {found.study.id}")
        return kind, None
    if found.key is not None:
        return kind, found.key
    if found.study.kind != "search":
        return kind, (0, 0)
    if kind is CommandKind.STOP:
        return CommandKind.STOP_STUDY, None
    raise InputError(
        f"study {found.study.id} has many trials", fix=f"name one, e.g. {_some_running(reader, found.study)}"
    )


def _some_running(reader: Reader, study: Study) -> str:
    running = [one for one in queries.run_summaries(reader, study.id) if one.state is State.RUNNING]
    keys: Sequence[Key] = [one.key for one in running[:3]] or [(0, 0)]
    return ", ".join(f"{study.id}/{stage}/{number}" for stage, number in keys)


def wait_for_answer(
    url: str, command: Command, seconds: float, told: Callable[[Command, float], None] = lambda *_: None
) -> Command:
    """Waits until a request is answered, or the time is up; it then stands as it did last.

    Args:
        url: of the store.
        command: the request.
        seconds: how long to wait.
        told: called when it was seen, and once the study has given no sign for too long, with the seconds
            since its last heartbeat.

    Returns:
        The request as it stands.
    """
    deadline, known, warned = time.monotonic() + seconds, command, False
    with Commands(url) as commands:
        while known.state.is_open and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            commands.expire_unheard(command.study)
            now, silence = commands.find(command.id), commands.silence(command.study)
            is_silent = not silence <= SILENT_SECONDS
            if (now.state is not known.state and now.state.is_open) or (is_silent and not warned):
                told(now, silence)
                warned = is_silent
            known = now
    return known


def factor_of(text: str) -> float:
    """Reads what a learning rate is multiplied with.

    Raises:
        InputError: it is no factor.

    Example:
        >>> factor_of("x0.5"), factor_of("/10"), factor_of("2x")
        (0.5, 0.1, 2.0)
    """
    number = r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)"
    found = re.fullmatch(rf"[x*×]\s*{number}|{number}\s*[x*×]|/\s*{number}", text.strip().lower())
    value = float(next(filter(None, found.groups()))) if found else 0.0
    if text.strip().startswith("/") and value:
        value = 1 / value if 1 / value < math.inf else 0.0
    if not 0 < value < math.inf:
        raise InputError(
            f"{text!r} is no factor for a learning rate", fix="write x0.5 to halve it, x2, x0.1 or /10"
        )
    return value
