"""`babysit export` and `babysit import`, and that every command reads what was imported."""

from __future__ import annotations

import json
import shutil

import pyarrow.csv
import pyarrow.parquet
import pytest

import babysit as bs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    space = {"learning_rate": bs.log_uniform(1e-3, 1e3), "update": bs.choice("sgd", "adam"), "hidden": 5}
    recipe = bs.Recipe(bs.data.digits, lambda hp: bs.nn.two_layer(64, hp.hidden), space=space)
    bs.search(recipe, stages="coarse:4x2", folder=folder)
    return folder


@pytest.fixture
def searched(babysit, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "babysit-runs")
    return babysit


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_a_table_of_trials(searched, tmp_path, form):
    path = tmp_path / "out" / f"trials.{form}"
    answer = searched("export", "1", "--to", path, "--json")
    assert (answer.code, answer.data["trials"]) == (0, 4)
    shown = searched("show", "1", "--json").data["trials"]
    if form == "json":
        rows = json.loads(path.read_text())
        assert [len(row.pop("readings")) for row in rows] == [row["epochs"] for row in shown]
    else:
        read = pyarrow.csv.read_csv if form == "csv" else pyarrow.parquet.read_table
        rows = read(path).to_pylist()
    for row, expected in zip(rows, shown, strict=True):
        assert {name: row[name] or None for name in row} == {
            name: value or None for name, value in expected.items()
        }


def test_another_ending_is_refused(searched):
    answer = searched("export", "1", "--to", "trials.xlsx")
    assert answer.code == 2
    assert ".csv, .parquet, .json" in answer.err


@pytest.mark.slow
def test_to_optuna_and_back_for_every_command(searched, tmp_path):
    out = searched("export", "1", "--to", "optuna:sqlite:///trials.db:mine", "--json")
    assert (out.code, out.data["to"]) == (0, "sqlite:///trials.db, study mine")
    back = searched("import", "optuna:sqlite:///trials.db", "--json")
    assert (back.code, back.data) == (0, {"study": 2, "trials": 4})
    ours, theirs = (searched("show", f"{study}/best", "--json").data for study in (1, 2))
    assert theirs["hyperparameters"] == ours["hyperparameters"]
    assert [one["val_accuracy"] for one in theirs["readings"]] == [
        one["val_accuracy"] for one in ours["readings"]
    ]
    assert searched("compare", "1/best", "2/best", "--json").data["differing"] == []
    assert searched("runs", "--json").data["studies"][0]["kind"] == "imported"
    page = searched("report", "2", "--json").data["report"]
    assert "<svg" in (tmp_path / page).read_text()
    assert searched("show", "2").code == 0
    assert searched("export", "2", "--to", "again.csv").code == 0
    assert searched("export", "1", "--to", "optuna:sqlite:///trials.db:mine").code == 2


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("trials.db", "cannot read the address"),
        ("optuna:sqlite:///none.db", "there is no file none.db"),
        ("optuna:nonsense:///x", "the store nonsense:///x failed"),
    ],
)
def test_an_address_that_leads_nowhere(babysit, address, answer):
    got = babysit("import", address)
    assert got.code == 2
    assert answer in " ".join(got.err.split())
    assert "Traceback" not in got.err
