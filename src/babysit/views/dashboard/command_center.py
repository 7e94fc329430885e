"""The command center: all trials of one study at once, and what changed since a page last asked."""

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
from babysit.store.overview import Line
from babysit.store.reader import Reader
from babysit.views.dashboard.commands import commands_data
from babysit.views.dashboard.parameters import STUDY_PATH, number
from babysit.views.dashboard.rendering import environment, page
from babysit.views.dashboard.state import Serving, reader_of, serving_of
from babysit.views.data.command_lines import study_words
from babysit.views.data.standing import Standing, standing, trial_name
from babysit.views.data.trial_table import Board, read_board, rows
from babysit.views.svg.small_multiples import Course, multiples, panel_svg

PANELS = 24
"""How many loss curves stand side by side."""

SHOWN = ("best", "running", "diverged")
"""Which runs' curves can be asked for."""


def _command_center(request: Request) -> Response:
    serving, reader = serving_of(request), reader_of(request)
    cursor = overview.cursor(reader)
    found = overview.lines(reader, request.path_params["study"])
    board = read_board(reader, request.path_params["study"], found)
    stands = _standing(serving, reader, board, found)
    data = {"ties": stands.ties, "state": stands.state, **_commands(serving, reader, board)}
    contents = {
        **_head(board, stands),
        "data": {**_everything(reader, board, found, cursor), **data},
        "panels": _panels(board, found, "best"),
        "shown": SHOWN,
    }
    return page(serving, "command_center.html.j2", contents)


def _everything(reader: Reader, board: Board, found: Sequence[Line], cursor: int) -> dict[str, Any]:
    causes = overview.cause_counts(reader, board.study.id)
    return {
        "cursor": cursor,
        "edition": board.edition,
        "board": {**board.data, "command": study_words(board.study)},
        "rows": rows(board, found, causes, overview.scaled_by_hand(reader, board.study.id)),
    }


def _commands(serving: Serving, reader: Reader, board: Board) -> dict[str, Any]:
    return {"commands": commands_data(serving, reader, board.study.id)}


def _standing(serving: Serving, reader: Reader, board: Board, found: Sequence[Line]) -> Standing:
    factors = overview.scaled_by_hand(reader, board.study.id)
    return standing(board, found, factors, interrupted=serving.is_interrupted(board.study))


def _changes(request: Request) -> Response:
    """What is newer than a cursor; everything, where the page was drawn on other axes."""
    serving, reader = serving_of(request), reader_of(request)
    since, study = number(request, "since"), number(request, "study")
    cursor = overview.cursor(reader)
    board = read_board(reader, study)
    news: dict[str, Any] = {"cursor": cursor, **_commands(serving, reader, board)}
    newer = [line for line in overview.newer_lines(reader, since) if line.study == study]
    if request.query_params.get("edition") != board.edition or since > cursor:
        news |= _everything(reader, board, overview.lines(reader, study), cursor)
    elif newer:
        causes = overview.newer_cause_counts(reader, since)
        news["rows"] = rows(board, newer, causes, overview.scaled_by_hand(reader, study))
    return JSONResponse(news | _stands(serving, reader, board, cursor), headers={"cache-control": "no-store"})


def _stands(serving: Serving, reader: Reader, board: Board, cursor: int) -> dict[str, Any]:
    """The head of the page, and the times, which change every second."""
    now = (cursor, board.study.state, len(board.stages), serving.is_interrupted(board.study))

    def judged() -> Standing:
        return _standing(serving, reader, board, overview.lines(reader, board.study.id))

    stands = serving.kept(board.study.id, now, judged)
    html = environment().get_template("standing.html.j2").render(_head(board, stands))
    times = {"elapsed": stands.elapsed, "left": stands.left}
    return {"head": html, "times": times, "ties": stands.ties, "state": stands.state}


def _head(board: Board, stands: Standing) -> dict[str, Any]:
    return {"study": board.study, "board": board, "standing": stands}


def _curves(request: Request) -> Response:
    reader = reader_of(request)
    shown = request.query_params.get("show", "best")
    if shown not in SHOWN:
        raise HTTPException(400, f"show must be one of {', '.join(SHOWN)}")
    found = overview.lines(reader, request.path_params["study"])
    panels = _panels(read_board(reader, request.path_params["study"], found), found, shown)
    html = environment().get_template("curves.html.j2").render({"panels": panels, "show": shown})
    return HTMLResponse(html, headers={"cache-control": "no-store"})


def _panels(board: Board, found: Sequence[Line], shown: str) -> list[dict[str, Any]]:
    chosen = _chosen(found, shown)[:PANELS]
    data = multiples([_course(board, line) for line in chosen])
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


def _chosen(found: Sequence[Line], shown: str) -> list[Line]:
    if shown == "running":
        return [line for line in found if line.state == State.RUNNING]
    if shown == "diverged":
        return [line for line in found if line.state in (State.EXPLODED, State.FAILED)]
    scored = [
        line
        for line in found
        if line.best_score is not None and math.isfinite(line.best_score) and line.state != State.EXPLODED
    ]
    return sorted(scored, key=lambda line: (-(line.best_score or 0.0), line.key))


def _course(board: Board, line: Line) -> Course:
    return Course(
        trial_name(board, line.key),
        line.state,
        np.frombuffer(line.spark, dtype="<f4").reshape(-1, 3),
        line.explosion_step or line.steps,
        math.nan if line.first_cost is None else line.first_cost,
        line.state == State.EXPLODED,
    )


routes = [
    Route(STUDY_PATH, _command_center),
    Route(STUDY_PATH + "/curves", _curves),
    Route("/changes", _changes),
]
