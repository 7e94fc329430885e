"""Requests to live runs: written from a page into the store, and shown with the state of each.

A button is a request, not a signal. It is written into the store; the training process reads it at the end of
a step and answers; the page shows which of these has happened.
"""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from babysit.errors import InputError, StoreError
from babysit.records import Command, CommandKind, CommandState, TrialKey
from babysit.store import commands
from babysit.store.reader import Reader
from babysit.views.dashboard.parameters import STUDY_PATH, TRIAL_PATH
from babysit.views.dashboard.state import Serving, serving_of
from babysit.views.data.formatting import value_text

BY = "the dashboard"


async def _ask(request: Request) -> Response:
    study = request.path_params["study"]
    key = None
    if "number" in request.path_params:
        key = (request.path_params["stage"], request.path_params["number"])
    try:
        given = json.loads(await request.body())
        kind, argument = CommandKind(given["kind"]), given.get("argument")
        if isinstance(argument, bool) or not isinstance(argument, int | float | None):
            raise TypeError(argument)
        number = math.nan if argument is None else float(argument)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        kinds = ", ".join(CommandKind)
        raise HTTPException(400, f'write {{"kind": ..., "argument": ...}} with one of {kinds}') from None
    return await run_in_threadpool(_written, serving_of(request), study, key, kind, number)


def _written(
    serving: Serving, study: int, key: TrialKey | None, kind: CommandKind, argument: float
) -> JSONResponse:
    try:
        with commands.Commands(serving.store.url, busy_seconds=5) as opened:
            asked = opened.ask(study, kind, trial=key, argument=argument, by=BY)
    except StoreError as error:
        return JSONResponse({"problem": error.problem, "fix": error.fix}, 404)
    except InputError as error:
        return JSONResponse({"problem": error.problem, "fix": error.fix}, 409)
    serving.store.close()  # an older store got its table of requests only now
    return JSONResponse({"command": command_data(asked)}, 202)


def commands_data(
    serving: Serving, reader: Reader, study: int, key: TrialKey | None = None
) -> dict[str, Any]:
    """Returns the requests of a study or of one trial, newest first, and a warning if its process is silent.

    Requests that no process received for too long expire here.

    Args:
        serving: the running dashboard.
        reader: its store.
        study: the study's number.
        key: the trial; None for the whole study.
    """
    found = commands.commands_of(reader, study, trial=key)
    silence = commands.silence(reader, study)
    waiting = [one for one in found if one.state.is_open]
    if waiting and not silence <= commands.SILENT_SECONDS:
        with commands.Commands(serving.store.url, busy_seconds=1) as opened:
            if opened.expire_unanswered(study):
                found = commands.commands_of(reader, study, trial=key)
    warning = ""
    if any(one.state.is_open for one in found):
        if math.isnan(silence):
            warning = "the run has sent no heartbeat, the request will expire"
        elif silence > 2 * commands.HEARTBEAT_SECONDS:
            warning = f"no heartbeat for {silence:.0f} s, the request will expire"
    return {"list": [command_data(one) for one in reversed(found)], "silence": warning}


def command_data(command: Command) -> dict[str, Any]:
    """Returns a request as plain data.

    Example:
        >>> kind, state = CommandKind.SCALE_LEARNING_RATE, CommandState.ASKED
        >>> asked = Command(7, 1, (0, 12), kind, 0.5, "ann", 0.0, state)
        >>> data = command_data(asked)
        >>> data["what"], data["state"], data["trial"]
        ('learning rate × 0.5', 'asked', [0, 12])
    """
    return {
        "id": command.id,
        "trial": None if command.trial is None else list(command.trial),
        "kind": command.kind.value,
        "what": what_text(command),
        "state": command.state.value,
        "step": command.step if command.state is CommandState.APPLIED else None,
        "detail": command.detail,
        "by": command.by,
        "asked": command.asked,
    }


def what_text(command: Command) -> str:
    """Describes a request."""
    if command.kind is CommandKind.SCALE_LEARNING_RATE:
        return f"learning rate × {value_text(command.argument)}"
    if command.kind is CommandKind.EXTEND_STUDY:
        return f"extend the last stage to {command.argument:.0f} trials"
    return "stop the study" if command.kind is CommandKind.STOP_STUDY else "stop"


routes = [
    Route(STUDY_PATH + "/commands", _ask, methods=["POST"]),
    Route(TRIAL_PATH + "/commands", _ask, methods=["POST"]),
]
