"""Pages of the lab: the list of experiments, and each with its numbers beside theory and its figures."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from babysit.views.dashboard.lab_runner import DONE, RUNNING, WAITING, ExperimentCard, Laboratory
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.state import serving_of


def _list(request: Request) -> Response:
    lab = serving_of(request).lab
    cards = [(card, lab.state(card.name)) for card in lab.cards]
    return page(serving_of(request), "lab.html.j2", {"cards": cards})


def _experiment(request: Request) -> Response:
    lab, card = _requested(request)
    state, answer = lab.state(card.name), lab.answer(card.name)
    context = {
        "card": card,
        "state": state,
        "busy": state in (RUNNING, WAITING),
        "failure": lab.failure(card.name),
        "lines": [str(line) for line in answer.get("lines") or ()],
        "tables": answer.get("tables") or (),
        "remark": str(answer.get("remark") or ""),
        "figures": list(lab.figures(card.name)) if state == DONE else [],
    }
    return page(serving_of(request), "experiment.html.j2", context)


def _state(request: Request) -> Response:
    lab, card = _requested(request)
    return JSONResponse({"state": lab.state(card.name)})


def _start(request: Request) -> Response:
    lab, card = _requested(request)
    lab.start(card.name)
    return JSONResponse({"state": lab.state(card.name)}, 202)


def _figure(request: Request) -> Response:
    lab, card = _requested(request)
    path = lab.figures(card.name).get(request.path_params["figure"])
    if path is None or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type="image/png", headers={"cache-control": "no-cache"})


def _requested(request: Request) -> tuple[Laboratory, ExperimentCard]:
    """Returns the laboratory, and the experiment that an address names.

    Raises:
        HTTPException: 404 if there is none.
    """
    lab = serving_of(request).lab
    card = lab.card(request.path_params["name"])
    if card is None:
        raise HTTPException(404)
    return lab, card


routes = [
    Route("/lab", _list),
    Route("/lab/{name}", _experiment),
    Route("/lab/{name}", _start, methods=["POST"]),
    Route("/lab/{name}/state", _state),
    Route("/lab/{name}/figures/{figure}.png", _figure),
]
