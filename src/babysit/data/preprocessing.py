"""Preprocessing steps: fitted on the training split only, then applied to every split alike.

Statistics are computed in float64 over chunks of rows, so 150 MB of uint8 images never become 1.2 GB of
float64; the output is float32. Every step follows scikit-learn's contract (``fit``, ``transform``,
``inverse_transform``, ``get_params``; names of learned attributes end in an underscore), so it also works as
a step of ``sklearn.pipeline.Pipeline``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import numpy as np

from babysit.data.prefetch import pieces
from babysit.data.rows import Array as Array
from babysit.data.rows import Inputs, Rows
from babysit.errors import DataError

CHUNK_VALUES = 2**18  # 2 MB of float64: stays in the second-level cache
CONSTANT = 10 * np.finfo(np.float64).eps  # a spread this small against the mean is rounding, not data


class Transformer(Protocol):
    """Interface of a preprocessing step; scikit-learn's transformers of [N, features] have it too."""

    def fit(self, x: Array, /) -> Any:
        """Learns from the training rows [N, ...]."""

    def transform(self, x: Array, /) -> Array:
        """Applies what was learned to rows [N, ...]."""


class LearnedStatistics(ABC):
    """Base of the steps here: parameters by name, learned arrays as plain data, fit-and-transform.

    The step itself defines ``__init__`` (stores its arguments unchanged), ``fit``, ``transform`` and
    ``inverse_transform``.
    """

    @abstractmethod
    def fit(self, x: Inputs, y: object = None) -> Self:
        """Learns from the training rows."""

    @abstractmethod
    def transform(self, x: Array) -> Array:
        """Applies what was learned."""

    @abstractmethod
    def inverse_transform(self, x: Array) -> Array:
        """Undoes ``transform``."""

    def fit_transform(self, x: Array, y: object = None) -> Array:
        """Fits on ``x`` and returns it transformed.

        Args:
            x: training rows [N, ...].
            y: ignored; there for scikit-learn's pipelines.

        Returns:
            float32 [N, ...].
        """
        return self.fit(x, y).transform(x)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the constructor's arguments by name.

        Example:
            >>> Standardize(per="channel").get_params()
            {'per': 'channel'}
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Self:
        """Sets constructor arguments by name; learned arrays stay until the next fit.

        Raises:
            DataError: an argument of that name does not exist.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                problem = f"{type(self).__name__} has no parameter {name!r}"
                raise DataError(problem, fix=f"its parameters are: {', '.join(known) or 'none'}")
            setattr(self, name, value)
        return self

    def state(self) -> dict[str, Array]:
        """Returns the learned arrays by name; empty before ``fit``.

        Example:
            >>> MeanImage().fit(np.array([[0, 10], [2, 30]])).state()
            {'mean_': array([ 1., 20.])}
        """
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    @classmethod
    def from_state(cls, state: Mapping[str, Array], **parameters: Any) -> Self:
        """Builds a fitted step from stored arrays.

        Args:
            state: what ``state()`` returned.
            parameters: what ``get_params()`` returned.

        Example:
            >>> step = MeanImage.from_state({"mean_": np.array([1.0, 20.0])})
            >>> step.transform(np.array([[0, 10]])).tolist()
            [[-1.0, -10.0]]
        """
        step = cls(**parameters)
        for name, values in state.items():
            setattr(step, name, np.asarray(values))
        return step

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({arguments})"

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn's pipelines call this, hence the import here.
        from sklearn.utils import Tags, TargetTags, TransformerTags

        targets = TargetTags(required=False)
        return Tags(estimator_type=None, target_tags=targets, transformer_tags=TransformerTags())


class MeanImage(LearnedStatistics):
    """Subtracts the mean training example from every example: x - mean(train).

    With images this is the mean image of AlexNet; with tables, the mean of each column. Source: CS231n
    (2017) lecture 6, "Data preprocessing"; Krizhevsky et al. (2012), "ImageNet Classification with Deep
    Convolutional Neural Networks".

    Attributes:
        mean_: float64, the shape of one example, in the units of the data.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits(preprocess=[MeanImage()])
        >>> bool(abs(data.inputs(data.train.x).mean()) < 1e-5)
        True
    """

    mean_: Array

    def fit(self, x: Inputs, y: object = None) -> Self:
        """Learns the mean example.

        Args:
            x: training rows [N, ...], any numeric type.
            y: ignored.

        Raises:
            DataError: no rows, not numeric, or NaN or infinity among the values.
        """
        self.mean_ = row_mean(rows_to_fit(x))
        return self

    def transform(self, x: Array) -> Array:
        """Subtracts the mean: float32 of the shape of ``x``.

        Raises:
            DataError: not fitted, or the rows have another shape than the training rows.
        """
        x = rows_to_transform(self, x)
        return _subtracted(x, self.mean_)

    def inverse_transform(self, x: Array) -> Array:
        """Adds the mean back: float32 of the shape of ``x``."""
        x = rows_to_transform(self, x)
        return _added(x, self.mean_)


class ChannelMean(LearnedStatistics):
    """Subtracts one mean per colour channel: x[:, c] - mean(train[:, c]).

    The way of VGG. Source: CS231n (2017) lecture 6, "Data preprocessing"; Simonyan and Zisserman (2014),
    "Very Deep Convolutional Networks for Large-Scale Image Recognition".

    Attributes:
        mean_: float64 [channels], in the units of the data.

    Example:
        >>> x = np.array([[[[1, 3]], [[10, 30]]]], dtype=np.uint8)  # one image, two channels, 1 x 2 pixels
        >>> ChannelMean().fit(x).mean_.tolist()
        [2.0, 20.0]
    """

    mean_: Array

    def fit(self, x: Inputs, y: object = None) -> Self:
        """Learns the mean of each channel.

        Args:
            x: training images [N, channels, ...], any numeric type.
            y: ignored.

        Raises:
            DataError: no rows, not numeric, not images, or NaN or infinity among the values.
        """
        self.mean_ = _per_channel(row_mean(_images_to_fit(self, x)))
        return self

    def transform(self, x: Array) -> Array:
        """Subtracts each channel's mean: float32 of the shape of ``x``.

        Raises:
            DataError: not fitted, or another number of channels than the training images.
        """
        x = rows_to_transform(self, x)
        return _subtracted(x, _broadcast(self.mean_, x.ndim))

    def inverse_transform(self, x: Array) -> Array:
        """Adds each channel's mean back: float32 of the shape of ``x``."""
        x = rows_to_transform(self, x)
        return _added(x, _broadcast(self.mean_, x.ndim))


