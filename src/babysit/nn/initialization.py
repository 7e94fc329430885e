"""Weight initialization: every scheme of the lecture by name, from one seed.

``initialize(model, "he", seed=0)`` sets a whole model. The schemes are also plain functions: ``schemes`` has
those that draw a weight from its shape, ``data_dependent`` those that use a batch of data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn

from babysit.errors import InputError, RecipeError
from babysit.nn.data_dependent import data_dependent as data_dependent
from babysit.nn.data_dependent import lsuv as lsuv
from babysit.nn.layers import fill, set_bias, weighted_layers
from babysit.nn.schemes import constant as constant
from babysit.nn.schemes import glorot_normal as glorot_normal
from babysit.nn.schemes import glorot_uniform as glorot_uniform
from babysit.nn.schemes import he as he
from babysit.nn.schemes import orthogonal as orthogonal
from babysit.nn.schemes import random_walk as random_walk
from babysit.nn.schemes import random_walk_gain as random_walk_gain
from babysit.nn.schemes import small_random as small_random
from babysit.nn.schemes import torch_default as torch_default
from babysit.nn.schemes import xavier as xavier
from babysit.nn.schemes import zero as zero
from babysit.seeding import seeded


@dataclass(frozen=True)
class Initializer:
    """One row of ``INITIALIZERS``.

    Attributes:
        name: the name in ``initialize``.
        about: the formula in one line.
        source: the paper or lecture.
        apply: the function behind the name. It takes a weight; with ``needs_data`` a model and a batch;
            for "default" a layer.
        needs_data: whether ``initialize`` must be given a batch.
        sets_bias: whether the scheme chooses the biases itself; otherwise they become 0.
        options: the options with their defaults.
    """

    name: str
    about: str
    source: str
    apply: Callable[..., object]
    needs_data: bool = False
    sets_bias: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


_LECTURE = "CS231n lecture 6"
_ROWS = (
    Initializer("zero", "W = 0", _LECTURE, zero),
    Initializer("constant", "W = value", "CS231n notes 2", constant, options={"value": 0.01}),
    Initializer("small_random", "W ~ N(0, scale^2)", _LECTURE, small_random, options={"scale": 0.01}),
    Initializer(
        "glorot_uniform", "W ~ U(±sqrt(6 / (fan_in + fan_out)))", "Glorot and Bengio 2010", glorot_uniform
    ),
    Initializer("glorot_normal", "W ~ N(0, 2 / (fan_in + fan_out))", "Glorot and Bengio 2010", glorot_normal),
    Initializer("xavier", "W ~ N(0, 1 / fan_in)", f"{_LECTURE}, after Glorot and Bengio 2010", xavier),
    Initializer(
        "he",
        "W ~ N(0, 2 / ((1 + slope^2) fan))",
        "He et al. 2015",
        he,
        options={"slope": 0.0, "mode": "fan_in"},
    ),
    Initializer(
        "orthogonal",
        "W = gain Q, Q orthonormal from a sign-fixed QR",
        "Saxe et al. 2013",
        orthogonal,
        options={"gain": 1.0},
    ),
    Initializer(
        "random_walk",
        "W ~ N(0, g^2 / fan_in), g from the activation",
        "Sussillo and Abbott 2014",
        random_walk,
        options={"activation": "relu"},
    ),
    Initializer(
        "data_dependent",
        "every channel mean beta and std 1 on the batch, then all layers change at one rate",
        "Krähenbühl et al. 2015",
        data_dependent,
        needs_data=True,
        sets_bias=True,
        options={"beta": 0.1, "passes": 10},
    ),
    Initializer(
        "lsuv",
        "orthonormal, then W / sqrt(Var) per layer until |Var - 1| < tolerance on the batch",
        "Mishkin and Matas 2015",
        lsuv,
        needs_data=True,
        options={"tolerance": 0.1, "iterations": 10},
    ),
    Initializer(
        "default",
        "torch's own: W, b ~ U(±1 / sqrt(fan_in))",
        "torch, reset_parameters()",
        torch_default,
        sets_bias=True,
    ),
)

INITIALIZERS: dict[str, Initializer] = {row.name: row for row in _ROWS}
"""Every scheme by name."""


def initialize(
    model: nn.Module,
    scheme: str,
    *,
    seed: int = 0,
    batch: Tensor | None = None,
    bias: float | None = None,
    **options: object,
) -> nn.Module:
    """Sets the weights of every Linear, Conv and Maxout layer of a model, in place.

    Norm layers, PReLU slopes, embeddings and all other modules do not change. Each layer draws from its own
    stream, derived from the seed and the layer's name, so the numbers do not depend on the device, the other
    layers or torch's global random state, which does not change.

    Args:
        model: any module with at least one such layer.
        scheme: a key of ``INITIALIZERS``.
        seed: any integer; the same seed gives the same weights.
        batch: one batch of inputs, [N, ...], for "data_dependent" and "lsuv"; others ignore it.
        bias: the value of every bias. Default: 0, unless the scheme sets biases itself.
        **options: the options of the scheme, see ``INITIALIZERS[scheme].options``.

    Returns:
        The model.

    Raises:
        RecipeError: no such scheme, an unknown option, or a bias for a scheme that sets biases itself.
        InputError: no batch where one is needed, or a model that the scheme cannot set.

    Example:
        >>> model = initialize(nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10)), "he", seed=1)
        >>> model[0].bias.abs().max().item()
        0.0

    Source: CS231n lecture 6, "Weight Initialization".
    """
    if scheme not in INITIALIZERS:
        fix = f"choose one of: {', '.join(INITIALIZERS)}"
        raise RecipeError(f"no initialization is called {scheme!r}", fix=fix)
    row = INITIALIZERS[scheme]
    unknown = sorted(set(options) - set(row.options))
    if unknown:
        known = ", ".join(f"{name}={value!r}" for name, value in row.options.items()) or "none"
        raise RecipeError(
            f"initialization {scheme!r} has no option {unknown[0]!r}", fix=f"its options are: {known}"
        )
    settings: dict[str, object] = {**row.options, **options}
    if row.needs_data:
        if batch is None:
            raise InputError(
                f"initialization {scheme!r} looks at data, and no batch was given",
                fix="pass batch=, a few hundred preprocessed training inputs",
            )
        if row.sets_bias and bias is not None:
            raise RecipeError(
                f"initialization {scheme!r} chooses the biases itself", fix="leave out bias=, or set beta="
            )
        if not row.sets_bias:
            settings["bias"] = bias or 0.0
        row.apply(model, batch, seed=seed, **settings)
        return model
    for name, layer in weighted_layers(model).items():
        with seeded(seed, "initialize", name):
            if row.apply is torch_default:
                torch_default(layer)
            else:
                fill(layer, partial(row.apply, **settings))
        if bias is not None or not row.sets_bias:
            set_bias(layer, bias or 0.0)
    return model


_RECOMMENDED = {
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "elu", "gelu", "silu"), "he"),
    **dict.fromkeys(("linear", "tanh", "sigmoid", "selu", "maxout"), "xavier"),
}


def recommended(activation: str) -> str:
    """Recommends a scheme for the nonlinearity of the hidden layers.

    The lecture's summary says "use Xavier init" while its slide on ReLU asks for the factor 2 of He; both
    are right for their own units: He for the ReLU family, Xavier for tanh, linear units and those that keep
    the variance themselves (SELU, Maxout).

    Args:
        activation: a name of ``babysit.nn.activations.ACTIVATIONS``, or "linear".

    Returns:
        "he" or "xavier".

    Raises:
        RecipeError: no such activation.

    Example:
        >>> recommended("relu"), recommended("tanh")
        ('he', 'xavier')

    Source: CS231n lecture 6, "Weight Initialization" and its summary; CS231n notes 2.
    """
    if activation not in _RECOMMENDED:
        fix = f"choose one of: {', '.join(_RECOMMENDED)}"
        raise RecipeError(f"no activation is called {activation!r}", fix=fix)
    return _RECOMMENDED[activation]
