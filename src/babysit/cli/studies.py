"""`babysit report`, `babysit runs` and `babysit new`: what is kept, and what to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from babysit.cli.app import app, console_for, emit
from babysit.cli.options import JsonOption, OutOption, StoreOption
from babysit.errors import InputError
from babysit.recipe.builtin import TEMPLATE
from babysit.records import State, Study
from babysit.session.commands.liveness import is_interrupted, resume_command
from babysit.session.jobs.job import DEFAULT_FOLDER, Job, file_stem
from babysit.session.references import near
from babysit.store import queries
from babysit.store.addresses import PASSWORD_PLACE, shown, without_password
from babysit.store.reader import Reader
from babysit.views.data.study import load_study_view
from babysit.views.html.report import write_report
from babysit.views.terminal import tables


@app.command(epilog="Example: babysit report 3 --out reports")
def report(
    study: Annotated[int | None, typer.Argument(help="The study's number; default the newest.")] = None,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Write a study's report: one HTML file that needs nothing else."""
    url = Job("", store=store, folder=out).store_url
    with Reader(url) as reader:
        found = queries.latest_study(reader) if study is None else queries.study(reader, study)
    if found is None:
        raise InputError(
            f"the store {shown(url)} holds no study", fix="run `babysit demo` or `babysit search` first"
        )
    path = out / f"{file_stem(found.name, found.id, found.fingerprint)}.html"
    write_report(load_study_view(url, found.id), path)
    console_for(as_json).print(f"report: {escape(str(path))}", soft_wrap=True)
    if as_json:
        emit({"study": found.id, "report": str(path)})


@app.command(epilog="Example: babysit new my_recipe.py && babysit check my_recipe.py")
def new(
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write a commented recipe to start from."""
    if file.suffix != ".py":
        raise InputError(f"{file} would be no Python file", fix=f"write {file.with_suffix('.py')}")
    try:
        with file.open("x", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(TEMPLATE.format(path=file))
    except FileExistsError:
        raise InputError(f"{file} exists already", fix="choose another name, or delete it first") from None
    except OSError as error:
        raise InputError(
            f"cannot write {file}: {error.strerror}", fix="choose a folder you can write in"
        ) from None
    console_for(as_json).print(
        f"wrote {escape(str(file))}; try: babysit check {escape(str(file))}", soft_wrap=True
    )
    if as_json:
        emit({"file": str(file)})


@app.command(epilog="Example: babysit runs --store sqlite:///babysit-runs/babysit.sqlite")
def runs(
    state: Annotated[
        str, typer.Option(help="Only studies in this state, e.g. complete, stopped, interrupted.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="Only studies of this recipe.")] = "",
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List every study in the store: what it asked, where it stands, its best."""
    url = Job("", store=store, folder=out).store_url
    with Reader(url) as reader:
        studies = queries.studies(reader)
        trials = {study.id: len(queries.run_summaries(reader, study.id)) for study in studies}
    lost = [study for study in studies if is_interrupted(study)]
    studies = [study for study in studies if _is_wanted(study, study in lost, state, recipe)]
    lost = [study for study in lost if study in studies]
    console = console_for(as_json)
    console.print(tables.studies_table(studies, trials, [study.id for study in lost]))
    for study in lost:
        hint = f", with {PASSWORD_PLACE}," if without_password(url) != url else ""
        going_on = f"go on{hint} with: {escape(resume_command(study, url, out))}"
        if "identity" in study.settings:  # a recipe of a Python program: no command knows it
            going_on = "go on with babysit.search(..., resume=True) in the program that began it"
        console.print(f"study {study.id} was interrupted; {going_on}", soft_wrap=True)
    if as_json:
        emit({"studies": [_study_data(study, study in lost) for study in studies]})


_STATES = (*(state.value for state in State), tables.INTERRUPTED)


def _is_wanted(study: Study, interrupted: bool, state: str, recipe: str) -> bool:
    if state and state not in _STATES:
        raise InputError(f"there is no state {state!r}", fix=near(state, _STATES))
    told = tables.INTERRUPTED if interrupted else study.state.value
    return state in ("", told) and recipe in ("", study.recipe, study.name)


def _study_data(study: Study, interrupted: bool) -> dict[str, Any]:
    return {
        "study": study.id,
        "name": study.name,
        "recipe": study.recipe,
        "kind": study.kind,
        "seed": study.seed,
        "state": tables.INTERRUPTED if interrupted else str(study.state),
        "created": study.created,
        "best": study.outcome.get("best"),
    }
