"""First-layer weights as a picture: every unit in its place, stretched by itself."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from babysit.records import Snapshot
from babysit.views.data.first_layer import contrast, weight_images

RNG = np.random.default_rng(0)


def pixels(found):
    data = base64.b64decode(found.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("units", [1, 7, 50, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_unit_is_in_the_picture_stretched_by_itself(units, channels):
    values = RNG.normal(size=(units, channels, 32, 32)).astype(np.float16) * np.float16(0.01)
    found = weight_images(Snapshot("chosen/1.weight", 3, values))
    drawn = pixels(found)
    assert drawn.shape == (found.height, found.width, 4)
    assert found.units == units
    columns = (found.width + 2) // 34
    expected = contrast(values)
    for index in range(units):
        top, left = 34 * (index // columns), 34 * (index % columns)
        tile = drawn[top : top + 32, left : left + 32]
        assert np.array_equal(tile[..., :channels], expected[index])
        assert tile[..., 3].min() == 255
        assert (tile[..., :3].min(), tile[..., :3].max()) == (0, 255)
    assert (drawn[..., 3] == 255).sum() == units * 32 * 32


def test_colours_keep_their_balance_within_a_unit():
    values = np.zeros((1, 3, 1, 1))
    values[0, :, 0, 0] = [-1.0, 0.0, 1.0]
    assert contrast(values).ravel().tolist() == [0, 128, 255]


def test_small_filters_are_enlarged_by_a_whole_factor():
    found = weight_images(Snapshot("chosen/0.weight", 1, RNG.normal(size=(4, 3, 5, 5))))
    assert found.height == 30
    assert found.shape == "5 × 5 × 3"


@pytest.mark.parametrize("shape", [(5, 64), (5, 2, 8, 8)])
def test_what_is_no_image_is_not_drawn(shape):
    assert weight_images(Snapshot("chosen/0.weight", 1, np.zeros(shape))) is None
    assert weight_images(None) is None
