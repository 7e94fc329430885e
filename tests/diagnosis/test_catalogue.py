"""The catalogue: one name a problem, no dangling explanation, and old names that still find today's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from babysit.diagnosis.catalogue import CATALOGUE, PLACES, SUBJECTS, collected, problems_named, rows
from babysit.diagnosis.problem import Effect, Problem
from babysit.diagnosis.problems import course, wiring
from babysit.diagnosis.tie_breakers import TIE_BREAKERS
from babysit.errors import InputError
from babysit.store.old_names import NEW_NAMES

every_problem = pytest.mark.parametrize("problem", CATALOGUE.values(), ids=lambda problem: problem.name)


def problem(name, **given):
    return Problem(name=name, summary="It is so.", fix="change it", source="a book", **given)


def test_a_name_twice_is_refused():
    twin = replace(course.PLATEAU, summary="Something else.")
    with pytest.raises(ValueError, match="two problems are called 'plateau'"):
        collected([course.PLATEAU, course.OSCILLATION, twin])


def test_an_explanation_of_what_is_not_there_is_refused():
    one, other = problem("one", explains=("other",)), problem("other")
    assert list(collected([one, other])) == ["one", "other"]
    with pytest.raises(ValueError, match="one explains 'other', which is not in the catalogue"):
        collected([one])


def test_the_catalogue_holds_every_problem_of_its_subjects_in_their_order():
    listed = [each for subject in SUBJECTS.values() for each in rows(subject)]
    assert list(CATALOGUE.values()) == listed
    assert [PLACES[each.name] for each in listed] == list(range(len(listed)))
    assert all(CATALOGUE[name].name == name for name in CATALOGUE)


@every_problem
def test_a_problem_is_bound_to_its_own_name_in_capitals(problem):
    (subject,) = [subject for subject in SUBJECTS.values() if problem in rows(subject)]
    assert getattr(subject, problem.name.upper()) is problem


def test_few_explanations_are_by_name():
    """The others follow from a dozen effects: a name is for what no effect says."""
    named = [(each.name, name) for each in CATALOGUE.values() for name in each.explains]
    assert {name for _, name in named} <= CATALOGUE.keys()
    assert len(named) < 40
    assert len(set(named)) == len(named)
    assert all(one != other for one, other in named)


@every_problem
def test_an_explanation_by_name_is_not_one_by_effect_too(problem):
    others = {CATALOGUE[name] for name in problem.explains}
    assert not {other.name for other in others if other.effect in problem.produces}


def test_every_effect_is_shown_by_a_problem_and_produced_by_another():
    for effect in Effect:
        assert [each for each in CATALOGUE.values() if each.effect is effect], effect
        assert [
            each for each in CATALOGUE.values() if effect in each.produces and each.effect is not effect
        ], effect


def test_names_of_the_past_are_no_names_of_today():
    formerly = {name for each in CATALOGUE.values() for name in each.formerly}
    assert not formerly & CATALOGUE.keys()
    for each in CATALOGUE.values():
        assert len(set(each.formerly)) == len(each.formerly)


def test_old_stores_are_read_with_names_that_the_catalogue_knows():
    """The table of the migration is frozen; a name that meant several is mapped to one that it meant."""
    for old, new in NEW_NAMES.items():
        assert CATALOGUE[new] in problems_named(old)


@every_problem
def test_a_problem_is_complete_and_says_what_to_do(problem):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem.name)
    assert problem.title == problem.name.replace("_", " ")
    assert re.fullmatch(r"[^\s].*[^\s.]\.", problem.summary)
    assert problem.summary[0].isupper() or problem.summary.startswith("backward()")
    assert problem.fix
    assert not problem.fix.endswith(".")
    assert problem.source
    for text in (problem.summary, problem.fix, problem.source):
        assert text == " ".join(text.split())


@every_problem
def test_a_source_names_a_section_and_no_row_of_a_table(problem):
    assert not re.search(r"\brows?\b", problem.source)


@every_problem
def test_no_problem_speaks_of_people_or_of_what_is_no_number(problem):
    words = f"{problem.summary} {problem.fix}".lower()
    assert not re.search(r"\b(no numbers?|nobody|whoever|somebody|gravest)\b", words)


def test_sentences_that_tell_causes_apart_are_about_pairs_of_the_catalogue():
    assert all(len(pair) == 2 and pair <= CATALOGUE.keys() for pair in TIE_BREAKERS)
    assert all(TIE_BREAKERS.values())


@pytest.mark.parametrize(
    "name",
    [
        "learning_rate_too_high",
        "learning-rate-too-high",
        "Learning rate too high",
        "  LEARNING_RATE-too high ",
    ],
)
def test_a_name_is_found_with_hyphens_and_blanks(name):
    assert [each.name for each in problems_named(name)] == ["learning_rate_too_high"]


@every_problem
def test_every_name_that_a_problem_had_finds_it(problem):
    assert problems_named(problem.name) == [problem]
    for name in problem.formerly:
        assert problem in problems_named(name)
        assert problem in problems_named(name.replace("_", "-"))


def test_an_old_name_that_meant_two_faults_finds_both():
    assert problems_named("graph cut") == [wiring.LOSS_NOT_CONNECTED, wiring.LAYERS_WITHOUT_GRADIENT]
    mismatch = [each.name for each in problems_named("output_loss_mismatch")]
    assert len(mismatch) == len(set(mismatch)) == 5


def test_a_name_of_today_finds_that_problem_alone_even_where_another_had_it():
    """`label_in_inputs` was a missing causal mask too; today it is one problem, and the mask has its own."""
    assert [each.name for each in problems_named("label_in_inputs")] == ["label_in_inputs"]
    assert [each.name for each in problems_named("missing_causal_mask")] == ["missing_causal_mask"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("learning_rate_to_high", "did you mean learning_rate_too_high"),
        ("dead unit", "did you mean dead_units"),
        ("", "`babysit rules` lists them"),
        ("xyzzy", "`babysit rules` lists them"),
    ],
)
def test_an_unknown_name_is_refused_with_what_was_meant(name, fix):
    with pytest.raises(InputError, match="no rule is called") as refused:
        problems_named(name)
    assert repr(name) in refused.value.problem
    assert refused.value.fix.startswith(fix)
