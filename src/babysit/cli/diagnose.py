"""`babysit diagnose`: a printed log's verdicts."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.options import SarifOption
from babysit.readings.logs.formats import AUTO, NAMES
from babysit.readings.logs.ranges import parse_range
from babysit.records import Result
from babysit.session.diagnose import LogDiagnosis, SearchDiagnosis, diagnose_log
from babysit.views.data.formatting import range_text
from babysit.views.html.pages import write_page
from babysit.views.terminal import log_diagnosis


@app.command("diagnose", epilog="Example: python train.py | tee log.txt; babysit diagnose log.txt")
def diagnose_file(
    log: Annotated[str, typer.Argument(help="A log, or - for standard input.", show_default=False)],
    form: Annotated[str, typer.Option("--format", metavar="NAME", help=f"One of {', '.join(NAMES)}.")] = AUTO,
    classes: Annotated[int, typer.Option(help="How many classes; 0 reads it from the log.")] = 0,
    chance_loss: Annotated[
        float,
        typer.Option(help="The loss of a network that knows nothing: ln C, or the targets' variance."),
    ] = math.nan,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=LOW:HIGH", help="A range that was searched, lr=1e-6:1e-3."),
    ] = None,
    direction: Annotated[
        str, typer.Option(metavar="WAY", help="maximize or minimize a search's score; default: by its name.")
    ] = "",
    sarif: SarifOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diagnose the printed log of any training or search.

    Exit code 1 if there is a warning or an error.
    """
    boxes = dict(map(parse_range, ranges or ()))
    found = diagnose_log(
        log, form=form, classes=classes, chance_loss=chance_loss, ranges=boxes, direction=direction
    )
    if isinstance(found, SearchDiagnosis):
        view, data = _search_view(found), _search_data(found)
    else:
        run, unit = found.log.run, found.log.unit
        view = log_diagnosis.training_view(found.recognized, found.chance, run, unit, found.report)
        data = _training_data(found)
    console_for(as_json).print(view, highlight=False)
    if sarif is not None:
        write_page(found.report.as_sarif("" if log == "-" else log), sarif)
    if as_json:
        emit(data)
    raise typer.Exit(found.report.exit_code)


def _search_view(found: SearchDiagnosis) -> RenderableType:
    box = {name: range_text(searched.as_data()) for name, searched in found.box.items()}
    lines = log_diagnosis.standing_lines(found.positions, found.correlations, box, found.edges)
    lines += [log_diagnosis.ruined_line(found.ruined)] if found.ruined else []
    return log_diagnosis.search_view(
        found.recognized,
        log_diagnosis.trials_table(found.ranked, found.tied),
        lines,
        found.edges,
        {name: following.as_data() for name, following in found.next.items()},
        found.reason,
        found.advice,
    )


def _training_data(found: LogDiagnosis) -> dict[str, Any]:
    return {
        **found.report.as_data(),
        "kind": "training",
        "recognized": found.recognized,
        "chance": found.chance,
        "unit": found.log.unit,
        "readings": [asdict(reading) for reading in found.log.run.readings],
    }


def _search_data(found: SearchDiagnosis) -> dict[str, Any]:
    return {
        **found.report.as_data(),
        "kind": "search",
        "recognized": found.recognized,
        "best": _trial_data(found.ranked[0]),
        "ties": [_trial_data(result) for result in found.tied],
        "searched": {name: box.as_data() for name, box in found.box.items()},
        "positions": found.positions,
        "correlations": found.correlations,
        "ruined": [_trial_data(result) for result in found.ruined],
        "edges": [asdict(edge) for edge in found.edges],
        "next": {name: box.as_data() for name, box in found.next.items()},
        "reason": found.reason,
        "advice": list(found.advice),
    }


def _trial_data(result: Result) -> dict[str, Any]:
    return {
        "number": result.trial.number,
        "score": result.score,
        "hyperparameters": dict(result.trial.hyperparameters),
    }
