"""`babysit train`: one run."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit, resume_line
from babysit.cli.notes import tell_address, tell_precision
from babysit.cli.options import (
    DashboardOption,
    DeviceOption,
    DownloadOption,
    NameOption,
    PrecisionOption,
    RecipeArgument,
    ResumeOption,
    SeedOption,
    SettingOption,
    WayOption,
)
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.recipe.space import Choice, number, plain
from babysit.records import Reading, State
from babysit.session.dashboard import dashboard_beside
from babysit.session.jobs.job import Job, guessed, open_job
from babysit.session.jobs.train import Trained, train
from babysit.training.devices import AUTO
from babysit.training.precision import FLOAT32
from babysit.views.terminal.lecture_lines import epoch_line
from babysit.views.terminal.verdict import verdict_view


@app.command("train", epilog="Example: babysit train cifar10 -s learning_rate=1e-3 -s l2=1e-3 -s epochs=10")
def train_recipe(
    recipe: RecipeArgument,
    settings: SettingOption = None,
    seed: SeedOption = 0,
    download: DownloadOption = False,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    name: NameOption = "",
    resume: ResumeOption = False,
    precision: PrecisionOption = FLOAT32,
    device: DeviceOption = AUTO,
    way: WayOption = None,
    dashboard: DashboardOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one run and judge it.

    It prints the lecture's line each epoch, and gives a verdict with its evidence.
    """
    job = Job(recipe, tuple(settings or ()), seed, store, out, name, precision, device, way)
    prepared, console = open_job(job), console_for(as_json)
    tell_precision(precision, console)
    space = prepared.recipe.full_space()
    for setting, value in guessed(prepared.recipe).items():
        shown = number(value) if isinstance(value, float) else value
        is_choice = isinstance(plain(space[setting]), Choice)
        what = "the first of its choices" if is_choice else "the middle of its range"
        console.print(f"[dim]{setting} = {shown}, {what}; set it with -s {setting}=...[/dim]")

    def show(reading: Reading) -> None:
        console.print(epoch_line(reading, prepared.recipe.epochs), highlight=False, soft_wrap=True)

    with dashboard_beside(job.store_url, partial(tell_address, console), wanted=dashboard):
        trained = train(job, prepared, resume=resume, show=show)
    _print_verdict(trained, console)
    if as_json:
        emit(_train_data(trained))
    if trained.run.state is State.STOPPED:
        console.print(
            escape(f"{trained.run.message}; {resume_line(sys.argv[1:])}"), highlight=False, soft_wrap=True
        )
    raise typer.Exit(_CODES.get(trained.run.state, 0))


_CODES = {State.EXPLODED: 1, State.STOPPED: 130}


def _print_verdict(trained: Trained, console: Console) -> None:
    best = trained.run.best
    if best is not None and not math.isnan(best.val_accuracy):
        console.print(f"best validation accuracy {best.val_accuracy:.3f} at epoch {best.epoch}")
    elif best is not None:
        console.print(f"best validation loss {best.val_loss:.4g} at epoch {best.epoch}")
    console.print(verdict_view(trained.report), highlight=False)
    if trained.weights:
        console.print(f"weights of the best epoch: {escape(str(trained.weights))}", soft_wrap=True)


def _train_data(trained: Trained) -> dict[str, Any]:
    run, best, last = trained.run, trained.run.best, trained.run.last
    cost = run.explosion.cost if run.explosion else last.cost if last else math.nan
    return {
        "run": trained.study,
        "state": str(run.state),
        "cost": cost,
        "train_accuracy": best.train_accuracy if best else None,
        "val_accuracy": best.val_accuracy if best else None,
        "epochs": len(run.readings),
        "verdict": str(trained.report.health),
        "healthy": trained.report.healthy,
        "causes": [cause.as_data() for cause in trained.report.causes],
        "findings": [finding.as_data() for finding in trained.report.findings],
        "weights": str(trained.weights) if trained.weights else None,
    }
