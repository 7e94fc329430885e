"""`babysit runs`: the studies of a store."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.errors import InputError
from babysit.records import State, Study
from babysit.session.commands.liveness import is_interrupted, resume_command
from babysit.session.references import near
from babysit.store import queries
from babysit.store.addresses import PASSWORD_PLACE, store_url, without_password
from babysit.store.reader import Reader
from babysit.views.terminal.studies import INTERRUPTED, studies_table


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
    """List the studies of a store.

    Each with its settings, its state and its best trial.
    """
    states = {each.value for each in State} | {INTERRUPTED}
    if state and state not in states:
        raise InputError(f"there is no state {state!r}", fix=near(state, sorted(states)))
    url = store_url(store, out)
    with Reader(url) as reader:
        studies = queries.studies(reader)
        trials = {study.id: len(queries.run_summaries(reader, study.id)) for study in studies}
    state_of = {study.id: INTERRUPTED if is_interrupted(study) else study.state.value for study in studies}
    studies = [
        study
        for study in studies
        if state in ("", state_of[study.id]) and recipe in ("", study.recipe, study.name)
    ]
    lost = [study for study in studies if state_of[study.id] == INTERRUPTED]
    console = console_for(as_json)
    console.print(studies_table(studies, trials, [study.id for study in lost]))
    for study in lost:
        hint = f", with {PASSWORD_PLACE}," if without_password(url) != url else ""
        how = f"resume{hint} with: {escape(resume_command(study, url, out))}"
        if "identity" in study.settings:  # a recipe of a Python program: no command knows it
            how = "resume with babysit.search(..., resume=True) in the program that started it"
        console.print(f"study {study.id} was interrupted; {how}", soft_wrap=True)
    if as_json:
        emit({"studies": [_study_data(study, state_of[study.id]) for study in studies]})


def _study_data(study: Study, state: str) -> dict[str, Any]:
    return {
        "study": study.id,
        "name": study.name,
        "recipe": study.recipe,
        "kind": study.kind,
        "seed": study.seed,
        "state": state,
        "created": study.created,
        "best": study.outcome.get("best"),
    }
