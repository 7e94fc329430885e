from __future__ import annotations

import json
import sys
from typing import NamedTuple

import pytest

from babysit.cli.main import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture
def babysit(monkeypatch, capsys, tmp_path):
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["babysit", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Answer(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def recipe_file(tmp_path):
    """Writes a recipe file; ``data`` and ``model`` are the bodies of the two functions."""

    def write(data="return bs.data.digits()", model="return bs.nn.two_layer(64, hp.hidden)", **options):
        settings = {"space": "dict(learning_rate=bs.log_uniform(1e-4, 1e-2), hidden=20)", **options}
        arguments = ", ".join(f"{name}={value}" for name, value in settings.items())
        path = tmp_path / "recipe.py"
        path.write_text(
            "import babysit as bs\nimport numpy as np\nimport torch\nfrom torch import nn\n\n"
            f"def data():\n    {data}\n\ndef model(hp):\n    {model}\n\n"
            f"recipe = bs.Recipe(data, model, {arguments})\n"
        )
        return path

    return write
