"""`babysit verify`: compares members trained in a population with members trained alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.options import DownloadOption, PrecisionOption, RecipeArgument, SeedOption, SettingOption
from babysit.session.jobs.verify import verify
from babysit.training.precision import FLOAT32
from babysit.views.terminal.verification import verification_text


@app.command("verify", epilog="Example: babysit verify my_recipe.py --precision medium")
def verify_recipe(
    recipe: RecipeArgument,
    settings: SettingOption = None,
    members: Annotated[int, typer.Option(help="How many members to train together and alone.")] = 4,
    steps: Annotated[int, typer.Option(help="How many steps to compare.")] = 50,
    precision: PrecisionOption = FLOAT32,
    trials: Annotated[int, typer.Option(help="Trials to rank in float32 and in --precision.")] = 20,
    seed: SeedOption = 0,
    download: DownloadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare members trained together with members trained alone.

    Are they equal? And does a precision keep the ranking of trials?
    """
    console = console_for(as_json)
    with console.status("training together, and alone"):
        found = verify(
            recipe,
            tuple(settings or ()),
            members=members,
            steps=steps,
            precision=precision,
            trials=trials,
            seed=seed,
        )
    console.print(verification_text(found), highlight=False)
    if as_json:
        emit({"equal": found.equal, "verdict": found.verdict, "loss": found.loss, **asdict(found)})
    raise typer.Exit(0 if found.equal else 1)
