"""Problems of the loss: what the last layer gives it, its reduction, its penalties."""

from __future__ import annotations

from babysit.diagnosis.problem import BROKEN, NO_LEARNING, WRONG_UPDATES, Effect, Problem
from babysit.verdicts import Severity

ONE_UNIT_SOFTMAX = Problem(
    name="one_unit_softmax",
    summary="A softmax over a single score is always 1.",
    fix="one output: no softmax, BCEWithLogitsLoss; or two outputs with CrossEntropyLoss",
    source="softmax of one number",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    explains=(
        "softmax_before_cross_entropy",
        "labels_outside_range",
        "loss_not_connected",
        "layers_without_gradient",
    ),
    figures=("loss",),
)
SOFTMAX_BEFORE_CROSS_ENTROPY = Problem(
    name="softmax_before_cross_entropy",
    summary="Cross-entropy, which has a softmax of its own, is given probabilities.",
    fix="return the logits: leave the model's last softmax out",
    source=(
        "the loss cannot fall below ln(e + C - 1) - 1; a loss over C classes of a softmax over "
        "probabilities is at least ln(1 + (C - 1) / e)"
    ),
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
    formerly=("output_loss_mismatch",),
)
SIGMOID_BEFORE_LOGITS_LOSS = Problem(
    name="sigmoid_before_logits_loss",
    summary="A loss that applies a sigmoid itself is given probabilities.",
    fix="return the logits: leave the model's last activation out",
    source=(
        "the loss cannot fall below ln 2 for negatives; a loss over C classes of a softmax over "
        "probabilities is at least ln(1 + (C - 1) / e)"
    ),
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
    formerly=("output_loss_mismatch",),
)
NO_SIGMOID_BEFORE_BCE = Problem(
    name="no_sigmoid_before_bce",
    summary="BCELoss is given scores that are not probabilities.",
    fix="use BCEWithLogitsLoss on the bare outputs",
    source="torch.nn.BCELoss",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    figures=("loss",),
)
NLL_WITHOUT_LOG_SOFTMAX = Problem(
    name="nll_without_log_softmax",
    summary="NLLLoss is given values that are not log-probabilities.",
    fix="use CrossEntropyLoss on the bare outputs, or end the model with LogSoftmax(dim=1)",
    source=(
        "torch.nn.NLLLoss: without it the loss falls without end; a loss over C classes of a softmax "
        "over probabilities is at least ln(1 + (C - 1) / e)"
    ),
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
    formerly=("output_loss_mismatch",),
)
ACTIVATION_BEFORE_CROSS_ENTROPY = Problem(
    name="activation_before_cross_entropy",
    summary="The class scores come out of a sigmoid, tanh or ReLU.",
    fix="return the last linear layer's output as it is",
    source=(
        "scores in 0 to 1 give no class more than e times the share of another; a loss over C classes"
        " of a softmax over probabilities is at least ln(1 + (C - 1) / e)"
    ),
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
    formerly=("output_loss_mismatch",),
)
BOUNDED_OUTPUT = Problem(
    name="bounded_output",
    summary="Some targets lie where the last activation cannot reach.",
    fix="end the model with a linear layer, or scale the targets into its range",
    source=(
        "the loss stays at the part out of reach; a loss over C classes of a softmax over "
        "probabilities is at least ln(1 + (C - 1) / e)"
    ),
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("targets_not_scaled",),
    figures=("loss",),
    formerly=("output_loss_mismatch",),
)
LOSS_BROADCASTS = Problem(
    name="loss_broadcasts",
    summary="Outputs and targets broadcast, so every output is compared with every target.",
    fix="give both one shape: outputs.squeeze(1), or targets.unsqueeze(1)",
    source="NumPy and PyTorch broadcasting: the best answer is then the mean of all targets",
    severity=Severity.ERROR,
    produces=WRONG_UPDATES,
    figures=("loss",),
    formerly=("broadcast_loss", "broadcasting"),
)
PENALTY_LOWERS_LOSS = Problem(
    name="penalty_lowers_loss",
    summary="The penalty in the loss rewards large weights.",
    fix="add the penalty to the loss; look at its sign",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    severity=Severity.ERROR,
    produces=NO_LEARNING,
)
NEGATIVE_LOSS = Problem(
    name="negative_loss",
    summary="The loss of a classification is negative.",
    fix=(
        "NLLLoss takes log-probabilities (log_softmax), cross-entropy raw scores and class numbers, "
        "binary cross-entropy targets of 0 and 1; look for a flipped sign too"
    ),
    source="minus the logarithm of a probability is at least 0",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.LOSS_STALLS, Effect.VALIDATION_MISLEADS}),
    figures=("loss",),
)
LOSS_NOT_REDUCED = Problem(
    name="loss_not_reduced",
    summary="The loss returns more than one number.",
    fix="loss.mean() before backward()",
    source="torch.Tensor.backward",
    severity=Severity.INFO,
)
SUMMED_LOSS = Problem(
    name="summed_loss",
    summary="The loss is summed over the batch.",
    fix="average the loss, or divide the rate by the batch size",
    source="the gradient grows with the batch",
    severity=Severity.INFO,
    explains=("learning_rate_too_high",),
)
LOSS_DIVIDED_TWICE = Problem(
    name="loss_divided_twice",
    summary="The loss is divided by the batch size twice.",
    fix="divide once: reduction='mean' has done it",
    source="the gradient shrinks with the batch",
    severity=Severity.INFO,
    explains=("learning_rate_too_low",),
)
LOG_SOFTMAX_BEFORE_CROSS_ENTROPY = Problem(
    name="log_softmax_before_cross_entropy",
    summary="A needless log-softmax stands before cross-entropy.",
    fix="leave it out, or use NLLLoss",
    source="log-softmax of log-probabilities is the same",
    severity=Severity.INFO,
)
PENALTY_IN_LOSS = Problem(
    name="penalty_in_loss",
    summary="The loss holds a penalty on the parameters.",
    fix="nothing to do; leave the optimizer's weight_decay at 0 beside it",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    severity=Severity.INFO,
)
WEIGHT_DECAY_UNSEEN = Problem(
    name="weight_decay_unseen",
    summary="The optimizer decays weights, and the loss does not hold that cost.",
    fix="nothing to do; the loss at the start stays at chance whatever its strength",
    source=(
        "CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is "
        "reasonable'; Loshchilov and Hutter 2019"
    ),
    severity=Severity.INFO,
)
REGULARIZATION_DOES_NOT_RAISE_LOSS = Problem(
    name="regularization_does_not_raise_loss",
    summary="Regularization does not raise the loss.",
    fix="add the penalty to the loss, over the weights and not the biases",
    source="CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable'",
    severity=Severity.ERROR,
    formerly=("regularization_raises",),
)
