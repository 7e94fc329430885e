"""`babysit search` and `babysit demo`: a whole study."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.check import run_checks
from babysit.cli.notes import tell_address, tell_precision, tell_way
from babysit.cli.options import (
    DashboardOption,
    DeviceOption,
    DownloadOption,
    EnqueueOption,
    NameOption,
    PrecisionOption,
    RecipeArgument,
    ResumeOption,
    SeedOption,
    SettingOption,
    WayOption,
)
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.cli.search_options import settings_of, takes_settings
from babysit.recipe.space import number
from babysit.records import Reading, Study
from babysit.session.dashboard import dashboard_beside
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import Hooks, Searched, check_search, run_search
from babysit.session.models.onnx import require_onnx
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.training.devices import AUTO
from babysit.training.precision import FLOAT32
from babysit.tuning.engines.local import default_workers
from babysit.tuning.engines.registry import LOCAL
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import budgets_of
from babysit.verdicts import Status
from babysit.views.data.final_stage import epochs_text, final_lines, fold_text
from babysit.views.data.standing import study_standing
from babysit.views.data.study import load_study_view
from babysit.views.html.report import write_report
from babysit.views.terminal.importance import importance_view
from babysit.views.terminal.lecture_lines import epoch_line
from babysit.views.terminal.progress import SearchProgress
from babysit.views.terminal.search import edges_panel, results_table, stage_panel


@app.command("search", epilog="Example: babysit search cifar10 --stages coarse:40x3,fine:20x10,final:1x30")
@takes_settings
def search_recipe(
    recipe: RecipeArgument,
    settings: SettingOption = None,
    enqueue: EnqueueOption = None,
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
    **options: Any,
) -> None:
    """Search hyperparameters coarse to fine, then retrain the best.

    Trials that explode are stopped; a best value at the edge of its range is an alarm.
    """
    job = Job(
        recipe,
        settings or (),
        seed=seed,
        store=store,
        folder=out,
        name=name,
        precision=precision,
        device=device,
        way=way,
        enqueue=enqueue or (),
    )
    wanted = settings_of(options)
    console = console_for(as_json)
    with dashboard_beside(job.store_url, partial(tell_address, console), wanted=dashboard):
        found = _search(job, wanted, resume, console, as_json)
    raise typer.Exit(0 if found.outcome["best"] else 1)


@app.command(epilog="Example: babysit demo --seed 1")
def demo(
    recipe: Annotated[str, typer.Argument(help="Which built-in recipe to show.")] = "digits",
    seed: SeedOption = 0,
    download: DownloadOption = False,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """See the whole method on handwritten digits.

    It runs the checks, a coarse and a fine search, and trains the best again.
    """
    job, console = Job(recipe, seed=seed, store=store, folder=out, name="demo"), console_for(as_json)
    console.print(
        f"[bold]The method of CS231n lecture 6 on {recipe}[/bold]: check the set-up, search coarse to fine, "
        "retrain the best, score the test split once.\n"
    )
    _search(job, SearchSettings(), False, console, as_json)
    console.print(_NEXT_STEPS, highlight=False)


_NEXT_STEPS = """
[bold]Next[/bold]
  babysit train digits -s learning_rate=10     watch it explode; read the verdict
  babysit train digits -s learning_rate=1e-7   watch it not learn; read why
  babysit new my_recipe.py                     write a recipe of your own
  babysit runs                                 every study so far"""


_SHORT_SEARCH = 2_000_000


def _search(job: Job, settings: SearchSettings, resume: bool, console: Console, as_json: bool) -> Searched:
    if settings.onnx:
        require_onnx()  # before the data are loaded
    prepared = open_job(job)
    check_search(prepared, settings)
    tell_precision(job.precision, console)
    tell_way(prepared, console)
    if not settings.workers and settings.engine == LOCAL:
        # Worker processes pay where the training outlasts their start: about two seconds a worker.
        budgets = budgets_of(prepared.recipe, settings)
        work = sum(budget.trials * budget.epochs for budget in budgets) * len(prepared.dataset.train)
        settings = replace(settings, workers=default_workers() if work > _SHORT_SEARCH else 0)
    checks = [] if resume else run_checks(prepared, console)
    if any(result.status is Status.FAIL for result in checks):
        console.print("[yellow]a check failed: the search starts anyway; read the advice first[/yellow]")
    with SearchProgress(console) as progress:
        hooks = _hooks(progress, console)
        searched = run_search(job, prepared, settings, resume=resume, checks=checks, hooks=hooks)
    _tell_outcome(job, searched, console)
    stopped = searched.outcome["states"].get("stopped", 0)
    if settings.timeout and stopped:
        trials = "1 trial was" if stopped == 1 else f"{stopped} trials were"
        console.print(f"the time was up: {trials} stopped half-way; --resume trains what is missing")
    report = searched.report
    view = load_study_view(job.store_url, searched.study)
    write_report(view, report)
    console.print(f"report: {escape(str(report))}", soft_wrap=True)
    if as_json:
        stages = [asdict(stage) for stage in view.stages]
        emit({"study": searched.study, "stages": stages, **searched.outcome, "report": str(report)})
    return searched


def _hooks(progress: SearchProgress, console: Console) -> Hooks:
    def final(reading: Reading, epochs: int) -> None:
        console.print(epoch_line(reading, epochs), highlight=False, soft_wrap=True)

    def resumed(study: Study, done: int) -> None:
        console.print(f"resuming study {study.id}: {done} finished trials are kept")

    def interrupted() -> None:
        # Within a signal's handler: no stream, since the interrupted code may hold its lock.
        with contextlib.suppress(OSError):
            os.write(2, b"\nending the running epoch; Ctrl-C again stops now\n")

    return Hooks(progress.update, final, resumed, interrupted)


def _tell_outcome(job: Job, searched: Searched, console: Console) -> None:
    with Reader(job.store_url) as reader:
        study = queries.study(reader, searched.study)
        results = queries.results(reader, searched.study)
        stages = queries.stages(reader, searched.study)
    standing = study_standing(study, stages, results)
    outcome = searched.outcome
    for found in stages:
        console.print(stage_panel(found))
    console.print(results_table(results, 10, [result.trial.key for result in standing.ties]))
    if outcome["best"]:
        console.print(edges_panel(standing.edges, standing.silenced, standing.no_alarms))
        console.print(importance_view(outcome["importance"], outcome["importance_note"]))
        best = tuple(outcome["best"][name] for name in ("stage", "number"))
        over_folds = fold_text(next(result for result in results if result.trial.key == best))
        if over_folds:
            console.print(f"best: {over_folds}", highlight=False)
    for advice in outcome["advice"]:
        console.print(f"• {escape(advice)}")
    _tell_final(outcome.get("final"), searched.weights, console)
    states = ", ".join(f"{count} {state}" for state, count in sorted(outcome["states"].items()))
    speed = f"{outcome['wall_seconds']:.1f} s, {outcome['trial_steps_per_second']:,.0f} trial-steps/s"
    if not outcome["trial_steps_per_second"]:  # resumed, with nothing left to train
        speed = "none was trained anew"
    console.print(f"{states}; {speed}", highlight=False)


def _tell_final(final: dict[str, Any] | None, weights: Path | None, console: Console) -> None:
    if not final or weights is None:
        return
    if final["test_accuracy"] is not None and not math.isnan(final["test_accuracy"]):
        test = (
            f"; test accuracy {final['test_accuracy']:.4f} on {final['test_examples']} examples, scored once"
        )
    elif final["test_loss"] is not None:
        test = f"; test loss {final['test_loss']:.4g} on {final['test_examples']} examples, scored once"
    else:
        test = ""
    value, what = final["val_accuracy"], "accuracy"
    if math.isnan(value):
        value, what = final["val_loss"], "loss"
    stage, trial = final["trial"]
    console.print(
        f"[bold]trial {stage}/{trial}, retrained for {epochs_text(final)}:[/bold] validation {what} "
        f"{value:.4f} (epoch {final['best_epoch']}){test}",
        highlight=False,
    )
    chosen = ", ".join(
        f"{name} {number(known) if isinstance(known, float) else known}"
        for name, known in final["hyperparameters"].items()
    )
    console.print(f"[dim]{escape(chosen)}[/dim]", highlight=False)
    for line in final_lines(final):
        console.print(escape(line), highlight=False, soft_wrap=True)
    console.print(f"weights: {escape(str(weights))}", soft_wrap=True)
    console.print(f"load it: babysit.load({str(weights)!r})", highlight=False, markup=False, soft_wrap=True)
