"""The final stage in words: the retrained best trials, the spread over seeds, and the ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from babysit.records import Result
from babysit.views.data.formatting import number_text, percent_text
from babysit.views.data.study import StudyView

Final = Mapping[str, Any]
_NONE = "–"


class FinalRow(NamedTuple):
    """One retrained trial: its mean score, the standard deviation over seeds, every seed's score."""

    name: str
    mean: str
    std: str
    each: str


class Finalists(NamedTuple):
    """All retrained trials, the best first, and their ensemble."""

    about: str
    what: str
    rows: tuple[FinalRow, ...]
    ensemble: str


def finalists(view: StudyView) -> Finalists | None:
    """Builds the table of the final stage; None where it trained only one model."""
    final = view.study.outcome.get("final") or {}
    each = [one for one in final.get("finalists") or () if isinstance(one, Mapping)]
    trained = sum(len(one["scores"]) for one in each)
    if trained < 2:
        return None
    seeds = len(each[0]["scores"])
    rows = []
    for one in each:
        scores = [
            _scored(value) if _finite(value) else state
            for value, state in zip(one["scores"], one["states"], strict=True)
        ]
        name, spread = view.trial_name((one["trial"][0], one["trial"][1])), _spread(one["std"], one["mean"])
        rows.append(FinalRow(name, _scored(one["mean"]), spread, ", ".join(scores)))
    about = f"{len(each)} trial{'s' if len(each) > 1 else ''} × {seeds} seed{'s' if seeds > 1 else ''}"
    about += f", {epochs_text(final)} each"
    what = "mean val accuracy" if _finite(final.get("val_accuracy")) else "mean val loss"
    return Finalists(
        about, what if seeds > 1 else what.removeprefix("mean "), tuple(rows), _about_ensemble(final)
    )


def ensemble_facts(final: Any) -> tuple[tuple[str, str], ...]:
    """Returns the ensemble's score on the test split, or else on validation, for the headline."""
    found = final.get("ensemble") if isinstance(final, Mapping) else None
    if not found:
        return ()
    split = "val" if found["test_loss"] is None else "test"
    score, what = _measured(found, split)
    return ((f"{split} {what} of the ensemble of {found['members']}", score),)


def fold_text(best: Result) -> str:
    """Describes a trial's score over its folds; empty without folds.

    Example:
        >>> from babysit.records import Run, State, Trial
        >>> fold_text(Result(Trial(0, 0, {}), Run(State.COMPLETE, folds=(0.5, 0.7))))
        '60.0 % ± 10.0 % (standard error over 2 folds)'
    """
    folds = best.run.folds
    if not folds:
        return ""
    mean = sum(folds) / len(folds)
    spread = _spread(best.fold_error, mean)
    return f"{_scored(mean)} ± {spread} (standard error over {len(folds)} folds)"


def epochs_text(final: Final) -> str:
    """Describes how long the best trial was retrained; it may have been stopped early.

    Example:
        >>> epochs_text({"epochs": 20, "epochs_done": 20}), epochs_text({"epochs": 20, "epochs_done": 7})
        ('20 epochs', '7 of 20 epochs, then stopped')
    """
    requested = final.get("epochs")
    done = final.get("epochs_done", requested)  # an older study does not store it
    epochs = "epoch" if requested == 1 else "epochs"
    return f"{requested} {epochs}" if done == requested else f"{done} of {requested} {epochs}, then stopped"


def final_lines(final: Final) -> list[str]:
    """Describes the final stage for the terminal, without the chosen model.

    Example:
        >>> two = {"trial": [1, 4], "scores": [0.5, 0.52], "mean": 0.51, "std": 0.0141}
        >>> final_lines({"val_accuracy": 0.52, "finalists": [two], "ensemble": None, "onnx": "net.onnx"})
        ['trial 1/4 over 2 seeds: 51.0 % ± 1.4 % (standard deviation)', 'onnx: net.onnx']
    """
    lines = []
    for one in final.get("finalists") or ():
        if len(one["scores"]) > 1:
            mean, std = _scored(one["mean"]), _spread(one["std"], one["mean"])
            stage, number = one["trial"]
            lines.append(
                f"trial {stage}/{number} over {len(one['scores'])} seeds: {mean} ± {std} (standard deviation)"
            )
    if final.get("ensemble"):
        lines.append(_about_ensemble(final))
    lines += [f"onnx: {final['onnx']}"] if "onnx" in final else []
    return lines + ([f"no ONNX file: {final['onnx_error']}"] if "onnx_error" in final else [])


def _about_ensemble(final: Final) -> str:
    found = final.get("ensemble")
    if not found:
        return ""
    val, what = _measured(found, "val")
    text = f"The ensemble of all {found['members']}: validation {what} {val}"
    if found["test_loss"] is not None:
        text += f", test {what} {_measured(found, 'test')[0]}"
        text += f" (the chosen one alone: {_measured(final, 'test')[0]}), scored once"
    return text + "."


def _measured(found: Final, split: str) -> tuple[str, str]:
    accuracy = found[f"{split}_accuracy"]
    if _finite(accuracy):
        return percent_text(accuracy), "accuracy"
    return number_text(found[f"{split}_loss"]), "loss"


def _scored(score: Any) -> str:
    """Returns a score in words: an accuracy, or the loss whose negative it is."""
    if not _finite(score):
        return _NONE
    return percent_text(score) if score >= 0 else number_text(-score)


def _spread(std: Any, mean: Any) -> str:
    if not _finite(std):
        return _NONE
    return percent_text(std) if mean >= 0 else number_text(std)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
