"""Activation functions and their properties, in one frozen table for detectors, advice and figures.

The layers themselves are torch's. The table adds derivatives that stay exact where the function is flat, the
statistics of f(z) for z ~ N(0, 1), and the lecture's advice.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from babysit.errors import RecipeError
from babysit.nn import derivatives
from babysit.nn.maxout import Maxout


@dataclass(frozen=True)
class Activation:
    """One row of the table: a nonlinearity and its properties.

    Attributes:
        name: the key in ``ACTIVATIONS``.
        make: builds the layer; its keyword arguments are the options.
        value: f, elementwise, with default options; None for maxout, which is not a function of one number.
        derivative: f', elementwise, exact also where f is flat; None for maxout.
        formula: f as text for a terminal.
        derivative_formula: f', with its value at a kink.
        range: the smallest and largest value of f (limits included).
        saturates: the ends at which f' goes to 0: "both", "left" or "no".
        dies: whether f' is exactly 0 on a half-line, so that a unit can stop learning permanently.
        zero_centred: whether E[f(z)] = 0 for z ~ N(0, 1).
        gain: 1 / sqrt(E[f(z)^2]); weights of std gain / sqrt(fan_in) keep the mean square of a layer.
        mean: E[f(z)].
        std: the standard deviation of f(z).
        grade: the advice for hidden layers: "use", "try", "maybe" or "avoid".
        why: the reason for the grade.
        source: the paper or lecture.
    """

    name: str
    make: Callable[..., nn.Module]
    value: Callable[[Tensor], Tensor] | None
    derivative: Callable[[Tensor], Tensor] | None
    formula: str
    derivative_formula: str
    range: tuple[float, float]
    saturates: str
    dies: bool
    zero_centred: bool
    gain: float
    mean: float
    std: float
    grade: str
    why: str
    source: str


_PRELU_INIT = 0.25
_INFINITY = math.inf


_ROWS = (
    Activation(
        name="sigmoid",
        make=lambda: nn.Sigmoid(),
        value=torch.sigmoid,
        derivative=derivatives.sigmoid,
        formula="1 / (1 + exp(-x))",
        derivative_formula="f (1 - f), at most 1/4",
        range=(0.0, 1.0),
        saturates="both",
        dies=False,
        zero_centred=False,
        gain=1.84622854534,
        mean=0.5,
        std=0.208276344932,
        grade="avoid",
        why="it saturates at both ends, passes on at most a quarter of the gradient, and its outputs are all "
        "positive; as an output unit for probabilities it is right",
        source="CS231n lecture 6, sigmoid",
    ),
    Activation(
        name="tanh",
        make=lambda: nn.Tanh(),
        value=torch.tanh,
        derivative=derivatives.tanh,
        formula="tanh(x) = 2 sigmoid(2x) - 1",
        derivative_formula="1 - f^2",
        range=(-1.0, 1.0),
        saturates="both",
        dies=False,
        zero_centred=True,
        gain=1.59253741972,
        mean=0.0,
        std=0.627928730349,
        grade="maybe",
        why="its outputs are centred, but it still saturates at both ends: do not expect much",
        source="LeCun et al. 1991; CS231n lecture 6, tanh",
    ),
    Activation(
        name="relu",
        make=lambda: nn.ReLU(),
        value=torch.relu,
        derivative=derivatives.step(0.0),
        formula="max(0, x)",
        derivative_formula="1 for x > 0, else 0 (0 at the kink)",
        range=(0.0, _INFINITY),
        saturates="left",
        dies=True,
        zero_centred=False,
        gain=1.41421356237,
        mean=0.398942280401,
        std=0.583819370104,
        grade="use",
        why="it does not saturate for x > 0, costs next to nothing and learns fast; too high a learning rate "
        "can kill units",
        source="Krizhevsky et al. 2012; CS231n lecture 6, ReLU",
    ),
    Activation(
        name="leaky_relu",
        make=lambda slope=0.01: nn.LeakyReLU(slope),
        value=partial(F.leaky_relu, negative_slope=0.01),
        derivative=derivatives.step(0.01),
        formula="x for x > 0, else slope x (slope = 0.01)",
        derivative_formula="1 for x > 0, else slope",
        range=(-_INFINITY, _INFINITY),
        saturates="no",
        dies=False,
        zero_centred=False,
        gain=1.414142857,
        mean=0.394952857597,
        std=0.586568188939,
        grade="try",
        why="as cheap as ReLU, and cannot die",
        source="Maas et al. 2013; He et al. 2015; CS231n lecture 6, Leaky ReLU",
    ),
    Activation(
        name="prelu",
        make=lambda init=_PRELU_INIT, channels=1: nn.PReLU(channels, init),
        value=partial(F.leaky_relu, negative_slope=_PRELU_INIT),
        derivative=derivatives.step(_PRELU_INIT),
        formula="x for x > 0, else alpha x (alpha is learned, from 0.25)",
        derivative_formula="1 for x > 0, else alpha; df/dalpha = x for x < 0, else 0",
        range=(-_INFINITY, _INFINITY),
        saturates="no",
        dies=False,
        zero_centred=False,
        gain=1.37198868114,
        mean=0.299206710301,
        std=0.664624213004,
        grade="try",
        why="a leaky ReLU that learns its slope; keep weight decay off alpha",
        source="He et al. 2015; CS231n lecture 6, PReLU",
    ),
    Activation(
        name="elu",
        make=lambda alpha=1.0: nn.ELU(alpha),
        value=F.elu,
        derivative=derivatives.elu,
        formula="x for x > 0, else alpha (exp(x) - 1) (alpha = 1)",
        derivative_formula="1 for x > 0, else f + alpha = alpha exp(x)",
        range=(-1.0, _INFINITY),
        saturates="left",
        dies=False,
        zero_centred=False,
        gain=1.2451983007,
        mean=0.160520572267,
        std=0.786879001735,
        grade="try",
        why="its outputs are closer to zero mean than ReLU's, and its flat left end is robust to noise; it "
        "needs exp()",
        source="Clevert et al. 2015; CS231n lecture 6, ELU",
    ),
    Activation(
        name="selu",
        make=lambda: nn.SELU(),
        value=F.selu,
        derivative=derivatives.selu,
        formula="1.0507 x for x > 0, else 1.0507 * 1.6733 (exp(x) - 1)",
        derivative_formula="1.0507 for x > 0, else 1.7581 exp(x)",
        range=(-derivatives.SELU_SCALE * derivatives.SELU_ALPHA, _INFINITY),
        saturates="left",
        dies=False,
        zero_centred=True,
        gain=1.0,
        mean=0.0,
        std=1.0,
        grade="try",
        why="it keeps mean 0 and std 1 by itself when the weights have variance 1 / fan_in",
        source="Klambauer et al. 2017, after the lecture",
    ),
    Activation(
        name="gelu",
        make=lambda approximate="none": nn.GELU(approximate),
        value=F.gelu,
        derivative=derivatives.gelu,
        formula="x Phi(x), Phi the normal distribution function",
        derivative_formula="Phi(x) + x phi(x)",
        range=(-0.1699712074799037, _INFINITY),
        saturates="left",
        dies=False,
        zero_centred=False,
        gain=1.5335304412,
        mean=0.282094791774,
        std=0.587914969213,
        grade="try",
        why="a smooth ReLU, usual in transformers; it needs erf()",
        source="Hendrycks and Gimpel 2016, after the lecture",
    ),
    Activation(
        name="silu",
        make=lambda: nn.SiLU(),
        value=F.silu,
        derivative=derivatives.silu,
        formula="x sigmoid(x)",
        derivative_formula="s (1 + x (1 - s)), s = sigmoid(x)",
        range=(-0.2784645427610738, _INFINITY),
        saturates="left",
        dies=False,
        zero_centred=False,
        gain=1.67653247033,
        mean=0.206620964142,
        std=0.559538467842,
        grade="try",
        why="a smooth ReLU, also known as swish; it needs exp()",
        source="Elfwing et al. 2018; Ramachandran et al. 2017, after the lecture",
    ),
    Activation(
        name="maxout",
        make=lambda in_features, out_features, pieces=2: Maxout(in_features, out_features, pieces),
        value=None,
        derivative=None,
        formula="max_j (w_j . x + b_j), j = 1 ... k (a layer of its own; facts for k = 2)",
        derivative_formula="the w_j of the winning piece",
        range=(-_INFINITY, _INFINITY),
        saturates="no",
        dies=False,
        zero_centred=False,
        gain=1.0,
        mean=0.564189583548,
        std=0.825645271177,
        grade="try",
        why="linear pieces only, so it neither saturates nor dies; it multiplies the parameters by k",
        source="Goodfellow et al. 2013; CS231n lecture 6, Maxout",
    ),
)

ACTIVATIONS: dict[str, Activation] = {row.name: row for row in _ROWS}
"""The table by name, in the lecture's order; newer functions follow ELU."""

