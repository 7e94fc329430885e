"""A study as Python and a notebook see it: its best, its trials as a frame, its figures."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from babysit.errors import InputError
from babysit.records import Edge, Reading, Result, State, Trial, Value
from babysit.verdicts import Verdict

if TYPE_CHECKING:  # the store and the views are loaded once a study is there
    from babysit.recipe.recipe import Recipe
    from babysit.session.models.export import LoadedModel
    from babysit.views.data.study import StudyView
    from babysit.views.html.notebook import Drawing

_Data = TypeVar("_Data")


@dataclass(frozen=True)
class Best:
    """A trial with what came of it.

    Attributes:
        stage: its stage's name.
        number: its number in the stage.
        hyperparameters: its choice.
        score: the best validation accuracy; for regression minus the lowest validation loss.
        readings: what was measured at the end of each epoch.
        verdict: what was found in it.
    """

    stage: str
    number: int
    hyperparameters: Mapping[str, Value]
    score: float
    readings: tuple[Reading, ...]
    verdict: Verdict


class Study:
    """One study of a store: a search, a single training, or an imported one.

    It is a snapshot of the moment it was opened; :meth:`refresh` reads the store anew. Made by
    ``babysit.search``, ``babysit.train`` and ``babysit.open``.

    Args:
        url: the store's path or URL.
        number: the study's number in it.

    Raises:
        StoreError: the store cannot be read, or has no such study.
    """

    def __init__(self, url: str, number: int) -> None:
        self.url, self.number = url, number
        self._view = self._load()

    def _load(self) -> StudyView:
        from babysit.views.data.study import load_study_view

        return load_study_view(self.url, self.number)

    def refresh(self) -> None:
        """Reads the store anew, as for a study that is still running."""
        self._view = self._load()

    def __repr__(self) -> str:
        record, trials = self._view.study, self._view.results
        best = f", best {self.best.score:.4g}" if self.best else ""
        return f"<Study {self.number} {record.name!r}: {record.state.value}, {len(trials)} trials{best}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>"

    @property
    def name(self) -> str:
        """What the user called it."""
        return self._view.study.name

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._view.study.state

    @property
    def outcome(self) -> Mapping[str, Any]:
        """What came of it, as plain data; empty until the end."""
        return self._view.study.outcome

    @property
    def best(self) -> Best | None:
        """The trial with the best validation score; None when no trial has one."""
        return None if self._view.best is None else self._told(self._view.best)

    @property
    def edges(self) -> list[Edge]:
        """The alarms: hyperparameters whose best value sits at the edge of what was searched."""
        return [Edge(**edge) for edge in self.outcome.get("edges") or ()]

    @property
    def ties(self) -> list[Best]:
        """The trials within one standard error of the best, the best first: a set, not a winner."""
        by_key = {result.trial.key: result for result in self._view.results}
        return [self._told(by_key[stage, number]) for stage, number in self.outcome.get("ties") or ()]

    @property
    def trials(self) -> Any:
        """Every trial as a row of a pandas frame.

        Raises:
            InputError: pandas is not installed; :meth:`rows` needs no pandas.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InputError(
                "a frame of trials needs pandas, which is not installed",
                fix="pip install 'babysit[notebook]', or take study.rows(), a list of dictionaries",
            ) from None
        return pandas.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Every trial as a dictionary: what was measured at its best epoch, then its hyperparameters."""
        from babysit.views.data.trial_rows import trial_rows

        return trial_rows(self._view.results, self._view.stages)

    def load(self, recipe: str | Recipe | None = None) -> LoadedModel:
        """The model that the search exported, as ``babysit.load`` gives it.

        Args:
            recipe: the recipe, where it was made in memory or has moved; default the one it was trained with.

        Raises:
            InputError: nothing was exported.
            CheckpointError: a file of it is missing or damaged.
            RecipeError: the recipe has changed or cannot be found.
        """
        from babysit.session.models.export import load

        weights = (self.outcome.get("final") or {}).get("weights")
        if not weights:
            raise InputError(
                f"study {self.number} has exported no model",
                fix="finish the search: the best trial is retrained and kept at its end",
            )
        return load(weights, recipe)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Writes the study's report: one HTML file that needs nothing else.

        Raises:
            InputError: the file cannot be written.
        """
        from babysit.views.html.report import write_report

        return write_report(self._view, path)

    def plot_scatter(self, x: str = "", y: str = "") -> Drawing:
        """The trials in the plane of two hyperparameters, shaded by their score.

        Args:
            x, y: their names; default learning rate and l2, or those that were searched.

        Raises:
            InputError: no trial has such a hyperparameter, or none is a number.
        """
        from babysit.views.data.scatter import scatter, scatter_names
        from babysit.views.svg.figures import scatter_svg

        known = {name for result in self._view.results for name in result.trial.hyperparameters}
        for name in filter(None, (x, y)):
            if name not in known:
                raise InputError(
                    f"no trial has a hyperparameter {name!r}", fix=f"they have {', '.join(sorted(known))}"
                )
        names = [name for name in (x, y) if name] or list(scatter_names(self._view))
        return self._drawn(scatter(self._view, names), scatter_svg, f"trials by {' and '.join(names)}")

    def plot_losses(self) -> Drawing:
        """The costs of all trials over each other, the best on top.

        Raises:
            InputError: no step was recorded.
        """
        from babysit.views.data.series import loss_curves
        from babysit.views.svg.figures import loss_curves_svg

        return self._drawn(loss_curves(self._view), loss_curves_svg, "cost by step")

    def plot_progress(self) -> Drawing:
        """The best validation score against the work: update steps of all trials together.

        Raises:
            InputError: no trial has a score.
        """
        from babysit.views.svg.best_so_far import best_so_far, best_so_far_svg

        return self._drawn(best_so_far(self._view), best_so_far_svg, "best score by work")

    def plot_importance(self) -> Drawing:
        """How far the score follows each hyperparameter, stage by stage; what chance explains is grey.

        Raises:
            InputError: too few trials completed to say.
        """
        from babysit.tuning.importance import FEWEST
        from babysit.views.svg.importance import importance_svg

        known = self.outcome.get("importance")
        if not known:
            raise InputError(
                f"study {self.number} has too few trials to say which hyperparameter mattered",
                fix=f"search at least {FEWEST} that complete in one stage",
            )
        return self._drawn(known, importance_svg, "what mattered")

    def plot_layers(self, figure: str = "updates") -> Drawing:
        """What the layers of the best trial, or of the retrained model, showed step by step.

        Args:
            figure: "updates" (the ratios, with the band round 1e-3), "gradients", "dead", "saturation",
                "spread", "means" or "rates".

        Raises:
            InputError: nobody looked at that, or there is no such figure.
        """
        from babysit.views.svg.line_figures import lines_svg
        from babysit.views.svg.run_figures import RunFigures

        look = self._view.look
        known = RunFigures(look).curves if look else {}
        if figure not in known:
            raise InputError(
                f"study {self.number} has no figure {figure!r}", fix=f"it has {', '.join(known) or 'none'}"
            )
        heading, data = known[figure]
        return self._drawn(data, lambda lines: lines_svg(lines, heading), heading.lower())

    def plot_histograms(self, name: str = "") -> Drawing:
        """How the outputs of a layer, or the gradient of a parameter, were spread over the steps.

        Args:
            name: "activations/LAYER" or "gradients/PARAMETER"; default the first.

        Raises:
            InputError: no such histograms were recorded.
        """
        from babysit.views.svg.heatmap import heatmap, heatmap_svg
        from babysit.views.svg.run_figures import RunFigures

        look = self._view.look
        kept = look.histograms if look else {}
        chosen = name or next(iter(kept), "")
        if look is None or chosen not in kept:
            told = ", ".join(kept) or "none"
            raise InputError(f"study {self.number} has no histograms {chosen!r}", fix=f"it has {told}")
        data = heatmap(kept[chosen], RunFigures(look).x)
        return self._drawn(data, lambda found: heatmap_svg(found, chosen), chosen)

    def _drawn(self, data: _Data | None, draw: Callable[[_Data], str], title: str) -> Drawing:
        from babysit.views.html.notebook import Drawing

        if data is None:
            raise InputError(
                f"study {self.number} has nothing to draw for {title!r}", fix="see what study.rows() holds"
            )
        return Drawing(draw(data), f"{self.name}: {title}")

    def _told(self, result: Result) -> Best:
        trial: Trial = result.trial
        names = {stage.index: stage.name for stage in self._view.stages}
        return Best(
            names.get(trial.stage, str(trial.stage)),
            trial.number,
            dict(trial.hyperparameters),
            result.score,
            result.run.readings,
            self._view.verdicts.get(trial.key, Verdict()),
        )
