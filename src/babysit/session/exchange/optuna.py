"""Studies to and from a storage of Optuna: ranges, states and the scores of every epoch translated."""

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
"""The kind of a study that another tool made."""

_TO_OPTUNA = {
    State.COMPLETE: "COMPLETE",
    State.PRUNED: "PRUNED",
    State.EXPLODED: "PRUNED",  # stopped early because it went badly, as a pruner would have done
    State.FAILED: "FAIL",
}
_FROM_OPTUNA = {"COMPLETE": State.COMPLETE, "PRUNED": State.PRUNED, "FAIL": State.FAILED}


def export_to_optuna(view: StudyView, url: str, name: str = "") -> tuple[str, int]:
    """Writes a study's finished trials into a storage of Optuna, as a new study.

    A name's distribution covers what all stages searched of it, since Optuna wants one scale for a name;
    the box of each stage is among the study's attributes. The value is the best validation accuracy,
    maximized, or the lowest validation loss, minimized; each epoch's is an intermediate value. Exploded
    trials are pruned ones there; their own state is among the trial's attributes.

    Args:
        view: the study.
        url: of the storage, e.g. ``sqlite:///trials.db``.
        name: what to call the study there; default its name and number here.

    Returns:
        The name, and how many trials were written.

    Raises:
        InputError: Optuna is not installed, the storage cannot be written, or has such a study.
    """
    optuna = _optuna()
    finished = [result for result in view.results if result.run.state in _TO_OPTUNA]
    accuracy = any(_is_accuracy(result) for result in finished)
    name = name or f"{view.study.name}-{view.study.id}"
    with _errors(optuna, url):
        made = optuna.create_study(
            storage=url, study_name=name, direction="maximize" if accuracy else "minimize"
        )
        made.set_user_attr("babysit", {"recipe": view.study.recipe, "seed": view.study.seed})
        for stage in view.stages:
            made.set_user_attr(f"stage_{stage.index}", {"name": stage.name, "box": dict(stage.box)})
        ranges = _distributions(optuna, view.stages, finished)
        made.add_trials([_to_optuna(optuna, result, ranges, accuracy) for result in finished])
    return name, len(finished)


def _is_accuracy(result: Result) -> bool:
    return any(math.isfinite(reading.val_accuracy) for reading in result.run.readings)


def _distributions(optuna: Any, stages: Sequence[Stage], results: Sequence[Result]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for result in results for name in result.trial.hyperparameters))
    found = {}
    for name in names:
        ranges = [stage.box[name] for stage in stages if isinstance(stage.box.get(name), Mapping)]
        values = [hp[name] for result in results if name in (hp := result.trial.hyperparameters)]
        found[name] = _distribution(optuna.distributions, ranges, values)
    return found


def _distribution(kinds: Any, ranges: Sequence[Mapping[str, Any]], values: Sequence[Value]) -> Any:
    """One distribution for all stages' ranges of a name, and every value that was tried."""
    numeric = [one for one in ranges if "low" in one]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numeric or len(numbers) < len(values):
        told = [
            value for one in ranges for value in one.get("choices", [one["value"]] if "value" in one else [])
        ]
        return kinds.CategoricalDistribution(_distinct([*told, *values]))
    low = min([*(one["low"] for one in numeric), *numbers])
    high = max([*(one["high"] for one in numeric), *numbers])
    log = bool(numeric[0].get("log")) and low > 0
    if all(one["kind"] == "integer" for one in numeric) and all(isinstance(one, int) for one in numbers):
        return kinds.IntDistribution(int(low), int(high), log=log)
    return kinds.FloatDistribution(float(low), float(high), log=log)


def _distinct(values: Sequence[Value]) -> list[Value]:
    """Each value once; True is not 1 here."""
    return list({(type(value), value): value for value in values}.values())


