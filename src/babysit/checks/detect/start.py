"""Detectors on the untrained network: first loss, symmetry, scale of signals and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.checks.trace import Activated, LayerRun
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import LOSS_NOT_FINITE
from babysit.diagnosis.problems.start import (
    DEAD_UNITS,
    HIDDEN_SIGMOIDS,
    HIDDEN_TANH,
    INITIAL_LOSS_HIGH,
    INITIAL_LOSS_LOW,
    SATURATED_UNITS,
    SIGNAL_DRIFTS,
    SYMMETRIC_UNITS,
    VANISHING_GRADIENTS,
    VANISHING_SIGNAL,
    WEIGHTS_TOO_LARGE,
)
from babysit.verdicts import Severity

HIGH_LOSS = 3.0
"""Multiple of chance above which the first scores are too large. PyTorch's initialization stays below 1.3."""

_LEAST_PRIOR = 0.1  # a class in fifty; below it the loss of few examples is a matter of chance
LOW_LOSS = 0.5
"""Multiple of the loss of knowing the classes' shares. The first loss of 30 examples varies by a tenth."""

DRIFT = 10.0
"""Factor by which the signal may shrink or grow from the first to the last of a chain of layers. PyTorch's
weights scale it by 0.41 a ReLU layer, to a tenth in three (CS231n lecture 6, 'Weight Initialization')."""

_CHAIN = 4  # layers below which a drift does not matter

VANISHED = 1e-3
"""Share of the first layer's spread over examples that a later hidden layer must keep."""

GONE = 1e-5
"""Share below which float32 leaves two digits of the signal beside a bias: no learning rate restores it."""

LARGE_GAIN = 5.0
"""Ratio of a layer's output to its input. He and Xavier have 1 to 1.5, PyTorch's default 0.6."""

DEAD = 0.9
"""Share of silent units. At random initialization the tenth of ten layers has 0.1 (measured)."""


@detects(INITIAL_LOSS_HIGH, needs=(RUNS,))
def initial_loss_high(measured: Measured) -> Detection | None:
    """Finds a first loss of a classification above three times that of equal scores."""
    chance, loss = measured.chance, measured.loss
    if chance is None or chance <= 0 or measured.kind == "regression" or measured.kind == "probabilities":
        return None
    if not loss > HIGH_LOSS * chance:
        return None
    expected, prior = f"about {chance:.4g}", measured.prior
    if prior is not None and 0 < prior < 0.95 * chance:
        expected += f" (with the classes' shares {prior:.4g})"
    return Detection(
        where="loss",
        message=f"the first loss is {loss:.4g}; knowing nothing gives {chance:.4g}",
        evidence=evidence("first loss", loss, expected, "the first scores are far too large"),
    )


@detects(INITIAL_LOSS_LOW, needs=(RUNS,))
def initial_loss_low(measured: Measured) -> Detection | None:
    """Finds a first loss of a classification below half of what the classes' shares alone give."""
    prior, loss = measured.prior, measured.loss
    if prior is None or measured.kind not in ("softmax", "log probabilities", "binary", "probabilities"):
        return None
    if prior < _LEAST_PRIOR or loss >= LOW_LOSS * prior or not math.isfinite(loss):
        return None
    return Detection(
        where="loss",
        message=f"the first loss is {loss:.3g}; the classes' shares alone give {prior:.3g}: is it "
        f"trained already?",
        evidence=evidence(
            "first loss", loss, f"{prior:.3g} to {measured.chance:.3g}", "no untrained network knows more"
        ),
    )


@detects(LOSS_NOT_FINITE, needs=(RUNS,))
def loss_not_finite(measured: Measured) -> Detection | None:
    """Finds a first loss or a gradient that is NaN or infinite."""
    if not measured.runs:
        return None
    if not math.isfinite(measured.loss):
        return Detection(
            where="loss",
            message="the first loss is NaN or infinite",
            evidence=evidence("first loss", measured.loss, "finite"),
        )
    gradients = {name: g for name, g in measured.gradients.items() if g is not None}
    dense = {name: g.coalesce().values() if g.is_sparse else g for name, g in gradients.items()}
    bad = [name for name, values in dense.items() if not bool(values.isfinite().all())]
    if not bad:
        return None
    return Detection(
        where=bad[-1],
        message=f"the first loss is {measured.loss:.4g}, and the gradient of {bad[-1]} is NaN or infinite",
        evidence=evidence(
            "parameters with such a gradient", len(bad), "0", "a root, norm or power has no slope at 0"
        ),
    )


