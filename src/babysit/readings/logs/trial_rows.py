"""Trials of any tool from rows: hyperparameters, score, direction and state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from babysit.readings.logs.numbers import number_of
from babysit.readings.logs.quantities import kinds_of, split_of, tokens
from babysit.recipe.space import Numeric
from babysit.records import Reading, Result, Run, State, Trial, Value

TrialRow = Mapping[str, object]
"""One line of a trial: name -> number or text."""

MAXIMIZE, MINIMIZE = "maximize", "minimize"

_PREFIXES = (
    *("params_", "params/", "params.", "param_", "config/", "config.", "hyperparameters/values/"),
    *("hyperparameters/", "hyperparameters.", "hparams/", "hparams.", "hp/", "hp."),
)
_HYPERPARAMETERS = {
    *("lr", "rate", "l1", "l2", "reg", "regularization", "weight", "decay", "wd", "dropout", "drop"),
    *("momentum", "nesterov", "beta", "beta1", "beta2", "gamma", "alpha", "lambda", "eps", "epsilon"),
    *("batch", "hidden", "units", "neurons", "layers", "depth", "width", "dim", "heads", "kernel"),
    *("channels", "filters", "embedding", "warmup", "temperature", "clip", "smoothing", "std", "init"),
    *("optimizer", "activation", "scheduler"),
}
_MEANINGS = {"learning_rate": "learning_rate", "reg": "l2", "regularization": "l2"}
_IDENTITIES = (
    *("trial_id", "trial", "trial_number", "number", "experiment_tag", "run_id", "run", "id", "name"),
    *("trial id", "trial number"),
)
_STATES = ("state", "status")
_FAILED = {"fail", "failed", "error", "errored", "crashed", "invalid", "killed", "exploded"}
_PRUNED = {"pruned", "stopped"}
_UNFINISHED = {"running", "waiting", "pending", "queued"}

_OBJECTIVES = ("value", "values_0", "score", "objective", "target", "mean_test_score", "final_score")
_MAXIMIZED = {
    *("acc", "accuracy", "auc", "auroc", "f1", "score", "target", "map", "miou", "iou", "dice", "bleu"),
    *("reward", "return", "r2", "precision", "recall", "top1", "acc@1"),
}
_MINIMIZED = {
    *("loss", "cost", "error", "err", "rmse", "mse", "mae", "perplexity", "ppl", "nll", "wer", "fid"),
    "crossentropy",
}


@dataclass(frozen=True, slots=True)
class SearchLog:
    """One search as its log shows it.

    Attributes:
        results: the trials; those that failed or ended at NaN or infinity have no score.
        title: the name of the format, in words.
        score: the name of the score in the log.
        direction: "maximize" or "minimize".
        guessed: the reason for a guessed direction; empty if the name of the score implies it.
        ranges: the ranges that the log itself holds.
    """

    results: Sequence[Result]
    title: str
    score: str = "val_acc"
    direction: str = MAXIMIZE
    guessed: str = ""
    ranges: Mapping[str, Numeric] = field(default_factory=dict)


def search_of(
    rows: Sequence[TrialRow],
    title: str,
    *,
    direction: str = "",
    asked: bool = False,
    ranges: Mapping[str, Numeric] | None = None,
) -> SearchLog | None:
    """Builds a search from rows; None where they hold no search.

    Args:
        rows: one per trial, or several of one trial with a column that names it.
        title: the name of the format, in words.
        direction: "maximize" or "minimize"; empty to infer it from the log.
        asked: True if the user says that it is a search, so that doubtful rows count too.
        ranges: the ranges that the log itself holds. Default: none.

    Example:
        >>> rows = [{"lr": 0.1, "val_acc": 0.5}, {"lr": 0.001, "val_acc": 0.7}, {"lr": 0.01, "val_acc": 0.9}]
        >>> found = search_of(rows, "a table")
        >>> found.direction, [result.score for result in found.results]
        ('maximize', [0.5, 0.7, 0.9])
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    marked = [name for name in names if name.startswith(_PREFIXES)]
    candidates = marked or [name for name in names if _may_be_hyperparameter(name)]
    chosen = {
        name: hyperparameter_name(name)
        for name in candidates
        if len({str(row[name]) for row in rows if _given(row, name)}) > 1
    }
    score = _score(rows, [name for name in names if name not in chosen])
    if not score or not chosen or not (asked or marked or _is_search(rows, names, chosen)):
        return None
    groups = _groups(rows, names, chosen)
    if len(groups) < 2:
        return None
    towards, guessed = (direction, "") if direction else _direction(score, groups)

    # Accuracies above 1 are percentages.
    share = 1.0
    if "accuracy" in kinds_of(tokens(score)):
        values = [value for row in rows if (value := number_of(row.get(score))) is not None]
        finite = [value for value in values if math.isfinite(value)]
        share = 0.01 if finite and 1 < max(finite) <= 100 else 1.0
    results = [_result(number, group, chosen, score, towards, share) for number, group in enumerate(groups)]
    return SearchLog([found for found in results if found], title, score, towards, guessed, ranges or {})


