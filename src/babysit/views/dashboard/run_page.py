"""The page of one run: what is wrong first, then the figures that show it; while it runs, it stays live."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from babysit.diagnosis.wording import open_lines
from babysit.records import Command, CommandState, State, Touch
from babysit.store.commands import SILENT_SECONDS, commands_of, silence
from babysit.store.queries import Key
from babysit.views.dashboard.commands import commands_data
from babysit.views.dashboard.parameters import TRIAL_PATH, number
from babysit.views.dashboard.rendering import environment, page
from babysit.views.dashboard.security import STYLED
from babysit.views.dashboard.state import reader_of, serving_of
from babysit.views.data.first_layer import CHOSEN, weight_images
from babysit.views.data.formatting import (
    MISSING,
    duration_text,
    is_searched,
    number_text,
    range_text,
    score_text,
    value_text,
)
from babysit.views.data.links import linked_causes, linked_remarks
from babysit.views.data.recorded_run import TrialView, load_trial_view
from babysit.views.svg.captions import Shown
from babysit.views.svg.run_figures import KEYS, RunFigures, rate_changes, rate_pairs, rate_words, touch_words
from babysit.views.terminal.verdict import HEALTH_WORDS, found_line

_MOST_CHANGES = 8
"""More changes of the learning rate than this are not listed one by one: it is a schedule."""
LIVE = ("sign", "facts", "findings", *KEYS, "readings", "requests")
"""The parts of the page that change while a run runs."""
EXPLORED = {
    "loss": "",
    "updates": "/update_ratio",
    "gradients": "/gradient_norm",
    "dead": "/dead",
    "saturation": "/saturated",
    "spread": "/std",
    "means": "/mean",
    "rates": "learning_rate",
}
"""The figures that can be zoomed into -> how the names of their series end."""


class RunPage(NamedTuple):
    """A run and what else a page says of it.

    Attributes:
        view: the run.
        quiet: seconds since its process gave a sign; NaN where it never did.
        interrupted: its process is gone.
        requests: what was asked of it, newest first, as plain data, and whether nobody may hear it.
    """

    view: TrialView
    quiet: float
    interrupted: bool
    requests: Mapping[str, Any]

    @property
    def state(self) -> str:
        """Where it stands: a running one whose process is gone is interrupted."""
        state = self.view.result.run.state
        return "interrupted" if self.interrupted and not state.is_final else state.value

    @property
    def live(self) -> bool:
        """Whether something may still change."""
        return not self.view.result.run.state.is_final and self.view.study.state is State.RUNNING


def _run(request: Request) -> Response:
    found = _page_of(request)
    view = found.view
    figures = RunFigures(view)
    parts = _parts(found, figures)
    contents = {
        "view": view,
        "name": trial_title(view),
        "state": found.state,
        "parts": parts,
        "digests": {key: _digest(part) for key, part in parts.items()},
        "keys": KEYS,
        "explored": EXPLORED,
        "weights": weight_steps(view),
        "address": _address(view),
        "cursor": view.version,
        "live": found.live,
        "parameters": parameters(view),
        "environment": _environment(view),
    }
    answer = page(serving_of(request), "run.html.j2", contents)
    answer.headers.update(STYLED)
    return answer


def _changes(request: Request) -> Response:
    """The parts that the page does not have yet, by the digests it says it has."""
    since = number(request, "since", 0)
    have = dict(part.split(":", 1) for part in request.query_params.get("have", "").split(",") if ":" in part)
    found = _page_of(request)
    parts = _parts(found, RunFigures(found.view))
    fresh = {key: part for key, part in parts.items() if have.get(key) != _digest(part)}
    return JSONResponse(
        {
            "cursor": max(since, found.view.version),
            "parts": fresh,
            "digests": {key: _digest(part) for key, part in fresh.items()},
            "weights": weight_steps(found.view),
            "state": found.state,
            "live": found.live,
        }
    )


def _weights(request: Request) -> Response:
    """The first layer's weights at one step, as a picture."""
    view = _page_of(request).view
    step = request.path_params["step"]
    shown = weight_images(next((one for one in _snapshots(view) if one.step == step), None))
    if shown is None:
        raise HTTPException(404)
    return Response(shown.png, media_type="image/png", headers={"cache-control": "no-store"})


def _page_of(request: Request) -> RunPage:
    reader, serving = reader_of(request), serving_of(request)
    study, key = request.path_params["study"], key_of(request)
    requests = commands_data(serving, reader, study, key)
    view = _touched(load_trial_view(reader, study, key), commands_of(reader, study, trial=key))
    return RunPage(view, silence(reader, study), serving.is_interrupted(view.study), requests)


def _touched(view: TrialView, requests: Sequence[Command]) -> TrialView:
    """A run with what was done to it: it says so itself once it has ended, until then its requests do."""
    run = view.result.run
    if run.touches:
        return view
    done = [one for one in requests if one.state is CommandState.APPLIED and one.kind.is_of_trial]
    touches = tuple(Touch(one.kind, one.step, one.argument) for one in done)
    return replace(view, result=replace(view.result, run=replace(run, touches=touches)))


def key_of(request: Request) -> Key:
    """Stage and number in the address of a run."""
    return request.path_params["stage"], request.path_params["number"]


def _address(view: TrialView) -> str:
    return f"/r/{view.name}"


def _digest(part: str) -> str:
    return hashlib.sha256(part.encode()).hexdigest()[:10]


