"""`babysit diagnose` and `babysit rules`: a printed log's verdicts, and what is looked for."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.records import Result
from babysit.session.diagnosing import LogDiagnosis, SearchDiagnosis, diagnose_log
from babysit.views import diagnosis, rules
from babysit.views.words import range_text
from babysit.watching.logs.formats import AUTO, NAMES
from babysit.watching.rules import RULES, Rule


@app.command("diagnose", epilog="Example: python train.py | tee log.txt; babysit diagnose log.txt")
def diagnose_file(
    log: Annotated[str, typer.Argument(help="A log, or - for standard input.", show_default=False)],
    form: Annotated[str, typer.Option("--format", metavar="NAME", help=f"One of {', '.join(NAMES)}.")] = AUTO,
    classes: Annotated[int, typer.Option(help="How many classes; 0 reads it from the log.")] = 0,
    chance_loss: Annotated[
        float,
        typer.Option(help="The loss of a network that knows nothing: ln C, or the targets' variance."),
    ] = math.nan,
    as_json: JsonOption = False,
) -> None:
    """Read the log of any training, or of a search, and say what is wrong; exit code 1 if something is."""
    found = diagnose_log(log, form=form, classes=classes, chance_loss=chance_loss)
    console_for(as_json).print(_view(found), highlight=False)
    if as_json:
        emit(_training_data(found) if isinstance(found, LogDiagnosis) else _search_data(found))
    raise typer.Exit(0 if found.healthy else 1)


def _view(found: LogDiagnosis | SearchDiagnosis) -> RenderableType:
    if isinstance(found, SearchDiagnosis):
        return _search_view(found)
    log = found.log
    return diagnosis.training_view(found.recognized, found.chance, log.run, log.unit, found.findings)


def _search_view(found: SearchDiagnosis) -> RenderableType:
    box = {name: range_text(searched.as_data()) for name, searched in found.box.items()}
    lines = diagnosis.standing_lines(found.positions, found.correlations, box, found.edges)
    lines += [diagnosis.ruined_line(found.ruined)] if found.ruined else []
    return diagnosis.search_view(
        found.recognized,
        diagnosis.trials_table(found.ranked, found.tied),
        lines,
        found.edges,
        {name: following.as_data() for name, following in found.next.items()},
        found.reason,
    )


def _training_data(found: LogDiagnosis) -> dict[str, Any]:
    return {
        "kind": "training",
        "recognized": found.recognized,
        "chance": found.chance,
        "healthy": found.healthy,
        "unit": found.log.unit,
        "findings": [asdict(finding) for finding in found.findings],
        "readings": [asdict(reading) for reading in found.log.run.readings],
    }


def _search_data(found: SearchDiagnosis) -> dict[str, Any]:
    return {
        "kind": "search",
        "recognized": found.recognized,
        "healthy": found.healthy,
        "best": _trial_data(found.ranked[0]),
        "ties": [_trial_data(result) for result in found.tied],
        "searched": {name: box.as_data() for name, box in found.box.items()},
        "positions": found.positions,
        "correlations": found.correlations,
        "ruined": [_trial_data(result) for result in found.ruined],
        "edges": [asdict(edge) for edge in found.edges],
        "next": {name: box.as_data() for name, box in found.next.items()},
        "reason": found.reason,
    }


def _trial_data(result: Result) -> dict[str, Any]:
    return {
        "number": result.trial.number,
        "score": result.score,
        "hyperparameters": dict(result.trial.hyperparameters),
    }


@app.command("rules", epilog="Example: babysit rules --json")
def list_rules(as_json: JsonOption = False) -> None:
    """List what is looked for in a run or a log: each rule with its threshold, reason and source."""
    console_for(as_json).print(rules.rules_table(RULES))
    if as_json:
        emit({"rules": [_rule_data(rule) for rule in RULES]})


def _rule_data(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "severity": str(rule.severity),
        "about": rule.about,
        "reason": rule.reason,
        "source": rule.source,
        "symptom_of": list(rule.symptom_of),
    }
