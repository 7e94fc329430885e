"""The command center: all trials of one study on one page, and the changes since a page's last request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from babysit.records import State
from babysit.store import overview
from babysit.store.overview import TrialLine
from babysit.store.reader import Reader
from babysit.tuning.ranking import best_first
from babysit.views.dashboard.commands import commands_data
from babysit.views.dashboard.parameters import STUDY_PATH, number
from babysit.views.dashboard.rendering import environment, page
from babysit.views.dashboard.state import reader_of, serving_of
from babysit.views.data.command_lines import study_words
from babysit.views.data.status import StudyStatus, light_results, study_status, trial_name
from babysit.views.data.trial_table import Board, read_board, rows
from babysit.views.svg.small_multiples import Course, multiples, panel_svg

PANELS = 24
"""The number of loss curves that stand side by side."""

SHOWN = ("best", "running", "diverged")
"""The groups of runs whose curves can be requested."""


def _command_center(request: Request) -> Response:
    serving, reader, study = serving_of(request), reader_of(request), request.path_params["study"]
    cursor = overview.cursor(reader)
    found = overview.lines(reader, study)
    board = read_board(reader, study, found)
    status = study_status(reader, board, found, interrupted=serving.is_interrupted(board.study))
    contents = {
        **_head(board, status),
        "data": {
            **_all_rows(reader, board, found, cursor),
            **_judged(status),
            "commands": commands_data(serving, reader, study),
        },
        "panels": _panels(reader, board, found, "best"),
        "shown": SHOWN,
    }
    return page(serving, "command_center.html.j2", contents)


def _all_rows(reader: Reader, board: Board, found: Sequence[TrialLine], cursor: int) -> dict[str, Any]:
    causes = overview.cause_counts(reader, board.study.id)
    return {
        "cursor": cursor,
        "edition": board.edition,
        "board": {**board.data, "command": study_words(board.study)},
        "rows": rows(board, found, causes, overview.learning_rate_factors(reader, board.study.id)),
    }


def _judged(status: StudyStatus) -> dict[str, Any]:
    """Returns the judgement of a study for the scripts, which judge nothing themselves."""
    return {
        "best": None if status.best is None else status.best.key,
        "ties": status.ties,
        "state": status.state,
    }


def _head(board: Board, status: StudyStatus) -> dict[str, Any]:
    return {"study": board.study, "board": board, "status": status}


def _changes(request: Request) -> Response:
    """Returns the changes since a cursor, or everything where the page was drawn on other axes."""
    serving, reader = serving_of(request), reader_of(request)
    since, study = number(request, "since"), number(request, "study")
    cursor = overview.cursor(reader)
    board = read_board(reader, study)
    news: dict[str, Any] = {"cursor": cursor, "commands": commands_data(serving, reader, study)}
    newer = [line for line in overview.newer_lines(reader, since) if line.study == study]
    if request.query_params.get("edition") != board.edition or since > cursor:
        news |= _all_rows(reader, board, overview.lines(reader, study), cursor)
    elif newer:
        causes = overview.newer_cause_counts(reader, since)
        news["rows"] = rows(board, newer, causes, overview.learning_rate_factors(reader, study))

    interrupted = serving.is_interrupted(board.study)

    def make() -> StudyStatus:
        return study_status(reader, board, overview.lines(reader, study), interrupted=interrupted)

    # Pages that look at one study share the judgement of its trials.
    state = (cursor, board.study.state, len(board.stages), interrupted)
    status = serving.kept(study, state, make)
    head = environment().get_template("status.html.j2").render(_head(board, status))
    times = {"elapsed": status.elapsed, "left": status.left}
    news |= {**_judged(status), "head": head, "times": times}
    return JSONResponse(news, headers={"cache-control": "no-store"})


def _curves(request: Request) -> Response:
    reader, study = reader_of(request), request.path_params["study"]
    shown = request.query_params.get("show", "best")
    if shown not in SHOWN:
        raise HTTPException(400, f"show must be one of {', '.join(SHOWN)}")
    found = overview.lines(reader, study)
    panels = _panels(reader, read_board(reader, study, found), found, shown)
    html = environment().get_template("curves.html.j2").render({"panels": panels, "show": shown})
    return HTMLResponse(html, headers={"cache-control": "no-store"})


def _panels(reader: Reader, board: Board, found: Sequence[TrialLine], shown: str) -> list[dict[str, Any]]:
    """Draws the loss curves of one group of runs."""
    if shown == "running":
        chosen = [line for line in found if line.state == State.RUNNING]
    elif shown == "diverged":
        chosen = [line for line in found if line.state in (State.EXPLODED, State.FAILED)]
    else:
        by_key = {line.key: line for line in found}
        order = best_first(light_results(found, overview.learning_rate_factors(reader, board.study.id)))
        chosen = [by_key[result.trial.key] for result in order if math.isfinite(result.score)]
    chosen = chosen[:PANELS]

    courses = [
        Course(
            trial_name(board, line.key),
            line.state,
            np.frombuffer(line.spark, dtype="<f4").reshape(-1, 3),
            line.explosion_step or line.steps,
            math.nan if line.first_cost is None else line.first_cost,
            line.state == State.EXPLODED,
        )
        for line in chosen
    ]
    data = multiples(courses)
    return [
        {
            "line": line,
            "name": panel.name,
            "address": f"/r/{line.study}/{line.stage}/{line.number}",
            "figure": panel_svg(data, panel),
            "score": line.best_score if line.state != State.EXPLODED else None,
            "accuracy": board.accuracy,
        }
        for line, panel in zip(chosen, data.panels, strict=True)
    ]


routes = [
    Route(STUDY_PATH, _command_center),
    Route(STUDY_PATH + "/curves", _curves),
    Route("/changes", _changes),
]
"""The addresses of this page."""
