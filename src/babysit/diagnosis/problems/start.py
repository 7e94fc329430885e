"""Problems of the start: initial weights, the scale of signals and gradients, the first loss."""

from __future__ import annotations

from babysit.diagnosis.problem import NO_LEARNING, NO_SIGNAL, Effect, Problem
from babysit.verdicts import Severity

SYMMETRIC_UNITS = Problem(
    name="symmetric_units",
    summary="All units of a layer have the same weights and the same gradient.",
    fix="initialize at random: He for ReLU, Xavier for tanh; zero is for biases",
    source="CS231n lecture 6, 'Weight Initialization'",
    severity=Severity.ERROR,
    produces=NO_SIGNAL | {Effect.UNITS_LOST},
    explains=("layers_without_gradient",),
    figures=("gradients",),
)
WEIGHTS_TOO_LARGE = Problem(
    name="weights_too_large",
    summary="The initial weights are too large.",
    fix="initialize with std sqrt(2 / fan_in) for ReLU, 1 / sqrt(fan_in) for tanh",
    source="CS231n lecture 6, 'Weight Initialization'",
    severity=Severity.INFO,
    produces=NO_LEARNING | {Effect.HIGH_FIRST_LOSS, Effect.UNITS_LOST, Effect.LOSS_GROWS, Effect.NOT_FINITE},
    figures=("spread",),
)
DEAD_UNITS = Problem(
    name="dead_units",
    summary="ReLU units are silent for every example and get no gradient.",
    fix=("lower the learning rate; He initialization, biases at 0 or 0.01, scaled inputs; or a leaky ReLU"),
    source="CS231n lecture 6, 'Activation Functions'",
    severity=Severity.ERROR,
    produces=NO_SIGNAL,
    effect=Effect.UNITS_LOST,
    figures=("dead", "layers"),
    formerly=("dead_layer",),
)
SATURATED_UNITS = Problem(
    name="saturated_units",
    summary="Sigmoid or tanh units sit at their limits, where hardly any gradient passes.",
    fix="smaller initial weights (Xavier), scaled inputs, or ReLU",
    source="CS231n lecture 6, 'Activation Functions' and 'Weight Initialization'; Glorot and Bengio 2010",
    produces=NO_LEARNING | {Effect.SIGNAL_LOST},
    effect=Effect.UNITS_LOST,
    figures=("saturation", "layers"),
    formerly=("saturated",),
)
VANISHING_GRADIENTS = Problem(
    name="vanishing_gradients",
    summary="The gradient vanishes on its way back to the first layers.",
    fix=("ReLU instead of sigmoid or tanh; He or Xavier initialization; normalization or skip connections"),
    source="CS231n lecture 6, 'Weight Initialization'; Zhang et al., AUTOTRAINER, ICSE 2021",
    produces=NO_LEARNING | {Effect.SIGNAL_LOST},
    effect=Effect.GRADIENT_LOST,
    figures=("gradients",),
    formerly=("vanishing_gradient",),
)
EXPLODING_GRADIENTS = Problem(
    name="exploding_gradients",
    summary="The gradient grows by orders of magnitude on its way back.",
    fix="make initial weights smaller (Xavier, He), normalize, or clip the gradient",
    source="Zhang et al., AUTOTRAINER, ICSE 2021; CS231n lecture 6, 'Weight Initialization'",
    produces=NO_LEARNING | {Effect.SIGNAL_LOST},
    effect=Effect.GRADIENT_LOST,
    figures=("gradients",),
)
VANISHING_SIGNAL = Problem(
    name="vanishing_signal",
    summary="The differences between examples vanish on their way through the layers.",
    fix="He for ReLU, Xavier for tanh, ReLU for sigmoid; batch normalization or residual connections",
    source="CS231n lecture 6, 'Weight Initialization'",
    produces=NO_SIGNAL,
    effect=Effect.SIGNAL_LOST,
    figures=("spread",),
)
SIGNAL_DRIFTS = Problem(
    name="signal_drifts",
    summary="The spread over examples changes tenfold over some layers.",
    fix="He initialization for ReLU, Xavier for tanh, or batch normalization between",
    source="CS231n lecture 6, 'Weight Initialization'",
    severity=Severity.INFO,
    figures=("spread",),
)
HIDDEN_SIGMOIDS = Problem(
    name="hidden_sigmoids",
    summary="A hidden layer ends in a sigmoid.",
    fix="ReLU first, with a careful learning rate; then Leaky ReLU, ELU or tanh",
    source="CS231n lecture 6, 'Activation Functions: TLDR, in practice'",
    severity=Severity.INFO,
)
HIDDEN_TANH = Problem(
    name="hidden_tanh",
    summary="Hidden layers end in tanh.",
    fix="try ReLU first; try tanh, but expect no more of it",
    source="CS231n lecture 6, 'Activation Functions: TLDR, in practice'",
    severity=Severity.INFO,
)
INITIAL_LOSS_HIGH = Problem(
    name="initial_loss_high",
    summary="The first loss is far above that of equal scores.",
    fix="scale the inputs; make the last layer's initial weights smaller",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    effect=Effect.HIGH_FIRST_LOSS,
    figures=("loss",),
)
INITIAL_LOSS_LOW = Problem(
    name="initial_loss_low",
    summary="The first loss is far below chance.",
    fix="nothing to do for a trained model; for a fresh one look for the labels among the inputs",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    severity=Severity.INFO,
    figures=("loss",),
)
FIRST_LOSS_NOT_AT_CHANCE = Problem(
    name="first_loss_not_at_chance",
    summary="The first loss is not that of a network that knows nothing.",
    fix="scale the inputs; make the last layer's initial weights smaller",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    severity=Severity.ERROR,
    effect=Effect.HIGH_FIRST_LOSS,
    formerly=("initial_loss",),
)
