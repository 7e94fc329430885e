"""The options that say where studies are kept, for commands that read a store or write one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babysit.store.addresses import USUAL_FOLDER, store_in

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


def store_url(store: str, out: Path) -> str:
    """Returns the store that the options name: a database URL or path, else a SQLite file in the folder.

    Example:
        >>> store_url("runs.sqlite", DEFAULT_FOLDER), store_url("", Path("out"))
        ('runs.sqlite', 'sqlite:///out/babysit.sqlite')
    """
    return store or store_in(out)
