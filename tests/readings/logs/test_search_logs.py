"""The trials of a search as every tool keeps them: the lecture's fine search, told in each of these ways."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from babysit.errors import InputError
from babysit.readings.logs import lecture_trials
from babysit.readings.logs.ranges import parse_range
from babysit.readings.logs.trial_tables import read
from babysit.recipe.space import log_uniform
from babysit.records import State
from babysit.session.diagnose import SearchDiagnosis, diagnose_log

FINE = lecture_trials.read((Path(__file__).parent / "lecture" / "row101_fine.txt").read_text())
TRIALS = [(r.score, r.trial.hyperparameters["learning_rate"], r.trial.hyperparameters["l2"]) for r in FINE]
NAN = float("nan")
EXPLODED = (NAN, 9.9e-4, 0.5)


def sheet(names, rows, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([names, *rows])
    return out.getvalue()


def plain_csv(found):
    return sheet(["lr", "l2", "val_acc"], [(lr, l2, acc) for acc, lr, l2 in found])


def plain_tsv(found):
    """With the score in percent, among other columns."""
    rows = [(n, lr, l2, 512, f"{100 * acc:.1f}", 31.5 + n) for n, (acc, lr, l2) in enumerate(found)]
    return sheet(["trial", "lr", "l2", "hidden", "best_val_acc", "time"], rows, "\t")


def json_lines(found):
    rows = ({"lr": lr, "l2": l2, "val_loss": 1 - acc, "seed": n} for n, (acc, lr, l2) in enumerate(found))
    return "\n".join(map(json.dumps, rows))


def json_list(found):
    rows = [{"params": {"lr": lr, "l2": l2}, "value": acc} for acc, lr, l2 in found]
    return json.dumps({"trials": rows}, indent=1)


def optuna_frame(found):
    """What study.trials_dataframe().to_csv() writes."""
    date, short = "2024-05-01 10:00:00.000001", "0 days 00:00:01"
    rows = [
        (
            n,
            n,
            "" if math.isnan(acc) else acc,
            date,
            date,
            short,
            l2,
            lr,
            "FAIL" if acc != acc else "COMPLETE",
        )
        for n, (acc, lr, l2) in enumerate(found)
    ]
    names = ["", "number", "value", "datetime_start", "datetime_complete", "duration"]
    return sheet([*names, "params_l2", "params_lr", "state"], rows)


def optuna_lines(found):
    """What Optuna prints while it searches."""
    lines, best = ["[I 2024-05-01 10:00:00,042] A new study created in memory with name: x"], (-1.0, -1)
    for n, (acc, lr, l2) in enumerate(found):
        told = f"parameters: {{'lr': {lr}, 'l2': {l2}}}"
        if math.isnan(acc):
            error = "because of the following error: The value nan is not acceptable."
            lines.append(f"[W 2024-05-01 10:00:01,050] Trial {n} failed with {told} {error}")
            continue
        best = max(best, (acc, -n))
        end = f"Best is trial {-best[1]} with value: {best[0]}."
        lines.append(f"[I 2024-05-01 10:00:01,043] Trial {n} finished with value: {acc} and {told}. {end}")
    return "\n".join(lines)


def ray_results(found):
    """What ResultGrid.get_dataframe().to_csv() writes."""
    rows = [(acc, 5, f"ab12_{n:05d}", 1714550000 + n, 3.2, lr, l2) for n, (acc, lr, l2) in enumerate(found)]
    names = ["mean_accuracy", "training_iteration", "trial_id", "timestamp", "time_total_s"]
    return sheet([*names, "config/lr", "config/l2"], rows)


def ray_iterations(found):
    """The result.json of all trials, one after another: one line an iteration."""
    return "\n".join(
        json.dumps(
            {
                "mean_accuracy": acc * share,
                "training_iteration": at,
                "trial_id": f"ab12_{n:05d}",
                "config": {"lr": lr, "l2": l2},
            }
        )
        for n, (acc, lr, l2) in enumerate(found)
        for at, share in enumerate((0.5, 1.0, 0.9), 1)
    )


def wandb_export(found):
    rows = [
        (f"bright-sun-{n}", "crashed" if acc != acc else "finished", 9, lr, l2, "" if acc != acc else acc, 3)
        for n, (acc, lr, l2) in enumerate(found)
    ]
    names = ["Name", "State", "Runtime", "learning_rate", "l2", "val/accuracy", "_step"]
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    return out.getvalue()


def keras_tuner(found):
    space = [
        {
            "class_name": "Float",
            "config": {"name": name, "min_value": 1e-4, "max_value": high, "sampling": "log"},
        }
        for name, high in (("lr", 1e-3), ("l2", 1.0))
    ]
    documents = [
        {
            "trial_id": f"{n:02d}",
            "hyperparameters": {"space": space, "values": {"lr": lr, "l2": l2, "tuner/epochs": n}},
            "metrics": {
                "metrics": {
                    "loss": {"direction": "min", "observations": [{"value": [1.4], "step": 0}]},
                    "val_accuracy": {"direction": "max", "observations": [{"value": [acc], "step": 0}]},
                }
            },
            "score": None if acc != acc else acc,
            "best_step": 0,
            "status": "FAILED" if acc != acc else "COMPLETED",
        }
        for n, (acc, lr, l2) in enumerate(found)
    ]
    return "\n".join(map(json.dumps, documents))


def sklearn_results(found):
    rows = [(n, 0.5, lr, l2, acc - 0.01, acc + 0.01, acc, 0.01, 1) for n, (acc, lr, l2) in enumerate(found)]
    names = ["", "mean_fit_time", "param_lr", "param_l2", "split0_test_score", "split1_test_score"]
    return sheet([*names, "mean_test_score", "std_test_score", "rank_test_score"], rows)


FORMS = (plain_csv, plain_tsv, json_lines, json_list, optuna_frame, optuna_lines, ray_results, ray_iterations)
FORMS += (wandb_export, keras_tuner, sklearn_results)


def answer(tmp_path, text, **options):
    path = tmp_path / "log"
    path.write_text(text)
    found = diagnose_log(str(path), **options)
    assert isinstance(found, SearchDiagnosis)
    return found


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_lecturers_answer(tmp_path, form):
    """0.531 at 0.976 of the rate's range is worrying; regularization, at 0.289 of its own, is not."""
    found = answer(tmp_path, form([*TRIALS, EXPLODED]))
    best = found.ranked[0].trial.hyperparameters
    assert (best["learning_rate"], best["l2"]) == (9.471549e-4, 1.433895e-3)
    assert len(found.ranked) == len(TRIALS)
    assert "23 trials" in found.recognized
    assert "1 without a score" in found.recognized
    (edge,) = found.edges
    assert (edge.name, edge.side) == ("learning_rate", "upper")
    assert edge.position == pytest.approx(0.976, abs=5e-4)
    assert found.positions["l2"] == pytest.approx(0.289, abs=5e-4)
    assert found.next["learning_rate"].high > 1e-3
    assert not found.healthy


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_told_range_decides_where_the_edge_is(tmp_path, form):
    found = answer(tmp_path, form(TRIALS), ranges={"learning_rate": log_uniform(1e-6, 1e-2)})
    assert found.edges == ()
    assert found.positions["learning_rate"] == pytest.approx(0.744, abs=1e-3)
    assert found.healthy


