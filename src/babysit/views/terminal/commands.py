"""Commands to running studies in the terminal, with their replies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from babysit.records import Command, CommandKind, CommandState
from babysit.views.data.formatting import duration_text, moment_text

_STYLES = {
    CommandState.APPLIED: "green",
    CommandState.REFUSED: "red",
    CommandState.EXPIRED: "yellow",
    CommandState.SEEN: "cyan",
}


def request_text(command: Command) -> str:
    """Describes a command in words.

    Example:
        >>> state = CommandState.ASKED
        >>> request_text(Command(1, 3, (0, 7), CommandKind.SCALE_LEARNING_RATE, 0.5, "ann", 0.0, state))
        'learning rate x 0.5 of 3/0/7'
        >>> request_text(Command(2, 3, None, CommandKind.EXTEND_STUDY, 60, "ann", 0.0, state))
        'extend study 3 to 60 trials'
    """
    where = (
        f"study {command.study}"
        if command.trial is None
        else "/".join(map(str, (command.study, *command.trial)))
    )
    if command.kind is CommandKind.SCALE_LEARNING_RATE:
        return f"learning rate x {command.argument:g} of {where}"
    if command.kind is CommandKind.EXTEND_STUDY:
        return f"extend {where} to {command.argument:.0f} trials"
    return f"stop {where}"


def silence_text(seconds: float, limit: float) -> str:
    """Describes the silence of a running study; empty while it receives commands.

    Args:
        seconds: the time since the last heartbeat; NaN if there was none.
        limit: the longest time that is not silence.

    Example:
        >>> silence_text(42.0, 30.0), silence_text(3.0, 30.0), silence_text(float("nan"), 30.0)
        ('no heartbeat for 42.0 s', '', 'no heartbeat')
    """
    if math.isnan(seconds):
        return "no heartbeat"
    return f"no heartbeat for {duration_text(seconds)}" if seconds > limit else ""


def commands_table(commands: Sequence[Command]) -> Table:
    """Renders commands, oldest first, with their replies."""
    table = Table(box=None, pad_edge=False)
    for heading in ("request", "what", "by", "asked", "answer"):
        table.add_column(heading, no_wrap=heading in ("what", "asked"), overflow="fold")
    for one in commands:
        state = f"[{_STYLES[one.state]}]{one.state}[/]" if one.state in _STYLES else str(one.state)
        answer = f"{state}: {escape(one.detail)}" if one.detail else state
        table.add_row(str(one.id), escape(request_text(one)), escape(one.by), moment_text(one.asked), answer)
    return table


def command_data(command: Command) -> dict[str, Any]:
    """Returns a command as plain data."""
    return {
        "id": command.id,
        "study": command.study,
        "trial": None if command.trial is None else list(command.trial),
        "kind": str(command.kind),
        "argument": None if math.isnan(command.argument) else command.argument,
        "by": command.by,
        "asked": command.asked,
        "state": str(command.state),
        "step": command.step,
        "detail": command.detail,
        "answered": None if math.isnan(command.answered) else command.answered,
        "version": command.version,
    }
