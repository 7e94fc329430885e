"""How trials compute together is told with its reason, and can be asked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from babysit.cli.main import app
from babysit.cli.options import Way
from babysit.training.lowering import WAYS


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_command_line_knows_every_way():
    assert [str(way) for way in Way] == list(WAYS)


@pytest.mark.slow
def test_a_search_says_how_and_why(run):
    found = run("search", "digits", "--stages", "coarse:3x1,final:1x1")
    assert found.exit_code == 0
    assert "trials train together: fused (every layer is known: 1 Flatten, 2 Linear, 1 ReLU)" in found.output


@pytest.mark.slow
@pytest.mark.parametrize("way", ["vmap", "serial"])
def test_another_way_can_be_asked_for(run, way):
    found = run("search", "digits", "--stages", "coarse:3x1,final:1x1", "--way", way)
    assert found.exit_code == 0
    assert f"trials train together: {way} (as asked" in found.output


def test_a_way_that_is_impossible_is_an_error_with_its_fix(run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import babysit as bs\n"
        "from torch import nn\n"
        "class Branching(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.inner = nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        "        y = self.inner(x.flatten(1))\n"
        "        return y if y.sum() > 0 else -y\n"
        "recipe = bs.Recipe(bs.data.digits, lambda hp: Branching(),\n"
        "                   space=dict(learning_rate=bs.log_uniform(1e-4, 1e-2)))\n"
    )
    found = run("search", "mine.py", "--way", "fused", "--stages", "coarse:2x1")
    assert found.exit_code == 2
    assert "cannot train as 'fused'" in found.output
    assert "serial" in found.output
    assert "Traceback" not in found.output
