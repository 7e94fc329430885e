"""The options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from babysit.cli.places import KEPT
from babysit.data.downloads import DOWNLOAD_VARIABLE
from babysit.recipe.builtin import BUILTIN
from babysit.training.precision import PRECISION_NAMES

WHERE = "Where it trains"


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
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="Set a hyperparameter, e.g. -s l2=1e-3."),
]
EnqueueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--enqueue",
        metavar="NAME=VALUE,...",
        help="A point to try first, e.g. learning_rate=1e-3,l2=0.1; may be repeated.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Source of everything random.", metavar="N")]
DashboardOption = Annotated[
    bool,
    typer.Option(
        "--dashboard",
        help="Show it in a browser meanwhile; needs babysit\\[dashboard].",
        rich_help_panel=KEPT,
    ),
]
SarifOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the findings as SARIF 2.1.0, for code hosts and editors."),
]
HtmlOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write one self-contained HTML page.")
]
NameOption = Annotated[
    str, typer.Option(help="Name of the study; default the recipe's.", metavar="TEXT", rich_help_panel=KEPT)
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Resume the same command where it was interrupted.", rich_help_panel=KEPT),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Precision of matrix products: {', '.join(PRECISION_NAMES)}; auto measures which is fastest.",
        rich_help_panel=WHERE,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Device: cpu, cuda, cuda:N, or auto: the GPU if there is one.",
        rich_help_panel=WHERE,
    ),
]


class Way(StrEnum):
    """Forms in which trials compute together, the fastest first."""

    FUSED = "fused"
    VMAP = "vmap"
    SERIAL = "serial"


WayOption = Annotated[
    Way | None,
    typer.Option(
        metavar="NAME",
        help="Form in which trials train together: fused, vmap, serial; default the first that fits.",
        rich_help_panel=WHERE,
    ),
]
DownloadOption = Annotated[
    bool,
    typer.Option("--download", help="Fetch the recipe's data set if it is not here.", callback=_download),
]
