"""The course's fully connected networks in NumPy, as obvious as can be, and the tensors its exercises use.

cost = mean softmax cross-entropy + 1/2 * l2 * sum(W^2) over weights, not biases.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """Inputs, labels, and weights [D, H] with biases for each affine layer."""

    x: np.ndarray
    y: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]


def scores(case, after=lambda hidden, layer: np.maximum(hidden, 0)):
    """affine, then ``after`` and affine again: [N, C]."""
    hidden = case.x.reshape(len(case.x), -1)
    for layer, (weight, bias) in enumerate(zip(case.weights, case.biases, strict=True)):
        hidden = (hidden if layer == 0 else after(hidden, layer)) @ weight + bias
    return hidden


def cost(case, l2=0.0, after=lambda hidden, layer: np.maximum(hidden, 0)):
    """The cost as one number."""
    found = scores(case, after)
    shifted = found - found.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    data = -log_p[np.arange(len(case.y)), case.y].mean()
    return data + 0.5 * l2 * sum((weight**2).sum() for weight in case.weights)


def filled(low, high, *shape):
    """Evenly spaced numbers in row order."""
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape)


def random_weights(scale, sizes):
    """Gaussian weights of each layer in turn from NumPy's global stream, and zero biases."""
    weights = [scale * np.random.randn(*pair) for pair in pairwise(sizes)]
    return weights, [np.zeros(size) for size in sizes[1:]]


def toy():
    """Assignment 1: five examples, 4-10-3."""
    np.random.seed(0)
    weights, biases = random_weights(0.1, (4, 10, 3))
    np.random.seed(1)
    return Case(10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1]), weights, biases)


def two_layer_filled():
    """Assignment 2: three examples, 5-50-7, every tensor evenly spaced."""
    weights = [filled(-0.7, 0.3, 5, 50), filled(-0.3, 0.4, 50, 7)]
    biases = [filled(-0.1, 0.9, 50), filled(-0.9, 0.1, 7)]
    return Case(filled(-5.5, 4.5, 5, 3).T, np.array([0, 5, 1]), weights, biases)


def deep(count):
    """Assignment 2: two examples, 15-20-30-10; that many networks, drawn one after another."""
    np.random.seed(231)
    x, y = np.random.randn(2, 15), np.random.randint(10, size=2)
    return [Case(x, y, *random_weights(0.05, (15, 20, 30, 10))) for _ in range(count)]


def deep_with_dropout():
    """The same at keep = 1, .75, .5: (keep, case, mask of each hidden layer, already divided by keep).

    The exercise seeds the global stream with 123 on every forward pass of every dropout layer, hence before
    the next network's weights are drawn.
    """
    np.random.seed(231)
    x, y = np.random.randn(2, 15), np.random.randint(10, size=2)
    found = []
    for keep in (1, 0.75, 0.5):
        case = Case(x, y, *random_weights(0.05, (15, 20, 30, 10)))
        masks = []
        for width in (20, 30) if keep < 1 else ():
            np.random.seed(123)
            masks.append((np.random.rand(2, width) < keep) / keep)
        found.append((keep, case, masks))
    return found


def spiral(seed, points=100, classes=3, noise=0.2):
    """The case study's data: one arm of points in the plane for each class."""
    generator = np.random.RandomState(seed)
    radius = np.tile(np.linspace(0, 1, points), classes)
    start = 4 * np.repeat(np.arange(classes), points)
    angle = start + np.tile(np.linspace(0, 4, points), classes)
    angle = angle + noise * generator.randn(classes * points)
    x = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    return x.astype(np.float32), np.repeat(np.arange(classes), points)
