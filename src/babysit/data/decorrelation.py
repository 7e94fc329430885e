"""Decorrelation: a rotation to the principal axes of the training split (PCA), and whitening.

The covariance is summed over chunks of rows, so memory holds a few D x D matrices and one chunk beside the
data. Bytes are multiplied in float32 without any rounding: shifted to [-128, 127], the products of 1024
rows sum to at most 2^24, which float32 still counts exactly. Everything else is multiplied in float64.
"""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Iterator
from typing import Self

import numpy as np

from babysit.data.prefetch import pieces
from babysit.data.preprocessing import (
    CONSTANT,
    Array,
    LearnedStatistics,
    learned_shape,
    row_mean,
    rows_to_fit,
    rows_to_transform,
    working_type,
)
from babysit.data.rows import Inputs, Rows
from babysit.errors import DataError

ROWS = 1024  # more would round the products of bytes; fewer would starve the matrix product
LARGEST = 2**14
"""Most features that are decorrelated: a covariance of 2 GiB."""

_EPSILON = float(np.finfo(np.float64).eps)


class _Principal(LearnedStatistics):
    """Base of PCA and whitening: learns the principal axes, projects onto them and back."""

    components: int | None
    mean_: Array
    components_: Array
    variances_: Array
    explained_: Array

    def fit(self, x: Inputs, y: object = None) -> Self:
        """Learns mean, principal axes and variances.

        Args:
            x: training rows [N, ...], any numeric type; at most 16,384 numbers in one row.
            y: ignored.

        Raises:
            DataError: no rows, not numeric, NaN or infinity among the values, too many features, or an
                impossible parameter.
        """
        x = rows_to_fit(x)
        count = self._checked(math.prod(x.shape[1:]))
        mean = row_mean(x)
        variances, axes = np.linalg.eigh(_covariance(x, mean))
        variances, axes = variances[::-1].clip(min=0), axes.T[::-1]
        # A variance this small is the rounding of the others; its axis is arbitrary, so nothing is learned.
        rounding = max(len(axes) * _EPSILON * variances[0], (CONSTANT * np.abs(mean).max()) ** 2)
        varies = variances > rounding
        # Each axis is turned so that its largest entry is positive: the first of those that are as good as
        # largest, since rounding would decide an exact tie.
        size = np.abs(axes)
        first = (size >= 0.999 * size.max(axis=1, keepdims=True)).argmax(axis=1)
        axes = axes * np.sign(np.take_along_axis(axes, first[:, None], axis=1))
        axes, variances = np.where(varies[:, None], axes, 0.0), np.where(varies, variances, 0.0)
        self.mean_ = mean
        self.components_ = np.ascontiguousarray(axes[:count], dtype=working_type(x))
        self.variances_ = variances[:count]
        self.explained_ = self.variances_ / (variances.sum() or 1.0)
        return self

    def transform(self, x: Array) -> Array:
        """Projects onto the principal axes: float32 [N, components].

        Raises:
            DataError: not fitted, or the rows have another shape than the training rows.
        """
        x = rows_to_transform(self, x)
        dtype, scale = np.result_type(x, self.components_), self._scale()
        turned, mean = self.components_.T, self.mean_.astype(dtype)
        out = np.empty((len(x), len(scale)), dtype=np.float32)
        for rows in _blocks(len(x)):
            centred = np.subtract(x[rows], mean, dtype=dtype).reshape(-1, mean.size)
            out[rows] = (centred @ turned) / scale
        return out

    def inverse_transform(self, x: Array) -> Array:
        """Goes back to the shape of the training rows: float32 [N, ...].

        The part of a row along axes that were left out is lost: its projection comes back.

        Raises:
            DataError: not fitted, or the rows do not have one number for each component.
        """
        x, shape, scale = np.asarray(x), learned_shape(self), self._scale()
        if x.shape[1:] != scale.shape:
            problem = f"{self!r} has {len(scale)} components, these rows have shape {list(x.shape)}"
            raise DataError(problem, fix="give rows [N, components], as transform returned them")
        out = np.empty((len(x), *shape), dtype=np.float32)
        for rows in _blocks(len(x)):
            back = (x[rows] * scale).astype(self.components_.dtype, copy=False) @ self.components_
            out[rows] = back.reshape(-1, *shape) + self.mean_
        return out

    @abstractmethod
    def _scale(self) -> Array:
        """Returns the divisor of each component, [components]."""

    def _checked(self, features: int) -> int:
        """Returns the number of components to keep, once the parameters are checked."""
        if features > LARGEST:
            problem = f"{self!r} of {features} features needs a {features} x {features} covariance"
            raise DataError(problem, fix=f"make the rows smaller: at most {LARGEST} numbers each")
        if self.components is None:
            return features
        try:
            count = operator.index(self.components)
        except TypeError:
            count = 0
        if not 1 <= count <= features:
            problem = f"components={self.components!r} is impossible for rows with {features} features"
            raise DataError(problem, fix=f"use a whole number from 1 to {features}, or None for all")
        return count


