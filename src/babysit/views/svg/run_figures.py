"""The figures of one recorded run, each with its heading, caption and link key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from html import escape

from babysit.records import EXPLOSION_LIMIT, Run
from babysit.verdicts import Finding
from babysit.views.data import lines
from babysit.views.data.formatting import number_text
from babysit.views.data.learning_rates import rate_changes, rate_pairs, rate_words, touch_words
from babysit.views.data.lines import Lines, Mark, Pairs, pairs_of
from babysit.views.data.links import LinkedCause
from babysit.views.data.recorded_run import TrialView, in_order
from babysit.views.data.series import Scores, explosion_text, run_scores
from babysit.views.svg.captions import CAPTIONS, Figure, line_figure, scores_caption
from babysit.views.svg.figures import scores_svg
from babysit.views.svg.heatmap import heatmap, heatmap_svg

KEYS = (
    "loss", "scores", "updates", "gradients", "dead", "saturation", "spread", "means", "rates",
    "weights", "activations", "gradient_histograms",
)  # fmt: skip
"""The keys of all figures of a run, in the order of the page."""
PICTURES = {"activations": "activations", "gradient_histograms": "gradients"}
"""The figures with one small picture a layer -> the beginning of their histograms' names."""
MOST_PICTURES = 24
"""The most layers drawn; of more an even choice is drawn."""
MOST_MARKS = 6
"""The most changes of the learning rate that are marked; more belong to a schedule."""


