from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.recipe.space import Fixed, choice, integer, log_uniform, uniform, when
from babysit.records import Trial
from babysit.tuning import importance
from babysit.tuning.importance import correlation_ratio, importances, rank_correlation
from babysit.tuning.ranking import Round

BOX = {
    "learning_rate": log_uniform(1e-5, 1e-1),
    "dropout": uniform(0, 0.5),
    "act": choice("relu", "tanh", "elu"),
    "hidden": integer(10, 99),
    "batch_size": Fixed(100),
}


def drawn(make, score, count=60, box=BOX):
    generator = np.random.default_rng(0)
    names = [name for name in box if name != "momentum"]
    choices = [{name: box[name].sample(generator) for name in names} for _ in range(count)]
    return Round(box, [make.completed(Trial(0, n, hp), score(hp)) for n, hp in enumerate(choices)])


def by_rate_and_act(hp):
    return 0.5 + 0.1 * math.log10(hp["learning_rate"] / 1e-5) / 4 + 0.2 * (hp["act"] == "relu")


def test_what_the_score_was_made_of_matters_and_the_rest_does_not(make):
    found = {each.name: each for each in importances(drawn(make, by_rate_and_act), fanova=False)}
    assert {name for name, each in found.items() if each.matters} == {"learning_rate", "act"}
    assert found["learning_rate"].correlation > 0.2
    assert found["act"].correlation is None
    assert found["act"].strength > 0.8
    assert "batch_size" not in found


def test_the_lectures_learning_rate_mattered_and_its_regularization_did_not(fine, fine_box):
    rate, l2 = importances(Round(fine_box, fine), fanova=False)
    assert (rate.name, l2.name) == ("learning_rate", "l2")
    assert rate.correlation == pytest.approx(0.81, abs=0.005)
    assert l2.correlation == pytest.approx(-0.01, abs=0.005)
    assert rate.matters
    assert not l2.matters


def test_few_trials_and_equal_scores_say_nothing(make):
    assert importances(drawn(make, by_rate_and_act, count=7), fanova=False) == []
    assert importances(drawn(make, lambda _: 0.5), fanova=False) == []


def test_exploded_trials_do_not_count(make):
    stage = drawn(make, by_rate_and_act)
    burst = [make.exploded(Trial(0, 90 + n, stage.results[n].trial.hyperparameters)) for n in range(9)]
    both = Round(stage.box, [*stage.results, *burst])
    assert importances(both, fanova=False) == importances(stage, fanova=False)


def test_a_conditional_name_is_judged_where_it_exists(make):
    box = {"act": choice("relu", "tanh"), "slope": when("act", "tanh", uniform(0, 1))}
    results = [
        make.completed(Trial(0, n, {"act": "tanh", "slope": n / 20} if n % 2 else {"act": "relu"}), n / 20)
        for n in range(20)
    ]
    found = {each.name: each for each in importances(Round(box, results), fanova=False)}
    assert found["slope"].correlation == 1.0


def test_functional_anova_sees_an_optimum_in_the_middle(make):
    pytest.importorskip("optuna")
    stage = drawn(make, lambda hp: 0.9 - 0.2 * abs(math.log10(hp["learning_rate"]) + 3))
    first, *rest = importances(stage)
    assert first.name == "learning_rate"
    assert not first.matters  # there is no trend
    assert first.fanova > 0.8
    assert sum(each.fanova for each in rest) < 0.2
    assert importances(stage) == [first, *rest]  # its forest is seeded


@pytest.mark.slow
def test_functional_anova_looks_only_where_trials_complete(make):
    pytest.importorskip("optuna")
    narrow = drawn(make, by_rate_and_act)
    wide = {**BOX, "learning_rate": log_uniform(1e-5, 1e6)}  # above 0.1 everything explodes
    shares = [
        {each.name: each.fanova for each in importances(Round(box, narrow.results))} for box in (BOX, wide)
    ]
    assert shares[0] == shares[1]


def test_a_conditional_name_has_no_share_in_functional_anova(make):
    pytest.importorskip("optuna")
    box = {"act": choice("relu", "tanh"), "slope": when("act", "tanh", uniform(0, 1))}
    results = [
        make.completed(Trial(0, n, {"act": "tanh", "slope": n / 20} if n % 2 else {"act": "relu"}), n % 2 / 2)
        for n in range(20)
    ]
    found = {each.name: each.fanova for each in importances(Round(box, results))}
    assert found["act"] == pytest.approx(1.0)
    assert found.get("slope") is None


def test_without_optuna_its_share_is_left_out(make, monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest):
        assert not name.startswith("optuna")
        return original(name, *rest)

    monkeypatch.setattr(importance, "has_optuna", lambda: False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert all(each.fanova is None for each in importances(drawn(make, by_rate_and_act)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=20))
def test_a_rank_correlation_is_the_same_in_any_scale_and_turns_with_its_sign(pairs):
    values, scores = (list(map(float, column)) for column in zip(*pairs, strict=True))
    found = rank_correlation(values, scores)
    warped = rank_correlation([10**value for value in values], scores)
    turned = rank_correlation([-value for value in values], scores)
    assert math.isnan(found) == math.isnan(warped) == math.isnan(turned)
    if not math.isnan(found):
        assert -1 <= found == warped <= 1
        assert turned == pytest.approx(-found, abs=1e-9)


def test_a_correlation_ratio_is_the_root_of_the_share_between_groups():
    # Means 0.5 and 0.3 round 0.4: between 4 * 0.01, within 4 * 0.0025.
    scores = [0.55, 0.45, 0.35, 0.25]
    assert correlation_ratio(["a", "a", "b", "b"], scores) == pytest.approx(math.sqrt(0.04 / 0.05))
    assert math.isnan(correlation_ratio(["a", "a", "a", "a"], scores))
    assert math.isnan(correlation_ratio(["a", "a", "b", "b"], [0.5] * 4))
    assert correlation_ratio([True, True, 1, 1], scores) > 0.8  # True is not 1


def test_random_groups_rarely_exceed_chance():
    generator = np.random.default_rng(1)
    for groups in (2, 4):
        limit = importance._chance_of_groups(groups, 40)
        over = [
            correlation_ratio(generator.integers(0, groups, 40).tolist(), generator.normal(size=40)) > limit
            for _ in range(400)
        ]
        assert 0.02 < np.mean(over) < 0.09
