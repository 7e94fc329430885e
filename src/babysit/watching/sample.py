"""The statistics of a watched run: the frozen values that rules read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from babysit.loss_graph import LossGraph
from babysit.watching.noise import NoiseStat
from babysit.watching.norms import NormStat
from babysit.watching.passes import PassesSeen
from babysit.watching.ranks import RankNote


@dataclass(frozen=True, slots=True)
class LayerStat:
    """One layer's output in one batch.

    Attributes:
        mean, std: over examples and units.
        saturated: the share of outputs at the ends of a sigmoid or tanh; NaN for other layers.
    """

    mean: float
    std: float
    saturated: float = math.nan


@dataclass(frozen=True, slots=True)
class TensorStat:
    """One parameter tensor around one optimizer step.

    Attributes:
        weight: its norm before the step.
        gradient: the norm of the gradient that the optimizer used; NaN if it had none.
        update: the norm of the actual change, momentum and decay included; NaN if no step was seen.
        size: how many of its numbers were looked at.
        dims: its number of dimensions.
    """

    weight: float
    gradient: float
    update: float
    size: int
    dims: int

    @property
    def ratio(self) -> float:
        """|change of W| / |W|; NaN for biases, gains, single units and tensors that are (nearly) zero.

        Example:
            >>> TensorStat(weight=10.0, gradient=1.0, update=0.01, size=100, dims=2).ratio
            0.001
        """
        fresh = self.weight <= 1e-8 * math.sqrt(self.size)
        return math.nan if self.dims < 2 or fresh else self.update / self.weight

    @property
    def rms_gradient(self) -> float:
        """The gradient of a typical single weight, comparable between tensors of different sizes."""
        return self.gradient / math.sqrt(self.size)


@dataclass(frozen=True, slots=True)
class OutputStat:
    """The model's output for one batch.

    Attributes:
        examples: the batch's size.
        mean, std: over everything.
        spread: the mean over outputs of the standard deviation over examples; zero if all get one answer.
        input_finite, finite: whether what went in, and what came out, holds no NaN and no infinity.
        input_scale: the root mean square of the input; NaN if it was not seen.
        inputs_differ: whether some of the batch's inputs differ, or were not seen.
    """

    examples: int
    mean: float
    std: float
    spread: float
    input_finite: bool = True
    finite: bool = True
    input_scale: float = math.nan
    inputs_differ: bool = True


@dataclass(frozen=True, slots=True)
class TargetStat:
    """The targets of one batch as the criterion saw them.

    Attributes:
        shares: the share of each class; empty for other targets.
        mean, square: moments of targets that are numbers; NaN for classes.
        negative: the share of these below zero.
    """

    shares: tuple[float, ...] = ()
    mean: float = math.nan
    square: float = math.nan
    negative: float = math.nan


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured around one step.

    Attributes:
        step: the step, counted from 1 by ``watch.step``.
        stepped: an optimizer made a step.
        rates: the learning rate of every parameter group.
        training: whether the model was in training mode when this batch went forward; None if not seen.
        leftover: the last step's gradients were still there when the next backward began; None if not seen.
        layers, tensors: by name, in forward order and in the model's order.
        output, targets: of the batch; None if not seen.
        noise: this step's gradient beside the next one's; None if not seen.
        norms: batch norms' running statistics against this batch, by name.
        telling: input columns that give the target away; None if they were not looked for.
    """

    step: int
    stepped: bool
    rates: tuple[float, ...] = ()
    training: bool | None = None
    leftover: bool | None = None
    layers: Mapping[str, LayerStat] = field(default_factory=dict)
    tensors: Mapping[str, TensorStat] = field(default_factory=dict)
    output: OutputStat | None = None
    targets: TargetStat | None = None
    noise: NoiseStat | None = None
    norms: Mapping[str, NormStat] = field(default_factory=dict)
    telling: tuple[int, ...] | None = None

    @property
    def ratio(self) -> float:
        """The median update ratio over the weight tensors that get a gradient; NaN without any."""
        return middle(stat.ratio for stat in self.tensors.values() if stat.gradient == stat.gradient)


