"""`babysit stop`, `touch`, `extend` and `commands`: commands to running studies, and their replies."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.records import Command, CommandKind, CommandState, State
from babysit.session.commands.send import factor_of, send_command, wait_for_answer
from babysit.session.references import resolve
from babysit.store.addresses import store_url
from babysit.store.commands import SILENT_SECONDS, commands_of, silence
from babysit.store.reader import Reader
from babysit.tuning.pruning import parse_seconds
from babysit.views.terminal.commands import command_data, commands_table, request_text, silence_text

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY[/TRIAL]",
        help="3 or a name; a trial as 3/0/12, 3/fine/7 or 3/best.",
        show_default=False,
    ),
]
WaitOption = Annotated[
    str, typer.Option(metavar="TIME", help="The time to wait for the reply, e.g. 30 or 5m.")
]

_WAIT = "60"


@app.command(epilog="Example: babysit stop 3/0/12")
def stop(
    what: ReferenceArgument,
    wait: WaitOption = _WAIT,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Stop a running trial or study.

    A trial stops between two steps, a study at the end of its epoch, as with Ctrl-C.

    Exit code 1 if the request was refused, expired, or not answered in time.
    """
    _request(what, CommandKind.STOP, wait, store_url(store, out), as_json)


@app.command(epilog="Example: babysit touch 3/0/12 --learning-rate x0.5")
def touch(
    what: ReferenceArgument,
    learning_rate: Annotated[
        str, typer.Option(metavar="FACTOR", help="x0.5 halves it from here on, x2, /10.", show_default=False)
    ],
    wait: WaitOption = _WAIT,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Change the settings of a running trial.

    Its learning rate is multiplied by a factor. All later rates of its schedule are multiplied too.

    Exit code 1 if the request was refused, expired, or not answered in time.
    """
    url = store_url(store, out)
    _request(what, CommandKind.SCALE_LEARNING_RATE, wait, url, as_json, factor_of(learning_rate))


@app.command(epilog="Example: babysit extend 3 --trials 60")
def extend(
    what: ReferenceArgument,
    trials: Annotated[
        int, typer.Option(min=1, help="The total number of trials of the last stage.", show_default=False)
    ],
    wait: WaitOption = _WAIT,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Give a running search more trials.

    They are added to the last stage; a search that has ended takes --resume --trials.

    Exit code 1 if the request was refused, expired, or not answered in time.
    """
    _request(what, CommandKind.EXTEND_STUDY, wait, store_url(store, out), as_json, trials)


def _request(
    what: str, kind: CommandKind, wait: str, url: str, as_json: bool, argument: float = float("nan")
) -> None:
    seconds, console, url = parse_seconds(wait), console_for(as_json), url
    command = send_command(url, what, kind, argument=argument)
    console.print(f"asked: {escape(request_text(command))} (request {command.id})", highlight=False)

    def show(now: Command, quiet: float) -> None:
        if now.state is CommandState.SEEN:
            console.print("received", highlight=False)
        elif words := silence_text(quiet, SILENT_SECONDS):
            console.print(f"[yellow]{words}: the request will expire[/yellow]", highlight=False)

    answer = wait_for_answer(url, command, seconds, show)
    if answer.state.is_open:
        later = f"see `babysit commands {answer.study}` later"
        text = f"{answer.state}, not answered within {seconds:g} s; {later}"
    else:
        text = f"{answer.state}: {answer.detail}"
    console.print(escape(text), highlight=False, soft_wrap=True)
    if as_json:
        emit(command_data(answer))
    raise typer.Exit(0 if answer.state is CommandState.APPLIED else 1)


@app.command(epilog="Example: babysit commands 3")
def commands(
    what: ReferenceArgument,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List the commands sent to a study or trial, and their outcome."""
    with Reader(store_url(store, out)) as reader:
        found = resolve(reader, what)
        asked = commands_of(reader, found.study.id, trial=found.key)
        quiet = silence(reader, found.study.id)
    console = console_for(as_json)
    if asked:
        console.print(commands_table(asked))
    else:
        console.print(f"no command was sent to {escape(what)}", highlight=False)
    words = silence_text(quiet, SILENT_SECONDS) if found.study.state is State.RUNNING else ""
    if words:
        console.print(f"study {found.study.id}: {words}; new commands will expire", highlight=False)
    if as_json:
        emit({"study": found.study.id, "commands": [command_data(one) for one in asked]})
