"""Problems of the wiring: graph, parameters, optimizer, loop, modes."""

from __future__ import annotations

from babysit.diagnosis.problem import BROKEN, NO_LEARNING, NO_SIGNAL, WRONG_UPDATES, Effect, Problem
from babysit.verdicts import Severity

LOOP_RAISED = Problem(
    name="loop_raised",
    summary="An exception ended the training loop.",
    fix="read the exception with its fix; what was measured until then stands in the report",
    source="PyTorch's own messages",
    severity=Severity.ERROR,
    produces=BROKEN,
    effect=Effect.DOES_NOT_RUN,
    explains=("validated_in_training_mode", "validation_in_training", "metric_not_reset"),
    formerly=("raised",),
)
DOES_NOT_RUN = Problem(
    name="does_not_run",
    summary="The forward pass, the loss or the gradient raises an exception.",
    fix="read the message; print the shapes before that line",
    source="torch",
    severity=Severity.ERROR,
    effect=Effect.DOES_NOT_RUN,
)
NOTHING_TO_TRAIN = Problem(
    name="nothing_to_train",
    summary="No parameter requires a gradient.",
    fix="unfreeze the layers that are to learn",
    source="torch autograd",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    explains=("loss_not_connected",),
)
UNREGISTERED_PARAMETERS = Problem(
    name="unregistered_parameters",
    summary="Layers run whose weights are not in model.parameters().",
    fix="put them in an nn.ModuleList or nn.ModuleDict",
    source="torch.nn.Module",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("nothing_to_train",),
)
GRADIENTS_DISCARDED = Problem(
    name="gradients_discarded",
    summary="The gradients are zeroed between backward() and step().",
    fix="call zero_grad() before backward() or after step(), not between the two",
    source="torch.optim: a step uses what .grad holds",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("loss_not_connected", "gradients_not_zeroed", "learning_rate_zero"),
    figures=("gradients", "updates"),
)
LOSS_NOT_CONNECTED = Problem(
    name="loss_not_connected",
    summary="No gradient flows from the loss to any parameter.",
    fix="keep tensors from model to loss: no .item(), .detach(), .numpy(), argmax or new torch.tensor",
    source="autograd: only what has a path to the loss gets a gradient",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("layers_without_gradient", "gradients_not_zeroed", "learning_rate_zero"),
    figures=("gradients", "updates"),
    formerly=("graph_cut",),
)
LAYERS_WITHOUT_GRADIENT = Problem(
    name="layers_without_gradient",
    summary="Layers that run and are to be trained get no gradient.",
    fix="remove detach(), .data, .numpy() or no_grad() behind them, or freeze them on purpose",
    source="autograd: only what has a path to the loss gets a gradient",
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("gradients", "updates"),
    formerly=("graph_cut", "parameters_unreached"),
)
UNUSED_PARAMETERS = Problem(
    name="unused_parameters",
    summary="Trainable parameters are not used in forward().",
    fix="use the layer in forward(), or remove it",
    source="torch autograd",
    figures=("gradients",),
)
OPTIMIZER_HOLDS_OTHER_MODEL = Problem(
    name="optimizer_holds_other_model",
    summary="The optimizer holds parameters of another model.",
    fix="make the optimizer after the model, its last layer and its move to a device are final",
    source="torch.optim: an optimizer changes the tensors that it was given, and no others",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("parameters_not_in_optimizer", "gradients_not_zeroed", "learning_rate_zero"),
    figures=("updates",),
    formerly=("optimizer_of_other_model", "foreign_parameters"),
)
PARAMETERS_NOT_IN_OPTIMIZER = Problem(
    name="parameters_not_in_optimizer",
    summary="Trainable parameters are in no optimizer.",
    fix="give the optimizer model.parameters(), or set requires_grad=False on what is to stay",
    source="torch.optim: an optimizer changes the tensors that it was given, and no others",
    produces=WRONG_UPDATES,
    figures=("updates",),
    formerly=("not_in_optimizer", "parameters_left_out"),
)
OPTIMIZER_NEVER_STEPS = Problem(
    name="optimizer_never_steps",
    summary="The optimizer makes no step.",
    fix="call optimizer.step() after loss.backward(), on the optimizer that holds the model",
    source="torch.optim: weights change in step() alone",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("gradients_not_zeroed", "learning_rate_zero"),
    figures=("updates",),
)
GRADIENTS_NOT_ZEROED = Problem(
    name="gradients_not_zeroed",
    summary="Gradients are not zeroed between steps and pile up.",
    fix="call optimizer.zero_grad() once before each backward pass, or each accumulation of them",
    source="autograd: backward() adds to what .grad holds",
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("gradients", "loss"),
)
SIGN_FLIPPED = Problem(
    name="sign_flipped",
    summary="The loss is maximized instead of minimized.",
    fix=(
        "minimize the loss itself: no minus before it, no maximize=True; look at the sign of each of "
        "its terms"
    ),
    source="gradient descent: a loss is minimized",
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
)
WRONG_GRADIENT = Problem(
    name="wrong_gradient",
    summary="backward() does not compute the gradient of forward().",
    fix=("compare backward() with torch.autograd.gradcheck; multiply by grad_output; one gradient an input"),
    source="CS231n notes, neural networks part 3, gradient checks",
    severity=Severity.ERROR,
    produces=frozenset({Effect.RATE_MISLEADS, Effect.LEARNS_NOTHING}),
)
EXAMPLES_MIXED = Problem(
    name="examples_mixed",
    summary="An example's output depends on the other examples of its batch.",
    fix="look for a softmax, view, transpose or recurrent layer along the batch axis (batch_first=True)",
    source="examples are independent of each other",
    severity=Severity.ERROR,
    produces=NO_LEARNING,
)
MISSING_CAUSAL_MASK = Problem(
    name="missing_causal_mask",
    summary="A sequence model can see the targets that it is to predict.",
    fix=("a causal mask (is_causal, generate_square_subsequent_mask), or a recurrent layer of one direction"),
    source="Kaufman et al. 2012, Leakage in data mining; Vaswani et al. 2017, section 3.2.3",
    severity=Severity.ERROR,
    produces=NO_LEARNING,
)
TRAINED_IN_EVAL_MODE = Problem(
    name="trained_in_eval_mode",
    summary="The model trains in evaluation mode.",
    fix="call model.train() at the start of every epoch, after each evaluation",
    source="torch.nn.Module.eval: dropout is off, batch norm uses its running statistics",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
    formerly=("eval_mode",),
)
VALIDATED_IN_TRAINING_MODE = Problem(
    name="validated_in_training_mode",
    summary="Validation runs in training mode.",
    fix="call model.eval() before validation, and model.train() after it",
    source="torch.nn.Module.eval: dropout is off, batch norm uses its running statistics",
    produces=frozenset({Effect.FITS_TRAINING_ONLY}),
    figures=("scores",),
    formerly=("validation_in_train_mode",),
)
DROPOUT_IN_EVALUATION = Problem(
    name="dropout_in_evaluation",
    summary="Dropout is active in evaluation mode.",
    fix="F.dropout(x, p, training=self.training), or nn.Dropout; sampling on purpose is fine",
    source="torch.nn.functional.dropout",
)
METRIC_NOT_RESET = Problem(
    name="metric_not_reset",
    summary="A running metric is never reset.",
    fix="set the counters (hits, examples, summed loss) to zero at the start of every epoch",
    source="arithmetic of counters that run on",
    produces=frozenset({Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
    figures=("scores",),
)
BATCH_NORM_BATCH_OF_ONE = Problem(
    name="batch_norm_batch_of_one",
    summary="A batch of one example meets a batch normalization.",
    fix="larger batches, drop_last=True for the remainder, or group normalization",
    source="Ioffe and Szegedy 2015; CS231n lecture 6, 'Batch Normalization'",
    severity=Severity.ERROR,
    produces=NO_SIGNAL | {Effect.DOES_NOT_RUN},
)
BATCH_NORM_NEVER_UPDATED = Problem(
    name="batch_norm_never_updated",
    summary="The running statistics of a batch normalization are never updated.",
    fix="momentum=0.1; to keep pretrained statistics load them first",
    source="torch.nn.BatchNorm2d",
)
BATCH_NORM_SMALL_BATCH = Problem(
    name="batch_norm_small_batch",
    summary="Batches of two or three examples meet a batch normalization.",
    fix="larger batches, or group normalization",
    source="Wu and He 2018, figure 1",
    severity=Severity.INFO,
)
BATCH_NORM_FORGETFUL = Problem(
    name="batch_norm_forgetful",
    summary="A batch normalization forgets its running statistics within a few batches.",
    fix="momentum=0.1, or 0.01 for small batches",
    source="torch.nn.BatchNorm2d: other libraries' 0.9 is 0.1 here",
    severity=Severity.INFO,
)
BATCH_NORM_WITHOUT_STATISTICS = Problem(
    name="batch_norm_without_statistics",
    summary="A batch normalization keeps no running statistics.",
    fix="keep them, or use group or layer normalization, where examples do not meet",
    source="torch.nn.BatchNorm2d",
    severity=Severity.INFO,
)
NORM_AFTER_ACTIVATION = Problem(
    name="norm_after_activation",
    summary="A batch normalization follows an activation.",
    fix="the lecture puts it behind the linear or convolutional layer, before the nonlinearity",
    source="CS231n lecture 6, 'Batch Normalization'; Ioffe and Szegedy 2015",
    severity=Severity.INFO,
)
REDUNDANT_BIAS = Problem(
    name="redundant_bias",
    summary="A bias stands directly before a batch normalization.",
    fix="bias=False in that layer",
    source="CS231n lecture 6, 'Batch Normalization'",
    severity=Severity.INFO,
)
STRONG_DROPOUT = Problem(
    name="strong_dropout",
    summary="Dropout drops nine in ten units or more.",
    fix="p is the share dropped: 0.1 to 0.5",
    source="Srivastava et al. 2014",
    produces=NO_LEARNING,
)