class PCA(_Principal):
    """Decorrelates: (x - mean(train)) on the principal axes of the training split, largest variance first.

    With ``components=None`` it is a rotation; with fewer it also compresses, e.g. CIFAR-10 from 3072 to 144.
    Along an axis on which the training rows do not vary (constant columns, fewer rows than columns) the
    output is 0, and the width stays as requested. The largest entry of each axis is positive, so two fits
    agree in sign. Columns in very different units should be standardized first: the largest decides the first
    axis, and a variance below D * 2e-16 of it counts as none. For images the lecture only centres: "not
    common to see PCA or whitening".

    Args:
        components: the number of axes to keep, 1 to D. Default: None, all D.

    Attributes:
        mean_: float64, the shape of one example, in the units of the data.
        components_: the axes, [components, D]; float32 for data that float32 holds, else float64.
        variances_: float64 [components], the eigenvalues of the covariance (divided by N), descending.
        explained_: float64 [components], each axis's share of the whole variance; 1 - its sum is discarded.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits(preprocess=[PCA(components=20)])
        >>> data.input_shape
        (20,)
        >>> images = data.preprocessing[0].inverse_transform(data.inputs(data.val.x))
        >>> images.shape, bool(data.preprocessing[0].explained_.sum() > 0.89)
        ((180, 1, 8, 8), True)

    Source: CS231n (2017) lecture 6, "Data preprocessing"; its notes, neural networks part 2.
    """

    def __init__(self, components: int | None = None) -> None:
        self.components = components

    def _scale(self) -> Array:
        return np.ones(len(self.components_), dtype=self.components_.dtype)


class Whiten(_Principal):
    """Decorrelates, then gives every axis variance 1: PCA(x) / sqrt(variance + floor).

    The floor keeps axes of almost no variance, which hold mostly noise, from being blown up; an axis without
    any gives 0.

    Args:
        components: the number of axes to keep, 1 to D. Default: None, all D.
        floor: added to every variance, in squared units of the data, >= 0. Default: 1e-5, as in the course.

    Attributes:
        mean_, components_, variances_, explained_: as in ``PCA``.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[3.0, 1.0], [0.0, 0.1]])
        >>> np.cov(Whiten().fit_transform(x).T, bias=True).round(3).tolist()
        [[1.0, 0.0], [0.0, 0.999]]

    Source: CS231n (2017) lecture 6, "Data preprocessing"; its notes, neural networks part 2.
    """

    def __init__(self, components: int | None = None, floor: float = 1e-5) -> None:
        self.components = components
        self.floor = floor

    def _scale(self) -> Array:
        deviation = np.sqrt(self.variances_ + self.floor)
        return np.where(deviation > 0, deviation, 1.0).astype(self.components_.dtype)

    def _checked(self, features: int) -> int:
        if not (self.floor >= 0 and math.isfinite(self.floor)):
            raise DataError(f"floor={self.floor!r} must not be negative", fix="use e.g. floor=1e-5")
        return super()._checked(features)


def _covariance(x: Inputs, mean: Array) -> Array:
    """Computes sum((x - mean)(x - mean)^T) / N in float64, [D, D]."""
    is_bytes = x.dtype.itemsize == 1
    centre = np.full(mean.shape, 128.0 if x.dtype == np.uint8 else 0.0) if is_bytes else mean
    dtype = np.float32 if is_bytes else np.float64
    total = np.zeros((mean.size, mean.size))
    blocks = pieces(x, ROWS) if isinstance(x, Rows) else (x[rows] for rows in _blocks(len(x)))
    for block in blocks:
        shifted = np.subtract(block, centre.astype(dtype), dtype=dtype).reshape(-1, mean.size)
        total += shifted.T @ shifted
    gap = (mean - centre).ravel()
    total /= len(x)
    total -= np.outer(gap, gap)
    return total


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS):
        yield slice(start, start + ROWS)
