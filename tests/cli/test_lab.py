"""`babysit lab`: the list, one experiment with its figures, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from babysit.lab import initialization
from babysit.lab.catalogue import EXPERIMENTS
from babysit.lab.initialization import LECTURE

ROOT = Path(__file__).parents[2]


def test_the_list_names_every_experiment(babysit):
    answer = babysit("lab")
    assert answer.code == 0
    assert all(name in answer.out for name in EXPERIMENTS)
    listed = babysit("lab", "--json").data["experiments"]
    assert [entry["name"] for entry in listed] == list(EXPERIMENTS)


@pytest.mark.slow
def test_an_experiment_prints_numbers_and_leaves_png_and_svg(babysit, tmp_path):
    answer = babysit("lab", "zigzag", "--json", "--out", "figures")
    assert answer.code == 0
    assert answer.data["experiment"] == "zigzag"
    (table, *_), remark = answer.data["tables"], answer.data["remark"]
    assert len(table["headings"]) == len(table["rows"][0]) > 1
    assert len(remark) > 20
    suffixes = {Path(path).suffix for path in answer.data["figures"]}
    assert suffixes == {".png", ".svg"}
    assert all((tmp_path / path).stat().st_size > 1000 for path in answer.data["figures"])


@pytest.mark.slow
def test_the_ten_layer_harness_gives_the_promised_rows(babysit, monkeypatch):
    monkeypatch.setattr(initialization, "cases", lambda: list(LECTURE))  # tests/lab runs all of them, smaller
    layers = babysit("lab", "initialization", "--json").data["layers"]
    keys = {"scheme", "activation", "layer", "mean", "std", "gradient_std"}
    assert all(keys <= set(row) for row in layers)
    xavier = [row["std"] for row in layers if (row["activation"], row["scheme"]) == ("tanh", "xavier")]
    theory = [
        0.627929,
        0.486262,
        0.408236,
        0.357638,
        0.321622,
        0.294390,
        0.272911,
        0.255430,
        0.240856,
        0.228473,
    ]
    assert xavier == pytest.approx(theory, abs=0.008)


def test_an_unknown_experiment_lists_the_known_ones(babysit):
    answer = babysit("lab", "saturationn")
    assert answer.code == 2
    assert "saturation" in answer.err
    assert "fix:" in answer.err


def test_unknown_data_is_refused(babysit):
    answer = babysit("lab", "learning-rate", "--data", "imagenet")
    assert answer.code == 2
    assert "cifar10" in answer.err


def test_the_gallery_has_a_section_and_a_figure_for_every_experiment():
    page = (ROOT / "docs" / "lecture.md").read_text()
    for name in EXPERIMENTS:
        assert f"`babysit lab {name}" in page
    pictures = re.findall(r"\]\((figures/[^)]+)\)", page)
    assert len(pictures) >= len(EXPERIMENTS)
    assert all((ROOT / "docs" / path).is_file() for path in pictures)
