"""The page of one run: the findings first, then the figures that show them; it is live while the run runs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from babysit.diagnosis.wording import open_lines
from babysit.records import CommandState, Snapshot, State, Touch, TrialKey
from babysit.store.commands import SILENT_SECONDS, commands_of, silence
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
from babysit.views.data.learning_rates import rate_changes, rate_pairs, rate_words, touch_words
from babysit.views.data.links import linked_causes, linked_remarks
from babysit.views.data.recorded_run import TrialView, load_trial_view
from babysit.views.data.verdict import HEALTH_WORDS, found_line
from babysit.views.svg.run_figures import KEYS, RunFigures

_MOST_CHANGES = 8
"""More changes of the learning rate than this come from a schedule, and are not listed one by one."""
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
"""The figures that can be zoomed into -> the end of the names of their series."""


class RunPage(NamedTuple):
    """A run and what its page shows beside it.

    Attributes:
        view: the run.
        quiet: seconds since the last heartbeat of its process; NaN where there was none.
        interrupted: its process is gone.
        requests: the requests to it as plain data, and a warning if its process is silent.
    """

    view: TrialView
    quiet: float
    interrupted: bool
    requests: Mapping[str, Any]

    @property
    def state(self) -> str:
        """The state of the run; interrupted where it was running and its process is gone."""
        state = self.view.result.run.state
        return "interrupted" if self.interrupted and not state.is_final else state.value

    @property
    def live(self) -> bool:
        """True while something may still change."""
        return not self.view.result.run.state.is_final and self.view.study.state is State.RUNNING


def _run(request: Request) -> Response:
    found = _page_of(request)
    view = found.view
    parts = _parts(found, RunFigures(view))
    recorded = view.study.settings.get("environment")
    contents = {
        "view": view,
        "name": trial_title(view),
        "state": found.state,
        "parts": parts,
        "digests": {key: _digest(part) for key, part in parts.items()},
        "keys": KEYS,
        "explored": EXPLORED,
        "weights": weight_steps(view),
        "address": f"/r/{view.name}",
        "cursor": view.version,
        "live": found.live,
        "parameters": parameters(view),
        "environment": list(recorded.items()) if isinstance(recorded, Mapping) else [],
    }
    answer = page(serving_of(request), "run.html.j2", contents)
    answer.headers.update(STYLED)
    return answer


def _changes(request: Request) -> Response:
    """Returns the parts of the page that differ from those that it has, by their digests."""
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
    """Returns the first layer's weights at one step as an image."""
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
    view = load_trial_view(reader, study, key)
    run = view.result.run
    if not run.touches:  # the run records its changes when it ends; until then its requests do
        applied = [
            command
            for command in commands_of(reader, study, trial=key)
            if command.state is CommandState.APPLIED and command.kind.is_of_trial
        ]
        touches = tuple(Touch(command.kind, command.step, command.argument) for command in applied)
        view = replace(view, result=replace(view.result, run=replace(run, touches=touches)))
    return RunPage(view, silence(reader, study), serving.is_interrupted(view.study), requests)


def key_of(request: Request) -> TrialKey:
    """Returns stage and number in the address of a run."""
    return request.path_params["stage"], request.path_params["number"]


def _digest(part: str) -> str:
    return hashlib.sha256(part.encode()).hexdigest()[:10]


def _parts(found: RunPage, figures: RunFigures) -> dict[str, str]:
    """Renders every live part of the page; a figure without data is empty."""
    view, run = found.view, found.view.result.run
    report = view.report
    keys = {*figures.keys, *(["weights"] if weight_steps(view) else [])}
    causes = linked_causes(report, keys)

    is_new = not run.readings and len(view.costs[0]) < 2
    if found.live and is_new and not view.verdict.causes:
        rests_on = "nothing measured yet"
    else:
        rests_on = ", ".join(part for part in (view.verdict.when, found_line(view.verdict)) if part)
    findings = {
        "report": report,
        "word": HEALTH_WORDS[report.health],
        "found": rests_on,
        "causes": causes,
        "remarks": linked_remarks(report.quiet, keys),
        "open": open_lines(report),
    }
    requests = {"requests": found.requests["list"], "silence": found.requests["silence"]}
    parts = {
        "sign": _rendered("run_sign.html.j2", {"sign": _sign(found)}),
        "facts": _rendered("run_facts.html.j2", {"facts": _facts(view), "message": run.message}),
        "findings": _rendered("run_findings.html.j2", findings),
        "readings": _rendered("run_readings.html.j2", {"readings": run.readings}),
        "requests": _rendered("run_requests.html.j2", requests),
    }
    drawn = {
        shown.key: _rendered("run_figure.html.j2", {"figure": shown, "explored": EXPLORED})
        for shown in figures.shown(causes)
    }
    return {**parts, **{key: drawn.get(key, "") for key in KEYS if key != "weights"}}


