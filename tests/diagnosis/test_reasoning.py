"""The reasoning: what becomes a symptom of what, what a remark is worth, and which cause stands first."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations

import pytest

from babysit.diagnosis import reasoning
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.problem import Effect, Problem
from babysit.diagnosis.problems import course, data, loss, rate, start, wiring
from babysit.diagnosis.reasoning import diagnose, explains, together
from babysit.diagnosis.report import Report
from babysit.verdicts import Answer, Finding, Health, Question, Severity

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def found(problem, severity=None, *, since=1, where="here", confidence=0.5, message=""):
    return Finding(
        problem.name,
        severity or problem.severity,
        where,
        since,
        message or problem.summary,
        (),
        problem.fix,
        problem.source,
        "step",
        confidence,
    )


def outline(*findings):
    """Every cause in order, with its severity and its symptoms."""
    return [
        (cause.rule, cause.finding.severity, [each.rule for each in cause.symptoms])
        for cause in diagnose(findings).causes
    ]


def rules(*findings):
    return {cause.rule: [each.rule for each in cause.symptoms] for cause in diagnose(findings).causes}


@pytest.fixture
def catalogue(monkeypatch):
    """Replaces the catalogue by a few problems: name -> (effects it produces, its own, names it explains)."""

    def replaced(**made):
        problems = [
            Problem(
                name=name,
                summary=f"It is {name}.",
                fix="change it",
                source="a book",
                produces=frozenset(Effect(each) for each in produces.split()),
                effect=Effect(effect) if effect else None,
                explains=tuple(names.split()),
            )
            for name, (produces, effect, names) in made.items()
        ]
        monkeypatch.setattr(reasoning, "CATALOGUE", {each.name: each for each in problems})
        monkeypatch.setattr(reasoning, "PLACES", {each.name: place for place, each in enumerate(problems)})
        return problems

    return replaced


# Which of several findings of one problem stays


def test_of_several_findings_of_one_problem_the_most_severe_stays_then_the_surest():
    sure = found(start.DEAD_UNITS, WARNING, confidence=0.9, message="sure")
    severe = found(start.DEAD_UNITS, ERROR, confidence=0.4, message="severe", where="there")
    doubtful = found(start.DEAD_UNITS, ERROR, confidence=0.3, message="doubtful")
    for order in permutations((sure, severe, doubtful)):
        assert diagnose(order).findings == (severe,)


def test_a_problem_of_places_is_a_cause_at_each():
    edges = [found(rate.BEST_AT_EDGE_OF_RANGE, where=name) for name in ("learning_rate", "l2")]
    again = replace(edges[0], confidence=0.9, message="again")
    causes = diagnose([*edges, again]).causes
    assert [(cause.finding.where, cause.finding.message) for cause in causes] == [
        ("learning_rate", "again"),
        ("l2", edges[1].message),
    ]
    assert [problem.name for problem in CATALOGUE.values() if problem.of_place] == ["best_at_edge_of_range"]


# Escalation


def test_a_remark_becomes_a_warning_where_it_explains_a_warning_that_nothing_else_explains():
    assert outline(found(data.INPUTS_NOT_SCALED)) == [("inputs_not_scaled", INFO, [])]
    assert outline(found(data.INPUTS_NOT_SCALED), found(course.LEARNED_NOTHING)) == [
        ("inputs_not_scaled", WARNING, ["learned_nothing"])
    ]


def test_a_remark_does_so_by_name_too():
    assert outline(found(loss.SUMMED_LOSS), found(rate.LEARNING_RATE_TOO_HIGH)) == [
        ("summed_loss", WARNING, ["learning_rate_too_high"])
    ]
    assert outline(found(loss.SUMMED_LOSS), found(rate.LEARNING_RATE_TOO_LOW)) == [
        ("learning_rate_too_low", WARNING, []),
        ("summed_loss", INFO, []),
    ]


def test_a_remark_stays_one_where_a_warning_has_another_reason():
    constant = found(data.CONSTANT_LABELS)
    assert outline(found(data.INPUTS_NOT_SCALED), constant, found(course.LEARNED_NOTHING)) == [
        ("constant_labels", WARNING, ["learned_nothing"]),
        ("inputs_not_scaled", INFO, []),
    ]


def test_a_remark_does_not_become_a_warning_for_an_error():
    """An error is looked into whatever else was found; a remark beside it would only distract."""
    assert outline(found(data.INPUTS_NOT_SCALED), found(course.LOSS_NOT_FINITE)) == [
        ("loss_not_finite", ERROR, []),
        ("inputs_not_scaled", INFO, []),
    ]
    assert outline(found(data.INPUTS_NOT_SCALED), found(course.LOSS_NOT_FINITE, WARNING)) == [
        ("inputs_not_scaled", WARNING, ["loss_not_finite"])
    ]


def test_a_remark_explains_no_warning_without_becoming_one():
    remark, warning = found(data.INPUTS_NOT_SCALED), found(course.LEARNED_NOTHING)
    assert not explains(remark, warning)
    assert explains(replace(remark, severity=WARNING), warning)
    assert explains(remark, found(course.PLATEAU))


def test_escalation_changes_nothing_but_the_severity():
    remark = found(data.INPUTS_NOT_SCALED, confidence=0.3, where="inputs")
    (cause,) = diagnose([remark, found(course.LEARNED_NOTHING)]).causes
    assert cause.finding == replace(remark, severity=WARNING)


# Symptoms


def test_a_symptom_by_its_effect():
    assert Effect.LEARNS_NOTHING in rate.LEARNING_RATE_TOO_LOW.produces
    assert course.LEARNED_NOTHING.effect is Effect.LEARNS_NOTHING
    assert rules(found(course.LEARNED_NOTHING), found(rate.LEARNING_RATE_TOO_LOW)) == {
        "learning_rate_too_low": ["learned_nothing"]
    }


def test_a_symptom_by_its_name():
    assert wiring.NOTHING_TO_TRAIN.effect is None
    assert "nothing_to_train" in wiring.UNREGISTERED_PARAMETERS.explains
    assert rules(found(wiring.NOTHING_TO_TRAIN), found(wiring.UNREGISTERED_PARAMETERS)) == {
        "unregistered_parameters": ["nothing_to_train"]
    }


def test_what_shows_as_nothing_is_no_symptom():
    assert wiring.DROPOUT_IN_EVALUATION.effect is None
    assert rules(found(wiring.DROPOUT_IN_EVALUATION), found(wiring.SIGN_FLIPPED)) == {
        "sign_flipped": [],
        "dropout_in_evaluation": [],
    }


def test_an_error_stands_under_the_warning_that_brings_it_about():
    broken = found(course.LOSS_NOT_FINITE, since=37)
    high = found(rate.LEARNING_RATE_TOO_HIGH, since=1)
    for findings in ((broken, high), (high, broken)):
        report = diagnose(findings)
        (cause,) = report.causes
        assert (cause.rule, cause.symptoms) == ("learning_rate_too_high", (broken,))
        assert cause.finding.severity is WARNING
        assert report.health is Health.UNHEALTHY
        assert [each.rule for each in report.findings] == ["loss_not_finite", "learning_rate_too_high"]


@pytest.mark.parametrize(
    ("dead", "high", "cause"),
    [
        (3, 9, "dead_units"),
        (9, 3, "learning_rate_too_high"),
        (3, 3, "dead_units"),  # the catalogue has the start before the rate
        (0, 1, "dead_units"),
    ],
)
def test_of_two_that_explain_each_other_the_earlier_is_the_cause_then_the_catalogues_first(dead, high, cause):
    units = found(start.DEAD_UNITS, WARNING, since=dead)
    rate_high = found(rate.LEARNING_RATE_TOO_HIGH, since=high)
    (symptom,) = {"dead_units", "learning_rate_too_high"} - {cause}
    assert rules(units, rate_high) == rules(rate_high, units) == {cause: [symptom]}
    assert explains(units, rate_high) is (cause == "dead_units")
    assert explains(rate_high, units) is (cause != "dead_units")


def test_of_two_that_explain_each_other_a_remark_is_never_the_cause_of_a_warning():
    remark = found(start.DEAD_UNITS, INFO, since=1)
    assert explains(found(rate.LEARNING_RATE_TOO_HIGH, since=9), remark)
    assert not explains(remark, found(rate.LEARNING_RATE_TOO_HIGH, since=9))


def test_a_symptoms_symptom_goes_to_the_root():
    """Too low a rate learns nothing; what has learned nothing has a gap and a plateau of no weight."""
    findings = [
        found(course.PLATEAU),
        found(course.OVERFITTING),
        found(course.LEARNED_NOTHING),
        found(rate.LEARNING_RATE_TOO_LOW),
    ]
    assert not explains(findings[3], findings[1])
    for order in permutations(findings):
        assert rules(*order) == {"learning_rate_too_low": ["learned_nothing", "overfitting", "plateau"]}


def test_a_chain_through_an_escalated_remark_ends_at_it():
    summed, high = found(loss.SUMMED_LOSS), found(rate.LEARNING_RATE_TOO_HIGH)
    broken = found(course.LOSS_NOT_FINITE)
    assert outline(broken, high, summed) == [
        ("summed_loss", WARNING, ["loss_not_finite", "learning_rate_too_high"])
    ]


def test_the_root_is_the_surest_of_those_that_nothing_explains(catalogue):
    one, other, symptom = catalogue(
        one=("loss_stalls", "", ""), other=("loss_stalls", "", ""), symptom=("", "loss_stalls", "")
    )
    unsure, sure = found(one, confidence=0.4), found(other, confidence=0.6)
    assert rules(unsure, sure, found(symptom)) == {"other": ["symptom"], "one": []}
    assert rules(replace(unsure, confidence=0.6), sure, found(symptom)) == {"one": ["symptom"], "other": []}
    assert rules(replace(unsure, severity=ERROR), sure, found(symptom)) == {"one": ["symptom"], "other": []}


def test_a_ring_of_explanations_has_the_catalogues_first_as_its_root():
    ring = [found(course.OVERFITTING), found(course.LEARNED_NOTHING), found(course.OSCILLATION)]
    assert [explains(ring[at], ring[(at + 2) % 3]) for at in range(3)] == [True] * 3
    assert [explains(ring[at], ring[(at + 1) % 3]) for at in range(3)] == [False] * 3
    for order in permutations(ring):
        assert rules(*order) == {"oscillation": ["learned_nothing", "overfitting"]}


def test_what_hangs_on_a_ring_is_a_symptom_wherever_the_catalogue_has_it(catalogue):
    problems = catalogue(
        tail=("", "loss_grows", ""),
        first=("loss_stalls", "loss_swings", ""),
        second=("learns_nothing", "loss_stalls", ""),
        third=("loss_swings loss_grows", "learns_nothing", ""),
    )
    for order in permutations(map(found, problems)):
        assert rules(*order) == {"first": ["tail", "second", "third"]}


# Ranking


def test_a_cause_is_ranked_by_the_most_severe_of_itself_and_its_symptoms():
    high = found(rate.LEARNING_RATE_TOO_HIGH, confidence=0.2)
    dropout = found(wiring.DROPOUT_IN_EVALUATION, confidence=0.9)
    assert [cause.rule for cause in diagnose([high, dropout]).causes] == [
        "dropout_in_evaluation",
        "learning_rate_too_high",
    ]
    broken = found(course.LOSS_NOT_FINITE)
    assert list(rules(high, dropout, broken)) == ["learning_rate_too_high", "dropout_in_evaluation"]


def test_equally_severe_causes_are_ranked_by_confidence_then_by_the_catalogue():
    dropout, leak = found(wiring.DROPOUT_IN_EVALUATION), found(data.VALIDATION_IN_TRAINING)
    for findings in ((dropout, leak), (leak, dropout)):
        assert list(rules(*findings)) == ["validation_in_training", "dropout_in_evaluation"]
        surer = [replace(each, confidence=0.6 if each is dropout else 0.5) for each in findings]
        assert list(rules(*surer)) == ["dropout_in_evaluation", "validation_in_training"]


def test_remarks_stand_after_every_warning_however_sure():
    remark = found(loss.PENALTY_IN_LOSS, confidence=1.0)
    assert list(rules(remark, found(wiring.DROPOUT_IN_EVALUATION, confidence=0.1))) == [
        "dropout_in_evaluation",
        "penalty_in_loss",
    ]


def test_symptoms_are_sorted_as_causes_are():
    findings = [
        found(course.PLATEAU),
        found(course.LEARNED_NOTHING, confidence=0.3),
        found(course.LOSS_EXPLODED, confidence=0.1),
        found(course.OSCILLATION, confidence=0.8),
        found(wiring.SIGN_FLIPPED),
    ]
    for order in permutations(findings):
        assert rules(*order) == {
            "sign_flipped": ["loss_exploded", "oscillation", "learned_nothing", "plateau"]
        }


# Two close causes


def test_two_close_causes_get_the_sentence_that_tells_them_apart():
    squashed = found(start.SATURATED_UNITS, confidence=0.7)
    vanishing = found(start.VANISHING_GRADIENTS, confidence=0.5)
    first, second = diagnose([squashed, vanishing]).causes
    assert first.distinguish.startswith("to tell it from vanishing_gradients: look at step 1")
    assert second.distinguish == ""


@pytest.mark.parametrize(
    "other", [{"confidence": 0.3}, {"severity": ERROR, "confidence": 0.7}], ids=["less sure", "more severe"]
)
def test_causes_that_are_not_close_do_not(other):
    squashed = found(start.SATURATED_UNITS, confidence=0.7)
    vanishing = replace(found(start.VANISHING_GRADIENTS, confidence=0.5), **other)
    assert [cause.distinguish for cause in diagnose([squashed, vanishing]).causes] == ["", ""]


# Questions


def answered(rule="dead_units", answer=Answer.ANSWERED, reason="", matters=True):
    return Question(rule, answer, reason, matters)


def test_a_question_that_any_door_answered_is_answered():
    few = answered(answer=Answer.NOT_ANSWERED, reason="only 3 steps")
    apart = answered(answer=Answer.DOES_NOT_APPLY, reason="no ReLU")
    for order in permutations((few, apart, answered())):
        assert diagnose([], order).questions == (answered(),)
    for order in permutations((few, apart)):
        assert diagnose([], order).questions == (few,)
    assert diagnose([], [apart]).questions == (apart,)


def test_of_questions_with_the_same_answer_the_first_door_is_heard():
    mine, other = answered(matters=False), answered(matters=True)
    assert diagnose([], [mine, other]).questions == (mine,)


def test_questions_keep_the_order_in_which_they_were_first_asked():
    asked = [
        answered("plateau", Answer.NOT_ANSWERED),
        answered(),
        answered("plateau"),
        answered("sign_flipped"),
    ]
    assert [each.rule for each in diagnose([], asked).questions] == ["plateau", "dead_units", "sign_flipped"]


# Reports together


def test_together_reasons_over_the_findings_of_all_under_the_first_ones_name():
    loop = diagnose(
        [found(course.LEARNED_NOTHING)],
        [answered("learned_nothing"), answered(answer=Answer.NOT_ANSWERED, reason="only 3 steps")],
        name="loop",
        when="so far",
        steps=30,
        facts=("slow",),
    )
    program = diagnose(
        [found(rate.LEARNING_RATE_TOO_LOW)],
        [answered("learning_rate_too_low"), answered()],
        name="program",
        steps=500,
        facts=("small", "old"),
    )
    both = together(loop, program)
    assert (both.name, both.when, both.steps, both.facts) == ("loop", "so far", 500, ("slow", "small", "old"))
    assert {cause.rule: [each.rule for each in cause.symptoms] for cause in both.causes} == {
        "learning_rate_too_low": ["learned_nothing"]
    }
    assert both.questions == (answered("learned_nothing"), answered(), answered("learning_rate_too_low"))


def test_together_with_nothing_is_the_same():
    report = diagnose([found(course.LEARNED_NOTHING)], [answered()], name="one", steps=3, facts=("fast",))
    assert together(report) == together(report, Report()) == report


def test_a_remark_of_one_report_is_escalated_by_the_warning_of_another():
    remark, warning = diagnose([found(data.INPUTS_NOT_SCALED)]), diagnose([found(course.LEARNED_NOTHING)])
    assert remark
    (cause,) = together(remark, warning).causes
    assert (cause.rule, cause.finding.severity) == ("inputs_not_scaled", WARNING)


# Whatever was found


@pytest.mark.parametrize("seed", range(60))
def test_every_finding_is_a_cause_or_a_symptom_of_one_whatever_the_order(seed):
    generator = random.Random(seed)
    problems = generator.sample(list(CATALOGUE.values()), generator.randint(1, 25))
    findings = [
        found(
            each,
            generator.choice([severity for severity in Severity if severity.rank >= each.severity.rank]),
            since=generator.randint(0, 3),
            confidence=generator.choice((0.3, 0.5, 0.8)),
        )
        for each in problems
    ]
    report = diagnose(findings)
    told = [each for cause in report.causes for each in (cause.finding, *cause.symptoms)]
    assert sorted(each.rule for each in told) == sorted(each.name for each in problems)
    assert len(told) == len(report.findings)
    before = {each.rule: each for each in findings}
    for each in told:
        assert replace(each, severity=before[each.rule].severity) == before[each.rule]
        assert each.severity is before[each.rule].severity or (
            before[each.rule].severity is INFO and each.severity is WARNING
        )
    ranks = [
        (min(each.severity.rank for each in (cause.finding, *cause.symptoms)), -cause.confidence)
        for cause in report.causes
    ]
    assert ranks == sorted(ranks)
    generator.shuffle(findings)
    assert diagnose(findings) == report


@pytest.mark.parametrize("seed", range(20))
def test_no_remark_has_a_warning_under_it_and_no_cause_another_cause_that_explains_it(seed):
    generator = random.Random(1000 + seed)
    report = diagnose(map(found, generator.sample(list(CATALOGUE.values()), 20)))
    for cause in report.causes:
        if cause.finding.severity is INFO:
            assert all(each.severity is INFO for each in cause.symptoms)
    explained = [
        (one.rule, other.rule)
        for one in report.causes
        for other in report.causes
        if one is not other and explains(one.finding, other.finding)
    ]
    assert explained == []
