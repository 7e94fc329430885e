"""Problems in the course of a run: what its losses, outputs and accuracies show."""

from __future__ import annotations

from babysit.diagnosis.problem import NO_SIGNAL, Effect, Problem
from babysit.verdicts import Severity

LOSS_NOT_FINITE = Problem(
    name="loss_not_finite",
    summary="The loss is NaN or infinite.",
    fix=(
        "try a tenth of the learning rate; look for NaN in the data, log(0), 0/0 and sqrt(0); add 1e-8 inside"
    ),
    source="CS231n lecture 6, 'Babysitting the Learning Process'",
    severity=Severity.ERROR,
    produces=NO_SIGNAL
    | {Effect.UNITS_LOST, Effect.WEIGHTS_SHRINK, Effect.HIGH_FIRST_LOSS, Effect.VALIDATION_MISLEADS},
    effect=Effect.NOT_FINITE,
    figures=("loss",),
    formerly=("first_loss_not_finite", "not_finite"),
)
LOSS_EXPLODED = Problem(
    name="loss_exploded",
    summary="The loss is more than three times its first value.",
    fix="try a tenth of the learning rate; if that is no fix, look at the scale of inputs and targets",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process' and 'Hyperparameter Optimization: "
        "cross-validation strategy'"
    ),
    severity=Severity.ERROR,
    produces=NO_SIGNAL
    | {Effect.UNITS_LOST, Effect.WEIGHTS_SHRINK, Effect.VALIDATION_MISLEADS, Effect.FITS_TRAINING_ONLY},
    effect=Effect.LOSS_GROWS,
    figures=("loss",),
    formerly=("exploded",),
)
CONSTANT_OUTPUT = Problem(
    name="constant_output",
    summary="All examples get the same output.",
    fix="look for a layer that is dead, overwritten or never called, and for unscaled inputs",
    source="an output that depends on its input; float32 has 24 bits",
    produces=frozenset({Effect.RATE_MISLEADS, Effect.LEARNS_NOTHING}),
    effect=Effect.SIGNAL_LOST,
    figures=("spread",),
    formerly=("outputs_ignore_inputs",),
)
OSCILLATION = Problem(
    name="oscillation",
    summary="The loss or the validation score swings and gains nothing.",
    fix=(
        "lower the learning rate or the momentum, let it decay, or take larger batches; with fewer "
        "than a hundred validation examples, jumps are chance"
    ),
    source="CS231n lecture 6, 'Monitor and visualize the loss curve'; AUTOTRAINER (Zhang et al. 2021)",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.LOSS_STALLS}),
    effect=Effect.LOSS_SWINGS,
    figures=("loss",),
)
LEARNS_AT_NO_RATE = Problem(
    name="learns_at_no_rate",
    summary="No learning rate lowers the loss.",
    fix="look at the data and the model before the rate",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process: overfit a very small portion of the "
        "training data'"
    ),
    effect=Effect.LEARNS_NOTHING,
    explains=("cannot_overfit",),
)
CANNOT_OVERFIT = Problem(
    name="cannot_overfit",
    summary="The network cannot memorize a few examples.",
    fix="look for wrong labels, a missing nonlinearity, an output that cannot reach the targets",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process: overfit a very small portion of the "
        "training data'"
    ),
    severity=Severity.ERROR,
    effect=Effect.LEARNS_NOTHING,
    formerly=("overfits_tiny_subset",),
)
LEARNED_NOTHING = Problem(
    name="learned_nothing",
    summary="The network does no better than a constant answer.",
    fix=(
        "do the targets belong to the inputs (shuffled, shifted)? `babysit check` overfits a few "
        "examples to tell a broken set-up from data without a pattern"
    ),
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    produces=frozenset({Effect.LOSS_STALLS, Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
    effect=Effect.LEARNS_NOTHING,
    figures=("loss", "scores"),
)
NORM_MISMATCH = Problem(
    name="norm_mismatch",
    summary="The running statistics of a batch normalization are not those of its batches.",
    fix=(
        "larger batches, PyTorch's momentum of 0.1 (Keras's 0.9), shuffled data; no batches of "
        "another kind in training mode"
    ),
    source="Ioffe and Szegedy 2015",
    produces=frozenset({Effect.FITS_TRAINING_ONLY}),
    effect=Effect.VALIDATION_MISLEADS,
    figures=("scores",),
)
MEMORIZED_ONLY = Problem(
    name="memorized_only",
    summary="The training examples are learned, and the others stay at chance.",
    fix=(
        "look whether labels belong to their inputs, and whether validation inputs are prepared "
        "exactly as training inputs; then regularize, or find more data"
    ),
    source="Zhang et al. 2017, Understanding deep learning requires rethinking generalization",
    produces=frozenset({Effect.FITS_TRAINING_ONLY}),
    effect=Effect.FITS_TRAINING_ONLY,
    figures=("scores",),
)
OVERFITTING = Problem(
    name="overfitting",
    summary="The network fits its training examples better and better, and the others no longer.",
    fix=(
        "regularize more: weight decay, dropout, augmentation, more data; keep the weights of the best epoch"
    ),
    source="CS231n lecture 6, 'Monitor and visualize the accuracy'",
    produces=frozenset({Effect.LOSS_STALLS, Effect.LOSS_SWINGS}),
    effect=Effect.FITS_TRAINING_ONLY,
    figures=("scores", "loss"),
    formerly=("validation_loss_rises",),
)
METRIC_DISAGREES_WITH_LOSS = Problem(
    name="metric_disagrees_with_loss",
    summary="The loss falls and the accuracy does not move.",
    fix=(
        "compare the metric's threshold and shapes with the loss's: (N,) against (N, 1), argmax over "
        "the wrong axis; then look at the share of each class"
    ),
    source="the definition of accuracy: the share of examples whose highest score is right",
    produces=frozenset({Effect.FITS_TRAINING_ONLY, Effect.LOSS_STALLS}),
    effect=Effect.VALIDATION_MISLEADS,
    figures=("scores", "loss"),
    formerly=("accuracy_stands_still",),
)
SUSPICIOUSLY_GOOD = Problem(
    name="suspiciously_good",
    summary="Every validation example is right from the start.",
    fix=(
        "look for the label among the inputs, examples in both splits, one class; a run that resumes "
        "from good weights is fine"
    ),
    source="Kaufman et al. 2012, Leakage in data mining",
    produces=frozenset({Effect.LOSS_STALLS}),
    effect=Effect.VALIDATION_MISLEADS,
    figures=("scores",),
    formerly=("too_good",),
)
UNDERFITTING = Problem(
    name="underfitting",
    summary="The network does not fit its own training data and no longer improves.",
    fix="give the network more units or layers, or less regularization",
    source="CS231n lecture 6, 'Monitor and visualize the accuracy'",
    severity=Severity.INFO,
    produces=frozenset({Effect.LOSS_STALLS}),
    effect=Effect.LOSS_STALLS,
    figures=("scores", "loss"),
)
PLATEAU = Problem(
    name="plateau",
    summary="The loss has stopped falling.",
    fix=(
        "lower the learning rate once by 10: if the loss then falls, the rate was too high for this "
        "stage; if not, more capacity, or it is the floor of this task"
    ),
    source="CS231n lecture 6, 'Monitor and visualize the loss curve'",
    severity=Severity.INFO,
    effect=Effect.LOSS_STALLS,
    figures=("loss",),
)
SLOW_START = Problem(
    name="slow_start",
    summary="The loss was flat for long and only then fell.",
    fix="He initialization for ReLU, Xavier for tanh; normalization, inputs of unit variance",
    source=(
        "CS231n lecture 6, 'Monitor and visualize the loss curve': bad initialization is a prime suspect"
    ),
    produces=frozenset({Effect.LOSS_STALLS}),
    effect=Effect.LEARNS_NOTHING,
    figures=("loss",),
    formerly=("bad_initialization",),
)
STILL_IMPROVING = Problem(
    name="still_improving",
    summary="The run ended while it still improved.",
    fix="train longer, or raise the learning rate",
    source="CS231n lecture 6, 'Monitor and visualize the loss curve'",
    severity=Severity.INFO,
    effect=Effect.LOSS_STALLS,
    figures=("loss",),
)
GRADIENT_NOISE = Problem(
    name="gradient_noise",
    summary="The gradients of successive steps have next to nothing in common.",
    fix="lower the learning rate or take larger batches; if that does not help, this is the floor",
    source="McCandlish, Kaplan and Amodei 2018, An Empirical Model of Large-Batch Training",
    severity=Severity.INFO,
    effect=Effect.LOSS_STALLS,
    figures=("gradients",),
)
