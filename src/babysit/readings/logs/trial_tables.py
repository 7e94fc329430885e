"""Trials in the files of other tools: tables, JSON, Optuna's log lines, Keras Tuner's trial.json."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from babysit.errors import SpaceError
from babysit.readings.logs import csv_tables
from babysit.readings.logs.numbers import number_of
from babysit.readings.logs.trial_rows import (
    MAXIMIZE,
    MINIMIZE,
    SearchLog,
    TrialRow,
    hyperparameter_name,
    search_of,
)
from babysit.recipe.space import Numeric, log_uniform, uniform

OPTUNA_EXAMPLE = (
    "Trial 3 finished with value: 0.91 and parameters: {'lr': 0.001}. Best is trial 3 with value: 0.91."
)

_FINISHED = re.compile(
    r"Trial (\d+) finished with value: (\S{1,60}) and parameters: (\{[^\n]{0,4000}?\})\."
    r"(?: Best is trial (\d+))?"
)
_ENDED = re.compile(
    r"Trial (\d+) (pruned|failed)\b(?: with parameters: (\{[^\n]{0,4000}?\}))?", re.IGNORECASE
)


def read(text: str, direction: str = "", *, asked: bool = False) -> SearchLog | None:
    """Reads the search that a text holds; None for a text that holds none.

    Args:
        text: the log.
        direction: "maximize" or "minimize"; empty to infer it from the log.
        asked: True if the user says that it is a search.

    Example:
        >>> found = read("lr,dropout,loss\\n0.1,0.5,nan\\n0.001,0.2,0.4\\n0.01,0.1,0.3")
        >>> found.direction, [str(result.run.state) for result in found.results]
        ('minimize', ['exploded', 'complete', 'complete'])
    """
    if "finished with value" in text:
        return _optuna_lines(text, direction)
    documents = list(_documents(text))
    if documents and (found := _keras_tuner(documents, direction)):
        return found
    if documents:
        entries = [_flat(entry) for document in documents for entry in _entries(document)]
        return search_of(entries, "JSON of trials", direction=direction, asked=asked)
    names = csv_tables.heading(text)
    if len(names) < 2:
        return None
    cells = csv_tables.cells(csv_tables.lines(text)[1:], csv_tables.delimiter(text))
    rows = [{name: cell.strip() for name, cell in zip(names, row, strict=False)} for row in cells]
    return search_of(rows, "a table of trials", direction=direction, asked=asked)


def _optuna_lines(text: str, direction: str) -> SearchLog | None:
    finished = list(_FINISHED.finditer(text))
    rows = [{"number": found[1], "value": found[2], **_params(found[3])} for found in finished]
    rows += [{"number": found[1], "state": found[2], **_params(found[3])} for found in _ENDED.finditer(text)]
    return search_of(
        rows, "Optuna's log lines", direction=direction or _direction_of_bests(finished), asked=True
    )


def _direction_of_bests(finished: list[re.Match[str]]) -> str:
    """Infers the direction from the trials that Optuna calls the best."""
    values = {found[1]: value for found in finished if (value := number_of(found[2])) is not None}
    before = math.nan
    for found in finished:
        best, this = (values.get(number, math.nan) for number in (found[4] or "", found[1]))
        apart = best - (before if best == this else this)
        if apart > 0 or apart < 0:
            return MAXIMIZE if apart > 0 else MINIMIZE
        before = best
    return ""


def _params(printed: str | None) -> dict[str, object]:
    try:
        found = ast.literal_eval(printed) if printed else {}
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    return {f"params_{name}": value for name, value in found.items()} if isinstance(found, dict) else {}


def _documents(text: str) -> Iterator[Any]:
    """Yields the JSON values of a text one after another: lines, joined files, or one document."""
    decoder = json.JSONDecoder()
    place, text = 0, text.strip()
    while place < len(text) and text[place] in "{[":
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            cut = text.find("\n", place)  # a truncated line spoils only itself
            if cut < 0:
                return
            place = cut
        else:
            yield found
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1


def _entries(document: Any) -> list[dict[str, Any]]:
    """Lists the trials of a document: itself, its items, or those of the list under "trials"."""
    if isinstance(document, dict):
        inner = next((document[name] for name in ("trials", "results", "runs") if name in document), document)
        document = list(inner.values()) if isinstance(inner, dict) and inner is not document else inner
    items = document if isinstance(document, list) else [document]
    return [item for item in items if isinstance(item, dict)]


def _flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float | str):
            found[prefix + str(name)] = value
    return found


def _keras_tuner(documents: list[Any], direction: str) -> SearchLog | None:
    """Reads a sequence of Keras Tuner's trial.json, which hold the ranges and the direction as well."""
    trials = [
        found
        for found in documents
        if isinstance(found, dict) and "trial_id" in found and isinstance(found.get("hyperparameters"), dict)
    ]
    if not trials:
        return None
    rows: list[TrialRow] = []
    for found in trials:
        values = found["hyperparameters"].get("values")
        known = values.items() if isinstance(values, dict) else ()
        chosen = {f"params_{name}": value for name, value in known if not str(name).startswith("tuner/")}
        rows.append(_flat({name: found.get(name) for name in ("trial_id", "score", "status")} | chosen))
    return search_of(
        rows,
        "Keras Tuner's trials",
        direction=direction or _keras_direction(trials[0]),
        asked=True,
        ranges=_keras_ranges(trials[0]),
    )


def _keras_direction(trial: Mapping[str, Any]) -> str:
    """Returns the direction of the metric whose best value is the score."""
    metrics = trial.get("metrics")
    metrics = metrics.get("metrics") if isinstance(metrics, dict) else None
    named = {"max": MAXIMIZE, "min": MINIMIZE}
    for metric in metrics.values() if isinstance(metrics, dict) else ():
        observed = metric.get("observations") if isinstance(metric, dict) else None
        for each in observed if isinstance(observed, list) else ():
            value = each.get("value") if isinstance(each, dict) else None
            values = value if isinstance(value, list) else [value]
            if isinstance(each, dict) and trial.get("score") in values:
                return named.get(str(metric.get("direction")), "")
    return ""


def _keras_ranges(trial: Mapping[str, Any]) -> dict[str, Numeric]:
    found: dict[str, Numeric] = {}
    space = trial["hyperparameters"].get("space")
    for entry in space if isinstance(space, list) else ():
        config = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(config, dict):
            continue
        low, high = config.get("min_value"), config.get("max_value")
        if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high):
            continue
        make = log_uniform if config.get("sampling") in ("log", "reverse_log") else uniform
        try:
            found[hyperparameter_name(str(config.get("name")))] = make(float(low), float(high))
        except SpaceError:
            continue
    return found
