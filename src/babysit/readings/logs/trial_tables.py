"""Trials as other tools keep them: tables, JSON, Optuna's log lines, Keras Tuner's trial.json."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from babysit.errors import SpaceError
from babysit.readings.logs import tables
from babysit.readings.logs.numbers import number_of
from babysit.readings.logs.trial_rows import MAXIMIZE, MINIMIZE, SearchLog, TrialRow, knob_name, search_of
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
    """The search that a text holds; None for a text that holds none.

    Args:
        text: the log.
        direction: "maximize" or "minimize"; empty leaves it to the log.
        asked: the user says that it is a search.

    Example:
        >>> found = read("lr,dropout,loss\\n0.1,0.5,nan\\n0.001,0.2,0.4\\n0.01,0.1,0.3")
        >>> found.direction, [str(result.run.state) for result in found.results]
        ('minimize', ['exploded', 'complete', 'complete'])
    """
    if "finished with value" in text:
        return _optuna_lines(text, direction)
    documents = list(_documents(text))
    if documents:
        return _keras_tuner(documents, direction) or _from_json(documents, direction, asked)
    return search_of(_table(text), "a table of trials", direction=direction, asked=asked)


def _optuna_lines(text: str, direction: str) -> SearchLog | None:
    finished = list(_FINISHED.finditer(text))
    rows = [{"number": found[1], "value": found[2], **_params(found[3])} for found in finished]
    rows += [{"number": found[1], "state": found[2], **_params(found[3])} for found in _ENDED.finditer(text)]
    return search_of(
        rows, "Optuna's log lines", direction=direction or _direction_of_bests(finished), asked=True
    )


def _direction_of_bests(finished: list[re.Match[str]]) -> str:
    """What Optuna calls the best says which way is better."""
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


def _table(text: str) -> list[TrialRow]:
    lines = tables.lines(text)
    names = tables.heading(text)
    if len(names) < 2:
        return []
    rows = tables.cells(lines[1:], tables.delimiter(text))
    return [{name: cell.strip() for name, cell in zip(names, row, strict=False)} for row in rows]


def _documents(text: str) -> Iterator[Any]:
    """The JSON values of a text, one after another, whether they fill lines, files put together, or all."""
    decoder = json.JSONDecoder()
    place, text = 0, text.strip()
    while place < len(text) and text[place] in "{[":
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            cut = text.find("\n", place)  # a line that was cut short spoils only itself
            if cut < 0:
                return
            place = cut
        else:
            yield found
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1


def _from_json(documents: list[Any], direction: str, asked: bool) -> SearchLog | None:
    rows = [_flat(entry) for document in documents for entry in _entries(document)]
    return search_of(rows, "JSON of trials", direction=direction, asked=asked)


def _entries(document: Any) -> list[dict[str, Any]]:
    """The trials of a document: itself, its items, or those of the list that it holds under "trials"."""
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
    """Keras Tuner's trial.json, one after another; they tell the ranges and the direction themselves."""
    trials = [
        found
        for found in documents
        if isinstance(found, dict) and "trial_id" in found and isinstance(found.get("hyperparameters"), dict)
    ]
    if not trials:
        return None
    rows = [
        _flat({name: found.get(name) for name in ("trial_id", "score", "status")} | _chosen(found))
        for found in trials
    ]
    return search_of(
        rows,
        "Keras Tuner's trials",
        direction=direction or _keras_direction(trials[0]),
        asked=True,
        ranges=_keras_ranges(trials[0]),
    )


def _chosen(trial: Mapping[str, Any]) -> dict[str, Any]:
    values = trial["hyperparameters"].get("values")
    known = values.items() if isinstance(values, dict) else ()
    return {f"params_{name}": value for name, value in known if not str(name).startswith("tuner/")}


def _keras_direction(trial: Mapping[str, Any]) -> str:
    """The direction of the metric whose best value is the score."""
    metrics = trial.get("metrics")
    metrics = metrics.get("metrics") if isinstance(metrics, dict) else None
    named = {"max": MAXIMIZE, "min": MINIMIZE}
    for metric in metrics.values() if isinstance(metrics, dict) else ():
        observed = metric.get("observations") if isinstance(metric, dict) else None
        for each in observed if isinstance(observed, list) else ():
            if isinstance(each, dict) and trial.get("score") in (each.get("value"), *_listed(each)):
                return named.get(str(metric.get("direction")), "")
    return ""


def _listed(observation: Mapping[str, Any]) -> list[Any]:
    values = observation.get("value")
    return values if isinstance(values, list) else []


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
            found[knob_name(str(config.get("name")))] = make(float(low), float(high))
        except SpaceError:
            continue
    return found
