"""Centring, scaling, decorrelation and whitening of a cloud of points and of images.

CS231n lecture 6, 'Data Preprocessing'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.data.dataset import Dataset
from babysit.data.decorrelation import PCA, Whiten
from babysit.data.preprocessing import MeanImage, Standardize
from babysit.lab import figures
from babysit.lab.datasets import features, raw_data
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.lab.sweeps import single_threaded
from babysit.seeding import numpy_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

SHOWN = 49  # images on a sheet, as in the course notes
CLOUDS = ("original data", "zero-centred", "normalised", "original data ", "decorrelated", "whitened")


class Sheets(NamedTuple):
    """Images before and after, and the share of the variance on the kept axes."""

    components: int
    explained: float
    error: float
    eigenvalues: Array
    images: Mapping[str, Array]  # name -> [SHOWN, channels, height, width]


def cloud(seed: int, correlated: bool) -> Array:
    """Draws points [400, 2] with unequal spreads, away from the origin; correlated or not."""
    generator = numpy_generator(seed, "cloud", int(correlated))
    mixing = np.array([[2.0, 0.0], [1.2, 0.55]]) if correlated else np.diag([2.2, 0.8])
    centre = np.zeros(2) if correlated else np.array([3.0, 2.2])
    points: Array = generator.standard_normal((400, 2)) @ mixing.T + centre
    return points


def clouds(seed: int) -> dict[str, Array]:
    """Computes the two rows of three scatter plots."""
    plain, correlated = cloud(seed, correlated=False), cloud(seed, correlated=True)
    stages = (
        plain,
        MeanImage().fit_transform(plain),
        Standardize().fit_transform(plain),
        correlated,
        PCA().fit_transform(correlated),
        Whiten().fit_transform(correlated),
    )
    return dict(zip(CLOUDS, stages, strict=True))


def sheets(dataset: Dataset, options: Options) -> Sheets:
    """Fits PCA and whitening on the training images and applies them to the first of them."""
    rows = dataset.sample(dataset.train, options.pick(10_000, 300), options.seed).x
    x = rows[:].astype(np.float32)
    size = features(dataset)
    components = 144 if size >= 784 else size // 4
    pca, whiten = PCA(components).fit(x), Whiten().fit(x)
    few = x[:SHOWN]
    back = pca.inverse_transform(pca.transform(few))
    # Whitened coordinates turned back into the pixels' own axes.
    turned = (whiten.transform(few) @ whiten.components_).reshape(few.shape)
    axes = pca.components_.reshape(components, *few.shape[1:])[:SHOWN]
    error = float(np.sqrt(np.mean((back - few) ** 2)) / np.std(few))
    explained = float(pca.explained_.sum())
    images = {
        "original images": few,
        "leading axes": axes,
        "from those axes": back,
        "whitened images": turned,
    }
    return Sheets(components, explained, error, whiten.variances_, images)


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Transforms the clouds and the images, and measures their moments after each step."""
    dataset = raw_data(options)
    stages, shown = clouds(options.seed), sheets(dataset, options)
    measured: dict[str, dict[str, list[float]]] = {}
    for name, x in stages.items():
        covariance = np.cov(x.astype(float).T, bias=True)
        measured[name.strip() + (" (2)" if name.endswith(" ") else "")] = {
            "mean": [float(value) for value in x.mean(0, dtype=float)],
            "variance": [float(value) for value in np.diag(covariance)],
            "covariance": [float(covariance[0, 1])],
        }
    data = {
        "clouds": measured,
        "components": shown.components,
        "explained": shown.explained,
        "reconstruction_error": shown.error,
        "leading_eigenvalues": [float(value) for value in shown.eigenvalues[:10]],
        "data": dataset.name,
    }
    return ExperimentResult(
        data,
        [
            f"{dataset.name}: {shown.components} of {features(dataset)} axes hold {shown.explained:.1%} of "
            f"the variance; the images come back with an error of {shown.error:.3f} of their spread",
        ],
        [_table(measured)],
        {
            "preprocessing": lambda: draw(stages),
            "preprocessing-images": lambda: draw_sheets(shown),
        },
        "For images centring is enough: pixels share one scale, and PCA or whitening is not common with "
        "convolutional networks. Whitening raises the weakest axes to the same spread, noise included.",
    )