_MEANING = {
    "use": "the default for hidden layers",
    "try": "worth a try",
    "maybe": "",
    "avoid": "not in hidden layers",
}


def activation(name: str, **options: object) -> nn.Module:
    """Builds the layer of that name.

    Args:
        name: a key of ``ACTIVATIONS``.
        **options: leaky_relu ``slope`` (0.01), prelu ``init`` (0.25) and ``channels`` (1), elu ``alpha`` (1),
            gelu ``approximate`` ("none"), maxout ``in_features``, ``out_features`` and ``pieces`` (2).

    Returns:
        A new module, torch's own except for maxout.

    Raises:
        RecipeError: no such activation, or an option that it does not have.

    Example:
        >>> activation("leaky_relu", slope=0.1)
        LeakyReLU(negative_slope=0.1)

    Source: CS231n lecture 6, "Activation functions".
    """
    row = _row(name)
    signature = inspect.signature(row.make)
    try:
        signature.bind(**options)
    except TypeError as error:
        known = ", ".join(str(option) for option in signature.parameters.values()) or "none"
        raise RecipeError(f"activation {name!r}: {error}", fix=f"its options are: {known}") from None
    return row.make(**options)


def advice(name: str) -> str:
    """Returns the lecture's advice on a nonlinearity for hidden layers, in one line.

    Args:
        name: a key of ``ACTIVATIONS``.

    Returns:
        The grade, its meaning and the reason.

    Raises:
        RecipeError: no such activation.

    Example:
        >>> advice("tanh")
        'maybe: its outputs are centred, but it still saturates at both ends: do not expect much'

    Source: CS231n lecture 6, "TLDR: in practice".
    """
    row = _row(name)
    return ": ".join(filter(None, (row.grade, _MEANING[row.grade], row.why)))


def _row(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise RecipeError(f"no activation is called {name!r}", fix=f"choose one of: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