def test_a_folder_of_trials_is_one_search(tmp_path):
    for number, document in enumerate(keras_tuner(TRIALS).splitlines()):
        (tmp_path / "study" / f"trial_{number:02d}").mkdir(parents=True)
        (tmp_path / "study" / f"trial_{number:02d}" / "trial.json").write_text(document)
    assert len(diagnose_log(str(tmp_path / "study")).edges) == 1


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("lr,dropout,val_acc", "maximize"),
        ("lr,dropout,val_loss", "minimize"),
        ("lr,dropout,rmse", "minimize"),
        ("lr,dropout,f1", "maximize"),
        ("lr,dropout,loss", "minimize"),
        ("params_lr,params_dropout,value", "maximize"),
    ],
)
def test_the_name_of_a_score_says_which_way_is_better(names, expected):
    found = read(f"{names}\n0.1,0.5,0.6\n0.01,0.3,0.2\n0.001,0.4,0.4")
    assert found.direction == expected
    assert bool(found.guessed) is names.endswith("value")


@pytest.mark.parametrize("towards", ["maximize", "minimize"])
def test_pruned_trials_and_optunas_own_best_tell_the_direction(towards):
    pruned = 0.1 if towards == "maximize" else 0.9
    rows = [(n, 0.4 + 0.01 * n, 10.0**-n, "COMPLETE") for n in range(1, 5)]
    rows += [(n, pruned, 10.0**-n, "PRUNED") for n in (5, 6)]
    frame = read(sheet(["number", "value", "params_lr", "state"], rows))
    assert frame.direction == towards
    assert [result.run.state for result in frame.results[-2:]] == [State.PRUNED] * 2
    values, lines = ((0.3, 0.5) if towards == "maximize" else (0.5, 0.3)), []
    for n, value in enumerate(values):
        told = f"Trial {n} finished with value: {value} and parameters: {{'lr': {10.0**-n}}}."
        lines.append(f"{told} Best is trial {n} with value: {value}.")
    found = read("\n".join(lines))
    assert (found.direction, found.guessed) == (towards, "")


