"""The figures of one recorded run: each a drawing with its name and caption, under the key of its links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from html import escape
from itertools import pairwise

from babysit.records import CommandKind, Run, Touch
from babysit.store.queries import Curve
from babysit.verdicts import Finding
from babysit.views.data import lines
from babysit.views.data.axes import Axis
from babysit.views.data.formatting import number_text
from babysit.views.data.lines import Lines, Mark, Pairs
from babysit.views.data.links import LinkedCause
from babysit.views.data.recorded_run import TrialView, in_order
from babysit.views.data.series import ABOVE_FIRST, Scores, explosion_text, run_scores
from babysit.views.svg.captions import CAPTIONS, Shown, scores_caption, shown_lines
from babysit.views.svg.figures import scores_svg
from babysit.views.svg.heatmap import heatmap, heatmap_svg

KEYS = (
    "loss", "scores", "updates", "gradients", "dead", "saturation", "spread", "means", "rates",
    "weights", "activations", "gradient_histograms",
)  # fmt: skip
"""Every figure that a run may have, in the order of the page."""
PICTURES = {"activations": "activations", "gradient_histograms": "gradients"}
"""The figures that are one small picture a layer -> how their histograms' names begin."""
MOST_PICTURES = 24
"""Of more layers than this an even choice is drawn."""
MOST_MARKS = 6
"""Of more changes of the learning rate than this none is marked: it is a schedule."""


class RunFigures:
    """The figure data of one recorded run; each is made when it is first asked for.

    Args:
        view: the run.
    """

    def __init__(self, view: TrialView) -> None:
        self._view = view
        self.x = lines.ended_axis(*view.costs) if len(view.costs[0]) else _axis_of(view)

    @cached_property
    def scores(self) -> Scores | None:
        """Accuracies by epoch, or the validation loss."""
        readings = self._view.result.run.readings
        told = any(math.isfinite(each.val_accuracy) or math.isfinite(each.val_loss) for each in readings)
        return run_scores(readings) if told else None

    @cached_property
    def curves(self) -> dict[str, tuple[str, Lines]]:
        """Key -> heading and data of the figures over the steps that there is something to draw in."""
        drawn = {
            "loss": ("Loss", self._loss()),
            "updates": ("Update ratio", lines.ratio_lines(self.x, self._layers("update_ratio"))),
            "gradients": ("Gradient norm", self._drawn("gradient_norm", "gradient norm", log=True)),
            "dead": ("Dead units", self._drawn("dead", "dead share", also=(0.0, 1.0))),
            "saturation": ("Saturation", self._drawn("saturated", "saturated share", also=(0.0, 1.0))),
            "spread": (
                "Activations: standard deviation",
                self._drawn("std", "std of the output", log=True),
            ),
            "means": ("Activations: mean", self._drawn("mean", "mean of the output", also=(0.0,))),
            "rates": ("Learning rate", lines.rate_lines(self.x, self._rates())),
        }
        return {key: (heading, data) for key, (heading, data) in drawn.items() if data is not None}

    @cached_property
    def keys(self) -> list[str]:
        """The figures that there are, in the order of the page."""
        pictures = [key for key, begin in PICTURES.items() if self._named(begin)]
        has = {*self.curves, *pictures, *(["scores"] if self.scores else [])}
        return [key for key in KEYS if key in has]

    def shown(self, causes: Sequence[LinkedCause] = ()) -> list[Shown]:
        """The figures drawn, causes marked where they begin.

        Args:
            causes: with the keys of the figures that show them.
        """
        return [self._shown(key, causes) for key in self.keys]

    def _shown(self, key: str, causes: Sequence[LinkedCause]) -> Shown:
        if key in self.curves:
            heading, data = self.curves[key]
            marked = data._replace(marks=(*self._marks(key, causes), *self._happened(key)))
            return shown_lines(key, heading, marked, self._caption(key))
        if self.scores is not None and key == "scores":
            caption = scores_caption(self.scores, self._train_accuracy())
            return Shown(key, self.scores.y.label.capitalize(), scores_svg(self.scores), "", caption)
        heading = "Activations over time" if key == "activations" else "Gradients over time"
        return Shown(key, heading, self._pictures(key), "", _PICTURE_CAPTIONS[key])

    def _train_accuracy(self) -> float:
        """Returns the one at the end; NaN where a cause matters more than the gap."""
        alarmed = bool(self._view.verdict.serious)
        return math.nan if alarmed else self._view.result.run.readings[-1].train_accuracy

    def _loss(self) -> Lines | None:
        run, first = self._view.result.run, self._view.result.run.first_cost
        levels = {"first loss": first, "chance": self._view.chance_loss}
        most = ABOVE_FIRST * abs(first) if run.explosion and math.isfinite(first) else math.inf
        return lines.loss_lines(self.x, *self._view.costs, levels, most=most)

    def _drawn(
        self, quantity: str, label: str, *, log: bool = False, also: Sequence[float] = ()
    ) -> Lines | None:
        return lines.drawn(self.x, self._layers(quantity), label, log=log, also=also)

    def _layers(self, quantity: str) -> dict[str, Pairs]:
        return {name: pairs_of(curve) for name, curve in self._view.layers(quantity).items()}

    def _rates(self) -> dict[str, Pairs]:
        return {"learning rate": rate_pairs(self._view)}

    def _named(self, begin: str) -> list[str]:
        found = [name for name in self._view.histograms if name.startswith(f"{begin}/")]
        return lines.evenly(sorted(found, key=in_order), MOST_PICTURES)

    def _pictures(self, key: str) -> str:
        """One small picture a layer, in the network's order."""
        drawn = []
        for name in self._named(PICTURES[key]):
            data = heatmap(self._view.histograms[name], self.x)
            if data is not None:
                drawn.append(_picture(name.partition("/")[2], heatmap_svg(data, name)))
        return "".join(drawn)

    def _marks(self, key: str, causes: Sequence[LinkedCause]) -> list[Mark]:
        run = self._view.result.run
        found = []
        for each in causes:
            step = step_of(each.finding, run)
            if each.link == key and step:
                found.append(Mark(self.x.place(step), str(each.number), each.finding.message))
        return found

    def _happened(self, key: str) -> list[Mark]:
        """On the loss: what was done to the run, and what it did."""
        if key != "loss":
            return []
        run = self._view.result.run
        marks = [self._mark(touch.step, *touch_words(touch)) for touch in run.touches]
        by_hand = {touch.step for touch in run.touches}
        changes = [
            (step, old, new)
            for step, old, new in rate_changes(rate_pairs(self._view))
            if not any(abs(step - touched) <= 1 for touched in by_hand)
        ]
        for step, old, new in changes if len(changes) <= MOST_MARKS else ():
            marks.append(self._mark(step, f"lr × {number_text(new / old, 2)}", rate_words(step, old, new)))
        if run.explosion is not None:
            marks.append(Mark(self.x.place(run.explosion.step), "exploded", explosion_text(run.explosion)))
        return marks

    def _mark(self, step: int, label: str, title: str) -> Mark:
        return Mark(self.x.place(step), label, title, bad=False)

    def _caption(self, key: str) -> str:
        if key == "gradients":
            return "The norm of the gradient of each weight tensor, as the optimizer got it."
        broken = lines.broken_from(*self._view.costs) if key == "loss" else 0
        ended = f" From step {broken} on it is NaN or infinite." if broken else ""
        return CAPTIONS[key] + (f" {_BAND}{ended}" if key == "loss" else "")


