"""Problems of the learning rate, its schedule, and regularization."""

from __future__ import annotations

from babysit.diagnosis.problem import NO_SIGNAL, Effect, Problem
from babysit.verdicts import Severity

LEARNING_RATE_ZERO = Problem(
    name="learning_rate_zero",
    summary="The learning rate is zero, or as good as zero for much of the run.",
    fix=(
        "set a learning rate above zero; stretch the schedule over the whole run: one meant for "
        "epochs that is stepped every batch ends too early"
    ),
    source=(
        "CS231n notes, neural networks part 3, annealing; our own measurement on cosine, one-cycle "
        "and linear schedules"
    ),
    severity=Severity.ERROR,
    produces=NO_SIGNAL | {Effect.UNITS_LOST, Effect.WEIGHTS_SHRINK},
    figures=("rates",),
    formerly=("rate_is_zero", "schedule_exhausted"),
)
REGULARIZATION_TOO_STRONG = Problem(
    name="regularization_too_strong",
    summary="Regularization outweighs the data.",
    fix="divide the regularization by a hundred: 1e-4 is usual, or start with none",
    source="CS231n lecture 6, 'Hyperparameter Optimization'; TheDeepChecker (Ben Braiek and Khomh 2023)",
    produces=NO_SIGNAL | {Effect.UNITS_LOST, Effect.VALIDATION_MISLEADS},
    effect=Effect.WEIGHTS_SHRINK,
    figures=("updates",),
    formerly=("weight_decay_too_strong", "penalty_too_strong", "regularization_dominates"),
)
LEARNING_RATE_TOO_HIGH = Problem(
    name="learning_rate_too_high",
    summary="The learning rate is too high.",
    fix="try a tenth of the learning rate, or a warm-up; look at the scale of inputs and targets",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process', 'Monitor and visualize the loss curve'"
        " and 'Track the ratio of weight updates / weight magnitudes'"
    ),
    produces=frozenset(
        {
            Effect.LEARNS_NOTHING,
            Effect.LOSS_SWINGS,
            Effect.LOSS_STALLS,
            Effect.SIGNAL_LOST,
            Effect.UNITS_LOST,
            Effect.LOSS_GROWS,
            Effect.NOT_FINITE,
        }
    ),
    effect=Effect.RATE_MISLEADS,
    explains=("learning_rate_outside_usable_range",),
    figures=("updates", "loss"),
    formerly=("rate_too_high", "diverging"),
)
LEARNING_RATE_TOO_LOW = Problem(
    name="learning_rate_too_low",
    summary="The learning rate is too low.",
    fix="raise the learning rate tenfold, and again",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process' and 'Track the ratio of weight updates "
        "/ weight magnitudes'"
    ),
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.LOSS_STALLS}),
    effect=Effect.RATE_MISLEADS,
    explains=("learning_rate_outside_usable_range",),
    figures=("updates", "loss"),
    formerly=("rate_too_low",),
)
LEARNING_RATE_OUTSIDE_USABLE_RANGE = Problem(
    name="learning_rate_outside_usable_range",
    summary="The learning rate is not among those that lower the loss without exploding.",
    fix="take a rate inside the usable range that the check found",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process: find a learning rate that makes the "
        "loss go down'"
    ),
    severity=Severity.ERROR,
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.LOSS_STALLS}),
    effect=Effect.RATE_MISLEADS,
    formerly=("learning_rate_bracket",),
)
LEARNING_RATE_RANGE = Problem(
    name="learning_rate_range",
    summary="The learning rates at which this program learns.",
    fix="nothing to do; longer training often wants the lower half",
    source="CS231n lecture 6, 'Babysitting the Learning Process'",
    severity=Severity.INFO,
)
LINEAR_SEARCH_RANGE = Problem(
    name="linear_search_range",
    summary="A learning rate or a regularization strength is searched in a linear range.",
    fix="use bs.log_uniform: they multiply, so every decade deserves as many trials",
    source="CS231n lecture 6, 'Hyperparameter Optimization' and 'Summary'",
    severity=Severity.INFO,
    formerly=("linear_search_space",),
)
BEST_AT_EDGE_OF_RANGE = Problem(
    name="best_at_edge_of_range",
    summary="The best value of a search lies at the edge of the range that was searched.",
    fix="widen the range beyond that edge and search again",
    source="CS231n lecture 6, 'Hyperparameter Optimization: now run finer search'",
    formerly=("best_at_edge",),
    of_place=True,
)
