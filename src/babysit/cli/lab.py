"""`babysit lab`: the lecture's experiments, measured on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.options import SeedOption
from babysit.lab.catalogue import EXPERIMENTS, experiment
from babysit.lab.experiment import ExperimentResult, Options
from babysit.lab.figures import require_matplotlib, save
from babysit.session.jobs.job import writable

LAB_FOLDER = Path("babysit-lab")


@app.command(epilog="Example: babysit lab initialization --out figures")
def lab(
    name: Annotated[str, typer.Argument(help="Which experiment; none lists them.")] = "",
    data: Annotated[
        str, typer.Option(help="digits, cifar10 or fashion-mnist, where data matters.")
    ] = "digits",
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = LAB_FOLDER,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Redo an experiment of the lecture.

    The numbers are shown beside theory, with their figures.
    """
    console = console_for(as_json)
    if not name:
        listing = Table(box=None, pad_edge=False, title="experiments", title_justify="left")
        for heading in ("name", "what it shows", "slides"):
            listing.add_column(heading, overflow="fold", no_wrap=heading == "name")
        for found in EXPERIMENTS.values():
            listing.add_row(found.name, found.about, found.slides)
        console.print(listing)
        if as_json:
            emit({"experiments": [{"name": e.name, "about": e.about} for e in EXPERIMENTS.values()]})
        return
    chosen = experiment(name)
    require_matplotlib()
    folder = writable(out)
    with console.status(f"{chosen.title}"):
        outcome = chosen.run(Options(seed=seed, data=data))
        figures = save(outcome, folder)
    _print(outcome, console)
    for path in figures:
        if path.suffix == ".png":
            console.print(f"figure: {escape(str(path))}", soft_wrap=True)
    if as_json:
        tables = [
            {"title": title, "headings": list(headings), "rows": [list(row) for row in rows]}
            for title, headings, rows in outcome.tables
        ]
        printed = {"lines": list(outcome.lines), "tables": tables, "remark": outcome.remark}
        emit({"experiment": name, **outcome.data, **printed, "figures": [str(path) for path in figures]})


def _print(outcome: ExperimentResult, console: Console) -> None:
    for line in outcome.lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for title, headings, rows in outcome.tables:
        table = Table(box=None, pad_edge=False, title=title, title_justify="left")
        for position, heading in enumerate(headings):
            table.add_column(heading, justify="right" if position else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        console.print(table)
    console.print(f"\n[bold]{escape(outcome.remark)}[/bold]")