def _parts(found: RunPage, figures: RunFigures) -> dict[str, str]:
    """Every live part of the page as HTML; a figure that there is nothing for is empty."""
    view = found.view
    report = view.report
    keys = {*figures.keys, *(["weights"] if weight_steps(view) else [])}
    causes = linked_causes(report, keys)
    parts = {
        "sign": _rendered("run_sign.html.j2", {"sign": _sign(found)}),
        "facts": _rendered("run_facts.html.j2", {"facts": _facts(found), "message": view.result.run.message}),
        "findings": _rendered(
            "run_findings.html.j2",
            {
                "report": report,
                "word": HEALTH_WORDS[report.health],
                "found": _found(found),
                "causes": causes,
                "remarks": linked_remarks(report.quiet, keys),
                "open": open_lines(report),
            },
        ),
        "readings": _rendered("run_readings.html.j2", {"readings": view.result.run.readings}),
        "requests": _rendered(
            "run_requests.html.j2",
            {"requests": found.requests["list"], "silence": found.requests["silence"]},
        ),
    }
    drawn = {shown.key: _figure(shown) for shown in figures.shown(causes)}
    return {**parts, **{key: drawn.get(key, "") for key in KEYS if key != "weights"}}


def _rendered(template: str, contents: Mapping[str, Any]) -> str:
    return Markup(environment().get_template(template).render(contents))


def _figure(shown: Shown) -> str:
    return _rendered("run_figure.html.j2", {"figure": shown, "explored": EXPLORED})


def _found(found: RunPage) -> str:
    """Says what the verdict rests on; of a run that has only begun, that there is nothing yet."""
    view = found.view
    is_new = not view.result.run.readings and len(view.costs[0]) < 2
    if found.live and is_new and not view.verdict.causes:
        return "nothing measured yet"
    return ", ".join(part for part in (view.verdict.when, found_line(view.verdict)) if part)


def _sign(found: RunPage) -> tuple[str, bool]:
    """When the run's process gave its last sign, in words, and whether that is worrying."""
    if not found.live:
        return "", False
    if found.interrupted:
        return "its process is gone: it was killed, or its machine restarted", True
    if math.isnan(found.quiet):
        return "", False
    ago = duration_text(found.quiet) if found.quiet >= 1 else "a moment"
    return f"last sign of life {ago} ago", found.quiet > SILENT_SECONDS


def _facts(found: RunPage) -> list[tuple[str, list[str]]]:
    """Heading -> lines; the first line is the value, the rest explain it."""
    view, run = found.view, found.view.result.run
    best = run.best
    facts = [
        ("learning rate", _rate_lines(view)),
        ("best validation", [score_text(view.result), f"epoch {best.epoch}"] if best else [MISSING]),
        ("progress", _progress(view)),
        ("seed", [str(view.study.seed)]),
        (
            "took",
            [duration_text(run.seconds)] if run.seconds else [MISSING],
        ),
    ]
    return [(name, lines) for name, lines in facts if lines != [MISSING]]


def _rate_lines(view: TrialView) -> list[str]:
    """The rate now, then each change: what was asked by hand, and what else was seen."""
    pairs = rate_pairs(view)
    if not pairs:
        given = view.result.trial.hyperparameters.get("learning_rate")
        return [value_text(given)]
    told = [touch_words(touch)[1] for touch in view.result.run.touches]
    changes = [rate_words(*change) for change in rate_changes(pairs)]
    if len(changes) > _MOST_CHANGES:
        changes = [f"by a schedule from {number_text(pairs[0][1])} on, {len(changes)} changes seen"]
    return [number_text(pairs[-1][1]), *told, *changes]


def _progress(view: TrialView) -> list[str]:
    run = view.result.run
    steps = max(run.steps, int(view.costs[0][-1]) if len(view.costs[0]) else 0)
    if not steps and not run.readings:
        return ["not begun"]
    wanted = view.stage.epochs if view.stage else 0
    of = f" of {wanted}" if wanted else ""
    epochs = f"epoch {len(run.readings)}{of}" if run.readings or wanted else ""
    return [epochs or f"step {steps:,}", f"step {steps:,}" if epochs else ""]


def _snapshots(view: TrialView) -> list[Any]:
    """The snapshots of the first layer that can be drawn, those of training before a chosen model's."""
    names = sorted(view.snapshots, key=lambda name: name.startswith(CHOSEN))
    drawable = (view.snapshots[name] for name in names if weight_images(view.snapshots[name][0]) is not None)
    return list(next(drawable, ()))


def weight_steps(view: TrialView) -> list[int]:
    """The steps at which the first layer's weights can be seen."""
    return [one.step for one in _snapshots(view)]


def parameters(view: TrialView) -> list[tuple[str, str, str]]:
    """Name, value and what was searched, those that were searched first."""
    box = view.stage.box if view.stage else {}
    rows = [
        (name, value_text(value), range_text(box[name]) if is_searched(box.get(name)) else "")
        for name, value in view.result.trial.hyperparameters.items()
    ]
    return sorted(rows, key=lambda row: not row[2])


def _environment(view: TrialView) -> list[tuple[str, str]]:
    told = view.study.settings.get("environment")
    return [(str(name), str(value)) for name, value in told.items()] if isinstance(told, Mapping) else []


def trial_title(view: TrialView) -> str:
    """The run as its page is headed: a lone trial by its study's name, one of many by stage and number."""
    if view.study.kind in ("train", "watch"):
        return view.study.name
    stage = view.stage.name if view.stage else str(view.result.trial.stage)
    return f"{stage} {view.result.trial.number}"


routes = [
    Route(TRIAL_PATH, _run),
    Route(TRIAL_PATH + "/changes", _changes),
    Route(TRIAL_PATH + "/weights/{step:row}", _weights),
]