def _to_optuna(optuna: Any, result: Result, ranges: Mapping[str, Any], accuracy: bool) -> Any:
    run, trial = result.run, result.trial
    scores = {
        reading.epoch: reading.val_accuracy if accuracy else reading.val_loss for reading in run.readings
    }
    # A trial that was touched has the score of other hyperparameters than its own.
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
    """Copies a study of Optuna into a store; the storage is only read.

    Intermediate values become readings, by epoch from 1, and the final value the last reading where it is
    none of them. Values of a study that is maximized and whose values lie in [0, 1] are validation
    accuracies; any other objective is kept as the validation loss, with the sign that makes less better.

    Args:
        url: of the storage.
        study: its name there; empty where there is only one.
        store: the store to write to.

    Returns:
        The study's number in the store, and how many trials it has.

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
        results = [_result(trial, maximize, _are_accuracies(kept, maximize)) for trial in kept]
        box = {name: _box(one) for trial in kept for name, one in trial.distributions.items()}
    epochs = max((len(result.run.readings) for result in results), default=1)
    stage = Stage(0, "imported", box, len(kept), max(epochs, 1), f"as Optuna searched ({found.study_name})")
    fingerprint = hashlib.sha256(f"{url} {found.study_name}".encode()).hexdigest()
    settings = {"imported": shown(url), "direction": found.direction.name.lower()}
    with Writer(store) as writer:
        number = writer.begin_study(
            name=found.study_name,
            recipe=found.study_name,
            kind=IMPORTED,
            seed=0,
            fingerprint=fingerprint,
            settings=settings,
        )
        writer.begin_stage(number, stage)
        writer.finish_trials(number, results)
        writer.finish_study(number, State.COMPLETE, _outcome(results))
    return number, len(results)


def _chosen(names: Sequence[str], study: str, url: str) -> str:
    if study in names:
        return study
    if not study and len(names) == 1:
        return names[0]
    what = f"no study {study!r}" if study else f"{len(names)} studies" if names else "no study"
    fix = (
        f"name one of {', '.join(sorted(names)[:8])}: {PREFIX}{shown(url)}:NAME"
        if names
        else "check the address"
    )
    raise InputError(f"{shown(url)} holds {what}", fix=fix)


def _are_accuracies(trials: Sequence[Any], maximize: bool) -> bool:
    values = [value for trial in trials for value in (*trial.intermediate_values.values(), trial.value)]
    told = [value for value in values if value is not None and math.isfinite(value)]
    return maximize and all(0 <= value <= 1 for value in told)


def _result(trial: Any, maximize: bool, accuracy: bool) -> Result:
    values = dict(sorted(trial.intermediate_values.items()))
    first = 1 if 0 in values else 0  # some count their steps from 0, epochs are counted from 1
    told = {int(step) + first: float(value) for step, value in values.items()}
    complete = trial.state.name == "COMPLETE"
    if complete and trial.value not in told.values():
        told[max(told, default=0) + 1] = float(trial.value)
    rate = next((trial.params[name] for name in ("learning_rate", "lr") if name in trial.params), math.nan)
    rate = float(rate) if isinstance(rate, int | float) else math.nan
    sign = -1.0 if maximize else 1.0
    readings = tuple(
        Reading(
            epoch,
            0,
            math.nan,
            math.nan,
            value if accuracy else math.nan,
            rate,
            math.nan if accuracy else sign * value,
        )
        for epoch, value in told.items()
    )
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    run = Run(_FROM_OPTUNA[trial.state.name], readings, seconds=seconds)
    return Result(Trial(0, trial.number, {name: _value(one) for name, one in trial.params.items()}), run)


def _value(value: Any) -> Value:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _box(distribution: Any) -> dict[str, Any]:
    if hasattr(distribution, "choices"):
        choices = [_value(choice) for choice in distribution.choices]
        return {"kind": "choice", "choices": choices} if len(choices) > 1 else _fixed(choices[0])
    if distribution.single():
        return _fixed(distribution.low)
    whole = type(distribution).__name__ == "IntDistribution"
    kind = "integer" if whole else "log_uniform" if distribution.log else "uniform"
    return {"kind": kind, "low": distribution.low, "high": distribution.high, "log": distribution.log}


def _fixed(value: Value) -> dict[str, Any]:
    return {"kind": "fixed", "value": value}


def _outcome(results: Sequence[Result]) -> dict[str, Any]:
    complete = [result for result in results if result.run.state is State.COMPLETE]
    best = max(complete, key=lambda result: result.score, default=None)
    states = [str(result.run.state) for result in results]
    return {
        "best": None if best is None or not math.isfinite(best.score) else best_data(best),
        "edges": [],
        "ties": [],
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "final": None,
        "advice": [],
    }


def split_address(text: str) -> tuple[str, str]:
    """The storage's URL and the study's name of ``optuna:URL[:STUDY]``.

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
    """Refuses a file that is no storage: Optuna would make its tables in it."""
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
        raise InputError(f"{path} is no SQLite file: {error}", fix="give an Optuna storage") from None
    if not {"studies", "trials", "trial_params", "version_info"} <= {name for (name,) in rows}:
        raise InputError(f"{path} is no storage of Optuna", fix="give the file that Optuna wrote")


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise InputError(
            "this needs Optuna, which is not installed", fix="pip install 'babysit[optuna]'"
        ) from None


@contextmanager
def _errors(optuna: Any, url: str) -> Iterator[None]:
    """Optuna's own errors, and those of its database, in terms of their fix; and its log kept quiet."""
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
    except Exception as error:  # a storage that was damaged can make Optuna raise anything
        raise InputError(
            f"Optuna cannot use {shown(url)}: {type(error).__name__}: {shown(str(error))}",
            fix="check the address",
        ) from error
    finally:
        optuna.logging.set_verbosity(level)