def test_a_told_direction_wins(tmp_path):
    text = plain_csv(TRIALS)
    assert answer(tmp_path, text, direction="minimize").ranked[0].score == -0.46
    with pytest.raises(InputError, match="--direction up"):
        diagnose_log(str(tmp_path / "log"), direction="up")


def test_choices_are_narrowed_and_never_at_an_edge(tmp_path):
    rows = [(10.0 ** (-1 - n / 4), ("sgd", "adam")[n % 2], 2 + n % 3, 0.5 + 0.1 * (n % 2)) for n in range(12)]
    found = answer(tmp_path, sheet(["lr", "optimizer", "layers", "val_acc"], rows))
    assert set(found.box) == {"learning_rate"}
    assert str(found.next["optimizer"]) == "one of adam"


def test_a_search_that_exploded_as_a_whole_has_no_best(tmp_path):
    with pytest.raises(InputError, match="no trial"):
        answer(tmp_path, "lr,l2,val_loss\n1,2,nan\n2,3,inf\n5,4,nan")


@pytest.mark.parametrize(
    "text",
    [
        "epoch,lr,train_loss,val_acc\n1,0.1,0.9,0.5\n2,0.01,0.8,0.6\n3,0.1,0.7,0.65",
        "loss,lr\n0.9,0.1\n0.8,0.09\n0.7,0.05",
        '{"epoch": 1, "loss": 0.9, "lr": 0.1}\n{"epoch": 2, "loss": 0.8, "lr": 0.01}',
        "lr,l2,val_acc\n0.1,0.2,0.5",
        "name,age\nada,36\nalan,41",
    ],
)
def test_a_training_is_no_search(text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr", "cannot read"),
        ("lr=1e-3", "cannot read"),
        ("lr=1:2:3", "cannot read"),
        ("lr=a:b", "cannot read"),
        ("=1:2", "cannot read"),
        ("lr=1:1", "cannot read"),
        ("lr=-1:1:log", "above 0"),
        ("lr=0:inf", "finite"),
    ],
)
def test_a_range_that_cannot_be_read(text, said):
    with pytest.raises(InputError, match=said):
        parse_range(text)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [({"momentum": log_uniform(0.5, 0.9)}, "no such"), ({"learning_rate": log_uniform(1, 2)}, "outside")],
)
def test_a_told_range_that_does_not_fit_the_trials(tmp_path, ranges, said):
    with pytest.raises(InputError, match=said):
        answer(tmp_path, plain_csv(TRIALS), ranges=ranges)
