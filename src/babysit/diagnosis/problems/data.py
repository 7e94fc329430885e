"""Problems of the data: inputs, targets, labels, splits."""

from __future__ import annotations

from babysit.diagnosis.problem import BROKEN, NO_LEARNING, NO_SIGNAL, Effect, Problem
from babysit.verdicts import Severity

INPUTS_NOT_FINITE = Problem(
    name="inputs_not_finite",
    summary="The inputs hold NaN or infinite values.",
    fix="find and fill or drop them; look at divisions by a standard deviation of 0",
    source="CS231n lecture 6, 'Data Preprocessing'",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    figures=("loss",),
)
TARGETS_NOT_FINITE = Problem(
    name="targets_not_finite",
    summary="The targets hold NaN or infinite values.",
    fix="drop the examples without a target, or mask them in the loss",
    source="torch's losses pass NaN on",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    figures=("loss",),
)
INPUTS_CONSTANT = Problem(
    name="inputs_constant",
    summary="All examples are equal.",
    fix="look at the loading: an index that never moves, or a mask that hides all",
    source="CS231n lecture 6, 'Data Preprocessing'",
    severity=Severity.ERROR,
    produces=BROKEN,
)
LABELS_OF_WRONG_TYPE = Problem(
    name="labels_of_wrong_type",
    summary="The labels have a type or shape that the loss does not take.",
    fix="labels.long(), one class number a prediction: no one-hot, no last axis of one",
    source="torch.nn.CrossEntropyLoss",
    severity=Severity.ERROR,
    produces=NO_LEARNING | {Effect.DOES_NOT_RUN, Effect.NOT_FINITE},
    explains=("labels_outside_range",),
)
CLASSES_ON_LAST_AXIS = Problem(
    name="classes_on_last_axis",
    summary="The class scores are on the last axis, where cross-entropy wants them on the second.",
    fix="outputs.transpose(1, 2), or flatten both: outputs.flatten(0, 1), labels.flatten()",
    source="torch.nn.CrossEntropyLoss",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    explains=("labels_outside_range", "softmax_before_cross_entropy"),
)
NUMBERS_OF_WRONG_TYPE = Problem(
    name="numbers_of_wrong_type",
    summary="The inputs or targets have a dtype that the model or the loss refuses.",
    fix="x.float(), y.float(): numpy's numbers are float64, images are uint8",
    source="torch type promotion",
    severity=Severity.ERROR,
    produces=frozenset({Effect.DOES_NOT_RUN}),
)
LABELS_OUTSIDE_RANGE = Problem(
    name="labels_outside_range",
    summary="Some labels are not among the classes of the output.",
    fix="count classes from 0, give the last layer one output a class, map -1 or 255 to 0 or 1",
    source="torch.nn.CrossEntropyLoss, torch.nn.BCEWithLogitsLoss",
    severity=Severity.ERROR,
    produces=BROKEN | {Effect.DOES_NOT_RUN},
    figures=("loss",),
)
CONSTANT_LABELS = Problem(
    name="constant_labels",
    summary="Every label is the same class.",
    fix=(
        "look at how labels are read and split: a wrong column, a cast that truncates, a filter, a "
        "missing shuffle"
    ),
    source="the entropy of one class is 0: there is nothing to learn",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
    figures=("loss",),
)
DATA_NOT_SHUFFLED = Problem(
    name="data_not_shuffled",
    summary="The training data is sorted by label and not shuffled.",
    fix="shuffle the training data in every epoch: DataLoader(..., shuffle=True)",
    source="Bengio 2012, Practical recommendations: examples in random order",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
    figures=("loss",),
    formerly=("one_label", "one_class_batches"),
)
LABEL_IN_INPUTS = Problem(
    name="label_in_inputs",
    summary="An input column gives the label away.",
    fix="take the column out of the inputs: it will not be there for new examples",
    source="Kaufman et al. 2012, Leakage in data mining",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY, Effect.VALIDATION_MISLEADS}),
)
LABELS_SHIFTED = Problem(
    name="labels_shifted",
    summary="The labels are shifted against their inputs by one or two rows.",
    fix="look for an off-by-one in the index, a header row, a filter applied to one of the two",
    source="measured: digits agree in 98%, moved by one place in 10%",
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY}),
    explains=("labels_unrelated",),
)
LABELS_UNRELATED = Problem(
    name="labels_unrelated",
    summary="The labels do not belong to their inputs.",
    fix="look at five examples with their labels; shuffle inputs and labels by one permutation",
    source=(
        "measured on 8 data sets: with their labels 2 to 9 times chance; Zhang et al. 2017 for what follows"
    ),
    produces=frozenset({Effect.LEARNS_NOTHING, Effect.FITS_TRAINING_ONLY}),
)
LABELS_UNBALANCED = Problem(
    name="labels_unbalanced",
    summary="Most labels are of few classes.",
    fix="judge by balanced accuracy or by class; weigh the loss if the rare class matters",
    source="the entropy of the classes is far below ln C; TheDeepChecker (Ben Braiek and Khomh 2023)",
    severity=Severity.INFO,
)
VALIDATION_IN_TRAINING = Problem(
    name="validation_in_training",
    summary="Validation examples are among the training examples.",
    fix="split once, before training, augmentation and oversampling; split by subject or source",
    source=(
        "CS231n lecture 6, 'Hyperparameter Optimization: cross-validation strategy': validation "
        "examples are never trained on"
    ),
    produces=frozenset({Effect.VALIDATION_MISLEADS}),
    figures=("scores",),
    formerly=("trained_on_validation",),
)
INPUTS_NOT_SCALED = Problem(
    name="inputs_not_scaled",
    summary="The inputs are far larger than 1.",
    fix=("subtract the training mean and divide by the standard deviation (images: centre, divide by 255)"),
    source="CS231n lecture 6, 'Data Preprocessing: TLDR, in practice for images'",
    severity=Severity.INFO,
    produces=NO_SIGNAL | {Effect.HIGH_FIRST_LOSS, Effect.UNITS_LOST, Effect.LOSS_GROWS, Effect.NOT_FINITE},
    figures=("spread", "loss"),
)
INPUTS_TINY = Problem(
    name="inputs_tiny",
    summary="The inputs are far smaller than 1.",
    fix="standardize the inputs; look for a division by 255 done twice",
    source="CS231n lecture 6, 'Data Preprocessing: TLDR, in practice for images'",
    severity=Severity.INFO,
    produces=NO_SIGNAL,
    figures=("spread", "loss"),
)
INPUTS_ALL_POSITIVE = Problem(
    name="inputs_all_positive",
    summary="No input is negative.",
    fix="subtract the training mean",
    source=(
        "CS231n lecture 6, 'Activation Functions' and 'Data Preprocessing: TLDR, in practice for images'"
    ),
    severity=Severity.INFO,
)
CONSTANT_FEATURES = Problem(
    name="constant_features",
    summary="More than half of the input columns never change.",
    fix="drop them, and look at how the table was read",
    source="CS231n lecture 6, 'Data Preprocessing'",
    severity=Severity.INFO,
)
TARGETS_NOT_SCALED = Problem(
    name="targets_not_scaled",
    summary="The targets are of another order of magnitude than the outputs.",
    fix="standardize the targets, and undo it on the predictions",
    source="a loss in the scale of its targets; CS231n lecture 6, 'Data Preprocessing', for inputs",
    severity=Severity.INFO,
    produces=NO_LEARNING | {Effect.LOSS_GROWS, Effect.NOT_FINITE},
    figures=("loss",),
)
PIXELS_STANDARDIZED = Problem(
    name="pixels_standardized",
    summary="Each pixel is divided by its own standard deviation.",
    fix="the mean image, or each channel's mean, is enough: pixels have one scale already",
    source="CS231n lecture 6, 'Data Preprocessing: TLDR, in practice for images'",
    severity=Severity.INFO,
    formerly=("images_standardized",),
)