def hyperparameter_name(name: str) -> str:
    """Returns babysit's name of a hyperparameter.

    Example:
        >>> [hyperparameter_name(name) for name in ("params_lr", "config/weight_decay", "learningRate")]
        ['learning_rate', 'weight_decay', 'learning_rate']
        >>> hyperparameter_name("reg")
        'l2'
    """
    bare = next((name[len(prefix) :] for prefix in _PREFIXES if name.startswith(prefix)), name)
    words = tokens(bare)
    if words == ("lr",):
        return "learning_rate"
    return _MEANINGS.get(bare.lower(), bare)


def _may_be_hyperparameter(name: str) -> bool:
    words = set(tokens(name))
    return bool(words & _HYPERPARAMETERS) and not words & (_MAXIMIZED | _MINIMIZED)


def _given(row: TrialRow, name: str) -> bool:
    value = row.get(name)
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def _score(rows: Sequence[TrialRow], names: Sequence[str]) -> str:
    """Returns the column of the score: what a tool calls its objective, else validation before training."""
    numeric = [name for name in names if any(number_of(row.get(name)) is not None for row in rows)]
    scores = [
        name
        for name in numeric
        if name.lower() in _OBJECTIVES or set(tokens(name)) & (_MAXIMIZED | _MINIMIZED)
    ]
    return min(scores, key=_preference, default="")


def _preference(name: str) -> tuple[int, ...]:
    words = tokens(name)
    split = {"val": 0, "": 1, "train": 2}[split_of(words)]
    aside = bool({"best", "std", "rank", "time"} & set(words)) or any(w.startswith("split") for w in words)
    kinds = kinds_of(words)
    return (
        name.lower() not in _OBJECTIVES,
        aside,
        split,
        "accuracy" not in kinds,
        not set(words) & _MAXIMIZED,
        "test" in words,
        len(name),
    )


def _is_search(rows: Sequence[TrialRow], names: Sequence[str], chosen: Mapping[str, str]) -> bool:
    """Tells whether a plain table holds trials: a training counts epochs, and its rate follows a schedule."""
    if any(name.lower() in _IDENTITIES and _varies(rows, name) for name in names):
        return True
    counters = [name for name in names if set(tokens(name)) & {"epoch", "epochs", "step", "iteration"}]
    if any(_varies(rows, name) for name in counters):
        return False
    if len(chosen) > 1 or "learning_rate" not in chosen.values():
        return True
    (column,) = chosen
    rates = [rate for row in rows if (rate := number_of(row.get(column))) is not None]
    ordered = rates in (sorted(rates), sorted(rates, reverse=True))
    return len(set(rates)) == len(rates) and (not ordered or names[0] == column)


def _varies(rows: Sequence[TrialRow], name: str) -> bool:
    return len({str(row.get(name)) for row in rows}) > 1


