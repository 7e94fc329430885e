"""`babysit check`: questions to a recipe before training."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from babysit.checks.questions.ask import report_of_answers
from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.options import (
    DownloadOption,
    HtmlOption,
    RecipeArgument,
    SarifOption,
    SeedOption,
    SettingOption,
)
from babysit.diagnosis.reasoning import together
from babysit.recipe.building import Prepared
from babysit.session.jobs.job import Job, check, examine, open_job
from babysit.verdicts import CheckResult
from babysit.views.html.pages import write_page
from babysit.views.html.verdict_page import verdict_page
from babysit.views.terminal.checks import checks_table
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
    """Check a recipe before training: loss, data, gradients, rates.

    It asks for the first loss, the effect of regularization, whether twenty examples can be memorized,
    learning rates, gradients, and every cause that the catalogue knows.

    Exit code 1 if a check failed or a cause was found; a check that is merely in doubt does not count.
    """
    console = console_for(as_json)
    prepared = open_job(Job(recipe, tuple(settings or ()), seed))
    results = run_checks(prepared, console)
    report = together(report_of_answers(results, prepared.recipe.name), examine(prepared))
    console.print(verdict_view(report), highlight=False)
    if sarif is not None:
        file = recipe.partition(":")[0]
        write_page(report.as_sarif(file if Path(file).is_file() else ""), sarif)
    if html is not None:
        write_page(verdict_page(report, checks=results), html)
    if as_json:
        keys = ("name", "value", "expected", "advice")
        checks = [
            {key: getattr(result, key) for key in keys}
            | {"status": str(result.status), "details": dict(result.details)}
            for result in results
        ]
        emit({**report.as_data(), "checks": checks})
    raise typer.Exit(report.exit_code)


def run_checks(prepared: Prepared, console: Console) -> list[CheckResult]:
    """Runs the checks of a recipe and prints their table."""
    with console.status("checking"):
        results = list(check(prepared))
    console.print(checks_table(results))
    return results
