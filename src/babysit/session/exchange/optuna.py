"""Exports studies to an Optuna storage and imports them: ranges, states and the scores of every epoch."""

from __future__ import annotations

import hashlib
import importlib
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from babysit.errors import InputError, path_of
from babysit.records import Reading, Result, Run, Stage, State, Trial, Value
from babysit.session.jobs.train import best_data
from babysit.store.addresses import shown
from babysit.store.failures import store_errors
from babysit.store.writer import Writer
from babysit.views.data.formatting import touches_text
from babysit.views.data.study import StudyView

PREFIX = "optuna:"
IMPORTED = "imported"
"""The kind of an imported study."""

_TO_OPTUNA = {
    State.COMPLETE: "COMPLETE",
    State.PRUNED: "PRUNED",
    State.EXPLODED: "PRUNED",  # stopped early because it went badly, as a pruner would have done
    State.FAILED: "FAIL",
}
_FROM_OPTUNA = {"COMPLETE": State.COMPLETE, "PRUNED": State.PRUNED, "FAIL": State.FAILED}


def export_to_optuna(view: StudyView, url: str, name: str = "") -> tuple[str, int]:
    """Writes a study's finished trials into an Optuna storage, as a new study.

    Optuna wants one scale for a name, so a name's distribution covers what all stages searched of it; the box
    of each stage is among the study's attributes. The value is the best validation accuracy, maximized, or
    the lowest validation loss, minimized; the score of each epoch is an intermediate value. Exploded trials
    become pruned ones; their own state is among the trial's attributes.

    Args:
        view: the study.
        url: the storage, e.g. ``sqlite:///trials.db``.
        name: the study's name in the storage. Default: its name and number here.

    Returns:
        The name, and the number of trials written.

    Raises:
        InputError: Optuna is not installed, the storage cannot be written, or it has such a study.
    """
    optuna = _optuna()
    finished = [result for result in view.results if result.run.state in _TO_OPTUNA]
    accuracy = any(
        math.isfinite(reading.val_accuracy) for result in finished for reading in result.run.readings
    )
    name = name or f"{view.study.name}-{view.study.id}"
    with _errors(optuna, url):
        made = optuna.create_study(
            storage=url, study_name=name, direction="maximize" if accuracy else "minimize"
        )
        made.set_user_attr("babysit", {"recipe": view.study.recipe, "seed": view.study.seed})
        for stage in view.stages:
            made.set_user_attr(f"stage_{stage.index}", {"name": stage.name, "box": dict(stage.box)})
        names = dict.fromkeys(name for result in finished for name in result.trial.hyperparameters)
        ranges = {
            name: _distribution(
                optuna.distributions,
                [stage.box[name] for stage in view.stages if isinstance(stage.box.get(name), Mapping)],
                [hp[name] for result in finished if name in (hp := result.trial.hyperparameters)],
            )
            for name in names
        }
        made.add_trials([_to_optuna(optuna, result, ranges, accuracy) for result in finished])
    return name, len(finished)


def _distribution(kinds: Any, ranges: Sequence[Mapping[str, Any]], values: Sequence[Value]) -> Any:
    """Returns one distribution for all stages' ranges of a name and all its values."""
    numeric = [one for one in ranges if "low" in one]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numeric or len(numbers) < len(values):
        choices = [*(value for one in ranges for value in one.get("choices", ()))]
        choices += [one["value"] for one in ranges if "choices" not in one and "value" in one]
        # Each value once; True is not 1 here.
        distinct = {(type(value), value): value for value in (*choices, *values)}
        return kinds.CategoricalDistribution(list(distinct.values()))
    low = min([*(one["low"] for one in numeric), *numbers])
    high = max([*(one["high"] for one in numeric), *numbers])
    log = bool(numeric[0].get("log")) and low > 0
    if all(one["kind"] == "integer" for one in numeric) and all(isinstance(one, int) for one in numbers):
        return kinds.IntDistribution(int(low), int(high), log=log)
    return kinds.FloatDistribution(float(low), float(high), log=log)


