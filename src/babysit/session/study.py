"""``babysit.Study``: a study in Python and in a notebook, with its best trial, its table and its figures."""

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

if TYPE_CHECKING:  # the store and the views are loaded with the first study
    from babysit.recipe.recipe import Recipe
    from babysit.session.models.export import LoadedModel
    from babysit.views.data.study import StudyView
    from babysit.views.html.notebook import Drawing

_Data = TypeVar("_Data")


@dataclass(frozen=True)
class TrialSummary:
    """A trial with its outcome.

    Attributes:
        stage: its stage's name.
        number: its number in the stage.
        hyperparameters: its values by name.
        score: the best validation accuracy; for regression minus the lowest validation loss.
        readings: the measurements at the end of each epoch.
        verdict: the causes found in it.
    """

    stage: str
    number: int
    hyperparameters: Mapping[str, Value]
    score: float
    readings: tuple[Reading, ...]
    verdict: Verdict


class Study:
    """One study of a store: a search, a single training, or an imported one.

    A snapshot of the moment it was opened; :meth:`refresh` reads the store anew. Returned by
    ``babysit.search``, ``babysit.train`` and ``babysit.open``.

    Args:
        url: the store's path or URL.
        number: the study's number in the store.

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
        """Reads the store anew, to follow a study that is still running."""
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
        """The name that the user gave it."""
        return self._view.study.name

    @property
    def state(self) -> State:
        """Running, complete, stopped or failed."""
        return self._view.study.state

    @property
    def outcome(self) -> Mapping[str, Any]:
        """The outcome as plain data; empty until the study ends."""
        return self._view.study.outcome

    @property
    def best(self) -> TrialSummary | None:
        """The trial with the best validation score; None if no trial has a score."""
        return None if self._view.best is None else self._summary(self._view.best)

    @property
    def edges(self) -> list[Edge]:
        """The alarms: hyperparameters whose best value lies at the edge of the searched range."""
        return list(self._view.standing.edges)

    @property
    def ties(self) -> list[TrialSummary]:
        """The trials within one standard error of the best, in the order of their scores."""
        return [self._summary(result) for result in self._view.standing.ties]

    @property
    def trials(self) -> Any:
        """A pandas frame with a row for every trial.

        Raises:
            InputError: pandas is not installed; :meth:`rows` does not need it.
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
        """Returns every trial as a dictionary: measurements at its best epoch, then hyperparameters."""
        from babysit.views.data.trial_rows import trial_rows

        return trial_rows(self._view.results, self._view.stages)

    def load(self, recipe: str | Recipe | None = None) -> LoadedModel:
        """Loads the model that the search exported, as ``babysit.load`` does.

        Args:
            recipe: the recipe, if it was made in memory or has moved. Default: the one it was trained with.

        Raises:
            InputError: no model was exported.
            CheckpointError: a file of the model is missing or damaged.
            RecipeError: the recipe has changed or cannot be found.
        """
        from babysit.session.models.export import load

        weights = (self.outcome.get("final") or {}).get("weights")
        if not weights:
            raise InputError(
                f"study {self.number} has exported no model",
                fix="finish the search: at its end the best trial is retrained and exported",
            )
        return load(weights, recipe)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Writes the study's report as one self-contained HTML file.

        Raises:
            InputError: the file cannot be written.
        """
        from babysit.views.html.report import write_report

        return write_report(self._view, path)

    def plot_scatter(self, x: str = "", y: str = "") -> Drawing:
        """Draws the trials in the plane of two hyperparameters, shaded by their score.

        Args:
            x, y: their names. Default: learning rate and l2, or those that were searched.

        Raises:
            InputError: no trial has such a hyperparameter, or none of its values is a number.
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
        """Draws the costs of all trials in one plot, the best on top.

        Raises:
            InputError: no step was recorded.
        """
        from babysit.views.data.series import loss_curves
        from babysit.views.svg.figures import loss_curves_svg

        return self._drawn(loss_curves(self._view), loss_curves_svg, "cost by step")

    def plot_progress(self) -> Drawing:
        """Draws the best validation score against the work: the update steps of all trials together.

        Raises:
            InputError: no trial has a score.
        """
        from babysit.views.svg.best_so_far import best_so_far, best_so_far_svg

        return self._drawn(best_so_far(self._view), best_so_far_svg, "best score by work")

    def plot_importance(self) -> Drawing:
        """Draws the importance of each hyperparameter, stage by stage; grey where chance explains it.

        Raises:
            InputError: too few trials completed.
        """
        from babysit.tuning.importance import FEWEST
        from babysit.views.svg.importance import importance_svg

        known = self.outcome.get("importance")
        if not known:
            raise InputError(
                f"study {self.number} has too few trials for the importance of its hyperparameters",
                fix=f"search at least {FEWEST} that complete in one stage",
            )
        return self._drawn(known, importance_svg, "importance of each hyperparameter")

    def plot_layers(self, figure: str = "updates") -> Drawing:
        """Draws a statistic of the layers of the best trial, or of the retrained model, step by step.

        Args:
            figure: "updates" (the update ratios, with the band around 1e-3), "gradients", "dead",
                "saturation", "spread", "means" or "rates".

        Raises:
            InputError: there is no such figure, or its statistic was not recorded.
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
        """Draws the distribution of a layer's outputs, or of a parameter's gradient, step by step.

        Args:
            name: "activations/LAYER" or "gradients/PARAMETER". Default: the first.

        Raises:
            InputError: no such histograms were recorded.
        """
        from babysit.views.svg.heatmap import heatmap, heatmap_svg
        from babysit.views.svg.run_figures import RunFigures

        look = self._view.look
        kept = look.histograms if look else {}
        chosen = name or next(iter(kept), "")
        if look is None or chosen not in kept:
            raise InputError(
                f"study {self.number} has no histograms {chosen!r}", fix=f"it has {', '.join(kept) or 'none'}"
            )
        data = heatmap(kept[chosen], RunFigures(look).x)
        return self._drawn(data, lambda found: heatmap_svg(found, chosen), chosen)

    def _drawn(self, data: _Data | None, draw: Callable[[_Data], str], title: str) -> Drawing:
        from babysit.views.html.notebook import Drawing

        if data is None:
            raise InputError(
                f"study {self.number} has nothing to draw for {title!r}", fix="print study.rows()"
            )
        return Drawing(draw(data), f"{self.name}: {title}")

    def _summary(self, result: Result) -> TrialSummary:
        trial: Trial = result.trial
        names = {stage.index: stage.name for stage in self._view.stages}
        return TrialSummary(
            names.get(trial.stage, str(trial.stage)),
            trial.number,
            dict(trial.hyperparameters),
            result.score,
            result.run.readings,
            self._view.verdicts.get(trial.key, Verdict()),
        )
