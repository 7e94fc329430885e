"""What activations and gradients tell: only where a run does not learn are they more than a remark."""

from __future__ import annotations

import math
from statistics import fmean

from babysit.records import Evidence, Severity
from babysit.watching.evidence import ENOUGH, Seen, fares_well, late, stepped, weights
from babysit.watching.quantities import Log, Sample, middle


def dead_units(log: Log) -> Seen | None:
    """Units that were silent in every sampled batch and cannot recover."""
    # Half of a layer: SageMaker's and torchmortem's share, but of units dead over 5 batches, not of zeros.
    dead = {name: each for name, each in log.units.items() if each.batches >= 5 and each.units >= 4}
    worst = max(dead, key=lambda name: dead[name].share, default="")
    if not worst or dead[worst].share < 0.5:
        return None
    units = dead[worst]
    return Seen(
        Severity.INFO if fares_well(log) else Severity.WARNING,
        worst,
        units.since,
        f"{units.dead} of {units.units} units of {worst} were silent in each of {units.batches} batches: "
        "they get no gradient any more",
        "lower the learning rate, look at initial weights, biases and the inputs' scale, or use a leaky ReLU",
        0.6 + 0.3 * units.share,
        (Evidence("dead units", units.share, "below 0.5", "a dead ReLU never comes back by itself"),),
    )


def saturated(log: Log) -> Seen | None:
    """A hidden sigmoid or tanh that mostly sits at its ends."""
    samples = late(list(log.samples))
    names = list(samples[-1].layers)[:-1] if samples else []
    shares = {name: _saturated(samples, name) for name in names}
    worst = max(
        (name for name in names if shares[name] == shares[name]), key=lambda name: shares[name], default=""
    )
    if len(samples) < ENOUGH or not worst or shares[worst] < 0.5 or fares_well(log):
        return None
    return Seen(
        Severity.WARNING,
        worst,
        samples[0].step,
        f"{shares[worst]:.0%} of the outputs of {worst} are saturated: hardly any gradient passes them",
        "make initial weights smaller (Xavier), scale the inputs, or use ReLU",
        0.75,
        (Evidence("saturated share", shares[worst], "below 0.5", "the slope there is under 6%"),),
    )


def _saturated(samples: list[Sample], name: str) -> float:
    return middle(sample.layers[name].saturated for sample in samples if name in sample.layers)


_DEPTH = 1e-3


def vanishing_gradients(log: Log) -> Seen | None:
    """The first layers get next to no gradient compared with the last."""
    share = _first_to_last(log)
    if not share < _DEPTH or fares_well(log):
        return None
    return Seen(
        Severity.WARNING,
        log.setup.trainable[0],
        stepped(log)[0].step,
        f"the gradient vanishes on its way back: the first layer gets {share:.1e} of what the last one gets",
        "use ReLU instead of sigmoid or tanh, He or Xavier initialization, normalization or skip connections",
        0.8,
        (Evidence("gradient, first layer / last", share, f"above {_DEPTH:g}", "all layers must learn"),),
    )


def exploding_gradients(log: Log) -> Seen | None:
    """The gradient grows on its way back by orders of magnitude."""
    share = _first_to_last(log)
    if not share > 1 / _DEPTH or fares_well(log):
        return None
    return Seen(
        Severity.WARNING,
        log.setup.trainable[0],
        stepped(log)[0].step,
        f"the gradient explodes on its way back: the first layer gets {share:.1e} times what the last gets",
        "make initial weights smaller (Xavier, He), normalize, or clip the gradient",
        0.7,
        (Evidence("gradient, first layer / last", share, f"below {1 / _DEPTH:g}", "one rate must fit all"),),
    )


def _first_to_last(log: Log) -> float:
    """A typical weight's gradient in the first weight tensor over that in the last; NaN if shallow."""
    shares = []
    for sample in stepped(log):
        gradients = [
            stat.rms_gradient for stat in weights(log, sample).values() if math.isfinite(stat.gradient)
        ]
        if len(gradients) >= 4 and gradients[-1] > 0:
            shares.append(gradients[0] / gradients[-1])
    return fmean(sorted(shares)[len(shares) // 2 :][:1]) if len(shares) >= ENOUGH else math.nan
