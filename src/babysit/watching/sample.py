"""The statistics of a watched run: frozen values for the detectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from babysit.loss_graph import LossGraph
from babysit.watching.noise import NoiseStat
from babysit.watching.norms import NormStat
from babysit.watching.passes import ObservedPasses
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
        size: how many of its numbers were measured.
        dims: its number of dimensions.
    """

    weight: float
    gradient: float
    update: float
    size: int
    dims: int

    @property
    def ratio(self) -> float:
        """Norm of the change over the norm of W; NaN for biases, gains, single units and (nearly) zero W.

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
        spread: the mean over outputs of the standard deviation over examples; zero if all outputs are equal.
        input_finite, finite: whether input and output are free of NaN and infinity.
        input_scale: the root mean square of the input; NaN if unknown.
        inputs_differ: whether some of the batch's inputs differ; True if unknown.
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
    """The targets of one batch, as the criterion received them.

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
    """Measurements around one step.

    Attributes:
        step: the step, counted from 1 by ``watch.step``.
        stepped: an optimizer made a step.
        rates: the learning rate of every parameter group.
        training: whether the model was in training mode in the forward pass; None if unknown.
        stale: the last step's gradients were still there in the next backward pass; None if unknown.
        layers, tensors: by name, in forward order and in the model's order.
        output, targets: of the batch; None if unknown.
        noise: this step's gradient against the next one's; None if unknown.
        norms: batch norms' running statistics against this batch, by name.
        leaking_columns: input columns that give the target away; None if they were not searched.
    """

    step: int
    stepped: bool
    rates: tuple[float, ...] = ()
    training: bool | None = None
    stale: bool | None = None
    layers: Mapping[str, LayerStat] = field(default_factory=dict)
    tensors: Mapping[str, TensorStat] = field(default_factory=dict)
    output: OutputStat | None = None
    targets: TargetStat | None = None
    noise: NoiseStat | None = None
    norms: Mapping[str, NormStat] = field(default_factory=dict)
    leaking_columns: tuple[int, ...] | None = None

    @property
    def ratio(self) -> float:
        """The median update ratio over the weight tensors that get a gradient; NaN without any."""
        return middle(stat.ratio for stat in self.tensors.values() if stat.gradient == stat.gradient)


