"""`babysit check` and `babysit train`: one set-up, one run."""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from babysit.checks.questions.ask import report_of_answers
from babysit.cli.app import app, console_for, emit, going_on
from babysit.cli.notes import tell_address, tell_precision
from babysit.cli.options import (
    DashboardOption,
    DeviceOption,
    DownloadOption,
    HtmlOption,
    JsonOption,
    NameOption,
    OutOption,
    PrecisionOption,
    RecipeArgument,
    ResumeOption,
    SarifOption,
    SeedOption,
    SettingOption,
    StoreOption,
    WayOption,
)
from babysit.diagnosis.reasoning import together
from babysit.recipe.building import Prepared
from babysit.recipe.space import Choice, number, plain
from babysit.records import Reading, State
from babysit.session.dashboard import dashboard_beside
from babysit.session.jobs.job import DEFAULT_FOLDER, Job, check, examine, guessed, open_job
from babysit.session.jobs.train import Trained, train
from babysit.training.devices import AUTO
from babysit.training.precision import FLOAT32
from babysit.verdicts import CheckResult
from babysit.views.html.pages import write_page
from babysit.views.html.verdict_page import verdict_page
from babysit.views.terminal import tables
from babysit.views.terminal.verdict import verdict_view


@app.command("check", epilog="Example: babysit check cifar10 -s hidden=100")
def check_recipe(
    recipe: RecipeArgument,
    settings: SettingOption = None,
    seed: SeedOption = 0,
    download: DownloadOption = False,
    sarif: SarifOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask before training: first loss, regularization, twenty examples, learning rates, gradients, causes.

    Exit code 1 if a check failed or a cause was found; what is merely in doubt is a remark.
    """
    console = console_for(as_json)
    prepared = open_job(Job(recipe, tuple(settings or ()), seed))
    results = run_checks(prepared, console)
    report = together(report_of_answers(results, prepared.recipe.name), examine(prepared))
    console.print(verdict_view(report), highlight=False)
    if sarif is not None:
        write_page(report.as_sarif(_recipe_file(recipe)), sarif)
    if html is not None:
        write_page(verdict_page(report, checks=results), html)
    if as_json:
        emit({**report.as_data(), "checks": [_check_data(result) for result in results]})
    raise typer.Exit(report.exit_code)


def _recipe_file(recipe: str) -> str:
    """The file that a recipe is in; empty for a built-in one."""
    file = recipe.partition(":")[0]
    return file if Path(file).is_file() else ""


def run_checks(prepared: Prepared, console: Console) -> list[CheckResult]:
    results = []
    with console.status("checking"):
        for result in check(prepared):
            results.append(result)
    console.print(tables.checks_table(results))
    return results


def _check_data(result: CheckResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "status": str(result.status),
        "value": result.value,
        "expected": result.expected,
        "advice": result.advice,
        "details": dict(result.details),
    }


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
    """Train one run, print the lecture's line each epoch, and give a verdict with its evidence."""
    job = Job(recipe, tuple(settings or ()), seed, store, out, name, precision, device, way)
    prepared, console = open_job(job), console_for(as_json)
    tell_precision(precision, console)
    _tell_guesses(prepared, console)

    def show(reading: Reading) -> None:
        console.print(tables.epoch_line(reading, prepared.recipe.epochs), highlight=False, soft_wrap=True)

    with dashboard_beside(job.store_url, partial(tell_address, console), wanted=dashboard):
        trained = train(job, prepared, resume=resume, show=show)
    _tell_verdict(trained, console)
    if as_json:
        emit(_train_data(trained))
    if trained.run.state is State.STOPPED:
        console.print(
            escape(f"{trained.run.message}; {going_on(sys.argv[1:])}"), highlight=False, soft_wrap=True
        )
    raise typer.Exit(_CODES.get(trained.run.state, 0))


_CODES = {State.EXPLODED: 1, State.STOPPED: 130}


def _tell_guesses(prepared: Prepared, console: Console) -> None:
    space = prepared.recipe.full_space()
    for name, value in guessed(prepared.recipe).items():
        shown = number(value) if isinstance(value, float) else value
        what = (
            "the first of its choices"
            if isinstance(plain(space[name]), Choice)
            else "the middle of its range"
        )
        console.print(f"[dim]{name} = {shown}, {what}; set it with -s {name}=...[/dim]")


def _tell_verdict(trained: Trained, console: Console) -> None:
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
