"""A printed log becomes a diagnosis: of a training, or of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from babysit.diagnosis.asking import finding_of
from babysit.diagnosis.problem import Detection
from babysit.diagnosis.problems.rate import BEST_AT_EDGE_OF_RANGE
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.errors import InputError, path_of
from babysit.readings.context import Context
from babysit.readings.logs import events, formats, source, trials
from babysit.readings.logs.chance import guessed_classes
from babysit.readings.logs.log import Log, log_of
from babysit.readings.logs.ranges import searched_ranges
from babysit.readings.logs.trial_rows import MAXIMIZE, MINIMIZE, SearchLog
from babysit.readings.report import report_on
from babysit.recipe.space import Choice, Numeric, Range, integer, log_uniform, number, searched, uniform
from babysit.records import Edge, Result
from babysit.tuning.advice import judge
from babysit.tuning.edges import EDGE_SHARE, values_of
from babysit.tuning.importance import rank_correlation
from babysit.tuning.ranking import Round, ranked
from babysit.tuning.stages import next_box
from babysit.verdicts import Evidence, Finding, Question

_SEARCH = "search"
_NOTHING_TOLD: Mapping[str, Numeric] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LogDiagnosis:
    """What a training's log allows to say.

    Attributes:
        log: its readings.
        recognized: what was read, in one line.
        chance: the chance level in words, and where it comes from; empty when unknown.
        report: what the rules found.
    """

    log: Log
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
    """What a search's log allows to say.

    Attributes:
        recognized: what was read, in one line.
        ranked: the trials with a score, best first.
        tied: the best and all within one standard error of it.
        box: the ranges that were searched, as far as the trials show.
        edges: alarms for a best value at an edge.
        positions: hyperparameter -> where the best value lies in its range's scale, from 0 to 1.
        correlations: hyperparameter -> its rank correlation with the score.
        ruined: the trials that one large regularization ruined.
        next: the ranges to search next.
        reason: why these.
        advice: what else to do, from the evidence of the trials.
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
        findings = [_at_edge(edge, self.box[edge.name]) for edge in self.edges]
        asked = [Question(BEST_AT_EDGE_OF_RANGE.name)] if self.box else []
        return diagnose(findings, asked, name="search", when="in this log")


def _at_edge(edge: Edge, searched: Numeric) -> Finding:
    expected = f"from {EDGE_SHARE:g} to {1 - EDGE_SHARE:g}"
    return finding_of(
        Detection(
            problem=BEST_AT_EDGE_OF_RANGE,
            where=edge.name,
            message=f"the best {edge.name}, {number(edge.value)}, sits next to the {edge.side} edge of its "
            "range: the optimum may lie outside",
            evidence=(
                Evidence("place in the range", searched.position(edge.value), expected, "0 is its low end"),
                Evidence(
                    f"how many of the {edge.top} best lie in the outer tenth of the range",
                    edge.near,
                    "0",
                    "one alone may be chance",
                ),
            ),
            fix=f"search {edge.name} from {edge.new_low:.3g} to {edge.new_high:.3g} next",
        )
    )


