"""Detectors of odd activations and gradients; in a run that learns they are info at most."""

from __future__ import annotations

import math
from statistics import fmean

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.start import (
    DEAD_UNITS,
    EXPLODING_GRADIENTS,
    SATURATED_UNITS,
    VANISHING_GRADIENTS,
    WEIGHTS_TOO_LARGE,
)
from babysit.verdicts import Severity
from babysit.watching.detect.shared import (
    ENOUGH,
    SAMPLED,
    STEPPED,
    VISIBLE,
    learns_well,
    newer_half,
    stepped,
    weights,
)
from babysit.watching.sample import WatchLog, middle

_LARGE_GAIN = 20.0
"""Limit of the first layer's first output over its input; He and Xavier give 1 to 1.5."""


@detects(
    WEIGHTS_TOO_LARGE,
    reason="initial weights of He and Xavier keep the size of their input",
    severity=Severity.INFO,
    needs=(VISIBLE, SAMPLED),
)
def weights_too_large(log: WatchLog) -> Detection | None:
    """Finds a first layer whose output is 20 times as large as its input at the first step; a fault only
    where something else goes wrong.
    """
    first = log.samples[0] if log.samples else None
    if first is None or first.step > 1 or first.output is None or not first.layers:
        return None
    name, stat = next(iter(first.layers.items()))
    gain = math.hypot(stat.mean, stat.std) / first.output.input_scale if first.output.input_scale else 0.0
    if not gain > _LARGE_GAIN:
        return None
    return Detection(
        where=name,
        message=f"the initial weights of {name} are too large: its output is {gain:.3g} times its input",
        evidence=evidence("size of its output over its input", gain, "about 1", "He or Xavier keep it"),
        since=1,
    )


@detects(
    DEAD_UNITS,
    reason="ReLU sparsity of 50-70% is healthy: only the same unit, always, without gradient, is dead",
    severity=Severity.WARNING,
    needs=(VISIBLE, SAMPLED),
)
def dead_units(log: WatchLog) -> Detection | None:
    """Finds half of a layer's units silent in all of 5 or more batches; info where the run learns."""
    # Half of a layer: SageMaker's and torchmortem's share, but of units dead over 5 batches, not of zeros.
    dead = {name: each for name, each in log.units.items() if each.batches >= 5 and each.units >= 4}
    worst = max(dead, key=lambda name: dead[name].share, default="")
    if not worst or dead[worst].share < 0.5:
        return None
    units = dead[worst]
    return Detection(
        where=worst,
        message=f"{units.dead} of {units.units} units of {worst} were silent in each of "
        f"{units.batches} batches: they get no gradient any more",
        evidence=evidence("dead units", units.share, "below 0.5", "a dead ReLU never comes back by itself"),
        severity=Severity.INFO if learns_well(log) else Severity.WARNING,
        since=units.since,
    )


@detects(
    SATURATED_UNITS,
    reason="beyond |tanh| = 0.97 less than 6% of the gradient passes",
    needs=(VISIBLE, SAMPLED),
)
def saturated_units(log: WatchLog) -> Detection | None:
    """Finds half of a hidden sigmoid's or tanh's outputs at its ends, and no progress."""
    samples = newer_half(log.samples)
    names = list(samples[-1].layers)[:-1] if samples else []
    shares = {
        name: middle(sample.layers[name].saturated for sample in samples if name in sample.layers)
        for name in names
    }
    worst = max(
        (name for name in names if shares[name] == shares[name]), key=lambda name: shares[name], default=""
    )
    if len(samples) < ENOUGH or not worst or shares[worst] < 0.5 or learns_well(log):
        return None
    return Detection(
        where=worst,
        message=f"{shares[worst]:.0%} of the outputs of {worst} are saturated: hardly any gradient "
        f"passes them",
        evidence=evidence("saturated share", shares[worst], "below 0.5", "the slope there is under 6%"),
        since=samples[0].step,
    )


_DEPTH = 1e-3


@detects(
    VANISHING_GRADIENTS,
    reason="healthy nets lie between 0.01 and 100 in our own measurements",
    needs=(STEPPED,),
)
def vanishing_gradients(log: WatchLog) -> Detection | None:
    """Finds an rms gradient of the first weight tensor below 1e-3 of the last one's, among 4 or more, and no
    progress.
    """
    share = _first_to_last(log)
    if not share < _DEPTH or learns_well(log):
        return None
    return Detection(
        where=log.setup.trainable[0],
        message=f"the gradient vanishes on its way back: the first layer gets {share:.1e} of what "
        f"the last one gets",
        evidence=evidence(
            "gradient, first layer / last", share, f"above {_DEPTH:g}", "all layers must learn"
        ),
        since=stepped(log)[0].step,
    )


@detects(EXPLODING_GRADIENTS, reason="the mirror of the vanishing gradient", needs=(STEPPED,))
def exploding_gradients(log: WatchLog) -> Detection | None:
    """Finds an rms gradient of the first weight tensor above 1e3 times the last one's, and no progress."""
    share = _first_to_last(log)
    if not share > 1 / _DEPTH or learns_well(log):
        return None
    return Detection(
        where=log.setup.trainable[0],
        message=f"the gradient explodes on its way back: the first layer gets {share:.1e} times "
        f"what the last gets",
        evidence=evidence(
            "gradient, first layer / last", share, f"below {1 / _DEPTH:g}", "one rate must fit all"
        ),
        since=stepped(log)[0].step,
    )


def _first_to_last(log: WatchLog) -> float:
    """Computes the rms gradient of the first weight tensor over the last one's; NaN with fewer than 4."""
    shares = []
    for sample in stepped(log):
        gradients = [
            stat.rms_gradient for stat in weights(log, sample).values() if math.isfinite(stat.gradient)
        ]
        if len(gradients) >= 4 and gradients[-1] > 0:
            shares.append(gradients[0] / gradients[-1])
    return fmean(sorted(shares)[len(shares) // 2 :][:1]) if len(shares) >= ENOUGH else math.nan
