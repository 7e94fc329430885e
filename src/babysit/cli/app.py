"""The Typer application, its error messages, and its output: text for people or JSON."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from babysit.errors import BabysitError
from babysit.session.commands.handler import GOES_ON, StudyStopped
from babysit.store.addresses import PASSWORD_PLACE, without_password


class _Guarded(TyperGroup):
    """Turns what the user got wrong into a message and exit code 2, and Ctrl-C into 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BabysitError as error:
            error_console().print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            how = f"stopped by {error}" if isinstance(error, StudyStopped) else "interrupted"
            error_console().print(
                f"[yellow]{escape(how)}:[/yellow] what was finished is kept; "
                + escape(going_on([*sys.argv[1:], *_added(error)])),
                soft_wrap=True,
                highlight=False,
            )
            raise typer.Exit(130) from None


def _added(error: BaseException) -> list[str]:
    """What the command must add to go on with a search that was extended while it ran."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(GOES_ON)]
    return notes[-1].split() if notes else []


def going_on(words: Sequence[str]) -> str:
    """How to go on with an interrupted command.

    Example:
        >>> going_on(["search", "my net.py", "--stages", "coarse:9x2"])
        "go on with: babysit search 'my net.py' --stages coarse:9x2 --resume"
        >>> going_on(["demo"])
        '--resume goes on from there'
        >>> print(going_on(["train", "digits", "--store", "postgresql://ann:secret@host/runs"]))
        go on, with the password in PGPASSWORD or ~/.pgpass, with: babysit train digits --store
        postgresql://ann@host/runs --resume
    """
    if words[:1] not in (["search"], ["train"]):
        return "--resume goes on from there"
    told = [without_password(word) for word in words if word != "--resume"]
    left_out = f", with {PASSWORD_PLACE}," if told != [word for word in words if word != "--resume"] else ""
    return f"go on{left_out} with: {shlex.join(['babysit', *told, '--resume'])}"


app = typer.Typer(
    cls=_Guarded,
    help="Why isn't my network learning, what fixes it, and which hyperparameters should I use?",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Start with [bold]babysit demo[/bold]. Exit codes: 0 done; 1 a check or a log is not healthy, or "
    "a run exploded, or a request was not fulfilled; 2 bad input; 130 interrupted or stopped.",
)


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True)


def console_for(as_json: bool) -> Console:
    """Where people look: standard output, or standard error when that belongs to a machine."""
    return Console(stderr=as_json)


def emit(document: dict[str, Any]) -> None:
    """Prints one JSON document; a value that is no number becomes null, which every parser can read."""
    print(json.dumps(_finite(document), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
