"""`babysit show` and `babysit compare`: a study or a trial in full, and several beside each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from babysit.cli.app import app, console_for, emit
from babysit.cli.options import JsonOption, OutOption, StoreOption
from babysit.errors import InputError
from babysit.records import Edge, Study
from babysit.session.commands.liveness import is_interrupted
from babysit.session.comparison import compared
from babysit.session.jobs.job import DEFAULT_FOLDER, Job
from babysit.session.references import resolve
from babysit.store.reader import Reader
from babysit.views.data.recorded_run import load_trial_view
from babysit.views.data.study import StudyView, load_study_view
from babysit.views.data.trial_rows import trial_rows
from babysit.views.terminal import tables
from babysit.views.terminal.comparison import comparison_data, comparison_view
from babysit.views.terminal.trial import trial_data, trial_view

_FORM = "3 or a name, a trial as 3/0/12, 3/fine/7 or 3/best"


@app.command(epilog="Example: babysit show 3/best")
def show(
    what: Annotated[str, typer.Argument(help=f"A study: {_FORM}.", metavar="STUDY[/TRIAL]")],
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show one trial in full, or a study: its stages and why, the best, ties, edge alarms."""
    url, console = Job("", store=store, folder=out).store_url, console_for(as_json)
    with Reader(url) as reader:
        study, key = resolve(reader, what)
        trial = None if key is None else load_trial_view(reader, study.id, key)
    if trial is not None:
        console.print(trial_view(trial))
        document = trial_data(trial)
    else:
        view = load_study_view(url, study.id)
        _show_study(view, console)
        document = _study_data(view)
    if as_json:
        emit(document)


def _show_study(view: StudyView, console: Console) -> None:
    study, outcome = view.study, view.study.outcome
    console.print(
        f"[bold]study {study.id}: {escape(study.name)}[/bold], {escape(study.kind)} of "
        f"{escape(study.recipe)}, seed {study.seed}: {_state(study)}",
        highlight=False,
    )
    for stage in view.stages:
        console.print(tables.stage_panel(stage))
    ties = [(int(stage), int(number)) for stage, number in outcome.get("ties") or ()]
    console.print(tables.results_table(view.results, 10, ties))
    if outcome.get("edges"):
        console.print(tables.edges_panel([Edge(**edge) for edge in outcome["edges"]]))
    for advice in outcome.get("advice") or ():
        console.print(f"• {escape(str(advice))}")


def _state(study: Study) -> str:
    return tables.INTERRUPTED if is_interrupted(study) else study.state.value


def _study_data(view: StudyView) -> dict[str, Any]:
    study = view.study
    return {
        "study": study.id,
        "name": study.name,
        "recipe": study.recipe,
        "kind": study.kind,
        "seed": study.seed,
        "state": _state(study),
        "created": study.created,
        "stages": [asdict(stage) for stage in view.stages],
        "outcome": dict(study.outcome),
        "trials": trial_rows(view.results, view.stages),
    }


@app.command(epilog="Example: babysit compare 3/best 3/fine/7 4")
def compare(
    what: Annotated[list[str], typer.Argument(help=f"Two or more: {_FORM}.", metavar="A B ...")],
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Compare trials, or studies by their best: the settings that differ, what came of them, their curves."""
    if len(what) < 2:
        raise InputError("one is nothing to compare", fix="name two or more, e.g. babysit compare 3/best 4")
    with Reader(Job("", store=store, folder=out).store_url) as reader:
        found = [compared(reader, one) for one in what]
    console_for(as_json).print(comparison_view(found))
    if as_json:
        emit(comparison_data(found))
