from __future__ import annotations

import pytest

from babysit.data.decorrelation import PCA, Whiten
from babysit.data.preprocessing import ChannelMean, MeanImage, Standardize
from babysit.errors import SpaceError
from babysit.recipe.input_steps import STEPS, parse_steps


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("mean_image", MeanImage, {}),
        ("channel_mean", ChannelMean, {}),
        ("standardize", Standardize, {"per": "feature"}),
        ("standardize(per='channel')", Standardize, {"per": "channel"}),
        ("pca(components=20)", PCA, {"components": 20}),
        ("pca_whiten(floor=0.1)", Whiten, {"components": None, "floor": 0.1}),
    ],
)
def test_a_step_is_made_as_it_is_named(text, kind, parameters):
    (step,) = parse_steps(text)
    assert type(step) is kind
    assert step.get_params() == parameters


def test_none_is_no_step_and_every_name_can_be_made():
    assert parse_steps("none") == []
    assert all(len(parse_steps(name)) == (name != "none") for name in STEPS)


@pytest.mark.parametrize("text", ["whitn", "pca(parts=3)", "pca(3)", "pca(components=", "none(a=1)", 3, True])
def test_a_step_that_does_not_exist_is_refused(text):
    with pytest.raises(SpaceError, match="preprocessing") as caught:
        parse_steps(text)
    assert caught.value.fix