@dataclass(frozen=True, slots=True)
class Units:
    """How many units of a layer were silent in every sampled batch.

    Attributes:
        dead: silent in all of them.
        units: all units.
        batches: how many batches.
        since: the first of their steps.
    """

    dead: int
    units: int
    batches: int
    since: int

    @property
    def share(self) -> float:
        """The share of units that are dead."""
        return self.dead / self.units


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the user reported at the end of an epoch; NaN where nothing was."""

    step: int
    train_accuracy: float = math.nan
    val_accuracy: float = math.nan
    val_loss: float = math.nan


@dataclass(frozen=True, slots=True)
class Setup:
    """What was so before the first step.

    Attributes:
        optimizers: class names.
        trainable: names of the parameters that ask for gradients.
        left_out: those of them that no optimizer holds.
        foreign: how many tensors the optimizers hold that are not the model's.
        moody: names of the trainable parts whose layers behave otherwise in eval mode.
        lookups: names of embedding tables: most of their rows get no gradient in a batch.
        maximize: an optimizer climbs instead of descending.
        compiled: activations cannot be seen.
        stepped: the identities of the trainable ones that an optimizer holds.
    """

    optimizers: tuple[str, ...] = ()
    trainable: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    foreign: int = 0
    moody: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    maximize: bool = False
    compiled: bool = False
    stepped: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Log:
    """Everything that the rules may read about a watched run.

    Attributes:
        setup: what was so before the first step.
        losses: one a step.
        updates: optimizer steps seen: the first, and those of sampled steps.
        samples: the sampled steps, oldest first.
        epochs: what was reported, oldest first.
        units: dead units by layer.
        graph: what the loss's graph said; None if no loss with a graph was seen.
        failures: exceptions inside the watch, and the first one in words.
        seconds: per step, the median over the sampled stretches.
        passes: forward passes by mode, and whether validation rows were trained on.
        ending: the exception that ended the loop, in one line.
        ranks: what the other processes say that train the same model.
        single_output: the model returns one number for a batch, its loss say.
    """

    setup: Setup
    losses: Sequence[float] = ()
    updates: int = 0
    samples: tuple[Sample, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    units: Mapping[str, Units] = field(default_factory=dict)
    graph: LossGraph | None = None
    failures: tuple[int, str] = (0, "")
    seconds: float = math.nan
    passes: PassesSeen = field(default_factory=PassesSeen)
    ending: str = ""
    ranks: tuple[RankNote, ...] = ()
    single_output: bool = False

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    @property
    def first(self) -> float:
        """The loss at the start: a mean over steps, for one batch may be an odd one.

        Where the first step changed the weights by half of themselves, only what came before it counts.
        """
        violent = any(sample.ratio > 0.5 for sample in self.samples[:1])
        count = 1 if violent else max(3, self.window // 2)
        return fmean(self.losses[:count]) if self.losses else math.nan

    @property
    def last(self) -> float:
        """The loss now: the mean of the last tenth of the run, at most 50 steps."""
        return fmean(self.losses[-self.window :]) if self.losses else math.nan

    @property
    def window(self) -> int:
        """How many steps make one smoothed loss."""
        return max(1, min(50, self.steps // 10))

    @property
    def fall(self) -> float:
        """The share of itself that the loss lost: 1 is all of it, below zero it rose."""
        return (self.first - self.last) / abs(self.first) if self.first else math.nan

    @property
    def chance(self) -> float:
        """The loss of the best constant answer to the sampled targets; NaN if the loss is not a known one."""
        return self.chance_in(self.samples)

    def chance_in(self, samples: Sequence[Sample]) -> float:
        """The same for the targets of some samples.

        For classes, two or more, it is the entropy of their shares, for squared errors the targets' variance.

        Args:
            samples: those that count.
        """
        seen = [sample.targets for sample in samples if sample.targets is not None]
        if not seen or self.graph is None or not self.graph.alone:
            return math.nan
        if self.graph.kind == "cross-entropy" and all(stat.shares for stat in seen):
            return _entropy([fmean(column) for column in zip(*(stat.shares for stat in seen), strict=True)])
        if self.graph.kind == "squared error":
            return fmean(stat.square for stat in seen) - fmean(stat.mean for stat in seen) ** 2
        if self.graph.kind == "binary cross-entropy":
            return self._binary_chance(fmean(stat.mean for stat in seen))
        return math.nan

    def _binary_chance(self, share: float) -> float:
        """NaN where the first loss is not the ln 2 of a network that knows nothing: it has weights in it."""
        weighted = not 0.55 < self.first < 0.9
        return math.nan if weighted or not 0.05 < share < 0.95 else _entropy([share, 1 - share])


def middle(values: Iterable[float]) -> float:
    """The median of the numbers among the values; NaN if there are none.

    Example:
        >>> middle([1.0, math.nan, 3.0])
        2.0
    """
    known = [value for value in values if math.isfinite(value)]
    return median(known) if known else math.nan


def _entropy(shares: Sequence[float]) -> float:
    return -math.fsum(share * math.log(share) for share in shares if share > 0)


def spread_of(mean: float, root_mean_square: float) -> float:
    """The standard deviation.

    Example:
        >>> spread_of(3.0, 5.0)
        4.0
    """
    square = root_mean_square**2 - mean**2
    return math.sqrt(square) if square > 0 else square * 0


def layer_stat(size: int, total: float, norm: float, saturated: float = math.nan) -> LayerStat:
    """A layer's output, from what was computed on the device.

    Args:
        size: how many numbers entered.
        total, norm: their sum and their norm.
        saturated: the share at the ends of a sigmoid or tanh; NaN for other layers.

    Example:
        >>> layer_stat(2, 6.0, 2**0.5 * 5)
        LayerStat(mean=3.0, std=4.0, saturated=nan)
    """
    mean = total / size
    return LayerStat(mean, spread_of(mean, norm / math.sqrt(size)), saturated)


def output_stat(values: Sequence[float] | None, size: int, examples: int) -> OutputStat | None:
    """The model's output, from what was computed on the device; None if nothing was.

    Args:
        values: sum, norm and spread over examples; then, if seen, the input's sum, its root mean square, and
            1 if its examples differ.
        size: how many numbers of the output entered.
        examples: the batch's size.
    """
    if values is None:
        return None
    total, norm, spread, *given = values
    mean = total / size
    return OutputStat(
        examples,
        mean,
        spread_of(mean, norm / math.sqrt(size)),
        spread,
        all(map(math.isfinite, given[:1])),
        math.isfinite(total),
        given[1] if given else math.nan,
        given[2] > 0 if given else True,
    )
