"""The options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from babysit.data.downloads import DOWNLOAD_VARIABLE
from babysit.recipe.builtin import BUILTIN
from babysit.training.precision import PRECISION_NAMES
from babysit.tuning.engines.registry import ENGINES
from babysit.tuning.pruning import PRUNERS
from babysit.tuning.samplers import SAMPLERS


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
