"""Requests to live runs: taken from a page into the store, and told with how far each has come.

A button is a request, not a signal. It is written down, the process that trains sees it at the end of a step,
and answers; the page shows which of these has happened.
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
from babysit.records import Command, CommandKind, CommandState
from babysit.store import commands
from babysit.store.queries import Key
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
    kind, argument = _wanted(await request.body())
    return await run_in_threadpool(_written, serving_of(request), study, key, kind, argument)


def _wanted(body: bytes) -> tuple[CommandKind, float]:
    """What a request asks for.

    Raises:
        HTTPException: 400, for what is no request.
    """
    try:
        given = json.loads(body)
        kind, argument = CommandKind(given["kind"]), given.get("argument")
        if isinstance(argument, bool) or not isinstance(argument, int | float | None):
            raise TypeError(argument)
        return kind, math.nan if argument is None else float(argument)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        kinds = ", ".join(CommandKind)
        raise HTTPException(400, f'write {{"kind": ..., "argument": ...}} with one of {kinds}') from None


def _written(
    serving: Serving, study: int, key: Key | None, kind: CommandKind, argument: float
) -> JSONResponse:
    try:
        with commands.Commands(serving.store.url, busy_seconds=5) as opened:
            asked = opened.ask(study, kind, trial=key, argument=argument, by=BY)
    except StoreError as error:
        return JSONResponse({"problem": error.problem, "fix": error.fix}, 404)
    except InputError as error:
        return JSONResponse({"problem": error.problem, "fix": error.fix}, 409)
    serving.store.close()  # an older store has only now got the table of requests
    return JSONResponse({"command": command_data(asked)}, 202)


def commands_data(serving: Serving, reader: Reader, study: int, key: Key | None = None) -> dict[str, Any]:
    """The requests of a study or of one trial, newest first, and whether anybody is there to hear them.

    Those that nobody heard for too long expire here: whoever waits for an answer may say so.

    Args:
        serving: what is served.
        reader: its store.
        study: the study's number.
        key: the trial; None for the whole study.
    """
    found = commands.commands_of(reader, study, trial=key)
    silence = commands.silence(reader, study)
    waiting = [one for one in found if one.state.is_open]
    if waiting and not silence <= commands.SILENT_SECONDS:
        with commands.Commands(serving.store.url, busy_seconds=1) as opened:
            if opened.expire_unheard(study):
                found = commands.commands_of(reader, study, trial=key)
    return {
        "list": [command_data(one) for one in reversed(found)],
        "silence": _silence_text(silence) if any(one.state.is_open for one in found) else "",
    }


def _silence_text(silence: float) -> str:
    """That nobody may be there; empty while somebody is.

    Example:
        >>> _silence_text(3.0), _silence_text(42.4)
        ('', 'no heartbeat for 42 s, the request will expire')
    """
    if math.isnan(silence):
        return "no heartbeat was ever left, the request will expire"
    if silence <= 2 * commands.HEARTBEAT_SECONDS:
        return ""
    return f"no heartbeat for {silence:.0f} s, the request will expire"


def command_data(command: Command) -> dict[str, Any]:
    """A request as plain data.

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
    """What was asked, in words."""
    if command.kind is CommandKind.SCALE_LEARNING_RATE:
        return f"learning rate × {value_text(command.argument)}"
    if command.kind is CommandKind.EXTEND_STUDY:
        return f"extend the last stage to {command.argument:.0f} trials"
    return "stop the study" if command.kind is CommandKind.STOP_STUDY else "stop"


routes = [
    Route(STUDY_PATH + "/commands", _ask, methods=["POST"]),
    Route(TRIAL_PATH + "/commands", _ask, methods=["POST"]),
]
