"""`babysit verify`, and `--precision` on the commands that train."""

from __future__ import annotations

import pytest

from babysit.session.jobs.job import Job, fingerprint_of, open_job
from babysit.session.jobs.train import _checkpoint
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.engines.events import EpochDone
from babysit.tuning.engines.local import InProcess, Processes
from babysit.tuning.stages import draw_trials

QUICK = ("--members", 2, "--steps", 5)
SMALL = ("--stages", "coarse:3x1,final:1x1")


def words_of(text):
    return " ".join(text.split())


def assert_refused(answer, *words):
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err + answer.out
    assert all(word in words_of(answer.err) for word in (*words, "fix:")), answer.err


def test_verify_prints_the_way_the_differences_and_the_verdict(babysit):
    answer = babysit("verify", "digits", *QUICK)
    assert answer.code == 0
    text = words_of(answer.out)
    assert "2 members trained for 5 steps in one population, and each alone" in text
    assert "way: fused (" in text
    assert "Allowed: a relative difference of 1e-4 within 5 steps" in text
    assert "1.weight" in text
    assert text.endswith("equal to float tolerance")


def test_verify_json_has_everything(babysit):
    answer = babysit("verify", "digits", *QUICK, "--json")
    assert answer.code == 0
    data = answer.data
    assert data["equal"] is True
    assert data["verdict"] == "equal to float tolerance"
    assert (data["way"], data["steps"], data["populations"], data["ranking"]) == ("fused", 5, 1, None)
    assert data["loss"] <= data["tolerance"] == 1e-4
    assert len(data["members"]) == 2
    assert {"hyperparameters", "loss", "step", "explosions"} <= set(data["members"][0])
    assert {tensor["name"] for tensor in data["tensors"]} == {"1.weight", "1.bias", "3.weight", "3.bias"}


def test_a_model_that_is_not_equal_exits_with_1(babysit, tmp_path):
    (tmp_path / "recipe.py").write_text(
        "import babysit as bs\nimport numpy as np\nfrom torch import nn\n\n"
        "class Odd(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.inner = nn.Linear(64, 10)\n"
        "    def forward(self, x):\n        return self.inner(x.flatten(1)) * (1 + np.random.rand())\n\n"
        "recipe = bs.Recipe(bs.data.digits, lambda hp: Odd(), space=dict(learning_rate=1e-3))\n"
    )
    answer = babysit("verify", "recipe.py", *QUICK)
    assert answer.code == 1
    assert "NOT equal: member 0 differs by" in words_of(answer.out)
    assert "random numbers from elsewhere than torch" in words_of(answer.out)


def test_a_precision_is_ranked_against_float32(babysit):
    answer = babysit("verify", "digits", *QUICK, "--precision", "medium", "--trials", 4)
    text = words_of(answer.out)
    assert answer.code == 0
    assert "medium against float32, 4 trials of 1 epoch" in text
    assert "rank correlation of the validation scores" in text
    data = babysit("verify", "digits", *QUICK, "--precision", "medium", "--trials", 4, "--json").data
    assert data["ranking"]["precision"] == "medium"
    assert len(data["ranking"]["best"]) == 2


def test_auto_that_stays_with_float32_says_so_and_ranks_nothing(babysit, monkeypatch):
    monkeypatch.setattr("babysit.training.precision._capabilities", lambda: {"amx_bf16": False})
    answer = babysit("verify", "digits", *QUICK, "--precision", "auto")
    assert answer.code == 0
    assert "auto chose float32: this processor has no matrix units" in words_of(answer.out)
    assert "rank correlation" not in answer.out


@pytest.mark.parametrize("command", ["train", "search", "verify"])
def test_an_unknown_precision(babysit, command):
    answer = babysit(command, "digits", "--precision", "half")
    assert_refused(answer, "half", "float32, medium, bfloat16, auto")


def test_a_recipe_that_fails(babysit, recipe_file):
    assert_refused(babysit("verify", "nowhere.py"), "nowhere.py")
    body = "raise ValueError('no such layer')"
    assert_refused(babysit("verify", recipe_file(model=body)), "no such layer", "recipe.py:10")
    assert_refused(babysit("verify", "digits", "-s", "hiden=3"), "hidden")
    assert_refused(babysit("verify", "digits", "--members", 1), "members = 1")
    assert_refused(babysit("verify", "digits", "--steps", 0), "steps = 0")


@pytest.mark.slow
def test_train_and_search_say_what_the_precision_brings_and_record_it(babysit, tmp_path, monkeypatch):
    monkeypatch.setattr("babysit.training.precision._capabilities", lambda: {"amx_bf16": False})
    answer = babysit("train", "digits", "-s", "epochs=1", "--precision", "medium")
    assert "medium computes like float32, use float32" in words_of(answer.out)
    assert babysit("search", "digits", *SMALL, "--precision", "bfloat16", "--json").code == 0
    assert babysit("train", "digits", "-s", "epochs=1").code == 0
    with Reader(f"sqlite:///{tmp_path}/babysit-runs/babysit.sqlite") as reader:
        recorded = [study.settings["precision"] for study in queries.studies(reader)]
    assert sorted(recorded) == ["bfloat16", "float32", "medium"]


@pytest.mark.slow
def test_a_search_is_not_resumed_in_another_precision(babysit, tmp_path):
    assert babysit("search", "digits", *SMALL, "--precision", "medium").code == 0
    answer = babysit("search", "digits", *SMALL, "--resume")
    assert_refused(answer, "study 1", "medium", "float32", "--precision medium")
    answer = babysit("search", "digits", *SMALL, "--resume", "--precision", "medium")
    assert answer.code == 0
    assert "resuming study 1" in answer.out
    assert "none was trained anew" in answer.out  # only the retraining was


def test_a_training_is_not_resumed_in_another_precision(babysit, tmp_path):
    job = Job("digits", ("epochs=1",), precision="bfloat16", folder=tmp_path)
    prepared = open_job(job)
    stopped = _checkpoint(job, prepared.recipe, fingerprint_of(job, prepared.recipe, "train", "bfloat16"))
    stopped.write_bytes(b"as a killed training leaves it")
    answer = babysit("train", "digits", "-s", "epochs=1", "--out", tmp_path, "--resume")
    assert_refused(answer, "bfloat16", "float32", "--precision bfloat16")
    assert stopped.exists()


def costs_of(engine, trials):
    events = [event for event in engine.train(trials, 1) if isinstance(event, EpochDone)]
    return {event.trial.key: event.costs for event in events}


@pytest.mark.slow
def test_a_worker_trains_in_the_precision_that_was_asked_for():
    """Worker processes load the recipe themselves: the precision has to travel with its name."""
    here = {name: open_job(Job("digits", precision=name)) for name in ("float32", "bfloat16")}
    trials = draw_trials(here["float32"].recipe.full_space(), stage=0, count=2, seed=0)
    there = costs_of(Processes(here["bfloat16"], "digits", (), 1), trials)
    same, other = (costs_of(InProcess(here[name]), trials) for name in ("bfloat16", "float32"))
    for key in there:
        assert there[key] == pytest.approx(same[key], rel=1e-6)
        assert there[key] != pytest.approx(other[key], rel=1e-6)
