"""The small networks of the lecture, built from torch's own layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from babysit.errors import InputError
from babysit.nn.activations import activation as make_activation


def two_layer(
    inputs: int, hidden: int = 50, classes: int = 10, *, weight_scale: float | None = None
) -> nn.Sequential:
    """Builds the lecture's two-layer network, W2 max(0, W1 x + b1) + b2.

    Args:
        inputs: numbers in one example, e.g. 3072.
        hidden: hidden units. Default: 50.
        classes: outputs. Default: 10.
        weight_scale: standard deviation of every weight; the lecture's is 1e-4, which keeps the first
            loss at ln C on raw pixels. Default: None, He initialization, sqrt(2 / fan_in).

    Returns:
        A Sequential that flattens its input; biases are zero.

    Example:
        >>> sum(p.numel() for p in two_layer(3072).parameters())
        154160

    Source: CS231n lecture 6, init_two_layer_model.
    """
    return mlp(inputs, [hidden], classes, weight_scale=weight_scale)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    *,
    weight_scale: float | None = None,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Builds fully connected layers with zero biases.

    Args:
        inputs: numbers in one example.
        hidden: units of each hidden layer.
        classes: outputs.
        weight_scale: standard deviation of every weight. Default: None, He initialization.
        activation: a name of ``nn.activations.ACTIVATIONS`` except maxout. Default: "relu".
        batch_norm: put batch normalization before every activation. Default: False.
        dropout: the probability to drop after each hidden layer, in [0, 1). Default: 0, no dropout layers.

    Returns:
        A Sequential that flattens its input.

    Example:
        >>> [type(layer).__name__ for layer in mlp(64, [100], 10)]
        ['Flatten', 'Linear', 'ReLU', 'Linear']
        >>> [type(layer).__name__ for layer in mlp(64, [100], 10, activation="elu", batch_norm=True)]
        ['Flatten', 'Linear', 'BatchNorm1d', 'ELU', 'Linear']

    Source: He et al. 2015 for the initialization.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip([inputs, *hidden], hidden, strict=False):
        layers.append(_linear(fan_in, fan_out, weight_scale))
        if batch_norm:
            layers.append(nn.BatchNorm1d(fan_out))
        layers.append(make_activation(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(_linear([inputs, *hidden][-1], classes, weight_scale))
    return nn.Sequential(*layers)


_OUTPUT_SCALE = 0.1
"""Factor on the output layer's He weights: the first loss is then near chance at any width."""


def mlp_of(hp: Mapping[str, Any], inputs: int, outputs: int) -> nn.Sequential:
    """Builds the ``mlp`` that the standard names of a space describe: an architecture search in one line.

    Reads depth (hidden layers, default 1), width (units of each, default 100), activation (default "relu"),
    batch_norm (default False), dropout (default 0) and weight_scale (default He, the output layer at a tenth
    of it). A name that ``hp`` lacks, or that does not exist in a trial, has its default.

    Args:
        hp: the hyperparameters that ``model(hp)`` receives.
        inputs: numbers in one example.
        outputs: classes, or targets of a regression.

    Raises:
        InputError: a value is invalid.

    Example:
        >>> [type(layer).__name__ for layer in mlp_of({"depth": 1, "dropout": 0.5}, 64, 10)]
        ['Flatten', 'Linear', 'ReLU', 'Dropout', 'Linear']
        >>> [layer.out_features for layer in mlp_of({"depth": 2, "width": 30}, 64, 10)[1::2]]
        [30, 30, 10]
    """
    scale = hp.get("weight_scale")
    network = mlp(
        inputs,
        [_whole(hp, "width", 100, least=1)] * _whole(hp, "depth", 1, least=0),
        outputs,
        weight_scale=None if scale is None else float(scale),
        activation=str(hp.get("activation", "relu")),
        batch_norm=bool(hp.get("batch_norm", False)),
        dropout=float(hp.get("dropout", 0.0)),
    )
    output = network[-1]
    if scale is None and isinstance(output, nn.Linear):
        output.weight.detach().mul_(_OUTPUT_SCALE)
    return network


def _whole(hp: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    value = hp.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"{name} = {value!r} is no whole number of {least} or more", fix=f"use e.g. {default}"
        )
    return value


def _linear(fan_in: int, fan_out: int, weight_scale: float | None) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in) if weight_scale is None else weight_scale)
    nn.init.zeros_(layer.bias)
    return layer
