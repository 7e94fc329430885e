"""The vocabulary of diagnosis: problems, their effects, and detectors that find them in some subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from types import ModuleType
from typing import Generic, TypeVar

from babysit.verdicts import Evidence, Severity

T = TypeVar("T")


class Effect(StrEnum):
    """An observable consequence of a problem.

    A problem that shows as an effect is a symptom wherever another problem that produces it was found.
    """

    DOES_NOT_RUN = auto()
    NOT_FINITE = auto()
    LOSS_GROWS = auto()
    HIGH_FIRST_LOSS = auto()
    SIGNAL_LOST = auto()
    GRADIENT_LOST = auto()
    UNITS_LOST = auto()
    WEIGHTS_SHRINK = auto()
    RATE_MISLEADS = auto()
    LEARNS_NOTHING = auto()
    LOSS_SWINGS = auto()
    LOSS_STALLS = auto()
    FITS_TRAINING_ONLY = auto()
    VALIDATION_MISLEADS = auto()


NO_LEARNING = frozenset({Effect.RATE_MISLEADS, Effect.LEARNS_NOTHING, Effect.LOSS_SWINGS, Effect.LOSS_STALLS})
"""The effects of a problem that keeps the loss from falling."""

NO_SIGNAL = NO_LEARNING | {Effect.SIGNAL_LOST, Effect.GRADIENT_LOST}
"""The effects of a problem that keeps information from passing through the network."""

WRONG_UPDATES = NO_SIGNAL | {
    Effect.UNITS_LOST,
    Effect.WEIGHTS_SHRINK,
    Effect.LOSS_GROWS,
    Effect.NOT_FINITE,
}
"""The effects of wrong updates: every statistic of the training may look odd, but not its first loss."""

BROKEN = WRONG_UPDATES | {Effect.HIGH_FIRST_LOSS, Effect.VALIDATION_MISLEADS}
"""The effects of a program that is wrong: any statistic may look odd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that can be wrong, under one name at every door.

    Attributes:
        name: unique in the catalogue, e.g. "learning_rate_too_high".
        summary: the problem in one sentence.
        fix: what to do, without numbers of a run.
        source: the slide, paper or library behind it.
        severity: the most severe that a detector may give it. Default: warning.
        produces: the effects that it brings about.
        effect: the one that it shows itself as; a found problem that produces it explains it.
            Default: None, never a symptom.
        explains: problems that it explains beside those that show as an effect it produces.
        figures: the keys of the figures that show it, the best first; a page links the first that it has.
        formerly: the names that it had in older versions, which old stores hold.
        of_place: whether it may occur at several places at once, each a cause of its own. Default: False, one
            finding stands for all.
    """

    name: str
    summary: str
    fix: str
    source: str
    severity: Severity = Severity.WARNING
    produces: frozenset[Effect] = frozenset()
    effect: Effect | None = None
    explains: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    formerly: tuple[str, ...] = ()
    of_place: bool = False

    @property
    def title(self) -> str:
        """The name in words.

        Example:
            >>> Problem(name="dead_units", summary="", fix="", source="").title
            'dead units'
        """
        return self.name.replace("_", " ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """One problem as one detector found it in one subject.

    Attributes:
        where: the layer, parameter or quantity.
        message: the verdict in one sentence.
        evidence: the measured values.
        severity: one lower than the problem's; None for the problem's own.
        since: the first step, epoch or line at which it holds; 0 before training.
        unit: the unit of ``since``.
        fix: the fix with the run's own numbers; empty for the problem's.
        problem: set by the detector, or by a function that finds one of several problems.
        detector: the key of the detector, set by it.
    """

    where: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    severity: Severity | None = None
    since: int = 0
    unit: str = ""
    fix: str = ""
    problem: Problem | None = None
    detector: str = ""


@dataclass(frozen=True)
class Need(Generic[T]):
    """A condition for asking a question.

    Attributes:
        met: tells whether the subject meets it.
        reason: why the question stays open if it is unmet, in words.
        applies: False where an unmet need means that the question does not apply to the subject; True where
            it applies and is not answered, so that the subject cannot be called healthy. Default: True.
    """

    met: Callable[[T], bool]
    reason: str
    applies: bool = True


class UnansweredError(Exception):
    """Raised by a detector that cannot decide, with the reason in words."""


@dataclass(frozen=True, kw_only=True)
class Detector(Generic[T]):
    """One question about one kind of subject: is this problem there?

    Attributes:
        problem: the problem that it looks for.
        look: finds it in a subject, or returns None.
        signal: the sign of the problem, with its threshold: the first paragraph of the function's docstring.
        reason: why the threshold has this value; empty if the signal says it.
        severity: of its detections, if it is lower than the problem's.
        needs: the conditions under which it can decide.
        key: unique among all doors: the room and the function, e.g. "checks.inputs_constant".
    """

    problem: Problem
    look: Callable[[T], Detection | None]
    signal: str
    reason: str = ""
    severity: Severity | None = None
    needs: tuple[Need[T], ...] = ()
    key: str = ""

    def __call__(self, subject: T) -> Detection | None:
        """Looks for the problem in a subject."""
        found = self.look(subject)
        if found is None:
            return None
        problem = found.problem or self.problem
        severity = found.severity or self.severity or problem.severity
        return replace(found, problem=problem, severity=severity, detector=self.key)


def detects(
    problem: Problem,
    *,
    reason: str = "",
    severity: Severity | None = None,
    needs: tuple[Need[T], ...] = (),
) -> Callable[[Callable[[T], Detection | None]], Detector[T]]:
    """Makes a function the detector of a problem; its docstring is the signal.

    Args:
        problem: the problem that the function looks for.
        reason: why its threshold has this value.
        severity: of its detections, if it is lower than the problem's. Default: the problem's.
        needs: the conditions under which it can decide.
    """

    def detector(look: Callable[[T], Detection | None]) -> Detector[T]:
        room = look.__module__.split(".")[1]
        words = " ".join((look.__doc__ or "").split("\n\n")[0].split())
        return Detector(
            problem=problem,
            look=look,
            signal=words,
            reason=reason,
            severity=severity,
            needs=needs,
            key=f"{room}.{look.__name__}",
        )

    return detector


def detectors_in(*modules: ModuleType) -> tuple[Detector[T], ...]:
    """Collects the detectors that some modules define, in their order.

    Args:
        modules: of one door.
    """
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Detector)]
    return tuple(dict.fromkeys(found))


def evidence(what: str, value: float, expected: str, why: str = "") -> tuple[Evidence, ...]:
    """Makes one measured value the evidence of a detection."""
    return (Evidence(what, float(value), expected, why),)
