"""The part of the table that is never an alarm: facts, and the lecture's own advice."""

from __future__ import annotations

from collections.abc import Callable

from babysit.checks import at_start, inputs, labels, norms, outputs, penalties, rate_range
from babysit.checks.measuring import Measured
from babysit.checks.seen import Fault, Seen
from babysit.records import Severity


def _quiet(
    name: str,
    look: Callable[[Measured], Seen | None],
    about: str,
    advice: str,
    source: str,
    *,
    explains: tuple[str, ...] = (),
    needs_run: bool = True,
) -> Fault:
    return Fault(name, look, about, advice, source, Severity.INFO, explains=explains, needs_run=needs_run)


QUIET: tuple[Fault, ...] = (
    _quiet(
        "learning_rate_range",
        rate_range.learning_rate_range,
        "a fact: of four rates a decade apart, those that do a tenth of the best one's work in 10 steps",
        "nothing to do; longer training often wants the lower half",
        "CS231n lecture 6, rows 81-90",
    ),
    _quiet(
        "log_softmax_before_cross_entropy",
        outputs.log_softmax_before_cross_entropy,
        "a log-softmax before cross-entropy changes nothing",
        "leave it out, or use NLLLoss",
        "log-softmax of log-probabilities is the same",
    ),
    _quiet(
        "loss_divided_twice",
        penalties.loss_divided_twice,
        "the loss of a batch read twice is half as large; a fault only where the rate is too low",
        "divide once: reduction='mean' has done it",
        "the gradient shrinks with the batch",
        explains=("learning_rate_too_low",),
    ),
    _quiet(
        "loss_not_reduced",
        penalties.loss_not_reduced,
        "the loss returns more than one number",
        "loss.mean() before backward()",
        "torch.Tensor.backward",
    ),
    _quiet(
        "penalty_in_loss",
        penalties.penalty_in_loss,
        "a fact: the loss rises with the parameters themselves, by how much, and its l2",
        "nothing to do; leave the optimizer's weight_decay at 0 beside it",
        "CS231n lecture 6, row 73",
    ),
    _quiet(
        "weight_decay_unseen",
        penalties.weight_decay_unseen,
        "a fact: weight decay in the optimizer, whose cost the loss does not hold",
        "nothing to do; the loss at the start stays at chance whatever its strength",
        "CS231n lecture 6, row 73; Loshchilov and Hutter 2019",
        needs_run=False,
    ),
    _quiet(
        "initial_loss_low",
        at_start.initial_loss_low,
        "the first loss of a classification is below half of what the classes' shares alone give",
        "nothing to do for a trained model; for a fresh one look for the labels among the inputs",
        "CS231n lecture 6, row 72",
    ),
    _quiet(
        "labels_unbalanced",
        labels.labels_unbalanced,
        "more than 90% of the labels are one class, or exp(entropy) is below half of the classes",
        "judge by balanced accuracy or by class; weigh the loss if the rare class matters",
        "the entropy of the classes is far below ln C; TheDeepChecker (Ben Braiek and Khomh 2023)",
    ),
    _quiet(
        "constant_features",
        inputs.constant_features,
        "more than half of a table's columns never change",
        "drop them, and look at how the table was read",
        "CS231n lecture 6, row 35",
        needs_run=False,
    ),
    _quiet(
        "inputs_all_positive",
        inputs.inputs_all_positive,
        "no input is negative",
        "subtract the training mean",
        "CS231n lecture 6, rows 11-13, 37",
        needs_run=False,
    ),
    _quiet(
        "hidden_sigmoids",
        at_start.hidden_sigmoids,
        "a sigmoid feeds a layer",
        "ReLU first, with a careful learning rate; then Leaky ReLU, ELU or tanh",
        "CS231n lecture 6, row 34",
    ),
    _quiet(
        "hidden_tanh",
        at_start.hidden_tanh,
        "two hidden tanh layers or more",
        "try ReLU first; try tanh, but expect no more of it",
        "CS231n lecture 6, row 34",
    ),
    _quiet(
        "signal_drifts",
        at_start.signal_drifts,
        "over four layers or more of one activation the spread over examples changes tenfold",
        "He initialization for ReLU, Xavier for tanh, or batch normalization between",
        "CS231n lecture 6, rows 43-56",
    ),
    _quiet(
        "norm_after_activation",
        norms.norm_after_activation,
        "a batch normalization is given the very output of an activation",
        "the lecture puts it behind the linear or convolutional layer, before the nonlinearity",
        "CS231n lecture 6, rows 62-63; Ioffe and Szegedy 2015",
    ),
    _quiet(
        "redundant_bias",
        norms.redundant_bias,
        "a bias directly before a batch normalization",
        "bias=False in that layer",
        "CS231n lecture 6, row 68",
        needs_run=False,
    ),
    _quiet(
        "batch_norm_small_batch",
        norms.batch_norm_small_batch,
        "two or three examples in every batch before a batch normalization",
        "larger batches, or group normalization",
        "Wu and He 2018, figure 1",
        needs_run=False,
    ),
    _quiet(
        "batch_norm_forgetful",
        norms.batch_norm_forgetful,
        "a momentum of 0.5 or more, the weight of the new batch",
        "momentum=0.1, or 0.01 for small batches",
        "torch.nn.BatchNorm2d: other libraries' 0.9 is 0.1 here",
        needs_run=False,
    ),
    _quiet(
        "batch_norm_without_statistics",
        norms.batch_norm_without_statistics,
        "track_running_stats=False, or no running statistics",
        "keep them, or use group or layer normalization, where examples do not meet",
        "torch.nn.BatchNorm2d",
        needs_run=False,
    ),
)