@detects(SYMMETRIC_UNITS, needs=(RUNS,))
def symmetric_units(measured: Measured) -> Detection | None:
    """Finds layers whose units all have the same weights and the same gradient."""
    state = measured.program.model.state_dict()
    for name, parameter in measured.program.model.named_parameters():
        p, gradient = parameter.detach(), measured.gradients.get(name)
        is_matrix = p.dim() >= 2 and parameter.requires_grad and len(p) > 1 and p[0].numel() > 0
        if not is_matrix or gradient is None or not _are_rows_equal(p) or not _are_rows_equal(gradient):
            continue
        bias = state.get(name.removesuffix("weight") + "bias")
        has_bias = isinstance(bias, Tensor) and bias.shape == p.shape[:1]
        if has_bias and bool(p.any()) and not _are_rows_equal(torch.as_tensor(bias)):
            continue
        return Detection(
            where=name,
            message=f"all {len(p)} units of {name} have the same weights and the same gradient: they "
            f"stay one unit",
            evidence=evidence("different units", 1, str(len(p)), "equal units stay equal, whatever the rate"),
        )
    return None


def _are_rows_equal(rows: Tensor) -> bool:
    spread = (rows - rows[:1]).abs().max()
    return bool(spread <= 1e-5 * rows.abs().max())


@detects(WEIGHTS_TOO_LARGE, needs=(RUNS,))
def weights_too_large(measured: Measured) -> Detection | None:
    """Finds a layer whose output is five times its input; a fault only where something else is wrong."""
    found = max(measured.layers, key=lambda layer: layer.gain, default=None)
    if found is None or not LARGE_GAIN < found.gain < float("inf") or found.scale_in < 0.1:
        return None
    return Detection(
        where=found.name or "a layer",
        message=f"the initial weights of {found.name} are too large: its output is {found.gain:.3g} "
        f"times its input",
        evidence=evidence("output over input", found.gain, "0.5 to 2", "He and Xavier keep the scale"),
    )


@detects(VANISHING_SIGNAL, severity=Severity.INFO, needs=(RUNS,))
def vanishing_signal(measured: Measured) -> Detection | None:
    """Finds a chain of layers of which 1e-3 of the first one's spread reaches the last; a warning at 1e-5."""
    layers = [layer for layer in measured.layers if math.isfinite(layer.spread_out)]
    if len(layers) < 3 or not layers[0].spread_out:
        return None
    last, kept = layers[-1], layers[-1].spread_in / layers[0].spread_out
    # Nothing vanishes layer by layer where one operation between two of them takes all.
    steps = [(after.spread_in, before.spread_out) for before, after in pairwise(layers)]
    if not kept < VANISHED or any(given > 0 and taken < GONE * given for taken, given in steps):
        return None
    return Detection(
        where=last.name,
        message=f"the signal vanishes: {kept:.1e} of the differences between examples reach {last.name}",
        evidence=evidence(
            "spread over the first layer's", kept, f"above {VANISHED:g}", "little reaches the end"
        ),
        severity=Severity.WARNING if kept < GONE else None,
    )


@detects(VANISHING_GRADIENTS, severity=Severity.INFO, needs=(RUNS,))
def vanishing_gradients(measured: Measured) -> Detection | None:
    """Finds a first layer whose gradient is 1e-5 of the last one's; a fault only where it does not learn."""
    sizes = [(layer, _size(measured, layer)) for layer in measured.layers]
    known = [(layer, size) for layer, size in sizes if size > 0]
    if len(known) < 3 or not known[0][1] < 1e-5 * known[-1][1]:
        return None
    ratio = known[0][1] / known[-1][1]
    return Detection(
        where=known[0][0].name,
        message=f"the gradient vanishes on its way back: {known[0][0].name} gets {ratio:.1e} of the "
        f"last layer's",
        evidence=evidence("first over last gradient", ratio, "above 1e-5"),
    )


def _size(measured: Measured, layer: LayerRun) -> float:
    """Returns the root mean square of a layer's gradient."""
    gradient = measured.gradients.get(layer.name)
    return 0.0 if gradient is None else float(gradient.double().square().mean().sqrt())


@detects(DEAD_UNITS, needs=(RUNS,))
def dead_layer(measured: Measured) -> Detection | None:
    """Finds ReLU layers of which no unit fires for any example."""
    for found in _of_kind(measured, "relu"):
        if len(found.output) >= 2 and not bool(found.output.detach().any()):
            return Detection(
                where=found.after,
                message=f"no unit of the ReLU layer behind {found.after} fires for any example",
                evidence=evidence("share of silent units", 1.0, "below 0.5", "no gradient passes"),
            )
    return None


