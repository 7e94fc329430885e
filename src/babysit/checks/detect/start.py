"""The untrained network: its first loss, its symmetry, the scale of what runs forward and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.checks.trace import Activated, Layer
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
"""Times chance above which the first scores are too large; torch's own initialization stays below 1.3."""

_LEAST_PRIOR = 0.1  # one class in fifty, below which luck decides
LOW_LOSS = 0.5
"""Times the loss of knowing the classes' shares: luck moves the first loss of 30 examples by a tenth."""

DRIFT = 10.0
"""Times by which the signal may shrink or grow from the first to the last of a chain of layers: torch's own
weights take it down by 0.41 a ReLU layer, to a tenth in three (CS231n lecture 6, 'Weight Initialization')."""

_CHAIN = 4  # layers below which a drift is no matter

VANISHED = 1e-3
"""Share of the first layer's spread over examples that a later hidden layer must keep."""

GONE = 1e-5
"""The share below which float32 leaves two digits of it beside a bias: no rate brings that back."""

LARGE_GAIN = 5.0
"""Times its input's size that a layer's output may have; He and Xavier have 1 to 1.5, torch's own 0.6."""

DEAD = 0.9
"""Share of silent units; at random initialization the tenth of ten layers has 0.1 (measured)."""


@detects(INITIAL_LOSS_HIGH, needs=(RUNS,))
def initial_loss_high(measured: Measured) -> Detection | None:
    """The first loss of a classification is above three times that of equal scores."""
    chance, loss = measured.chance, measured.loss
    if chance is None or chance <= 0 or measured.kind == "regression" or measured.kind == "probabilities":
        return None
    if not loss > HIGH_LOSS * chance:
        return None
    return Detection(
        where="loss",
        message=f"the first loss is {loss:.4g}; knowing nothing gives {chance:.4g}",
        evidence=evidence(
            "first loss", loss, f"about {_level(measured)}", "the first scores are far too large"
        ),
    )


def _level(measured: Measured) -> str:
    """Chance, and where the classes are not equally frequent what their shares alone give."""
    chance, prior = measured.chance or 0.0, measured.prior
    aware = prior is not None and 0 < prior < 0.95 * chance
    return f"{chance:.4g} (with the classes' shares {prior:.4g})" if aware else f"{chance:.4g}"


@detects(INITIAL_LOSS_LOW, needs=(RUNS,))
def initial_loss_low(measured: Measured) -> Detection | None:
    """The first loss of a classification is below half of what the classes' shares alone give."""
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