def _table(measured: Mapping[str, Mapping[str, list[float]]]) -> Table:
    wanted = {"zero-centred": "means 0", "normalised": "means 0, variances 1", "decorrelated": "covariance 0"}
    wanted["whitened"] = "covariance 0, variances 1"
    rows = [
        [name, *(", ".join(number(value, 3) for value in own[part]) for part in own), wanted.get(name, "–")]
        for name, own in measured.items()
    ]
    return Table("Moments of the clouds", ["stage", "means", "variances", "covariance", "theory"], rows)


@figures.styled
def draw(stages: Mapping[str, Array]) -> Figure:
    """Draws three and three scatter plots, with bars for the spread along each axis."""
    canvas, axes = figures.canvas(2, 3, height=5.4)
    bar: dict[str, Any] = {"color": figures.VERMILLION, "lw": 2.4, "solid_capstyle": "butt"}
    small: dict[str, Any] = {"color": figures.VERMILLION, "ha": "right", "fontsize": 7.5}
    for place, (name, points) in zip(axes, stages.items(), strict=True):
        reach = 8.5 if "original" in name or name in ("zero-centred", "decorrelated") else 4.2
        place.set(xlim=(-reach, reach), ylim=(-reach, reach), box_aspect=1)
        place.axhline(0, color=figures.MUTED, lw=0.8)
        place.axvline(0, color=figures.MUTED, lw=0.8)
        place.plot(points[:, 0], points[:, 1], "o", ms=2.4, alpha=0.45, mew=0, color=figures.BLUE)
        centre, spread, low = points.mean(0), 2 * points.std(0), -0.93 * reach
        left, right = centre - spread, centre + spread
        place.plot([left[0], right[0]], [low, low], **bar)
        place.plot([low, low], [left[1], right[1]], **bar)
        place.text(0.95 * reach, 0.9 * low, "bars: mean ± 2 std", **small)
        figures.name_axes(place, "x₁", "x₂", name.strip())
    return canvas


@figures.styled
def draw_sheets(shown: Sheets) -> Figure:
    """Draws four sheets of 49 images: original, leading axes, rebuilt from those, and whitened."""
    canvas, axes = figures.canvas(2, 2, height=8.2)
    for place, (name, images) in zip(axes, shown.images.items(), strict=True):
        each = name in ("leading axes", "whitened images")
        place.imshow(sheet(images, each_alone=each), cmap="gray", interpolation="nearest")
        place.set_axis_off()
        count = f" ({shown.components} axes)" if name == "from those axes" else ""
        place.set_title(name.replace("from those axes", "rebuilt") + count)
    return canvas


def sheet(images: Array, *, each_alone: bool) -> Array:
    """Tiles images in a square with white gaps, [height, width, 3] in [0, 1].

    Args:
        images: [N, channels, height, width]; one channel is drawn grey.
        each_alone: scale each image to its own extremes, e.g. principal axes, which have no common scale.
    """
    low = images.min((1, 2, 3), keepdims=True) if each_alone else images.min()
    high = images.max((1, 2, 3), keepdims=True) if each_alone else images.max()
    scaled = np.clip((images - low) / np.maximum(high - low, 1e-12), 0, 1)
    count, _, height, width = scaled.shape
    side, gap = int(np.ceil(np.sqrt(count))), max(height // 8, 1)
    canvas = np.ones((side * (height + gap) - gap, side * (width + gap) - gap, 3), dtype=np.float32)
    for index, image in enumerate(scaled):
        top, left = (index // side) * (height + gap), (index % side) * (width + gap)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas


EXPERIMENT = Experiment(
    "preprocessing",
    "Preprocessing",
    "Centring, scaling, decorrelating and whitening, on a cloud of points and on images.",
    "'Data Preprocessing'",
    needs_data=True,
    run=run,
)
