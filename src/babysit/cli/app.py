"""The Typer application, its error messages, and its output: text for people or JSON."""

from __future__ import annotations

import importlib
import json
import math
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from babysit.cli.commands import COMMANDS
from babysit.errors import BabysitError
from babysit.store.addresses import PASSWORD_PLACE, without_password


class _Commands(TyperGroup):
    """The commands, each imported when it is called; bad input is a message and exit code 2, Ctrl-C 130."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.imported = self.commands
        self.commands = {
            name: TyperCommand(name, help=help_line, rich_help_panel=group)
            for name, _, group, help_line in COMMANDS
        }

    def list_commands(self, ctx: Any) -> list[str]:
        """Lists the names in the order of the groups."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Imports the module of the command that is called; importing it registers its commands."""
        for name, module, _, _ in COMMANDS:
            if name == args[0]:
                importlib.import_module(f"babysit.cli.{module}")
                group = typer.main.get_group(app)
                assert isinstance(group, _Commands)
                self.commands[name] = group.imported[name]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; turns errors of the user and Ctrl-C into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except BabysitError as error:
            error_console().print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            by, trials = getattr(error, "by", ""), getattr(error, "trials", 0)  # of StudyStopped
            how = f"stopped by {by}" if by else "interrupted"
            resumed = resume_line([*sys.argv[1:], *(["--trials", str(trials)] if trials else [])])
            error_console().print(
                f"[yellow]{escape(how)}:[/yellow] what was finished is kept; {escape(resumed)}",
                soft_wrap=True,
                highlight=False,
            )
            raise typer.Exit(130) from None


def resume_line(words: Sequence[str]) -> str:
    """Names the command that resumes an interrupted one.

    Example:
        >>> resume_line(["search", "my net.py", "--stages", "coarse:9x2"])
        "resume with: babysit search 'my net.py' --stages coarse:9x2 --resume"
        >>> resume_line(["demo"])
        '--resume continues from there'
        >>> print(resume_line(["train", "digits", "--store", "postgresql://ann:secret@host/runs"]))
        resume, with the password in PGPASSWORD or ~/.pgpass, with: babysit train digits --store
        postgresql://ann@host/runs --resume
    """
    if words[:1] not in (["search"], ["train"]):
        return "--resume continues from there"
    given = [word for word in words if word != "--resume"]
    safe = [without_password(word) for word in given]
    left_out = f", with {PASSWORD_PLACE}," if safe != given else ""
    return f"resume{left_out} with: {shlex.join(['babysit', *safe, '--resume'])}"


app = typer.Typer(
    cls=_Commands,
    help="Why isn't my network learning, what fixes it, and which hyperparameters should I use?",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]babysit demo[/bold]. Exit codes: 0 done; 1 a check or a log is not healthy, or "
    "a run exploded, or a request was not fulfilled; 2 bad input; 130 interrupted or stopped.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"babysit {version('babysit')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Diagnose why a network does not learn, and search its hyperparameters."""


JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def error_console() -> Console:
    """Returns the console of standard error."""
    return Console(stderr=True)


def console_for(as_json: bool) -> Console:
    """Returns the console for text: standard output, or standard error beside JSON."""
    return Console(stderr=as_json)


def emit(document: dict[str, Any]) -> None:
    """Prints one JSON document; NaN and infinite values become null, which every parser can read."""
    print(json.dumps(_finite(document), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
