"""Some runs beside each other: only the settings that differ, what came of each, their curves."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from babysit.records import Result, Run, Stage, Study, Value
from babysit.store import queries, run_queries
from babysit.store.queries import Key
from babysit.store.reader import Reader
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.state import reader_of, serving_of
from babysit.views.data.formatting import MISSING, number_text, percent_text, score_text, value_text
from babysit.views.data.series import explosion_text
from babysit.views.svg.overlay import MOST, Overlay, Series, cost_overlay, key_svg, overlay_svg, score_overlay
from babysit.views.terminal.comparison import Compared, differing, study_settings
from babysit.views.terminal.verdict import HEALTH_WORDS

_REFERENCE = re.compile(r"(\d{1,9})-(\d{1,9})-(\d{1,9})", re.ASCII)


class Chosen(NamedTuple):
    """One run that is compared."""

    compared: Compared
    key: Key
    address: str


def _compare(request: Request) -> Response:
    wanted = _wanted(request)
    reader = reader_of(request)
    many = len({study for study, *_ in wanted}) > 1
    chosen = [_chosen(reader, study, (stage, number), many) for study, stage, number in wanted]
    costs = [queries.costs(reader, one.compared.study.id, one.key) for one in chosen]
    results = [_result(one) for one in chosen]
    names = [one.compared.name for one in chosen]
    series = [
        Series(name, *curve, first=result.run.first_cost)
        for name, curve, result in zip(names, costs, results, strict=True)
    ]
    contents = {
        "chosen": chosen,
        "keys": [key_svg(number) for number in range(len(chosen))],
        "settings": _settings([one.compared for one in chosen]),
        "outcomes": _outcomes(chosen),
        "verdicts": [(HEALTH_WORDS[one.compared.verdict.health], one.compared.verdict) for one in chosen],
        "costs": _svg(cost_overlay(series), "cost by step"),
        "scores": _svg(_scores(names, results), "validation score by epoch"),
        "most": MOST,
    }
    return page(serving_of(request), "compare.html.j2", contents)


def _wanted(request: Request) -> list[tuple[int, int, int]]:
    """Which runs: study, stage and number of each, none twice.

    Raises:
        HTTPException: 400, for fewer than two, more than eight, and what is no run.
    """
    given = list(dict.fromkeys(request.query_params.getlist("r")))
    if not 2 <= len(given) <= MOST:
        raise HTTPException(400, f"choose 2 to {MOST} runs to compare, e.g. /compare?r=3-0-12&r=3-1-4")
    found = [_REFERENCE.fullmatch(one) for one in given]
    if any(one is None for one in found):
        raise HTTPException(400, "name each run as study-stage-number, e.g. /compare?r=3-0-12&r=3-1-4")
    return [(int(one[1]), int(one[2]), int(one[3])) for one in found if one is not None]


def _chosen(reader: Reader, number: int, key: Key, many: bool) -> Chosen:
    study = queries.study(reader, number)
    result = run_queries.result(reader, number, key)
    stages = {stage.index: stage for stage in queries.stages(reader, number)}
    verdict = run_queries.verdict(reader, number, key)
    name = _name(study, stages.get(key[0]), key, many)
    compared = Compared(name, study, result, _asked(study), verdict=verdict)
    return Chosen(compared, key, f"/r/{number}/{key[0]}/{key[1]}")


def _asked(study: Study) -> dict[str, Value]:
    """What was asked of a study that holds for each of its trials: not how many there were."""
    return {name: value for name, value in study_settings(study).items() if name != "stages"}


def _name(study: Study, stage: Stage | None, key: Key, many: bool) -> str:
    """The run in few words: of one study by stage and number, of many by its study's number, too."""
    if study.kind in ("train", "watch"):
        return f"{study.id} {study.name}"
    name = f"{stage.name if stage else key[0]} {key[1]}"
    return f"{study.id}/{name}" if many else name


def _result(one: Chosen) -> Result:
    assert one.compared.result is not None
    return one.compared.result


def _settings(compared: list[Compared]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same everywhere, a cell for each run."""
    return [
        (name, [value_text(one.values[name]) if name in one.values else MISSING for one in compared])
        for name in differing(compared)
    ]


def _outcomes(chosen: list[Chosen]) -> list[tuple[str, list[str]]]:
    runs = [_result(one).run for one in chosen]
    best = [run.best for run in runs]
    rows: list[tuple[str, list[str]]] = [
        ("best validation", [score_text(_result(one)) for one in chosen]),
        ("at epoch", [str(one.epoch) if one else MISSING for one in best]),
        ("gap to training", [_gap(one) for one in best]),
        ("last cost", [_last_cost(run) for run in runs]),
        ("epochs trained", [str(len(run.readings)) for run in runs]),
        ("steps", [f"{run.steps:,}" for run in runs]),
        ("explosion", [explosion_text(run.explosion) if run.explosion else MISSING for run in runs]),
    ]
    return [(name, cells) for name, cells in rows if any(cell != MISSING for cell in cells)]


def _last_cost(run: Run) -> str:
    if run.explosion is not None:
        return number_text(run.explosion.cost)
    return number_text(run.last.cost) if run.last else MISSING


def _gap(best: Any) -> str:
    return percent_text(best.train_accuracy - best.val_accuracy) if best else MISSING


def _scores(names: list[str], results: list[Result]) -> Overlay | None:
    """Accuracies, or the validation losses where no run has any: the two are not drawn over each other."""
    readings = [result.run.readings for result in results]
    accuracy = any(math.isfinite(each.val_accuracy) for one in readings for each in one)
    series = [
        Series(
            name,
            [each.epoch for each in one],
            [each.val_accuracy if accuracy else each.val_loss for each in one],
        )
        for name, one in zip(names, readings, strict=True)
    ]
    return score_overlay(series, "validation accuracy" if accuracy else "validation loss")


def _svg(data: Overlay | None, label: str) -> str:
    return overlay_svg(data, label) if data is not None else ""


routes = [Route("/compare", _compare)]