class RunFigures:
    """The figure data of one recorded run; each is made at its first use.

    Args:
        view: the run.
    """

    def __init__(self, view: TrialView) -> None:
        self._view = view
        if len(view.costs[0]):
            self.x = lines.ended_axis(*view.costs)
        else:
            sampled = [int(steps[-1]) for steps, _ in view.series.values() if len(steps)]
            measured = [each.step for each in view.result.run.readings]
            self.x = lines.step_axis(max([*sampled, *measured, view.result.run.steps]))

    @cached_property
    def scores(self) -> Scores | None:
        """Accuracies by epoch, or the validation loss."""
        readings = self._view.result.run.readings
        scored = any(math.isfinite(each.val_accuracy) or math.isfinite(each.val_loss) for each in readings)
        return run_scores(readings) if scored else None

    @cached_property
    def curves(self) -> dict[str, tuple[str, Lines]]:
        """The figures over the steps that are not empty: key -> heading and data."""
        run, first = self._view.result.run, self._view.result.run.first_cost
        levels = {"first loss": first, "chance": self._view.chance_loss}
        most = EXPLOSION_LIMIT * abs(first) if run.explosion and math.isfinite(first) else math.inf
        drawn = {
            "loss": ("Loss", lines.loss_lines(self.x, *self._view.costs, levels, most=most)),
            "updates": ("Update ratio", lines.ratio_lines(self.x, self._layers("update_ratio"))),
            "gradients": ("Gradient norm", self._drawn("gradient_norm", "gradient norm", log=True)),
            "dead": ("Dead units", self._drawn("dead", "dead share", also=(0.0, 1.0))),
            "saturation": ("Saturation", self._drawn("saturated", "saturated share", also=(0.0, 1.0))),
            "spread": (
                "Activations: standard deviation",
                self._drawn("std", "std of the output", log=True),
            ),
            "means": ("Activations: mean", self._drawn("mean", "mean of the output", also=(0.0,))),
            "rates": ("Learning rate", lines.rate_lines(self.x, {"learning rate": rate_pairs(self._view)})),
        }
        return {key: (heading, data) for key, (heading, data) in drawn.items() if data is not None}

    @cached_property
    def keys(self) -> list[str]:
        """The keys of the figures that are not empty, in the order of the page."""
        pictures = [key for key, begin in PICTURES.items() if self._named(begin)]
        has = {*self.curves, *pictures, *(["scores"] if self.scores else [])}
        return [key for key in KEYS if key in has]

    def shown(self, causes: Sequence[LinkedCause] = ()) -> list[Figure]:
        """Draws the figures and marks the beginning of each cause.

        Args:
            causes: the causes with the keys of the figures that show them.
        """
        return [self._figure(key, causes) for key in self.keys]

    def _figure(self, key: str, causes: Sequence[LinkedCause]) -> Figure:
        if key in self.curves:
            heading, data = self.curves[key]
            steps = [
                (each, step_of(each.finding, self._view.result.run)) for each in causes if each.link == key
            ]
            marks = [
                Mark(self.x.place(step), str(each.number), each.finding.message)
                for each, step in steps
                if step
            ]
            events = self._events() if key == "loss" else []
            if key == "gradients":
                caption = "The norm of the gradient of each weight tensor before the optimizer's step."
            else:
                caption = CAPTIONS[key]
            if key == "loss":
                broken = lines.broken_from(*self._view.costs)
                caption += f" {_BAND}" + (f" From step {broken} on it is NaN or infinite." if broken else "")
            return line_figure(key, heading, data._replace(marks=(*marks, *events)), caption)
        if self.scores is not None and key == "scores":
            # The gap is not judged if a cause matters more.
            is_judged = not self._view.verdict.serious
            train = self._view.result.run.readings[-1].train_accuracy if is_judged else math.nan
            heading, caption = self.scores.y.label.capitalize(), scores_caption(self.scores, train)
            return Figure(key, heading, scores_svg(self.scores), "", caption)
        pictures = []
        for name in self._named(PICTURES[key]):
            data_of = heatmap(self._view.histograms[name], self.x)
            if data_of is not None:
                layer = escape(name.partition("/")[2])
                pictures.append(f'<div class="picture"><h3>{layer}</h3>{heatmap_svg(data_of, name)}</div>')
        heading = "Activations over time" if key == "activations" else "Gradients over time"
        return Figure(key, heading, "".join(pictures), "", _PICTURE_CAPTIONS[key])

    def _drawn(
        self, quantity: str, label: str, *, log: bool = False, also: Sequence[float] = ()
    ) -> Lines | None:
        return lines.drawn(self.x, self._layers(quantity), label, log=log, also=also)

    def _layers(self, quantity: str) -> dict[str, Pairs]:
        return {name: pairs_of(curve) for name, curve in self._view.layers(quantity).items()}

    def _named(self, begin: str) -> list[str]:
        found = [name for name in self._view.histograms if name.startswith(f"{begin}/")]
        return lines.evenly(sorted(found, key=in_order), MOST_PICTURES)

    def _events(self) -> list[Mark]:
        """Returns the marks of the run's changes by the user, by its schedule, and of its explosion."""
        run = self._view.result.run
        marks = [self._mark(touch.step, *touch_words(touch)) for touch in run.touches]
        touched_at = {touch.step for touch in run.touches}
        changes = [
            (step, old, new)
            for step, old, new in rate_changes(rate_pairs(self._view))
            if not any(abs(step - touched) <= 1 for touched in touched_at)
        ]
        for step, old, new in changes if len(changes) <= MOST_MARKS else ():
            marks.append(self._mark(step, f"lr × {number_text(new / old, 2)}", rate_words(step, old, new)))
        if run.explosion is not None:
            marks.append(Mark(self.x.place(run.explosion.step), "exploded", explosion_text(run.explosion)))
        return marks

    def _mark(self, step: int, label: str, title: str) -> Mark:
        return Mark(self.x.place(step), label, title, bad=False)


_BAND = "The line is the median of neighbouring steps; the band spans the lowest to the highest."
_PICTURE_CAPTIONS = {
    "activations": "The distribution of each layer's outputs, step by step; darker cells hold more of them. "
    "A layer that shrinks to a line has died; one at the ends of a sigmoid or tanh is saturated.",
    "gradient_histograms": "The distribution of each weight tensor's gradient. A line at zero: the gradient "
    "has vanished.",
}


def step_of(finding: Finding, run: Run) -> int:
    """Returns the first step from which a finding holds; 0 if it names no moment.

    Example:
        >>> from babysit.records import Reading, State
        >>> from babysit.verdicts import Severity
        >>> readings = tuple(Reading(n, 50 * n, 1.0, 0.1, 0.1, 0.1) for n in (1, 2, 3))
        >>> step_of(Finding("r", Severity.INFO, "cost", 2, "", (), "", ""), Run(State.COMPLETE, readings))
        51
    """
    if finding.unit != "epoch" or not finding.since:
        return finding.since
    return 1 + max((each.step for each in run.readings if each.epoch < finding.since), default=0)
