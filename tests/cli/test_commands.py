"""Every command as a user types it: what is printed, what is left behind, which exit code."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from safetensors.torch import load_file

SHORT = ("--stages", "coarse:6x1,fine:4x2,final:1x3")


@pytest.mark.slow
def test_check_prints_one_json_document_and_nothing_else(babysit):
    answer = babysit("check", "digits", "--json")
    assert answer.code == 0
    checks = answer.data["checks"]
    assert [check["name"] for check in checks] == [
        "initial_loss",
        "regularization_raises_loss",
        "overfits_tiny_subset",
        "learning_rate_bracket",
        "gradients_match",
    ]
    assert {check["status"] for check in checks} == {"pass"}
    assert (answer.data["healthy"], answer.data["causes"]) == (True, [])
    assert all({"name", "status", "value", "expected", "advice"} <= set(check) for check in checks)
    assert "initial loss" in answer.err


@pytest.mark.slow
def test_a_failed_check_exits_with_1_and_says_what_to_do(babysit):
    files = ("--sarif", "found.sarif", "--html", "found.html")
    answer = babysit("check", "digits", "-s", "learning_rate=1e-9", *files)
    assert answer.code == 1
    assert "fail" in answer.out
    assert "search there" in " ".join(answer.out.split())
    assert "digits: not healthy before training: 1 error" in answer.out
    results = json.loads(Path("found.sarif").read_text())["runs"][0]["results"]
    (result,) = [each for each in results if each["level"] == "error"]
    assert (result["ruleId"], result["level"]) == ("learning_rate_outside_usable_range", "error")
    assert "search there" in Path("found.html").read_text()


def test_train_prints_the_lectures_line_each_epoch(babysit):
    answer = babysit("train", "digits", "-s", "learning_rate=1e-2", "-s", "epochs=3", "-s", "l2=1e-4")
    assert answer.code == 0
    lines = [line for line in answer.out.splitlines() if line.startswith("Finished epoch")]
    pattern = r"Finished epoch \d / 3: cost \d\.\d{6}, train: \d\.\d{6}, val \d\.\d{6}, lr \d\.\d{6}e[+-]\d\d"
    assert len(lines) == 3
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert "digits: healthy after 3 epochs: nothing wrong in" in answer.out
    assert "middle of its range" not in answer.out


def test_train_says_which_values_it_chose_itself(babysit):
    answer = babysit("train", "digits", "-s", "epochs=1")
    assert "learning_rate = 1e-3, the middle of its range" in answer.out


def test_train_json_has_the_promised_keys(babysit, tmp_path):
    data = babysit("train", "digits", "-s", "epochs=2", "-s", "learning_rate=1e-2", "--json").data
    assert {"run", "state", "cost", "train_accuracy", "val_accuracy", "epochs", "findings"} <= set(data)
    assert data["verdict"] in ("healthy", "undecided")
    assert data["healthy"] is (data["verdict"] == "healthy")
    assert (data["state"], data["epochs"], data["findings"]) == ("complete", 2, [])
    assert set(load_file(tmp_path / data["weights"])) == {"1.weight", "1.bias", "3.weight", "3.bias"}


def test_an_exploded_run_exits_with_1_without_an_accuracy_and_with_its_verdict(babysit):
    answer = babysit("train", "digits", "-s", "learning_rate=1e6", "--json")
    assert answer.code == 1
    assert answer.data["state"] == "exploded"
    assert answer.data["val_accuracy"] is None
    assert answer.data["train_accuracy"] is None
    assert answer.data["findings"][0]["rule"] == "loss_exploded"
    assert answer.data["verdict"] == "unhealthy"
    assert "Finished epoch" not in answer.err


@pytest.mark.slow
def test_search_json_has_the_promised_keys_and_leaves_report_and_weights(babysit, tmp_path):
    answer = babysit("search", "digits", *SHORT, "--json")
    assert answer.code == 0
    data = answer.data
    assert {
        "study",
        "best",
        "stages",
        "edges",
        "silenced",
        "ties",
        "importance",
        "importance_note",
        "advice",
        "states",
        "wall_seconds",
        "trial_steps_per_second",
    } <= set(data)
    assert {"val_accuracy", "hyperparameters"} <= set(data["best"])
    assert sum(data["states"].values()) == 10
    assert [stage["name"] for stage in data["stages"]] == ["coarse", "fine"]
    assert data["final"]["test_examples"] == 360
    assert "<svg" in (tmp_path / data["report"]).read_text()
    assert load_file(tmp_path / data["final"]["weights"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_search_and_another_a_different_one(babysit):
    one, same, other = (
        babysit("search", "digits", *SHORT, "--json", "--seed", seed).data for seed in (1, 1, 2)
    )
    assert one["best"] == same["best"]
    assert one["final"]["test_accuracy"] == same["final"]["test_accuracy"]
    assert one["best"]["hyperparameters"] != other["best"]["hyperparameters"]


@pytest.mark.slow
def test_a_search_until_stable_has_so_many_further_stages_at_most(babysit):
    options = ("--stages", "coarse:8x1", "--until-stable", "--extra-stages", "1", "--json")
    answer = babysit("search", "digits", *options)
    assert [stage["name"] for stage in answer.data["stages"]] == ["coarse", "coarse+1"]
    assert "importance of the hyperparameters" in answer.err
    assert {knob["name"] for knob in answer.data["importance"][0]["knobs"]} == {"learning_rate", "l2"}


@pytest.mark.slow
def test_a_setting_may_be_a_range(babysit):
    data = babysit("search", "digits", "--stages", "coarse:6x1", "-s", "hidden=choice(5, 7)", "--json").data
    assert data["stages"][0]["box"]["hidden"] == {"kind": "choice", "choices": [5, 7]}
    assert data["best"]["hyperparameters"]["hidden"] in (5, 7)


@pytest.mark.slow
def test_demo_shows_the_whole_method_and_reaches_its_accuracy(babysit):
    answer = babysit("demo", "--json")
    assert answer.code == 0
    data = answer.data
    assert sum(data["states"].values()) == 150
    assert data["final"]["test_accuracy"] >= 0.96
    assert " ".join(answer.err.split()).count("test accuracy") == 1
    assert "babysit new my_recipe.py" in answer.err
    assert Path(data["report"]).exists()


@pytest.mark.slow
def test_new_writes_a_recipe_that_checks_and_searches(babysit):
    assert babysit("new", "mine.py").code == 0
    assert babysit("check", "mine.py").code == 0
    assert babysit("search", "mine.py", *SHORT).code == 0
    again = babysit("new", "mine.py")
    assert again.code == 2
    assert "exists already" in again.err


@pytest.mark.slow
def test_runs_lists_what_was_done_newest_first(babysit):
    babysit("train", "digits", "-s", "epochs=1", "--name", "first")
    babysit("search", "digits", *SHORT, "--name", "second")
    answer = babysit("runs", "--json")
    assert [study["name"] for study in answer.data["studies"]] == ["second", "first"]
    assert "second" in answer.err


def test_report_of_the_newest_study_and_of_one_by_number(babysit, tmp_path):
    babysit("train", "digits", "-s", "epochs=1", "--name", "<b>bold</b>")
    babysit("train", "digits", "-s", "epochs=1", "--name", "plain")
    newest = babysit("report", "--json").data
    assert newest["study"] == 2
    first = babysit("report", "1", "--json").data
    text = (tmp_path / first["report"]).read_text()
    assert "<b>bold</b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


def test_a_second_command_reads_while_the_store_is_being_written(babysit, tmp_path):
    from babysit.store.writer import Writer

    with Writer(f"sqlite:///{tmp_path}/babysit-runs/babysit.sqlite") as writer:
        writer.begin_study(name="live", recipe="digits", kind="search", seed=0, fingerprint="f", settings={})
        answer = babysit("runs", "--json")
    assert answer.data["studies"][0]["state"] == "running"


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "check",
        "train",
        "search",
        "report",
        "new",
        "runs",
        "show",
        "compare",
        "export",
        "import",
        "lab",
    ],
)
def test_every_command_has_help_with_an_example(babysit, command):
    answer = babysit(command, "--help")
    assert answer.code == 0
    assert f"Example: babysit {command}" in " ".join(answer.out.split())


@pytest.mark.slow
def test_regression_from_a_table(babysit, recipe_file, tmp_path):
    rows = "\n".join(f"{x / 50},{(x * 7 % 13) / 13},{3 * x / 50 - 1:.4f}" for x in range(200))
    (tmp_path / "line.csv").write_text("a,b,target\n" + rows + "\n")
    path = recipe_file(
        data="return bs.data.csv('line.csv', label='target', task='regression', "
        "preprocess=[bs.data.Standardize()])",
        model="return bs.nn.two_layer(2, hp.hidden, 1)",
        loss="'mse'",
        batch_size=20,
    )
    trained = babysit("train", path, "-s", "epochs=20", "-s", "learning_rate=1e-2", "--json")
    assert trained.code == 0, trained.err
    assert trained.data["val_accuracy"] is None
    searched = babysit("search", path, "--stages", "coarse:6x10,final:1x20", "--json")
    assert searched.code == 0, searched.err
    assert searched.data["best"]["val_loss"] < 4  # the targets' variance is 12
    assert searched.data["best"]["val_accuracy"] is None


@pytest.mark.slow
def test_the_store_is_plain_sqlite(babysit, tmp_path):
    babysit("search", "digits", *SHORT)
    connection = sqlite3.connect(tmp_path / "babysit-runs" / "babysit.sqlite")
    (count,) = connection.execute("select count(*) from trials").fetchone()
    connection.close()
    assert count == 10


def test_json_never_holds_nan(babysit):
    out = babysit("train", "digits", "-s", "learning_rate=1e30", "--json").out
    json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in the document"))


@pytest.mark.slow
def test_a_search_in_which_everything_explodes_exits_with_1(babysit):
    answer = babysit("search", "digits", "--stages", "coarse:4x1", "-s", "learning_rate=1e6", "--json")
    assert answer.code == 1
    assert answer.data["best"] is None
    assert "well inside" not in answer.err


@pytest.mark.slow
def test_a_name_of_any_kind_makes_safe_file_names(babysit, tmp_path):
    name = "../" + "käse [b]" * 40
    data = babysit("search", "digits", *SHORT, "--name", name, "--json").data
    assert (tmp_path / data["report"]).parent == tmp_path / "babysit-runs"
    assert len(Path(data["report"]).name) < 90
    assert (tmp_path / data["final"]["weights"]).is_file()


def test_two_stores_that_share_a_folder_keep_both_models(babysit):
    one = babysit("train", "digits", "-s", "epochs=1", "--store", "a.sqlite", "--json").data["weights"]
    words = ("train", "digits", "-s", "epochs=1", "-s", "hidden=7", "--store", "b.sqlite", "--json")
    other = babysit(*words).data["weights"]
    assert one != other
    assert Path(one).is_file()


@pytest.mark.slow
def test_the_final_line_names_the_trial_that_was_scored(babysit):
    data = babysit("search", "digits", "--stages", "coarse:8x2,final:3x3", "--json")
    stage, number = data.data["final"]["trial"]
    assert f"trial {stage}/{number}, retrained for 3 epochs" in " ".join(data.err.split())


def test_a_point_of_ones_own_is_tried_first(babysit):
    words = ("--stages", "coarse:3x1", "--enqueue", "learning_rate=1e-2,l2=1e-4", "-s", "hidden=10", "--json")
    answer = babysit("search", "digits", *words)
    assert answer.code == 0
    assert "trial 0 was enqueued" in answer.data["stages"][0]["reason"]
    rows = sqlite3.connect("babysit-runs/babysit.sqlite").execute("select * from trials").fetchall()
    assert '"learning_rate": 0.01' in str(rows[0])
    assert '"l2": 0.0001' in str(rows[0])
    assert '"learning_rate": 0.01' not in str(rows[1:])


@pytest.mark.slow
def test_rules_and_their_parameters_are_searched_from_the_command_line(babysit):
    settings = (
        "update=choice(sgd, adam)",
        "beta1=when(update, adam, uniform(0.8, 0.95))",
        "preprocessing=choice(mean_image, standardize)",
        "hidden=10",
    )
    words = [word for setting in settings for word in ("-s", setting)]
    answer = babysit("search", "digits", "--stages", "coarse:5x1", *words)
    assert answer.code == 0
    assert "adam" in answer.out
    assert babysit("report").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--enqueue", "l3=1"),
        ("--enqueue", "learning_rate=1e9"),
        ("--enqueue", "learning_rate"),
        ("-s", "momentum=when(updaet, momentum, uniform(0.5, 0.9))"),
        ("-s", "l2=loguniform(1e-5, 1)"),
        ("-s", "preprocessing=whitened"),
        ("--enqueue", "l2=1", "--enqueue", "l2=2", "--stages", "coarse:1x1"),
    ],
)
def test_a_space_or_point_that_makes_no_sense_exits_with_2_and_a_fix(babysit, words):
    answer = babysit("search", "digits", *words)
    assert answer.code == 2
    assert "fix" in answer.err
    assert "Traceback" not in answer.err
