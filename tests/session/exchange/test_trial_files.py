"""Tables of trials whose columns hold values of several kinds, or nothing."""

from __future__ import annotations

import json

import pyarrow.csv
import pyarrow.parquet
import pytest

from babysit.errors import InputError
from babysit.records import Result, Run, Stage, State, Study, Trial
from babysit.session.exchange.trial_files import write_trials
from babysit.views.data.study import StudyView

CHOICES = [
    {"hidden": 5, "width": 1, "mixed": "auto"},
    {"hidden": 6, "width": 0.5, "mixed": 3, "seconds": "no"},
    {"hidden": 7, "width": 2, "mixed": True},
]


def view_of(choices):
    study = Study(1, "net", "net.py", "search", 3, "f", {}, State.COMPLETE, 0.0)
    results = [
        Result(Trial(0, n, choice), Run(State.FAILED, message='a, "b"\nc'))
        for n, choice in enumerate(choices)
    ]
    return StudyView(study, stages=(Stage(0, "coarse", {}, 3, 3),), results=results)


def test_a_column_has_one_type_and_a_name_of_its_own(tmp_path):
    assert write_trials(view_of(CHOICES), tmp_path / "trials.parquet") == 3
    table = pyarrow.parquet.read_table(tmp_path / "trials.parquet")
    assert table["hidden"].to_pylist() == [5, 6, 7]
    assert table["width"].to_pylist() == [1.0, 0.5, 2.0]
    assert table["mixed"].to_pylist() == ["auto", "3", "True"]
    assert table["hyperparameter_seconds"].to_pylist() == [None, "no", None]
    write_trials(view_of(CHOICES), tmp_path / "trials.csv")
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert (
        pyarrow.csv.read_csv(tmp_path / "trials.csv", parse_options=options)["message"][0].as_py()
        == 'a, "b"\nc'
    )


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_no_trials_is_an_empty_table_and_no_folder_an_error(tmp_path, form):
    assert write_trials(view_of([]), tmp_path / f"none.{form}") == 0
    if form == "json":
        assert json.loads((tmp_path / "none.json").read_text()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_trials(view_of(CHOICES), tmp_path / "file" / f"trials.{form}")