def _values(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


@detects(LOSS_NOT_FINITE, needs=(RUNS,))
def loss_not_finite(measured: Measured) -> Detection | None:
    """The first loss or its gradient is NaN or infinite."""
    if not measured.runs:
        return None
    if not math.isfinite(measured.loss):
        return Detection(
            where="loss",
            message="the first loss is NaN or infinite",
            evidence=evidence("first loss", measured.loss, "finite"),
        )
    gradients = [(name, g) for name, g in measured.gradients.items() if g is not None]
    lost = [name for name, g in gradients if not bool(_values(g).isfinite().all())]
    if not lost:
        return None
    return Detection(
        where=lost[-1],
        message=f"the first loss is {measured.loss:.4g}, and the gradient of {lost[-1]} is NaN or infinite",
        evidence=evidence(
            "parameters with such a gradient", len(lost), "0", "a root, norm or power has no slope at 0"
        ),
    )


@detects(SYMMETRIC_UNITS, needs=(RUNS,))
def symmetric_units(measured: Measured) -> Detection | None:
    """All units of a layer have the same weights and the same gradient."""
    return next((seen for name, p in _matrices(measured) if (seen := _twins(measured, name, p))), None)


def _matrices(measured: Measured) -> Iterator[tuple[str, Tensor]]:
    for name, p in measured.program.model.named_parameters():
        if p.dim() >= 2 and p.requires_grad and len(p) > 1 and p[0].numel() > 0:
            yield name, p.detach()


def _twins(measured: Measured, name: str, p: Tensor) -> Detection | None:
    gradient = measured.gradients.get(name)
    bias = measured.program.model.state_dict().get(name.removesuffix("weight") + "bias")
    if gradient is None or not _alike(p) or not _alike(gradient):
        return None
    if isinstance(bias, Tensor) and bias.shape == p.shape[:1] and not _alike(bias) and bool(p.any()):
        return None
    return Detection(
        where=name,
        message=f"all {len(p)} units of {name} have the same weights and the same gradient: they "
        f"stay one unit",
        evidence=evidence("different units", 1, str(len(p)), "equal units stay equal, whatever the rate"),
    )


def _alike(rows: Tensor) -> bool:
    spread = (rows - rows[:1]).abs().max()
    return bool(spread <= 1e-5 * rows.abs().max())


@detects(WEIGHTS_TOO_LARGE, needs=(RUNS,))
def weights_too_large(measured: Measured) -> Detection | None:
    """A layer's output is five times as large as its input; a fault only where something else goes wrong."""
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
    """1e-3 of the first layer's spread reaches the last and it does not learn, or 1e-5."""
    layers = [layer for layer in measured.layers if math.isfinite(layer.spread_out)]
    if len(layers) < 3 or not layers[0].spread_out:
        return None
    last, kept = layers[-1], layers[-1].spread_in / layers[0].spread_out
    if not kept < VANISHED or _lost_at_once(layers):
        return None
    return Detection(
        where=last.name,
        message=f"the signal vanishes: {kept:.1e} of the differences between examples reach {last.name}",
        evidence=evidence(
            "spread over the first layer's", kept, f"above {VANISHED:g}", "little reaches the end"
        ),
        severity=Severity.WARNING if kept < GONE else None,
    )


def _lost_at_once(layers: list[Layer]) -> bool:
    """True when nothing vanishes layer by layer: one operation between two of them takes all."""
    steps = [(after.spread_in, before.spread_out) for before, after in pairwise(layers)]
    return any(given > 0 and taken < GONE * given for taken, given in steps)


@detects(VANISHING_GRADIENTS, severity=Severity.INFO, needs=(RUNS,))
def vanishing_gradients(measured: Measured) -> Detection | None:
    """The first layer's gradient is 1e-5 of the last one's; a fault only where it does not learn."""
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


def _size(measured: Measured, layer: Layer) -> float:
    gradient = measured.gradients.get(layer.name)
    return 0.0 if gradient is None else float(gradient.double().square().mean().sqrt())


@detects(DEAD_UNITS, needs=(RUNS,))
def dead_layer(measured: Measured) -> Detection | None:
    """A ReLU layer that is silent for every example."""
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
    """90% of a ReLU layer silent for every example; a fault only where it does not learn."""
    for found in _of_kind(measured, "relu"):
        share = _silent(found.output.detach())
        if DEAD < share < 1:
            return Detection(
                where=found.after,
                message=f"{share:.0%} of the units behind {found.after} are silent for every example",
                evidence=evidence("share of silent units", share, "below 0.5"),
            )
    return None


def _silent(output: Tensor) -> float:
    if output.dim() not in (2, 4) or len(output) < 16:
        return 0.0
    silent = output.flatten(2).eq(0).all(2) if output.dim() == 4 else output.eq(0)
    return float(silent.all(0).double().mean())


@detects(SATURATED_UNITS, severity=Severity.INFO, needs=(RUNS,))
def saturated_units(measured: Measured) -> Detection | None:
    """80% of a hidden tanh or sigmoid at its limits; a fault only where it does not learn."""
    for found in _of_kind(measured, "tanh", "sigmoid"):
        share = _at_limit(found)
        if share > 0.8:
            return Detection(
                where=found.after,
                message=f"{share:.0%} of the {found.kind} behind {found.after} is saturated: no "
                f"gradient passes",
                evidence=evidence("share at the limits", share, "below 0.5"),
            )
    return None


def _at_limit(found: Activated) -> float:
    values = found.output.detach()
    low = -1.0 if found.kind == "tanh" else 0.0
    return float(((values < low + 0.01) | (values > 0.99)).double().mean())


@detects(HIDDEN_SIGMOIDS, needs=(RUNS,))
def hidden_sigmoids(measured: Measured) -> Detection | None:
    """A sigmoid feeds a layer."""
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
    """Two hidden tanh layers or more."""
    found = _of_kind(measured, "tanh")
    if len(found) < 2:
        return None
    return Detection(
        where=found[0].after,
        message=f"{len(found)} hidden tanh layers: they train, as a rule slower than ReLU",
    )


@detects(SIGNAL_DRIFTS, needs=(RUNS,))
def signal_drifts(measured: Measured) -> Detection | None:
    """Over four layers or more of one activation the spread over examples changes tenfold."""
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
        f"to {kept:.2g} of "
        f"its size, and the first gradient is {back:.2g} of the last: {scheme} keeps both",
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


def _scheme(layers: Sequence[Layer]) -> str:
    """The scheme whose variances the weights have; where none fits, their size."""
    fans = [
        (p[0].numel(), len(p) * p[0, 0].numel(), float(p.detach().var())) for p in (x.weight for x in layers)
    ]
    for name, variance in _SPREADS.items():
        if all(abs(found / variance(i, o) - 1) < 0.15 for i, o, found in fans):
            return name
    return f"other (standard deviation {math.sqrt(fans[0][2]):.2g})"
