"""The page that compares runs: the settings that differ, the results, and the curves."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from babysit.records import Result, TrialKey
from babysit.store import queries, run_queries
from babysit.store.reader import Reader
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.state import reader_of, serving_of
from babysit.views.data.comparison import Compared, differing, study_settings
from babysit.views.data.formatting import MISSING, number_text, percent_text, score_text, value_text
from babysit.views.data.series import explosion_text
from babysit.views.data.verdict import HEALTH_WORDS
from babysit.views.svg.overlay import (
    MOST_RUNS,
    Overlay,
    RunSeries,
    cost_overlay,
    key_svg,
    overlay_svg,
    score_overlay,
)

_REFERENCE = re.compile(r"(\d{1,9})-(\d{1,9})-(\d{1,9})", re.ASCII)


class Chosen(NamedTuple):
    """One run that is compared."""

    compared: Compared
    key: TrialKey
    address: str

    @property
    def result(self) -> Result:
        """The trial with its run."""
        assert self.compared.result is not None
        return self.compared.result


def _compare(request: Request) -> Response:
    wanted = _wanted(request)
    reader = reader_of(request)
    with_study = len({study for study, *_ in wanted}) > 1
    chosen = [_chosen(reader, study, (stage, number), with_study) for study, stage, number in wanted]
    compared = [one.compared for one in chosen]
    settings = [
        (name, [value_text(one.values[name]) if name in one.values else MISSING for one in compared])
        for name in differing(compared)
    ]
    costs = [
        RunSeries(
            one.compared.name,
            *queries.costs(reader, one.compared.study.id, one.key),
            first=one.result.run.first_cost,
        )
        for one in chosen
    ]
    cost_curves, score_curves = cost_overlay(costs), _scores(chosen)
    contents = {
        "chosen": chosen,
        "keys": [key_svg(number) for number in range(len(chosen))],
        "settings": settings,
        "outcomes": _outcomes([one.result for one in chosen]),
        "verdicts": [(HEALTH_WORDS[one.verdict.health], one.verdict) for one in compared],
        "costs": overlay_svg(cost_curves, "cost by step") if cost_curves else "",
        "scores": overlay_svg(score_curves, "validation score by epoch") if score_curves else "",
        "most": MOST_RUNS,
    }
    return page(serving_of(request), "compare.html.j2", contents)


def _wanted(request: Request) -> list[tuple[int, int, int]]:
    """Reads the requested runs: study, stage and number of each, without repetitions.

    Raises:
        HTTPException: 400, for fewer than two, more than eight, and text that names no run.
    """
    given = list(dict.fromkeys(request.query_params.getlist("r")))
    if not 2 <= len(given) <= MOST_RUNS:
        raise HTTPException(400, f"choose 2 to {MOST_RUNS} runs to compare, e.g. /compare?r=3-0-12&r=3-1-4")
    found = [_REFERENCE.fullmatch(one) for one in given]
    if any(one is None for one in found):
        raise HTTPException(400, "name each run as study-stage-number, e.g. /compare?r=3-0-12&r=3-1-4")
    return [(int(one[1]), int(one[2]), int(one[3])) for one in found if one is not None]


def _chosen(reader: Reader, number: int, key: TrialKey, with_study: bool) -> Chosen:
    """Loads a run; its name has the study's number where several studies are compared."""
    study = queries.study(reader, number)
    stages = {stage.index: stage.name for stage in queries.stages(reader, number)}
    if study.kind in ("train", "watch"):
        name = f"{study.id} {study.name}"
    else:
        name = f"{study.id}/" * with_study + f"{stages.get(key[0], key[0])} {key[1]}"
    # The stages say how many trials there were, which is no setting of a trial.
    settings = {setting: value for setting, value in study_settings(study).items() if setting != "stages"}
    result, verdict = run_queries.result(reader, number, key), run_queries.verdict(reader, number, key)
    compared = Compared(name, study, result, settings, verdict=verdict)
    return Chosen(compared, key, f"/r/{number}/{key[0]}/{key[1]}")


def _outcomes(results: list[Result]) -> list[tuple[str, list[str]]]:
    """Lists the measurements of each run; rows without any are left out."""
    runs = [result.run for result in results]
    best = [run.best for run in runs]
    gaps = [percent_text(one.train_accuracy - one.val_accuracy) if one else MISSING for one in best]
    ends = [run.explosion or run.last for run in runs]
    rows: list[tuple[str, list[str]]] = [
        ("best validation", [score_text(result) for result in results]),
        ("at epoch", [str(one.epoch) if one else MISSING for one in best]),
        ("gap to training", gaps),
        ("last cost", [number_text(end.cost) if end else MISSING for end in ends]),
        ("epochs trained", [str(len(run.readings)) for run in runs]),
        ("steps", [f"{run.steps:,}" for run in runs]),
        ("explosion", [explosion_text(run.explosion) if run.explosion else MISSING for run in runs]),
    ]
    return [(name, cells) for name, cells in rows if any(cell != MISSING for cell in cells)]


def _scores(chosen: list[Chosen]) -> Overlay | None:
    """Overlays the accuracies, or the validation losses where no run has accuracies."""
    readings = [one.result.run.readings for one in chosen]
    accuracy = any(math.isfinite(each.val_accuracy) for one in readings for each in one)
    series = [
        RunSeries(
            one.compared.name,
            [each.epoch for each in run],
            [each.val_accuracy if accuracy else each.val_loss for each in run],
        )
        for one, run in zip(chosen, readings, strict=True)
    ]
    return score_overlay(series, "validation accuracy" if accuracy else "validation loss")


routes = [Route("/compare", _compare)]
"""The address of this page."""
