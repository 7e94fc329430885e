"""`babysit show` and `babysit compare`: one study or trial in full, or several side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.errors import InputError
from babysit.records import Study
from babysit.session.commands.liveness import is_interrupted
from babysit.session.comparison import compared
from babysit.session.references import resolve
from babysit.store.addresses import store_url
from babysit.store.reader import Reader
from babysit.views.data.comparison import comparison_data
from babysit.views.data.recorded_run import load_trial_view
from babysit.views.data.study import StudyView, load_study_view
from babysit.views.data.trial_rows import trial_rows
from babysit.views.terminal.comparison import comparison_view
from babysit.views.terminal.lecture_lines import epoch_line, trial_lines
from babysit.views.terminal.search import edges_panel, results_table, stage_panel
from babysit.views.terminal.studies import INTERRUPTED
from babysit.views.terminal.trial import trial_data, trial_view

_FORM = "3 or a name, a trial as 3/0/12, 3/fine/7 or 3/best"


@app.command(epilog="Example: babysit show 3/best")
def show(
    what: Annotated[str, typer.Argument(help=f"A study: {_FORM}.", metavar="STUDY[/TRIAL]")],
    store: StoreOption = "",
    lines: Annotated[
        bool,
        typer.Option(
            "--lines", help="One line a trial (or epoch of a trial), as CS231n lecture 6 prints them."
        ),
    ] = False,
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show a study, or one trial in full.

    A study is shown with its stages and their reasons, its best, ties and edge alarms.
    """
    url, console = store_url(store, out), console_for(as_json)
    with Reader(url) as reader:
        study, key = resolve(reader, what)
        trial = None if key is None else load_trial_view(reader, study.id, key)
    if trial is not None:
        readings = trial.result.run.readings
        epochs = trial.stage.epochs if trial.stage else len(readings)
        shown = [epoch_line(reading, max(epochs, reading.epoch)) for reading in readings]
        content, document = trial_view(trial), trial_data(trial)
    else:
        view = load_study_view(url, study.id)
        shown = trial_lines(view.results, view.stages)
        content, document = _study_view(view), _study_data(view)
    if lines:
        content = Text("\n".join(shown))
    console.print(content, highlight=False, soft_wrap=lines)
    if as_json:
        emit(document)


def _study_view(view: StudyView) -> RenderableType:
    study, standing = view.study, view.standing
    parts: list[RenderableType] = [
        Text.assemble(
            (f"study {study.id}: {study.name}", "bold"),
            f", {study.kind} of {study.recipe}, seed {study.seed}: {_state(study)}",
        ),
        *map(stage_panel, view.stages),
        results_table(view.results, 10, [result.trial.key for result in standing.ties]),
    ]
    if standing.edges or standing.silenced or standing.no_alarms:
        parts.append(edges_panel(standing.edges, standing.silenced, standing.no_alarms))
    return Group(*parts, *(Text(f"• {advice}") for advice in standing.advice))


def _state(study: Study) -> str:
    return INTERRUPTED if is_interrupted(study) else study.state.value


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
    """Compare trials, or studies by their best trial.

    Shown are the settings that differ, the outcomes and the curves.
    """
    if len(what) < 2:
        raise InputError(
            "a comparison needs two or more", fix="name another one, e.g. babysit compare 3/best 4"
        )
    with Reader(store_url(store, out)) as reader:
        found = [compared(reader, one) for one in what]
    console_for(as_json).print(comparison_view(found))
    if as_json:
        emit(comparison_data(found))
