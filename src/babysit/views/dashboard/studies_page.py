"""The page of all studies."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from babysit.errors import StoreError
from babysit.records import State, Study
from babysit.store import overview, queries
from babysit.store.overview import StateCount
from babysit.store.reader import Reader
from babysit.tuning.ranking import state_class
from babysit.views.dashboard.parameters import number
from babysit.views.dashboard.rendering import environment, page
from babysit.views.dashboard.state import Serving, reader_of, serving_of
from babysit.views.data.formatting import MISSING, ago_text, number_text, percent_text


class StudyCard(NamedTuple):
    """One study in the list; ``share`` is the done part of its work, 0 to 1, and ``when`` its age."""

    study: Study
    address: str
    state: str
    score: str
    accuracy: bool
    share: float
    stages: str
    counts: tuple[tuple[str, int], ...]
    when: str


def _studies(request: Request) -> Response:
    serving, reader = serving_of(request), _reader(request)
    contents = {
        "cursor": overview.cursor(reader) if reader else 0,
        "cards": _cards(serving, reader) if reader else [],
    }
    return page(serving, "studies.html.j2", contents)


def _reader(request: Request) -> Reader | None:
    """Returns the store; None while there is none, since a search may not have created it yet."""
    try:
        return reader_of(request)
    except StoreError:
        return None


def _changes(request: Request) -> Response:
    serving, reader = serving_of(request), _reader(request)
    since, cursor = number(request, "since"), overview.cursor(reader) if reader else 0
    news: dict[str, object] = {"cursor": cursor}
    if reader and since != cursor:
        template = environment().get_template("study_cards.html.j2")
        news["html"] = template.render({"cards": _cards(serving, reader)})
    return JSONResponse(news, headers={"cache-control": "no-store"})


def _cards(serving: Serving, reader: Reader) -> list[StudyCard]:
    counts: dict[int, list[StateCount]] = {}
    for one in overview.state_counts(reader):
        counts.setdefault(one.study, []).append(one)
    return [
        _card(study, counts.get(study.id, ()), serving.is_interrupted(study))
        for study in queries.studies(reader)
    ]


def _card(study: Study, counts: Sequence[StateCount], interrupted: bool) -> StudyCard:
    scored = [
        (state_class(State(one.state)), one.best_score, one.best_accuracy)
        for one in counts
        if one.state != State.EXPLODED and one.best_score is not None and math.isfinite(one.best_score)
    ]
    # A stopped, pruned or failed trial counts only where there is no other, as for the best trial.
    _, score, accuracy = min(scored, key=lambda one: (one[0], -one[1]), default=(0, None, None))
    best = MISSING if score is None else number_text(-score)

    requested = study.settings.get("stages") or ()
    epochs = study.settings.get("epochs") or 0
    if requested:
        stages = ", ".join(f"{name} {trials} × {epochs}" for name, trials, epochs in requested) + " epochs"
    else:
        stages = f"{epochs} epochs" if epochs else ""
    # Trials that ended early count by the epochs that they trained.
    whole = sum(trials * epochs for _, trials, epochs in requested or [("train", 1, epochs)])
    share = min(1.0, sum(one.epochs for one in counts) / whole) if whole else 0.0

    is_one_run = study.kind != "search" and sum(one.trials for one in counts) == 1
    order = [state.value for state in State]
    return StudyCard(
        study=study,
        address=f"/r/{study.id}/0/0" if is_one_run else f"/s/{study.id}",
        state="interrupted" if interrupted else study.state.value,
        score=best if accuracy is None else percent_text(accuracy),
        accuracy=accuracy is not None or score is None,
        share=1.0 if study.state is State.COMPLETE else share,
        stages=stages,
        counts=tuple(
            (one.state, one.trials) for one in sorted(counts, key=lambda one: order.index(one.state))
        ),
        when=ago_text(max(0.0, time.time() - study.created)),
    )


def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


routes = [Route("/", _studies), Route("/studies", _changes), Route("/healthz", _health)]
"""The addresses of this page."""
