"""`babysit export` and `babysit import`: exchange of trials with other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.session.exchange.optuna import PREFIX, export_to_optuna, import_from_optuna, split_address
from babysit.session.exchange.trial_files import write_trials
from babysit.session.references import resolve
from babysit.store.addresses import shown, store_url
from babysit.store.reader import Reader
from babysit.views.data.study import load_study_view


@app.command("export", epilog="Example: babysit export 3 --to trials.csv")
def export_study(
    study: Annotated[str, typer.Argument(help="The study's number or name.")],
    to: Annotated[
        str, typer.Option(help="A .csv, .parquet or .json file, or optuna:sqlite:///FILE.db[:NAME].")
    ],
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Export a study's trials to a table or to Optuna."""
    url = store_url(store, out)
    with Reader(url) as reader:
        found = resolve(reader, study).study
    view = load_study_view(url, found.id)
    if to.startswith(PREFIX):
        address, name = split_address(to)
        name, count = export_to_optuna(view, address, name)
        where, to = f"{shown(address)}, study {name}", shown(to)
    else:
        where, count = to, write_trials(view, Path(to))
    console_for(as_json).print(f"{count} trials of study {found.id}: {escape(where)}", soft_wrap=True)
    if as_json:
        emit({"study": found.id, "trials": count, "to": where})


@app.command("import", epilog="Example: babysit import optuna:sqlite:///trials.db:mine")
def import_study(
    address: Annotated[str, typer.Argument(help="optuna:URL[:STUDY]", metavar="ADDRESS")],
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Import a study of Optuna.

    `show`, `compare`, `report` and `export` then take it like any other.
    """
    url, name = split_address(address)
    number, count = import_from_optuna(url, name, store_url(store, out))
    console_for(as_json).print(f"study {number}: {count} trials; see `babysit show {number}`")
    if as_json:
        emit({"study": number, "trials": count})