@detects(DEAD_UNITS, severity=Severity.INFO, needs=(RUNS,))
def dead_units(measured: Measured) -> Detection | None:
    """Finds ReLU layers of which 90% of the units never fire; a fault only where the model does not learn."""
    for found in _of_kind(measured, "relu"):
        share = _silent_share(found.output.detach())
        if DEAD < share < 1:
            return Detection(
                where=found.after,
                message=f"{share:.0%} of the units behind {found.after} are silent for every example",
                evidence=evidence("share of silent units", share, "below 0.5"),
            )
    return None


def _silent_share(output: Tensor) -> float:
    """Returns the share of units that are 0 for all examples; 0 where there are fewer than 16."""
    if output.dim() not in (2, 4) or len(output) < 16:
        return 0.0
    silent = output.flatten(2).eq(0).all(2) if output.dim() == 4 else output.eq(0)
    return float(silent.all(0).double().mean())


@detects(SATURATED_UNITS, severity=Severity.INFO, needs=(RUNS,))
def saturated_units(measured: Measured) -> Detection | None:
    """Finds hidden tanh or sigmoid with 80% of values at a limit; a fault only where it does not learn."""
    for found in _of_kind(measured, "tanh", "sigmoid"):
        values, low = found.output.detach(), -1.0 if found.kind == "tanh" else 0.0
        share = float(((values < low + 0.01) | (values > 0.99)).double().mean())
        if share > 0.8:
            return Detection(
                where=found.after,
                message=f"{share:.0%} of the {found.kind} behind {found.after} is saturated: no "
                f"gradient passes",
                evidence=evidence("share at the limits", share, "below 0.5"),
            )
    return None


@detects(HIDDEN_SIGMOIDS, needs=(RUNS,))
def hidden_sigmoids(measured: Measured) -> Detection | None:
    """Finds hidden sigmoids."""
    found = _of_kind(measured, "sigmoid")
    if not found:
        return None
    return Detection(
        where=found[0].after, message=f"{len(found)} hidden sigmoid layers: they saturate and are not centred"
    )


def _of_kind(measured: Measured, *kinds: str) -> list[Activated]:
    return [found for found in measured.hidden if found.kind in kinds]


@detects(HIDDEN_TANH, needs=(RUNS,))
def hidden_tanh(measured: Measured) -> Detection | None:
    """Finds two hidden tanh layers or more."""
    found = _of_kind(measured, "tanh")
    if len(found) < 2:
        return None
    return Detection(
        where=found[0].after,
        message=f"{len(found)} hidden tanh layers: they train, as a rule slower than ReLU",
    )


@detects(SIGNAL_DRIFTS, needs=(RUNS,))
def signal_drifts(measured: Measured) -> Detection | None:
    """Finds four layers or more of one activation over which the spread of examples changes tenfold."""
    kinds = {found.kind for found in measured.hidden}
    layers = [layer for layer in measured.layers if layer.name and 0 < layer.spread_out < math.inf]
    if len(layers) < _CHAIN or len(kinds) != 1 or not layers[-1].spread_in:
        return None
    kept = layers[-1].spread_in / layers[0].spread_out
    if 1 / DRIFT <= kept <= DRIFT:
        return None
    kind = kinds.pop()
    scheme, gain = ("He", math.sqrt(2)) if kind == "relu" else ("Xavier", 1.0)
    inner = layers[1:-1]
    step = math.prod(layer.gain for layer in inner) ** (1 / len(inner))
    back = _size(measured, layers[0]) / max(_size(measured, layers[-1]), 1e-30)
    return Detection(
        where=layers[-1].name,
        message=f"over {len(layers)} {kind} layers the signal {'shrinks' if kept < 1 else 'grows'} "
        f"to {kept:.2g} of its size, and the first gradient is {back:.2g} of the last: {scheme} keeps both",
        evidence=evidence(
            "a layer's output over its input", step, f"{gain:.2f}", f"{_scheme(inner)} weights"
        ),
    )


_SPREADS: dict[str, Callable[[int, int], float]] = {
    "He": lambda fan_in, _: 2 / fan_in,
    "Xavier": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "LeCun": lambda fan_in, _: 1 / fan_in,
    "torch's own": lambda fan_in, _: 1 / (3 * fan_in),
}


def _scheme(layers: Sequence[LayerRun]) -> str:
    """Names the scheme whose variances the weights have, or their standard deviation where none fits."""
    fans = [
        (p[0].numel(), len(p) * p[0, 0].numel(), float(p.detach().var())) for p in (x.weight for x in layers)
    ]
    for name, variance in _SPREADS.items():
        if all(abs(found / variance(i, o) - 1) < 0.15 for i, o, found in fans):
            return name
    return f"other (standard deviation {math.sqrt(fans[0][2]):.2g})"