@dataclass(frozen=True, slots=True)
class Units:
    """Units of a layer that were silent in every sampled batch.

    Attributes:
        dead: silent in all of them.
        units: all units.
        batches: number of batches.
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
    """Report of the user at the end of an epoch; NaN for what was not reported."""

    step: int
    train_accuracy: float = math.nan
    val_accuracy: float = math.nan
    val_loss: float = math.nan


@dataclass(frozen=True, slots=True)
class Setup:
    """Model and optimizers before the first step.

    Attributes:
        optimizers: class names.
        trainable: names of the parameters that ask for gradients.
        left_out: those of them that no optimizer holds.
        foreign: number of tensors in the optimizers that are not the model's.
        mode_dependent: names of the trainable parts with layers that behave differently in eval mode.
        lookups: names of embedding tables: most of their rows get no gradient in a batch.
        maximize: an optimizer climbs instead of descending.
        compiled: activations cannot be seen.
        stepped: the identities of the trainable ones that an optimizer holds.
    """

    optimizers: tuple[str, ...] = ()
    trainable: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    foreign: int = 0
    mode_dependent: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    maximize: bool = False
    compiled: bool = False
    stepped: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class WatchLog:
    """Everything that the detectors may read about a watched run.

    Attributes:
        setup: model and optimizers before the first step.
        losses: one a step.
        updates: optimizer steps seen: the first, and those of sampled steps.
        samples: the sampled steps, oldest first.
        epochs: the reported ones, oldest first.
        units: dead units by layer.
        graph: the loss's graph; None if no loss with a graph was seen.
        failures: number of exceptions inside the watch, and the text of the first.
        seconds: per step, the median over the sampled stretches.
        passes: forward passes by mode, and whether validation rows were trained on.
        ending: the exception that ended the loop, in one line.
        ranks: notes of the other processes that train the same model.
        single_output: the model returns one number for a batch, for example its loss.
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
    passes: ObservedPasses = field(default_factory=ObservedPasses)
    ending: str = ""
    ranks: tuple[RankNote, ...] = ()
    single_output: bool = False

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    @property
    def first(self) -> float:
        """The loss at the start: a mean over steps, as one batch may be an odd one.

        Where the first step changed the weights by half of themselves, only the first loss counts.
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
        """Number of steps of one smoothed loss."""
        return max(1, min(50, self.steps // 10))

    @property
    def fall(self) -> float:
        """The share by which the loss fell: 1 is all of it, below zero it rose."""
        return (self.first - self.last) / abs(self.first) if self.first else math.nan

    @property
    def chance(self) -> float:
        """The loss of the best constant answer to the sampled targets; NaN if the loss is not a known one."""
        return self.chance_in(self.samples)

    def chance_in(self, samples: Sequence[Sample]) -> float:
        """Computes the loss of the best constant answer to the targets of some samples.

        For two or more classes it is the entropy of their shares, for squared errors the targets' variance.
        It is NaN for other losses, and for a binary loss with weights: its first value is not ln 2.

        Args:
            samples: the samples whose targets count.
        """
        seen = [sample.targets for sample in samples if sample.targets is not None]
        if not seen or self.graph is None or not self.graph.alone:
            return math.nan
        if self.graph.kind == "cross-entropy" and all(stat.shares for stat in seen):
            return _entropy([fmean(column) for column in zip(*(stat.shares for stat in seen), strict=True)])
        if self.graph.kind == "squared error":
            return fmean(stat.square for stat in seen) - fmean(stat.mean for stat in seen) ** 2
        if self.graph.kind == "binary cross-entropy":
            share = fmean(stat.mean for stat in seen)
            is_unweighted = 0.55 < self.first < 0.9
            return _entropy([share, 1 - share]) if is_unweighted and 0.05 < share < 0.95 else math.nan
        return math.nan


def middle(values: Iterable[float]) -> float:
    """Computes the median of the finite values; NaN if there are none.

    Example:
        >>> middle([1.0, math.nan, 3.0])
        2.0
    """
    known = [value for value in values if math.isfinite(value)]
    return median(known) if known else math.nan


def _entropy(shares: Sequence[float]) -> float:
    return -math.fsum(share * math.log(share) for share in shares if share > 0)


def spread_of(mean: float, root_mean_square: float) -> float:
    """Computes a standard deviation from mean and root mean square.

    Example:
        >>> spread_of(3.0, 5.0)
        4.0
    """
    square = root_mean_square**2 - mean**2
    return math.sqrt(square) if square > 0 else square * 0


def layer_stat(size: int, total: float, norm: float, saturated: float = math.nan) -> LayerStat:
    """Makes the statistics of a layer's output from what was computed on the device.

    Args:
        size: number of values.
        total, norm: their sum and their norm.
        saturated: the share at the ends of a sigmoid or tanh; NaN for other layers.

    Example:
        >>> layer_stat(2, 6.0, 2**0.5 * 5)
        LayerStat(mean=3.0, std=4.0, saturated=nan)
    """
    mean = total / size
    return LayerStat(mean, spread_of(mean, norm / math.sqrt(size)), saturated)


def tensor_stat(norms: Sequence[float], size: int, dims: int) -> TensorStat:
    """Makes the statistics of a parameter tensor from what was computed on the device.

    Args:
        norms: those of weight, gradient and update.
        size: number of values.
        dims: number of dimensions of the tensor.
    """
    weight, gradient, update = norms
    return TensorStat(weight, gradient, update, size, dims)


def output_stat(values: Sequence[float] | None, size: int, examples: int) -> OutputStat | None:
    """Makes the statistics of the model's output from what was computed on the device; None without values.

    Args:
        values: sum, norm and spread over examples; then, if seen, the input's sum, its root mean square, and
            1 if its examples differ.
        size: number of values of the output.
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