def diagnose_log(
    where: str,
    *,
    form: str = formats.AUTO,
    classes: int = 0,
    chance_loss: float = math.nan,
    ranges: Mapping[str, Numeric] = _NOTHING_TOLD,
    direction: str = "",
) -> LogDiagnosis | SearchDiagnosis:
    """The verdicts that a printed log allows.

    Args:
        where: a file, a folder of TensorBoard's, or "-" for standard input.
        form: its format, one of ``readings.logs.formats.NAMES``.
        classes: how many classes there are; 0 leaves it to the log.
        chance_loss: the loss of a network that knows nothing; NaN leaves it to the log.
        ranges: of a search: the ranges that were searched; those not told are guessed from the trials.
        direction: of a search: "maximize" or "minimize"; empty leaves it to the log.

    Raises:
        InputError: for a log that cannot be read, an unknown format, or an impossible chance level.
    """
    _check(form, classes, chance_loss, direction)
    if form == formats.TENSORBOARD or (form == formats.AUTO and events.is_event_file(path_of(where))):
        log = log_of(events.read(path_of(where)))
        title = "TensorBoard's events"
        return _of_training(formats.checked(log, title, events.EXAMPLE, where), title, classes, chance_loss)
    text = source.text_of(where)
    asked = form == formats.SEARCH or bool(ranges) or bool(direction)
    found = formats.read_search(text, direction, asked=asked) if asked or form == formats.AUTO else None
    if found is not None:
        return diagnose_search(found, ranges)
    if asked:
        raise InputError(
            f"{where} holds no trials",
            fix=f"they look like {trials.EXAMPLE!r}, or a table with a column a hyperparameter and a score",
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


def _of_training(log: Log, title: str, classes: int, chance_loss: float) -> LogDiagnosis:
    told = classes or (0 if math.isfinite(chance_loss) else guessed_classes(log.run))
    level = math.log(told) if told and math.isnan(chance_loss) else chance_loss
    origin = "" if classes else ", guessed from the cost; --classes C sets it"
    chance = "" if math.isnan(level) else f"chance level {level:.4g}"
    if told:
        chance += f" ({told} classes{origin})"
    context = Context(
        level, 1 / told if told else math.nan, {"learning_rate": log.learning_rate}, unit=log.unit
    )
    report = report_on(log.run, context, "training", "in this log")
    return LogDiagnosis(log, log.describe(title), chance, report)


def diagnose_search(log: SearchLog, told: Mapping[str, Numeric] = _NOTHING_TOLD) -> SearchDiagnosis:
    """The verdicts on the trials of a search.

    Args:
        log: the trials with their scores, two or more.
        told: the ranges that were searched, where they are known; the others are guessed from the trials.

    Raises:
        InputError: when no trial has a score, or a told range does not fit the trials.
    """
    results = log.results
    order = ranked(results)
    if not order:
        raise InputError("no trial of the log has a score", fix="search lower learning rates")
    examples = _examples([result.score for result in order])
    ranges = searched_ranges(results, _known(log, told))
    scores = [result.score for result in order]
    correlations = {name: rank_correlation(values_of(name, order), scores) for name in searched(ranges)}
    ranges |= {name: found for name in correlations if (found := _choice(results, name, correlations[name]))}
    box = searched(ranges)
    following, reason = next_box(results, ranges, examples)
    judged = judge([Round(ranges, results)], [_SEARCH], examples, fanova=False)
    best, edges = order[0].trial.hyperparameters, judged.edges
    following |= {edge.name: _beyond(edge, box[edge.name]) for edge in edges}
    return SearchDiagnosis(
        recognized=_recognized(log, list(order[0].trial.hyperparameters), len(order)),
        ranked=tuple(order),
        tied=judged.ties,
        box=box,
        edges=edges,
        positions={name: found.position(float(best[name])) for name, found in box.items()},
        correlations={name: correlations[name] for name in box},
        ruined=tuple(_ruined(order)) if "l2" in box else (),
        next=following,
        reason=reason,
        advice=judged.advice,
    )


def _known(log: SearchLog, told: Mapping[str, Numeric]) -> dict[str, Numeric]:
    """The ranges that the log tells, where it has trials for them, and above them those of the user."""
    present = {name for result in log.results for name in result.trial.hyperparameters}
    return {name: found for name, found in log.ranges.items() if name in present} | dict(told)


_FEW_VALUES = 5
_MATTERS = 0.5


def _choice(results: Sequence[Result], name: str, correlation: float) -> Choice | None:
    """A number of few values that shows no trend: one of them is best, and mostly it is an outer one."""
    chosen = (result.trial.hyperparameters for result in results)
    values = {values[name] for values in chosen if name in values}
    if len(values) >= _FEW_VALUES or abs(correlation) >= _MATTERS:
        return None
    return Choice(tuple(sorted(values, key=float)))


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
    """How many validation examples stand behind accuracies: the fewest that give them all."""
    for count in (100, 200, 500, 1000, 2000, 5000):
        if all(abs(score * count - round(score * count)) < 1e-3 for score in scores):
            return count
    return 10_000


def _ruined(order: Sequence[Result]) -> list[Result]:
    """Trials at less than half of the middle score whose l2 is above that of every better one."""
    middle = order[len(order) // 2].score
    bad = [result for result in order if 0 <= result.score < middle / 2]
    good = [float(result.trial.hyperparameters["l2"]) for result in order if result not in bad]
    return [result for result in bad if float(result.trial.hyperparameters["l2"]) > 3 * max(good)]
