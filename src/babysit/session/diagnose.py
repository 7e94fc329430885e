"""The diagnosis of a printed log, of a training or of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from babysit.diagnosis.detection import finding_of
from babysit.diagnosis.problem import Detection
from babysit.diagnosis.problems.rate import BEST_AT_EDGE_OF_RANGE
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.errors import InputError, path_of
from babysit.readings.context import Context
from babysit.readings.logs import formats, lecture_trials, source, tensorboard
from babysit.readings.logs.chance import guessed_classes
from babysit.readings.logs.ranges import searched_ranges
from babysit.readings.logs.training_log import TrainingLog, log_of
from babysit.readings.logs.trial_rows import MAXIMIZE, MINIMIZE, SearchLog
from babysit.readings.report import report_on
from babysit.recipe.space import Choice, Numeric, Range, integer, log_uniform, number, searched, uniform
from babysit.records import Edge, Result
from babysit.tuning.edges import EDGE_SHARE, values_of
from babysit.tuning.importance import rank_correlation
from babysit.tuning.ranking import Round, ranked
from babysit.tuning.stages import next_box
from babysit.tuning.standing import standing
from babysit.verdicts import Evidence, Finding, Question

_SEARCH = "search"
_NO_RANGES: Mapping[str, Numeric] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LogDiagnosis:
    """The diagnosis of a training from its log.

    Attributes:
        log: its readings.
        recognized: the recognized quantities, in one line.
        chance: the chance level in words, with its origin; empty when unknown.
        report: the verdict.
    """

    log: TrainingLog
    recognized: str
    chance: str
    report: Report

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, the most severe first."""
        return self.report.findings

    @property
    def healthy(self) -> bool:
        """True without a finding of severity warning or worse."""
        return self.report.healthy


@dataclass(frozen=True, slots=True)
class SearchDiagnosis:
    """The diagnosis of a search from its log.

    Attributes:
        recognized: the recognized trials, in one line.
        ranked: the trials with a score, best first.
        tied: the best and all within one standard error of it.
        box: the searched ranges, known or guessed.
        edges: alarms for a best value at an edge.
        positions: hyperparameter -> position of the best value in its range's scale, from 0 to 1.
        correlations: hyperparameter -> its rank correlation with the score.
        ruined: the trials that one large regularization ruined.
        next: the ranges to search next.
        reason: the reason for these ranges.
        advice: further advice from the evidence of the trials.
    """

    recognized: str
    ranked: tuple[Result, ...]
    tied: tuple[Result, ...]
    box: dict[str, Numeric]
    edges: tuple[Edge, ...]
    positions: dict[str, float]
    correlations: dict[str, float]
    ruined: tuple[Result, ...]
    next: dict[str, Range]
    reason: str
    advice: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """True when no best value sits at an edge."""
        return not self.edges

    @property
    def report(self) -> Report:
        """The verdict: every best value at an edge of its range is a warning."""
        findings = [finding_of(_at_edge(edge, self.box[edge.name])) for edge in self.edges]
        asked = [Question(BEST_AT_EDGE_OF_RANGE.name)] if self.box else []
        return diagnose(findings, asked, name="search", when="in this log")


def _at_edge(edge: Edge, searched: Numeric) -> Detection:
    return Detection(
        problem=BEST_AT_EDGE_OF_RANGE,
        where=edge.name,
        message=f"the best {edge.name}, {number(edge.value)}, sits next to the {edge.side} edge of its "
        "range: the optimum may lie outside",
        evidence=(
            Evidence(
                "place in the range",
                searched.position(edge.value),
                f"from {EDGE_SHARE:g} to {1 - EDGE_SHARE:g}",
                "0 is its low end",
            ),
            Evidence(
                f"how many of the {edge.top} best lie in the outer tenth of the range",
                edge.near,
                "0",
                "one alone may be chance",
            ),
        ),
        fix=f"search {edge.name} from {edge.new_low:.3g} to {edge.new_high:.3g} next",
    )


def diagnose_log(
    where: str,
    *,
    form: str = formats.AUTO,
    classes: int = 0,
    chance_loss: float = math.nan,
    ranges: Mapping[str, Numeric] = _NO_RANGES,
    direction: str = "",
) -> LogDiagnosis | SearchDiagnosis:
    """Diagnoses a printed log.

    Args:
        where: a file, a folder of TensorBoard's, or "-" for standard input.
        form: its format, one of ``readings.logs.formats.NAMES``.
        classes: the number of classes; 0 to guess it from the log.
        chance_loss: the loss of a network that knows nothing; NaN to guess it from the log.
        ranges: the known ranges of a search; the others are guessed from the trials.
        direction: "maximize" or "minimize" for a search; empty to infer it from the log.

    Raises:
        InputError: the log cannot be read, its format is unknown, or the chance level is impossible.
    """
    _check(form, classes, chance_loss, direction)
    if form == formats.TENSORBOARD or (form == formats.AUTO and tensorboard.is_event_file(path_of(where))):
        log = log_of(tensorboard.read(path_of(where)))
        title = "TensorBoard's events"
        return _of_training(
            formats.checked(log, title, tensorboard.EXAMPLE, where), title, classes, chance_loss
        )
    text = source.text_of(where)
    asked = form == formats.SEARCH or bool(ranges) or bool(direction)
    found = formats.read_search(text, direction, asked=asked) if asked or form == formats.AUTO else None
    if found is not None:
        return diagnose_search(found, ranges)
    if asked:
        raise InputError(
            f"{where} holds no trials",
            fix=f"they look like {lecture_trials.EXAMPLE!r}, or a table with a column a hyperparameter "
            "and a score",
        )
    return _of_training(*formats.read_log(text, where, form), classes, chance_loss)