class Standardize(LearnedStatistics):
    """Gives every feature mean 0 and standard deviation 1 on the training split: (x - mean) / std.

    The standard deviation is the population's (divided by N). A feature that is constant on the training
    split is divided by 1, so it survives as 0. Source: CS231n (2017) lecture 6, "Data preprocessing".

    Args:
        per: "feature" (every column or pixel on its own) or "channel" (images [N, C, ...] only). Default:
            "feature".

    Attributes:
        mean_: float64, the shape of one example, or [channels].
        scale_: float64, the same shape; 1 where the training data are constant.

    Example:
        >>> x = np.array([[1.0, 5.0], [3.0, 5.0]])
        >>> Standardize().fit_transform(x).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean_: Array
    scale_: Array

    def __init__(self, per: str = "feature") -> None:
        self.per = per

    def fit(self, x: Inputs, y: object = None) -> Self:
        """Learns mean and standard deviation.

        Args:
            x: training rows [N, ...], any numeric type.
            y: ignored.

        Raises:
            DataError: ``per`` is unknown, no rows, not numeric, or NaN or infinity among the values.
        """
        if self.per == "feature":
            x = rows_to_fit(x)
            mean = row_mean(x)
            variance = _row_variance(x, mean)
        elif self.per == "channel":
            x = _images_to_fit(self, x)
            mean = _per_channel(row_mean(x))
            variance = _per_channel(_row_variance(x, _broadcast(mean, x.ndim)))
        else:
            raise DataError(f"Standardize has no per={self.per!r}", fix='use per="feature" or per="channel"')
        deviation = np.sqrt(variance)
        self.mean_ = mean
        self.scale_ = np.where(deviation <= CONSTANT * np.abs(mean), 1.0, deviation)
        return self

    def transform(self, x: Array) -> Array:
        """Subtracts the mean and divides by the standard deviation: float32 of the shape of ``x``.

        Raises:
            DataError: not fitted, or the rows have another shape than the training rows.
        """
        x = rows_to_transform(self, x)
        mean, scale = (self._spread(values, x.ndim) for values in (self.mean_, self.scale_))
        dtype = working_type(x)
        out = np.subtract(x, mean.astype(dtype), dtype=dtype)
        np.divide(out, scale.astype(dtype), out=out)
        return np.asarray(out, dtype=np.float32)

    def inverse_transform(self, x: Array) -> Array:
        """Multiplies by the standard deviation and adds the mean: float32 of the shape of ``x``."""
        x = rows_to_transform(self, x)
        mean, scale = (self._spread(values, x.ndim) for values in (self.mean_, self.scale_))
        return np.asarray(x * scale + mean, dtype=np.float32)

    def _spread(self, values: Array, dimensions: int) -> Array:
        return _broadcast(values, dimensions) if self.per == "channel" else values


def learned_shape(step: LearnedStatistics) -> tuple[int, ...]:
    """Returns the shape of a step's learned mean.

    Raises:
        DataError: the step has not been fitted.
    """
    try:
        mean: Array = step.mean_  # type: ignore[attr-defined]  # each step learns one
    except AttributeError:
        name = type(step).__name__
        fix = f"call {name}().fit(x) with the training rows first, or pass the step as preprocess=[{name}()]"
        raise DataError(f"{name} has not been fitted yet", fix=fix) from None
    shape: tuple[int, ...] = mean.shape
    return shape


def chunks(x: Inputs) -> Iterator[tuple[int, Array]]:
    """Yields runs of rows small enough for the cache, each with the number of its first row.

    Example:
        >>> [(start, len(rows)) for start, rows in chunks(np.zeros((5, 100_000)))]
        [(0, 2), (2, 2), (4, 1)]
    """
    values_per_row = max(1, x.size // max(1, len(x)))
    rows = max(1, CHUNK_VALUES // values_per_row)
    if isinstance(x, Rows):
        yield from zip(range(0, len(x), rows), pieces(x, rows), strict=True)
        return
    for start in range(0, len(x), rows):
        yield start, x[start : start + rows]


def row_mean(x: Inputs) -> Array:
    """Computes the mean over the rows in float64, by chunks: [N, ...] -> [...].

    Raises:
        DataError: NaN or infinity among the values.

    Example:
        >>> row_mean(np.array([[250, 0], [255, 1]], dtype=np.uint8)).tolist()
        [252.5, 0.5]
    """
    # Sums of integers are exact. Those of floats are taken relative to the first row, so that the mean of a
    # constant column is exactly its value.
    start = x[:1][0].astype(np.float64) if x.dtype.kind == "f" else np.zeros(x.shape[1:])
    total = np.zeros_like(start)
    for _, rows in chunks(x):
        total += np.subtract(rows, start, dtype=np.float64).sum(axis=0)
    mean: Array = start + total / len(x)
    if not np.isfinite(mean).all():
        fix = "replace or remove the NaN or infinite values before fitting"
        raise DataError("the rows to fit on hold NaN or infinite values", fix=fix)
    return mean


def _row_variance(x: Inputs, mean: Array) -> Array:
    total = np.zeros(x.shape[1:])
    for _, rows in chunks(x):
        difference = np.subtract(rows, mean, dtype=np.float64)
        total += np.einsum("n...,n...->...", difference, difference)
    return total / len(x)


def _per_channel(image: Array) -> Array:
    averaged: Array = image.reshape(len(image), -1).mean(axis=1)
    return averaged


def _broadcast(values: Array, dimensions: int) -> Array:
    return values.reshape(-1, *[1] * (dimensions - 2))


def working_type(x: Inputs) -> np.dtype[Any]:
    """Returns the type that ``x`` is centred in: float32 if it holds the values exactly, else float64.

    float32 holds 8 and 16 bits exactly; wider columns (years in seconds, ids) need float64 until centred.

    Example:
        >>> working_type(np.zeros(1, np.uint8)), working_type(np.zeros(1, np.int64))
        (dtype('float32'), dtype('float64'))
    """
    return np.result_type(x.dtype, np.float32)


def _subtracted(x: Array, mean: Array) -> Array:
    dtype = working_type(x)
    centred: Array = np.subtract(x, mean.astype(dtype), dtype=dtype)
    return centred.astype(np.float32, copy=False)


def _added(x: Array, mean: Array) -> Array:
    return np.asarray(x + mean, dtype=np.float32)


def rows_to_fit(x: Inputs) -> Inputs:
    """Checks that a step can be fitted on rows, and returns them, as an array if they are in memory.

    Raises:
        DataError: no rows, fewer than two dimensions, or not numeric.
    """
    x = x if isinstance(x, Rows) else np.asarray(x)
    if x.dtype.kind not in "buif":
        raise DataError(f"rows to fit on must be numbers, not {x.dtype}", fix="convert text to numbers first")
    if x.ndim < 2 or x.size == 0:
        problem = f"rows to fit on must have shape [N, ...] with N > 0, not {list(x.shape)}"
        raise DataError(problem, fix="pass the training rows; reshape a single column to [N, 1]")
    return x


def _images_to_fit(step: LearnedStatistics, x: Inputs) -> Inputs:
    x = rows_to_fit(x)
    if x.ndim < 3:
        problem = f"{step!r} needs images [N, channels, ...], not rows of shape {list(x.shape)}"
        raise DataError(problem, fix="use MeanImage() or Standardize() for tables")
    return x


def rows_to_transform(step: LearnedStatistics, x: Array) -> Array:
    """Checks that rows have the shape that ``step`` was fitted on, and returns them as an array.

    Raises:
        DataError: not fitted, or the rows have another shape than the training rows.
    """
    x, shape = np.asarray(x), learned_shape(step)
    per_channel = isinstance(step, ChannelMean) or getattr(step, "per", "feature") == "channel"
    given = x.shape[1:2] if per_channel else x.shape[1:]
    if given != shape or (per_channel and x.ndim < 3):
        problem = f"{step!r} was fitted on examples of shape {list(shape)}, these have {list(given)}"
        raise DataError(problem, fix="transform rows of the same shape as the training rows")
    return x