def _to_optuna(optuna: Any, result: Result, ranges: Mapping[str, Any], accuracy: bool) -> Any:
    run, trial = result.run, result.trial
    scores = {
        reading.epoch: reading.val_accuracy if accuracy else reading.val_loss for reading in run.readings
    }
    # A trial changed by the user has the score of other hyperparameters than its own.
    complete = run.state is State.COMPLETE and math.isfinite(result.score) and not run.is_touched
    state = _TO_OPTUNA[run.state] if complete or run.state is not State.COMPLETE else "FAIL"
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[state],
        value=(result.score if accuracy else -result.score) if complete else None,
        params=dict(trial.hyperparameters),
        distributions={name: ranges[name] for name in trial.hyperparameters},
        intermediate_values={epoch: score for epoch, score in scores.items() if math.isfinite(score)},
        user_attrs={
            "stage": trial.stage,
            "number": trial.number,
            "state": str(run.state),
            "steps": run.steps,
            "message": "; ".join(filter(None, (run.message, touches_text(run)))),
        },
    )


def import_from_optuna(url: str, study: str, store: str) -> tuple[int, int]:
    """Copies a study of an Optuna storage into a store; the storage is only read.

    Intermediate values become readings, by epoch from 1; the final value becomes the last reading unless it
    is one of them. Values of a maximized study that lie in [0, 1] are validation accuracies; any other
    objective is kept as the validation loss, with the sign that makes less better.

    Args:
        url: the storage.
        study: the study's name in the storage; may be empty if there is only one.
        store: the store to write to.

    Returns:
        The study's number in the store, and its number of trials.

    Raises:
        InputError: Optuna is not installed, the storage cannot be read or has no such study, or the study
            has several objectives.
    """
    optuna = _optuna()
    _require_storage(url)
    with _errors(optuna, url):
        names = optuna.study.get_all_study_names(storage=url)
        found = optuna.load_study(storage=url, study_name=_chosen(names, study, url))
        if len(found.directions) > 1:
            raise InputError(
                f"the study {found.study_name!r} has {len(found.directions)} objectives",
                fix="import one with a single objective; a trial here has one score",
            )
        frozen = found.get_trials(deepcopy=False)
        maximize = found.direction.name == "MAXIMIZE"
        kept = [trial for trial in frozen if trial.state.name in _FROM_OPTUNA]
        values = [value for trial in kept for value in (*trial.intermediate_values.values(), trial.value)]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        accuracy = maximize and all(0 <= value <= 1 for value in finite)
        results = [_result(trial, maximize, accuracy) for trial in kept]
        box = {name: _box(one) for trial in kept for name, one in trial.distributions.items()}
    epochs = max((len(result.run.readings) for result in results), default=1)
    stage = Stage(0, "imported", box, len(kept), max(epochs, 1), f"as Optuna searched ({found.study_name})")
    complete = [result for result in results if result.run.state is State.COMPLETE]
    best = max(complete, key=lambda result: result.score, default=None)
    states = [str(result.run.state) for result in results]
    outcome: dict[str, Any] = {
        "best": None if best is None or not math.isfinite(best.score) else best_data(best),
        "edges": [],
        "ties": [],
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "final": None,
        "advice": [],
    }
    with Writer(store) as writer:
        number = writer.begin_study(
            name=found.study_name,
            recipe=found.study_name,
            kind=IMPORTED,
            seed=0,
            fingerprint=hashlib.sha256(f"{url} {found.study_name}".encode()).hexdigest(),
            settings={"imported": shown(url), "direction": found.direction.name.lower()},
        )
        writer.begin_stage(number, stage)
        writer.finish_trials(number, results)
        writer.finish_study(number, State.COMPLETE, outcome)
    return number, len(results)


def _chosen(names: Sequence[str], study: str, url: str) -> str:
    if study in names:
        return study
    if not study and len(names) == 1:
        return names[0]
    content = f"no study {study!r}" if study else f"{len(names)} studies" if names else "no study"
    choices = ", ".join(sorted(names)[:8])
    fix = f"name one of {choices}: {PREFIX}{shown(url)}:NAME" if names else "check the address"
    raise InputError(f"{shown(url)} holds {content}", fix=fix)