def _check(form: str, classes: int, chance_loss: float, direction: str) -> None:
    if form not in formats.NAMES:
        raise InputError(f"no format is called {form!r}", fix=f"use one of {', '.join(formats.NAMES)}")
    if classes < 0 or classes == 1:
        raise InputError(f"--classes {classes}: there must be two or more", fix="e.g. --classes 10")
    if direction not in ("", MAXIMIZE, MINIMIZE):
        raise InputError(
            f"--direction {direction} is unknown", fix=f"use --direction {MAXIMIZE} or {MINIMIZE}"
        )
    if chance_loss <= 0 or math.isinf(chance_loss):
        raise InputError(
            f"--chance-loss {chance_loss:g} is no positive number",
            fix="give the loss of a network that knows nothing: ln C, or the targets' variance",
        )


def _of_training(log: TrainingLog, title: str, classes: int, chance_loss: float) -> LogDiagnosis:
    known = classes or (0 if math.isfinite(chance_loss) else guessed_classes(log.run))
    level = math.log(known) if known and math.isnan(chance_loss) else chance_loss
    chance = "" if math.isnan(level) else f"chance level {level:.4g}"
    if known:
        origin = "" if classes else ", guessed from the cost; --classes C sets it"
        chance += f" ({known} classes{origin})"
    rates = {"learning_rate": log.learning_rate}
    context = Context(level, 1 / known if known else math.nan, rates, unit=log.unit)
    report = report_on(log.run, context, "training", "in this log")
    return LogDiagnosis(log, log.describe(title), chance, report)


def diagnose_search(log: SearchLog, known: Mapping[str, Numeric] = _NO_RANGES) -> SearchDiagnosis:
    """Diagnoses a search from its trials.

    Args:
        log: the trials with their scores, two or more.
        known: the ranges that the user knows; the others are guessed from the trials.

    Raises:
        InputError: no trial has a score, or a known range does not fit the trials.
    """
    results = log.results
    order = ranked(results)
    if not order:
        raise InputError("no trial of the log has a score", fix="search lower learning rates")
    best = order[0].trial.hyperparameters
    scores = [result.score for result in order]
    examples = _examples(scores)

    present = {name for result in results for name in result.trial.hyperparameters}
    of_log = {name: found for name, found in log.ranges.items() if name in present}
    ranges = searched_ranges(results, of_log | dict(known))
    correlations = {name: rank_correlation(values_of(name, order), scores) for name in searched(ranges)}
    for name, correlation in correlations.items():
        chosen = (result.trial.hyperparameters for result in results)
        values = {values[name] for values in chosen if name in values}
        # A number with few values and no trend is a choice: its best value is often an outer one.
        if len(values) < _FEW_VALUES and abs(correlation) < _MATTERS:
            ranges[name] = Choice(tuple(sorted(values, key=float)))

    box = searched(ranges)
    following, reason = next_box(results, ranges, examples)
    judged = standing([Round(ranges, results)], [_SEARCH], examples)
    for edge in judged.edges:
        following[edge.name] = _beyond(edge, box[edge.name])
    return SearchDiagnosis(
        recognized=_recognized(log, list(best), len(order)),
        ranked=tuple(order),
        tied=judged.ties,
        box=box,
        edges=judged.edges,
        positions={name: found.position(float(best[name])) for name, found in box.items()},
        correlations={name: correlations[name] for name in box},
        ruined=tuple(_ruined(order)) if "l2" in box else (),
        next=following,
        reason=reason,
        advice=judged.advice,
    )


_FEW_VALUES = 5
_MATTERS = 0.5


def _recognized(log: SearchLog, names: Sequence[str], scored: int) -> str:
    line = f"read {len(log.results)} trials of {', '.join(names)} from {log.title}"
    line += f"; {log.score} is to be {log.direction}d"
    if log.guessed:
        other = MINIMIZE if log.direction == MAXIMIZE else MAXIMIZE
        line += f" (guessed: {log.guessed}; --direction {other} turns it)"
    without = len(log.results) - scored
    return line + (f"; {without} without a score" if without else "")


def _beyond(edge: Edge, searched_range: Numeric) -> Range:
    if searched_range.whole:
        low, high = round(edge.new_low), round(edge.new_high)
        return integer(low, high, log=searched_range.log and low >= 1)
    return (log_uniform if searched_range.log else uniform)(edge.new_low, edge.new_high)


def _examples(scores: Sequence[float]) -> int:
    """Guesses the number of validation examples: the smallest that explains all accuracies."""
    for count in (100, 200, 500, 1000, 2000, 5000):
        if all(abs(score * count - round(score * count)) < 1e-3 for score in scores):
            return count
    return 10_000


def _ruined(order: Sequence[Result]) -> list[Result]:
    """Lists trials at less than half of the median score whose l2 is above that of every better one."""
    middle = order[len(order) // 2].score
    bad = [result for result in order if 0 <= result.score < middle / 2]
    good = [float(result.trial.hyperparameters["l2"]) for result in order if result not in bad]
    return [result for result in bad if float(result.trial.hyperparameters["l2"]) > 3 * max(good)]
