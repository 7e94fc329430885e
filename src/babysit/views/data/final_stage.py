"""The last stage in words: the best trained anew, the spread over seeds, the ensemble beside the best."""

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
    """All retrained trials, the best first, and what their ensemble is."""

    about: str
    what: str
    rows: tuple[FinalRow, ...]
    ensemble: str


def finalists(view: StudyView) -> Finalists | None:
    """The table of the last stage; None where only one model was trained in it."""
    final = view.study.outcome.get("final") or {}
    each = [one for one in final.get("finalists") or () if isinstance(one, Mapping)]
    trained = sum(len(one["scores"]) for one in each)
    if trained < 2:
        return None
    seeds = len(each[0]["scores"])
    rows = [_row(view.trial_name((one["trial"][0], one["trial"][1])), one) for one in each]
    about = f"{len(each)} trial{'s' if len(each) > 1 else ''} × {seeds} seed{'s' if seeds > 1 else ''}"
    about += f", {epochs_text(final)} each"
    what = "mean val accuracy" if _is_accuracy(final) else "mean val loss"
    return Finalists(
        about, what if seeds > 1 else what.removeprefix("mean "), tuple(rows), _about_ensemble(final)
    )


def ensemble_facts(final: Any) -> tuple[tuple[str, str], ...]:
    """The ensemble's score on the test split, else on validation, for the headline."""
    found = final.get("ensemble") if isinstance(final, Mapping) else None
    if not found:
        return ()
    split = "val" if found["test_loss"] is None else "test"
    score, what = _measured(found, split)
    return ((f"{split} {what} of the ensemble of {found['members']}", score),)


def fold_text(best: Result) -> str:
    """A trial's score over its folds in words; empty without folds.

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
    """How long the best was retrained; less than asked for where the time was up, or somebody stopped it.

    Example:
        >>> epochs_text({"epochs": 20, "epochs_done": 20}), epochs_text({"epochs": 20, "epochs_done": 7})
        ('20 epochs', '7 of 20 epochs, then stopped')
    """
    asked = final.get("epochs")
    done = final.get("epochs_done", asked)  # of a study from before it was kept: all
    epochs = "epoch" if asked == 1 else "epochs"
    return f"{asked} {epochs}" if done == asked else f"{done} of {asked} {epochs}, then stopped"


def final_lines(final: Final) -> list[str]:
    """What the terminal says of the last stage beside the chosen model.

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


def _row(name: str, one: Final) -> FinalRow:
    each = [
        _scored(value) if _finite(value) else state
        for value, state in zip(one["scores"], one["states"], strict=True)
    ]
    return FinalRow(name, _scored(one["mean"]), _spread(one["std"], one["mean"]), ", ".join(each))


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


def _is_accuracy(final: Final) -> bool:
    return _finite(final.get("val_accuracy"))


def _scored(score: Any) -> str:
    """A score as people read it: an accuracy, or the loss whose negative it is."""
    if not _finite(score):
        return _NONE
    return percent_text(score) if score >= 0 else number_text(-score)


def _spread(std: Any, mean: Any) -> str:
    if not _finite(std):
        return _NONE
    return percent_text(std) if mean >= 0 else number_text(std)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
