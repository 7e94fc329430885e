"""The five questions of the lecture about a recipe, answered before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from babysit.checks.check import BEFORE
from babysit.checks.questions.gradients import gradients_match
from babysit.checks.questions.initial_loss import initial_loss
from babysit.checks.questions.learning_rate import learning_rate_bracket
from babysit.checks.questions.overfit import overfits_tiny_subset
from babysit.checks.questions.regularization import regularization_raises_loss
from babysit.diagnosis.detection import finding_of
from babysit.diagnosis.problem import Detection, Problem, evidence
from babysit.diagnosis.problems.course import CANNOT_OVERFIT
from babysit.diagnosis.problems.loss import REGULARIZATION_DOES_NOT_RAISE_LOSS
from babysit.diagnosis.problems.rate import LEARNING_RATE_OUTSIDE_USABLE_RANGE
from babysit.diagnosis.problems.start import FIRST_LOSS_NOT_AT_CHANCE
from babysit.diagnosis.problems.wiring import WRONG_GRADIENT
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.verdicts import CheckResult, Question, Severity, Status

Check = Callable[[Prepared, Mapping[str, Value]], CheckResult]

CHECKS: Mapping[Check, Problem] = {
    initial_loss: FIRST_LOSS_NOT_AT_CHANCE,
    regularization_raises_loss: REGULARIZATION_DOES_NOT_RAISE_LOSS,
    overfits_tiny_subset: CANNOT_OVERFIT,
    learning_rate_bracket: LEARNING_RATE_OUTSIDE_USABLE_RANGE,
    gradients_match: WRONG_GRADIENT,
}
"""Each question -> the problem that it finds where the answer is no."""

_PROBLEMS = {check.__name__: problem for check, problem in CHECKS.items()}


def preflight(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Iterator[CheckResult]:
    """Yields the answer to each question as soon as it is known.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check, e.g. the middle of every range.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> for result in preflight(prepare(recipe, seed=0), middle(recipe.full_space())):
        ...     result.name, str(result.status)
        ('initial_loss', 'pass')
        ('regularization_raises_loss', 'pass')
        ('overfits_tiny_subset', 'pass')
        ('learning_rate_bracket', 'pass')
        ('gradients_match', 'pass')
    """
    prepared = prepared.at(hyperparameters)
    for check in CHECKS:
        yield check(prepared, hyperparameters)


def report_of_answers(results: Iterable[CheckResult], name: str = "") -> Report:
    """Turns the answers into a report: each that failed is a finding.

    An answer in doubt is an info finding, and a warning beside one that failed, which it may explain.

    Args:
        results: the answers.
        name: name of the recipe. Default: none.

    Example:
        >>> result = CheckResult("initial_loss", Status.FAIL, 9.1, "2.303", "scale the inputs")
        >>> report_of_answers([result], "mine").causes[0].rule
        'first_loss_not_at_chance'
    """
    answers = list(results)
    doubt = Severity.WARNING if any(each.status is Status.FAIL for each in answers) else Severity.INFO
    findings = []
    for each in answers:
        if each.status is Status.PASS:
            continue
        question, failed = each.name.replace("_", " "), each.status is Status.FAIL
        detection = Detection(
            problem=_PROBLEMS[each.name],
            detector=f"checks.{each.name}",
            where="recipe",
            message=f'the check "{question}" {"failed" if failed else "is in doubt"}',
            evidence=evidence(question, each.value, each.expected),
            severity=None if failed else doubt,
            fix=each.advice,
        )
        findings.append(finding_of(detection))
    questions = [Question(_PROBLEMS[each.name].name) for each in answers]
    return diagnose(findings, questions, name=name, when=BEFORE)
