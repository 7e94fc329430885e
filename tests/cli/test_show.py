"""`babysit show`, `compare` and the filters of `runs`, as they are typed."""

from __future__ import annotations

import re

import pytest

import babysit as bs


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    bs.search("digits", stages="coarse:5x2,fine:3x2,final:1x2", folder=folder)
    return bs.train("digits", folder=folder, learning_rate=1e6, hidden=7, name="wild").url


@pytest.fixture
def two_studies(babysit, store):
    return lambda *words: babysit(*words, "--store", store)


def words(text):
    return " ".join(text.split())


def test_a_trial_in_full(two_studies):
    answer = two_studies("show", "1/best", "--json")
    assert answer.code == 0
    data, told = answer.data, words(answer.err)
    assert data["trial"].startswith("1/")
    assert len(data["readings"]) == 2
    assert data["score"] == max(reading["val_accuracy"] for reading in data["readings"])
    assert set(data["update_ratios"]) == {"1.weight", "3.weight"}
    assert all(ratio["median"] > 0 for ratio in data["update_ratios"].values())
    assert re.search(r"cost [▁▂▃▄▅▆▇█]+ [\d.]+ to [\d.e-]+ in 50 steps", told)
    assert "learning_rate" in told
    assert "log" in told
    assert "★" in told


def test_an_exploded_trial_with_its_evidence(two_studies):
    answer = two_studies("show", "wild/0", "--json")
    (finding, *_) = answer.data["causes"]
    assert (answer.data["state"], answer.data["verdict"]) == ("exploded", "unhealthy")
    assert "loss_exploded" in [finding["rule"], *(each["rule"] for each in finding["symptoms"])]
    assert {question["rule"] for question in answer.data["questions"]} >= {"plateau", "overfitting"}
    assert answer.data["explosion"]["step"] >= 1
    assert finding["evidence"]
    assert finding["evidence"][0]["expected"] in words(answer.err)
    assert finding["advice"].split(",")[0] in words(answer.err)


def test_a_study_with_its_boxes_reasons_best_and_ties(two_studies):
    answer = two_studies("show", "digits", "--json")
    data, told = answer.data, words(answer.err)
    assert [stage["name"] for stage in data["stages"]] == ["coarse", "fine"]
    assert len(data["trials"]) == 8
    assert data["outcome"]["best"]["val_accuracy"] == max(one["val_accuracy"] or 0 for one in data["trials"])
    assert "stage 1: fine, 3 trials of 2 epochs" in told
    assert data["stages"][1]["reason"].split("(")[0] in told
    assert "best 8 of 8 trials" in told


def test_the_trials_of_a_study_and_the_epochs_of_a_trial_as_the_lecture_prints_them(two_studies):
    answer = two_studies("show", "digits", "--lines")
    lines = answer.out.splitlines()
    assert len(lines) == 8
    form = r"val_acc: (?:0\.\d{6}|nan), lr: \d\.\d{6}e-\d\d, reg: \d\.\d{6}e[+-]\d\d, \((\d) / (\d)\)"
    counted = [tuple(map(int, re.fullmatch(form, line).groups())) for line in lines]
    assert counted == [*((number, 5) for number in range(1, 6)), *((number, 3) for number in range(1, 4))]
    epochs = two_studies("show", "1/0/0", "--lines").out.splitlines()
    assert [line.partition(":")[0] for line in epochs] == ["Finished epoch 1 / 2", "Finished epoch 2 / 2"]
    with_data = two_studies("show", "1/0/0", "--lines", "--json")
    assert (with_data.data["epochs"], with_data.err.splitlines()) == (2, epochs)


def test_comparing_shows_only_what_differs(two_studies):
    answer = two_studies("compare", "1/0/0", "1/0/1", "--json")
    assert answer.data["differing"] == ["learning_rate", "l2"]
    assert [one["epochs"] for one in answer.data["compared"]] == [2, 2]
    assert "hidden" not in answer.err
    assert "validation accuracy by epoch" in answer.err
    assert re.search("[\u2801-\u28ff]", answer.err)


def test_comparing_studies_takes_their_best_and_what_was_asked(two_studies):
    answer = two_studies("compare", "1", "wild", "--json")
    search, wild = answer.data["compared"]
    assert {"stages", "hidden", "learning_rate"} <= set(answer.data["differing"])
    assert (search["trials"], wild["trials"]) == (8, 1)
    assert search["score"] > 0
    assert (wild["score"], wild["trial"]) == (None, None)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("show", "1/0/99"), "choose one of 1/0/4, 1/0/3"),
        (("show", "wlid"), "did you mean 'wild'?"),
        (("compare", "1/0/0", "7"), "choose one of 2, 1"),
        (("compare", "1"), "a comparison needs two or more"),
        (("runs", "--state", "complet"), "did you mean 'complete'?"),
    ],
)
def test_what_is_not_there_exits_with_2_and_the_nearest(two_studies, command, answer):
    got = two_studies(*command)
    assert got.code == 2
    assert answer in words(got.err)
    assert "Traceback" not in got.err


def test_runs_are_filtered_by_state_and_recipe(two_studies):
    def listed(*options):
        return [study["study"] for study in two_studies("runs", "--json", *options).data["studies"]]

    assert listed() == [2, 1]
    assert listed("--state", "complete") == [1]
    assert listed("--state", "exploded", "--recipe", "digits") == [2]
    assert listed("--recipe", "cifar10") == []


@pytest.mark.slow
def test_a_search_whose_time_was_up_says_how_to_go_on(babysit):
    answer = babysit("search", "digits", "--stages", "coarse:3x2", "--timeout", "0.001", "--workers", "1")
    assert "the time was up: 3 trials were stopped half-way; --resume" in " ".join(answer.out.split())


@pytest.mark.slow
def test_trials_is_a_total_on_the_command_line_too(babysit):
    first = babysit("search", "digits", "--stages", "coarse:3x1", "--json").data
    more = babysit("search", "digits", "--stages", "coarse:3x1", "--trials", "5", "--resume", "--json")
    assert more.data["study"] == first["study"]
    assert sum(more.data["states"].values()) == 5
    assert "3 finished trials are kept" in more.err
    fewer = babysit("search", "digits", "--stages", "coarse:4x1", "--resume")
    assert fewer.code == 2
    assert "ask for 5 or more" in fewer.err
