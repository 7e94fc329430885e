"""What every experiment promises: plain data, tables that fit, figures that save, the same numbers again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from PIL import Image

from babysit.errors import InputError
from babysit.lab.catalogue import EXPERIMENTS, experiment
from babysit.lab.datasets import raw_data, unit_data
from babysit.lab.experiment import Experiment, Options
from babysit.lab.figures import save

NAMES = list(EXPERIMENTS)


def without_times(data):
    return {key: value for key, value in data.items() if key != "seconds"}


def test_the_lecture_is_complete():
    assert NAMES == [
        "activations",
        "zigzag",
        "relu-race",
        "dead-units",
        "preprocessing",
        "initialization",
        "saturation",
        "batchnorm",
        "learning-rate",
        "random-vs-grid",
        "update-ratio",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_it_is(name):
    found = experiment(name)
    assert isinstance(found, Experiment)
    assert found.name == name
    assert found.about.endswith(".")
    assert found.slides.startswith("'")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"zig-zag.*\n.*zigzag"):
        experiment("zig-zag")


def test_unknown_data_lists_the_known_ones():
    with pytest.raises(InputError, match=r"imagenet.*\n.*digits, cifar10, fashion-mnist"):
        raw_data(Options(data="imagenet"))


def test_unit_data_has_unit_features_and_no_more_rows_than_asked():
    data = unit_data(Options(), 500)
    x = data.inputs(data.train.x).reshape(500, -1)
    assert abs(x.mean(0)).max() < 1e-5
    spread = x.std(0)
    assert ((abs(spread - 1) < 1e-4) | (spread == 0)).all()  # pixels that never vary stay 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_data_is_plain_and_holds_no_nan(outcome, name):
    json.dumps(outcome(name).data, allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tables_and_lines_can_be_printed(outcome, name):
    found = outcome(name)
    assert found.remark.endswith(".")
    assert all(isinstance(line, str) and "\n" not in line for line in found.lines)
    assert found.tables
    for table in found.tables:
        assert table.rows
        for row in table.rows:
            assert len(row) == len(table.headings), table.title
            assert all(isinstance(cell, str) and cell and "nan" not in cell for cell in row), row


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_figures_save_as_png_of_1200_pixels_and_svg(outcome, name, tmp_path):
    files = save(outcome(name), tmp_path / "made")
    assert [path.suffix for path in files] == [".png", ".svg"] * len(outcome(name).figures)
    for path in files:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width == 1200
        else:
            assert "</svg>" in path.read_text()[-20:]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_names_its_axes(outcome, name):
    for draw in outcome(name).figures.values():
        figure = draw()
        panels = [axes for axes in figure.axes if axes.axison]
        for axes in panels:
            shared = axes.get_shared_x_axes().get_siblings(axes)
            assert any(other.get_xlabel() for other in shared) or figure.get_supxlabel()
        assert figure.get_suptitle() == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_numbers(outcome, name):
    again = experiment(name).run(Options(quick=True))
    assert without_times(again.data) == without_times(outcome(name).data)


def test_another_seed_gives_other_numbers(outcome):
    assert outcome("zigzag", seed=1).data != outcome("zigzag").data


@pytest.mark.slow
def test_the_lab_loads_no_matplotlib_until_something_is_drawn():
    code = "import sys, babysit.lab.catalogue; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_matplotlibs_settings_alone(outcome):
    import matplotlib

    before = dict(matplotlib.rcParams)
    next(iter(outcome("zigzag").figures.values()))()
    assert dict(matplotlib.rcParams) == before


def without_matplotlib(*lines):
    code = "\n".join(["import sys", "sys.modules['matplotlib'] = None", *lines])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("words", [["lab", "zigzag"], ["lab", "zigzag", "--json"]], ids=" ".join)
def test_without_matplotlib_an_experiment_names_the_extra_to_install(words, tmp_path):
    out = tmp_path / "made"
    done = without_matplotlib(
        f"sys.argv = {['babysit', *words, '--out', str(out)]!r}",
        "from babysit.cli.main import main",
        "main()",
    )
    assert done.returncode == 2
    assert "matplotlib, which is not installed" in done.stderr
    assert 'fix: pip install "babysit[lab]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--help", "lab", "lab --help"])
def test_without_matplotlib_the_command_line_works(words):
    done = without_matplotlib(
        f"sys.argv = {['babysit', *words.split()]!r}", "from babysit.cli.main import main", "main()"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_without_matplotlib_the_catalogue_and_the_dashboard_work():
    done = without_matplotlib(
        "from babysit.session.lab_cache import laboratory",
        "from babysit.views.dashboard.app import create_app",
        "from babysit.lab.catalogue import experiment",
        "from babysit.lab.experiment import Options",
        "assert laboratory().card('zigzag').title",
        "assert experiment('zigzag').run(Options(quick=True)).tables",
    )
    assert done.returncode == 0, done.stderr
