"""Sends a command to a running study and waits for its reply."""

from __future__ import annotations

import getpass
import math
import platform
import re
import time
from collections.abc import Callable, Sequence

from babysit.errors import InputError
from babysit.records import Command, CommandKind, State, TrialKey
from babysit.session.commands.liveness import is_interrupted, resume_command
from babysit.session.references import Reference, resolve
from babysit.store import queries
from babysit.store.commands import SILENT_SECONDS, Commands
from babysit.store.reader import Reader

LOOK_SECONDS = 0.2
"""Seconds between two looks for the reply."""


def this_user() -> str:
    """Returns user and machine, as a command records its sender."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        user = "user"
    return f"{user}@{platform.node()}"


def send_command(
    url: str, text: str, kind: CommandKind, *, argument: float = math.nan, by: str | None = None
) -> Command:
    """Sends a command to a study or trial.

    Args:
        url: the store.
        text: the study or trial, see :func:`babysit.session.references.resolve`. A stop of a whole search
            ends the search; the single run of a training or a watched loop needs no number.
        kind: stop, scale_learning_rate or extend_study.
        argument: the factor, or the number of trials.
        by: the sender. Default: this user.

    Raises:
        InputError: there is no such study or trial, it has ended, or its process is gone.
        StoreError: the store cannot be read or written.
    """
    with Reader(url) as reader:
        found = resolve(reader, text)
        if is_interrupted(found.study):
            raise InputError(
                f"study {found.study.id} was interrupted: its process is gone and receives no commands",
                fix=f"resume it first: {resume_command(found.study, url)}",
            )
        wanted, trial = _addressed(reader, found, kind, text)
    with Commands(url) as commands:
        sender = this_user() if by is None else by
        return commands.ask(found.study.id, wanted, trial=trial, argument=argument, by=sender)


def _addressed(
    reader: Reader, found: Reference, kind: CommandKind, text: str
) -> tuple[CommandKind, TrialKey | None]:
    """Returns the command's kind and trial: None for a command to the whole study."""
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
    study = found.study.id
    running = [one for one in queries.run_summaries(reader, study) if one.state is State.RUNNING]
    keys: Sequence[TrialKey] = [one.key for one in running[:3]] or [(0, 0)]
    examples = ", ".join(f"{study}/{stage}/{number}" for stage, number in keys)
    raise InputError(f"study {study} has many trials", fix=f"name one, e.g. {examples}")


def wait_for_answer(
    url: str, command: Command, seconds: float, show: Callable[[Command, float], None] = lambda *_: None
) -> Command:
    """Waits until a command has its reply, or the time is up.

    Args:
        url: the store.
        command: the command.
        seconds: the longest wait.
        show: called with the command and the seconds since the last heartbeat, when the command was received
            and when the study has been silent for too long.

    Returns:
        The command with its present state.
    """
    deadline, known, warned = time.monotonic() + seconds, command, False
    with Commands(url) as commands:
        while known.state.is_open and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            commands.expire_unanswered(command.study)
            now, silence = commands.find(command.id), commands.silence(command.study)
            is_silent = not silence <= SILENT_SECONDS
            if (now.state is not known.state and now.state.is_open) or (is_silent and not warned):
                show(now, silence)
                warned = is_silent
            known = now
    return known


def factor_of(text: str) -> float:
    """Parses the factor of a learning rate.

    Raises:
        InputError: the text is not a factor.

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
            f"{text!r} is not a factor for a learning rate", fix="write x0.5 to halve it, x2, x0.1 or /10"
        )
    return value