def _rendered(template: str, contents: Mapping[str, Any]) -> str:
    return Markup(environment().get_template(template).render(contents))


def _sign(found: RunPage) -> tuple[str, bool]:
    """Says when the run's process gave its last sign of life, and whether that is worrying."""
    if not found.live:
        return "", False
    if found.interrupted:
        return "its process is gone: it was killed, or its machine restarted", True
    if math.isnan(found.quiet):
        return "", False
    ago = duration_text(found.quiet) if found.quiet >= 1 else "a moment"
    return f"last sign of life {ago} ago", found.quiet > SILENT_SECONDS


def _facts(view: TrialView) -> list[tuple[str, list[str]]]:
    """Lists the facts of a run: heading -> lines, the first of which is the value."""
    run = view.result.run
    best = run.best
    facts = [
        ("learning rate", _rate_lines(view)),
        ("best validation", [score_text(view.result), f"epoch {best.epoch}"] if best else [MISSING]),
        ("progress", _progress(view)),
        ("seed", [str(view.study.seed)]),
        ("took", [duration_text(run.seconds)] if run.seconds else [MISSING]),
    ]
    return [(name, lines) for name, lines in facts if lines != [MISSING]]


def _rate_lines(view: TrialView) -> list[str]:
    """Describes the learning rate now, the changes by the user, and the others that were observed."""
    pairs = rate_pairs(view)
    if not pairs:
        given = view.result.trial.hyperparameters.get("learning_rate")
        return [value_text(given)]
    by_user = [touch_words(touch)[1] for touch in view.result.run.touches]
    changes = [rate_words(*change) for change in rate_changes(pairs)]
    if len(changes) > _MOST_CHANGES:
        changes = [f"by a schedule from {number_text(pairs[0][1])} on, {len(changes)} changes seen"]
    return [number_text(pairs[-1][1]), *by_user, *changes]


def _progress(view: TrialView) -> list[str]:
    run = view.result.run
    steps = max(run.steps, int(view.costs[0][-1]) if len(view.costs[0]) else 0)
    if not steps and not run.readings:
        return ["not started"]
    wanted = view.stage.epochs if view.stage else 0
    of = f" of {wanted}" if wanted else ""
    epochs = f"epoch {len(run.readings)}{of}" if run.readings or wanted else ""
    return [epochs or f"step {steps:,}", f"step {steps:,}" if epochs else ""]


def _snapshots(view: TrialView) -> list[Snapshot]:
    """Returns the snapshots of the first layer that can be drawn; those of a retrained model come last."""
    names = sorted(view.snapshots, key=lambda name: name.startswith(CHOSEN))
    drawable = (view.snapshots[name] for name in names if weight_images(view.snapshots[name][0]) is not None)
    return list(next(drawable, ()))


def weight_steps(view: TrialView) -> list[int]:
    """Returns the steps at which the first layer's weights can be drawn."""
    return [one.step for one in _snapshots(view)]


def parameters(view: TrialView) -> list[tuple[str, str, str]]:
    """Lists name, value and searched range of the hyperparameters, the searched ones first."""
    box = view.stage.box if view.stage else {}
    rows = [
        (name, value_text(value), range_text(box[name]) if is_searched(box.get(name)) else "")
        for name, value in view.result.trial.hyperparameters.items()
    ]
    return sorted(rows, key=lambda row: not row[2])


def trial_title(view: TrialView) -> str:
    """Returns the heading of a run: its study's name for a single run, else its stage and number."""
    if view.study.kind in ("train", "watch"):
        return view.study.name
    stage = view.stage.name if view.stage else str(view.result.trial.stage)
    return f"{stage} {view.result.trial.number}"


routes = [
    Route(TRIAL_PATH, _run),
    Route(TRIAL_PATH + "/changes", _changes),
    Route(TRIAL_PATH + "/weights/{step:row}", _weights),
]
"""The addresses of this page."""