def _groups(
    rows: Sequence[TrialRow], names: Sequence[str], chosen: Mapping[str, str]
) -> list[list[TrialRow]]:
    """Groups the rows by trial, in the order of their first."""
    known = {name.lower(): name for name in names}
    identity = next((known[name] for name in _IDENTITIES if name in known), "")
    if not identity or not _varies(rows, identity):
        identity = ""
    found: dict[object, list[TrialRow]] = {}
    counted = any({"epoch", "iteration", "step"} & set(tokens(name)) for name in names)
    for place, row in enumerate(rows):
        same = tuple(str(row.get(name)) for name in chosen)
        key: object = (str(row.get(identity)), same) if identity else same if counted else place
        found.setdefault(key, []).append(row)
    return [group for group in found.values() if any(_given(row, name) for row in group for name in chosen)]


def _direction(score: str, groups: Sequence[Sequence[TrialRow]]) -> tuple[str, str]:
    """Returns the direction of a score, with the reason for a guess where its name does not say it."""
    words = set(tokens(score))
    if score.lower() not in ("value", "values_0", "objective"):
        return (MINIMIZE if words & _MINIMIZED and not words & _MAXIMIZED else MAXIMIZE), ""
    values = {State.COMPLETE: list[float](), State.PRUNED: list[float]()}
    for group in groups:
        state = _state(group[-1])
        value = number_of(group[-1].get(score))
        if state in values and value is not None and math.isfinite(value):
            values[state].append(value)
    complete, pruned = values[State.COMPLETE], values[State.PRUNED]
    if complete and pruned and median(complete) != median(pruned):
        better = MAXIMIZE if median(complete) > median(pruned) else MINIMIZE
        return better, "the pruned trials lie on the other side"
    if complete and min(complete) >= 0 and max(complete) <= 1:
        return MAXIMIZE, "the values lie between 0 and 1, as accuracies do"
    return MINIMIZE, "the values look like losses"


def _state(row: TrialRow) -> State:
    words = {str(value).lower() for name, value in row.items() if name.lower() in _STATES}
    words = {word.rpartition(".")[2] for word in words}
    if words & _FAILED:
        return State.EXPLODED
    if words & _PRUNED:
        return State.PRUNED
    return State.RUNNING if words & _UNFINISHED else State.COMPLETE


def _result(
    place: int,
    group: Sequence[TrialRow],
    columns: Mapping[str, str],
    score: str,
    direction: str,
    share: float,
) -> Result | None:
    chosen: dict[str, Value] = {}
    for column, name in columns.items():
        value = _value(group, column)
        if value is not None:
            chosen[name] = value
    trial = Trial(0, _number(group[-1], place), chosen)
    state = _state(group[-1])
    scores = [found for row in group if (found := number_of(row.get(score))) is not None]
    if state is State.RUNNING and not scores:
        return None
    if state is State.PRUNED:
        return Result(trial, Run(State.PRUNED))
    if state is State.EXPLODED or not scores or not math.isfinite(scores[-1]):
        return Result(trial, Run(State.EXPLODED))
    finite = [share * value for value in scores if math.isfinite(value)]
    best = max(finite) if direction == MAXIMIZE else min(finite)
    nan = math.nan
    accuracy, loss = (best, nan) if direction == MAXIMIZE else (nan, best)
    return Result(trial, Run(State.COMPLETE, (Reading(1, 0, nan, nan, accuracy, nan, loss),)))


def _number(row: TrialRow, place: int) -> int:
    known = {name.lower(): value for name, value in row.items()}
    for name in ("number", "trial", "trial_number"):
        value = number_of(known.get(name))
        if value is not None and math.isfinite(value) and value == int(value):
            return int(value)
    return place


def _value(group: Iterable[TrialRow], column: str) -> Value | None:
    value = next((row[column] for row in group if _given(row, column)), None)
    if value is None or isinstance(value, bool):
        return value
    number = number_of(value)
    if number is None:
        return str(value)
    if not math.isfinite(number):
        return None
    return int(number) if number == int(number) and "." not in str(value) else number
