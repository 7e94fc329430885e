"""The Typer application, its shared options, and how an answer leaves: in words or as JSON."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from babysit.data.downloads import DOWNLOAD_VARIABLE
from babysit.errors import BabysitError
from babysit.recipe.building import Prepared
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.space import middle
from babysit.session.commands.handler import GOES_ON, StudyStopped
from babysit.store.addresses import PASSWORD_PLACE, without_password
from babysit.training.precision import PRECISION_NAMES, remark
from babysit.tuning.engines.registry import ENGINES
from babysit.tuning.pruning import PRUNERS
from babysit.tuning.samplers import SAMPLERS


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


def _download(wanted: bool) -> bool:
    if wanted:
        os.environ[DOWNLOAD_VARIABLE] = "1"  # worker processes inherit it
    return wanted


RecipeArgument = Annotated[
    str,
    typer.Argument(help=f"One of {', '.join(BUILTIN)}, or a Python file.", show_default=False),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="NAME=VALUE", help="Set a hyperparameter, e.g. -s l2=1e-3."),
]
EnqueueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--enqueue",
        metavar="NAME=VALUE,...",
        help="A point to try first, e.g. --enqueue learning_rate=1e-3,l2=0.1; may be repeated.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="The one seed that everything random is derived from.")]
StoreOption = Annotated[
    str,
    typer.Option(
        help="Where studies are kept: a path, or a database URL; its password is better in PGPASSWORD."
    ),
]
DashboardOption = Annotated[
    bool, typer.Option("--dashboard", help="Show it in a browser meanwhile; needs babysit\\[dashboard].")
]
OutOption = Annotated[Path, typer.Option(help="The folder for reports and weights.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
SarifOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the findings as SARIF 2.1.0, for code hosts and editors."),
]
HtmlOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write one self-contained HTML page.")
]
NameOption = Annotated[str, typer.Option(help="What to call the study; default the recipe's name.")]
ResumeOption = Annotated[bool, typer.Option(help="Go on with the interrupted run of the same command.")]
StagesOption = Annotated[
    str, typer.Option(help="The budget, e.g. coarse:100x5,fine:50x10,final:1x30; default the recipe's own.")
]
UntilStableOption = Annotated[
    bool,
    typer.Option(
        "--until-stable", help="Repeat the last stage until no edge alarm remains and the best stays."
    ),
]
ExtraStagesOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="With --until-stable: how many further stages at most.")
]
TrialsOption = Annotated[
    int,
    typer.Option(
        help="How many trials in all the last stage before the final one has; with --resume, extends it.",
        min=0,
    ),
]
SeedsOption = Annotated[
    int, typer.Option(help="Trainings of each of the best, from initial weights of their own.", min=1)
]
FoldsOption = Annotated[
    int,
    typer.Option(
        help="Score every trial on K folds of training and validation rows; 0: on validation.", min=0
    ),
]
OnnxOption = Annotated[
    bool, typer.Option("--onnx", help="Also write the chosen network as ONNX; needs babysit\\[onnx].")
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"How matrix products are computed: {', '.join(PRECISION_NAMES)}; auto measures what pays here.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="Where to train: cpu, cuda, cuda:N, or auto: the GPU if there is one."),
]


class Way(StrEnum):
    """How trials compute together, the fastest first."""

    FUSED = "fused"
    VMAP = "vmap"
    SERIAL = "serial"


WayOption = Annotated[
    Way | None,
    typer.Option(help="How trials compute together; by default the first of these that the model allows."),
]
PopulationOption = Annotated[
    int, typer.Option(help="Trials that train together; 0 measures what is fastest here.", min=0)
]
DownloadOption = Annotated[
    bool,
    typer.Option("--download", help="Fetch the recipe's data set if it is not here.", callback=_download),
]
WorkersOption = Annotated[
    int, typer.Option(help="Worker processes; 0 chooses: one a core, none for a short search.", min=0)
]
EngineOption = Annotated[
    str, typer.Option(metavar="NAME", help=f"Who trains: {', '.join(ENGINES)} (a cluster of machines).")
]
AddressOption = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster, or auto for this machine's; without it Ray is started for this machine alone.",
    ),
]
SamplerOption = Annotated[
    str, typer.Option(metavar="NAME", help=f"Where trials come from: {', '.join(SAMPLERS)}.")
]
RoundOption = Annotated[
    int,
    typer.Option(
        "--round", help="Trials drawn and judged at once; 0: 16 where the sampler learns, else all.", min=0
    ),
]
PrunerOption = Annotated[
    str, typer.Option(metavar="NAME", help=f"Which trials are given up early: {', '.join(PRUNERS)}.")
]
PatienceOption = Annotated[
    int,
    typer.Option(help="End a trial after so many epochs without a better validation score; 0: never.", min=0),
]
TimeoutOption = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="Begin no epoch after this, e.g. 20m or 3600; its last fifth is for the retraining.",
    ),
]


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True)


def console_for(as_json: bool) -> Console:
    """Where people look: standard output, or standard error when that belongs to a machine."""
    return Console(stderr=as_json)


def tell_address(console: Console, line: str) -> None:
    """Says where a dashboard beside a run is to be found."""
    console.print(f"[dim]{escape(line)}, until the run ends[/dim]", highlight=False, soft_wrap=True)


def tell_precision(name: str, console: Console) -> None:
    """Says what a precision brings on this machine, unless it is float32."""
    if line := remark(name):
        console.print(f"[dim]precision: {escape(line)}[/dim]", highlight=False, soft_wrap=True)


def tell_way(prepared: Prepared, console: Console) -> None:
    """Says how the recipe's network trains as a population, and why."""
    found = prepared.lowering(middle(prepared.recipe.full_space()))
    text = f"trials train together: {found.kind} ({found.reason})"
    console.print(f"[dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True)


def emit(document: dict[str, Any]) -> None:
    """Prints one JSON document; a value that is no number becomes null, which every parser can read."""
    print(json.dumps(_finite(document), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
