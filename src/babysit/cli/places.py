"""The options that say where studies are kept, for commands that read a store or write one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babysit.store.addresses import USUAL_FOLDER

DEFAULT_FOLDER = Path(USUAL_FOLDER)
KEPT = "Where it is kept"

StoreOption = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Store of studies: a path, or a database URL; its password is better in PGPASSWORD.",
        rich_help_panel=KEPT,
    ),
]
OutOption = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder of reports and weights.", rich_help_panel=KEPT)
]
