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
from babysit.views.dashboard.parameters import number
from babysit.views.dashboard.rendering import environment, page
from babysit.views.dashboard.state import Serving, reader_of, serving_of
from babysit.views.data.formatting import MISSING, ago_text, number_text, percent_text


class Card(NamedTuple):
    """One study in the list; ``share`` is how far it has come, 0 to 1, and ``when`` its age in words."""

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
    serving = serving_of(request)
    reader = _reader(request)
    contents = {
        "cursor": _cursor(reader),
        "cards": _cards(serving, reader) if reader else [],
    }
    return page(serving, "studies.html.j2", contents)


def _reader(request: Request) -> Reader | None:
    """The store; None while there is none, since a search may only be about to make it."""
    try:
        return reader_of(request)
    except StoreError:
        return None


def _cursor(reader: Reader | None) -> int:
    return overview.cursor(reader) if reader else 0


def _changes(request: Request) -> Response:
    serving, reader = serving_of(request), _reader(request)
    since, cursor = number(request, "since"), _cursor(reader)
    news: dict[str, object] = {"cursor": cursor}
    if reader and since != cursor:
        template = environment().get_template("study_cards.html.j2")
        news["html"] = template.render({"cards": _cards(serving, reader)})
    return JSONResponse(news, headers={"cache-control": "no-store"})


def _cards(serving: Serving, reader: Reader) -> list[Card]:
    counts: dict[int, list[StateCount]] = {}
    for one in overview.state_counts(reader):
        counts.setdefault(one.study, []).append(one)
    return [
        _card(study, counts.get(study.id, ()), serving.is_interrupted(study))
        for study in queries.studies(reader)
    ]


def _card(study: Study, counts: Sequence[StateCount], interrupted: bool) -> Card:
    accuracies = [one.best_accuracy for one in counts if one.best_accuracy is not None]
    scores = [
        one.best_score for one in counts if one.best_score is not None and math.isfinite(one.best_score)
    ]
    best = percent_text(max(accuracies)) if accuracies else number_text(-max(scores)) if scores else MISSING
    order = [state.value for state in State]
    counted = sorted(((one.state, one.trials) for one in counts), key=lambda pair: order.index(pair[0]))
    return Card(
        study=study,
        address=_address(study, counts),
        state="interrupted" if interrupted else study.state.value,
        score=best,
        accuracy=bool(accuracies) or not scores,
        share=_share(study, counts),
        stages=_stages(study),
        counts=tuple(counted),
        when=ago_text(max(0.0, time.time() - study.created)),
    )


def _address(study: Study, counts: Sequence[StateCount]) -> str:
    """Where a study is shown: one that is a single run, at its run."""
    alone = study.kind != "search" and sum(one.trials for one in counts) == 1
    return f"/r/{study.id}/0/0" if alone else f"/s/{study.id}"


def _share(study: Study, counts: Sequence[StateCount]) -> float:
    """How much of what was asked is done, by epochs; trials that ended early count by what they trained."""
    if study.state is State.COMPLETE:
        return 1.0
    asked = study.settings.get("stages") or [["train", 1, study.settings.get("epochs") or 0]]
    whole = sum(trials * epochs for _, trials, epochs in asked)
    return min(1.0, sum(one.epochs for one in counts) / whole) if whole else 0.0


def _stages(study: Study) -> str:
    """What was asked, in words: "coarse 100 × 5, fine 50 × 10 epochs"."""
    asked = study.settings.get("stages") or ()
    if not asked:
        epochs = study.settings.get("epochs")
        return f"{epochs} epochs" if epochs else ""
    return ", ".join(f"{name} {trials} × {epochs}" for name, trials, epochs in asked) + " epochs"


def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


routes = [Route("/", _studies), Route("/studies", _changes), Route("/healthz", _health)]