def _result(trial: Any, maximize: bool, accuracy: bool) -> Result:
    values = dict(sorted(trial.intermediate_values.items()))
    first = 1 if 0 in values else 0  # some programs count from 0, epochs are counted from 1
    scores = {int(step) + first: float(value) for step, value in values.items()}
    if trial.state.name == "COMPLETE" and trial.value not in scores.values():
        scores[max(scores, default=0) + 1] = float(trial.value)
    rate = next((trial.params[name] for name in ("learning_rate", "lr") if name in trial.params), math.nan)
    rate = float(rate) if isinstance(rate, int | float) else math.nan
    sign = -1.0 if maximize else 1.0
    readings = tuple(
        Reading(epoch, 0, math.nan, math.nan, score, rate, math.nan)
        if accuracy
        else Reading(epoch, 0, math.nan, math.nan, math.nan, rate, sign * score)
        for epoch, score in scores.items()
    )
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    run = Run(_FROM_OPTUNA[trial.state.name], readings, seconds=seconds)
    return Result(Trial(0, trial.number, {name: _value(one) for name, one in trial.params.items()}), run)


def _value(value: Any) -> Value:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _box(distribution: Any) -> dict[str, Any]:
    choices = [_value(choice) for choice in getattr(distribution, "choices", ())]
    if len(choices) > 1:
        return {"kind": "choice", "choices": choices}
    if choices or distribution.single():
        return {"kind": "fixed", "value": choices[0] if choices else distribution.low}
    whole = type(distribution).__name__ == "IntDistribution"
    kind = "integer" if whole else "log_uniform" if distribution.log else "uniform"
    return {"kind": kind, "low": distribution.low, "high": distribution.high, "log": distribution.log}


def split_address(text: str) -> tuple[str, str]:
    """Splits ``optuna:URL[:STUDY]`` into the storage's URL and the study's name.

    Example:
        >>> split_address("optuna:sqlite:///a.db"), split_address("optuna:sqlite:///a.db:mine")
        (('sqlite:///a.db', ''), ('sqlite:///a.db', 'mine'))
        >>> split_address("optuna:postgresql://me@host:5432/optuna")
        ('postgresql://me@host:5432/optuna', '')
    """
    if not text.startswith(PREFIX) or "://" not in text:
        raise InputError(
            f"cannot read the address {shown(text)!r}",
            fix="write e.g. optuna:sqlite:///trials.db or ...:STUDY",
        )
    url = text.removeprefix(PREFIX)
    head, _, tail = url.rpartition(":")
    return (head, tail) if "://" in head and "/" not in tail else (url, "")


def _require_storage(url: str) -> None:
    """Refuses an SQLite file that is not an Optuna storage: Optuna would make its tables in it."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", url)
    if match is None:
        return
    path = path_of(match[1])
    if not path.is_file():
        raise InputError(f"there is no file {path}", fix="give the path of an existing Optuna storage")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path} is not an SQLite file: {error}", fix="give an Optuna storage") from None
    if not {"studies", "trials", "trial_params", "version_info"} <= {name for (name,) in rows}:
        raise InputError(f"{path} is not an Optuna storage", fix="give the file that Optuna wrote")


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise InputError(
            "this needs Optuna, which is not installed", fix="pip install 'babysit[optuna]'"
        ) from None


@contextmanager
def _errors(optuna: Any, url: str) -> Iterator[None]:
    """Turns the errors of Optuna and of its database into input errors, and silences its log."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with store_errors(shown(url), None):
            yield
    except InputError:
        raise
    except optuna.exceptions.DuplicatedStudyError as error:
        raise InputError(
            f"{shown(url)}: {error}", fix="give another name with --name, or another file"
        ) from None
    except Exception as error:  # a damaged storage can make Optuna raise anything
        raise InputError(
            f"Optuna cannot use {shown(url)}: {type(error).__name__}: {shown(str(error))}",
            fix="check the address",
        ) from error
    finally:
        optuna.logging.set_verbosity(level)
