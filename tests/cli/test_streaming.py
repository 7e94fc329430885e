"""Data that stay in files, from the command line: the whole method on them, and what happens to a bad row."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.data.batches import Batches, evaluation_inputs
from babysit.data.sources import digits

SEARCH = ("--stages", "coarse:4x1", "--workers", "1", "--seed", "3", "--json")
FROM_FILES = (
    "return bs.data.npy('x.npy', 'y.npy', 'x_val.npy', 'y_val.npy', preprocess=[bs.data.Standardize()])"
)
IN_MEMORY = (
    "return bs.data.arrays(*(np.load(f'{name}.npy') for name in ('x', 'y', 'x_val', 'y_val')), "
    "preprocess=[bs.data.Standardize()])"
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The digits in ``.npy`` files, as if they were too large to be held in any form."""
    data = digits()
    for name, part in (("", data.train), ("_val", data.val)):
        np.save(tmp_path / f"x{name}.npy", part.x.astype(np.float32))
        np.save(tmp_path / f"y{name}.npy", part.y)
    monkeypatch.setitem(Batches.__init__.__kwdefaults__, "in_memory_bytes", 0)
    monkeypatch.setitem(evaluation_inputs.__kwdefaults__, "held_bytes", 0)
    return tmp_path


def outcome(answer):
    """What a search found, without what tells of time and place."""
    assert answer.code == 0, answer
    final = answer.data["final"]
    return answer.data["best"], answer.data["stages"], final["readings"], final["costs"], final["val_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("folds", [(), ("--folds", "3")])
def test_a_search_on_files_is_that_in_memory(files, babysit, recipe_file, folds):
    found = []
    for data in (FROM_FILES, IN_MEMORY):
        recipe_file(data=data)
        found.append(outcome(babysit("search", "recipe.py", *SEARCH, *folds, "--out", str(len(found)))))
    assert found[0] == found[1]


@pytest.mark.slow
def test_the_checks_run_on_files(files, babysit, recipe_file):
    recipe_file(data=FROM_FILES)
    answer = babysit("check", "recipe.py", "-s", "learning_rate=1e-2")
    assert answer.code == 0, answer


@pytest.mark.slow
def test_a_bad_row_ends_the_search_with_its_place_and_resume_goes_on(files, babysit, recipe_file):
    x = np.lib.format.open_memmap(files / "x.npy", mode="r+")
    row = 700  # among those that nobody looks at before the training
    x[row, 0, 2, 5] = np.nan
    recipe_file(data=FROM_FILES.replace(", preprocess=[bs.data.Standardize()]", ""))
    answer = babysit("search", "recipe.py", *SEARCH)
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err
    assert f"x.npy holds nan in row {row} (from 0), position [0, 2, 5]" in " ".join(answer.err.split())
    x[row, 0, 2, 5] = 0
    x.flush()
    assert babysit("search", "recipe.py", *SEARCH, "--resume").code == 0