_BAND = "The line is the median of neighbouring steps, the band goes from the lowest to the highest."
_PICTURE_CAPTIONS = {
    "activations": "How each layer's outputs were spread, step by step: darker where more of them lay. A "
    "layer that shrinks to a line has died; one that sits at the ends of a sigmoid or tanh is saturated.",
    "gradient_histograms": "How each weight tensor's gradient was spread. A line at zero: nothing arrives.",
}


def _picture(name: str, svg: str) -> str:
    return f'<div class="picture"><h3>{escape(name)}</h3>{svg}</div>'


def _axis_of(view: TrialView) -> Axis:
    """The axis of steps of a run without costs."""
    looked = [int(steps[-1]) for steps, _ in view.series.values() if len(steps)]
    told = [each.step for each in view.result.run.readings]
    return lines.step_axis(max([*looked, *told, view.result.run.steps]))


def pairs_of(curve: Curve) -> Pairs:
    """Steps and values as pairs of numbers."""
    steps, values = curve
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def rate_pairs(view: TrialView) -> Pairs:
    """The learning rate: at the steps that were looked at, or else at the end of each epoch."""
    if "learning_rate" in view.series:
        return pairs_of(view.series["learning_rate"])
    return [(each.step, each.learning_rate) for each in view.result.run.readings if each.step]


def rate_changes(pairs: Pairs) -> list[tuple[int, float, float]]:
    """Where a learning rate changed: the step at which the new one was seen, the old and the new.

    Example:
        >>> rate_changes([(1, 0.1), (9, 0.1), (17, 0.05)])
        [(17, 0.1, 0.05)]
    """
    return [
        (step, old, new)
        for (_, old), (step, new) in pairwise(pairs)
        if old > 0 and new > 0 and abs(new / old - 1) > 1e-6
    ]


def rate_words(step: int, old: float, new: float) -> str:
    """A change of the learning rate in words.

    Example:
        >>> rate_words(800, 1e-3, 1e-4)
        'learning rate 1e-3 to 1e-4, seen at step 800'
    """
    return f"learning rate {number_text(old)} to {number_text(new)}, seen at step {step}"


def touch_words(touch: Touch) -> tuple[str, str]:
    """What was done by hand: a short label, and a sentence.

    Example:
        >>> touch_words(Touch(CommandKind.SCALE_LEARNING_RATE, 120, 0.5))
        ('by hand: lr × 0.5', 'by hand after step 120: learning rate times 0.5')
    """
    if touch.kind is CommandKind.SCALE_LEARNING_RATE:
        factor = number_text(touch.argument)
        return f"by hand: lr × {factor}", f"by hand after step {touch.step}: learning rate times {factor}"
    return "stopped by hand", f"stopped by hand after step {touch.step}"


def step_of(finding: Finding, run: Run) -> int:
    """The first step of the moment from which a finding holds; 0 where there is none.

    Example:
        >>> from babysit.records import Reading, Severity, State
        >>> readings = tuple(Reading(n, 50 * n, 1.0, 0.1, 0.1, 0.1) for n in (1, 2, 3))
        >>> step_of(Finding("r", Severity.INFO, "cost", 2, "", (), "", ""), Run(State.COMPLETE, readings))
        51
    """
    if finding.unit != "epoch" or not finding.since:
        return finding.since
    return 1 + max((each.step for each in run.readings if each.epoch < finding.since), default=0)
