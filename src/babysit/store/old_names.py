"""The names of problems before schema 5, frozen: later renames in the catalogue do not change this table."""

from __future__ import annotations

NEW_NAMES = {
    "accuracy_stands_still": "metric_disagrees_with_loss",
    "bad_initialization": "slow_start",
    "best_at_edge": "best_at_edge_of_range",
    "broadcast_loss": "loss_broadcasts",
    "broadcasting": "loss_broadcasts",
    "dead_layer": "dead_units",
    "diverging": "learning_rate_too_high",
    "eval_mode": "trained_in_eval_mode",
    "exploded": "loss_exploded",
    "first_loss_not_finite": "loss_not_finite",
    "foreign_parameters": "optimizer_holds_other_model",
    "graph_cut": "loss_not_connected",
    "images_standardized": "pixels_standardized",
    "initial_loss": "first_loss_not_at_chance",
    "learning_rate_bracket": "learning_rate_outside_usable_range",
    "linear_search_space": "linear_search_range",
    "not_finite": "loss_not_finite",
    "not_in_optimizer": "parameters_not_in_optimizer",
    "one_class_batches": "data_not_shuffled",
    "one_label": "data_not_shuffled",
    "optimizer_of_other_model": "optimizer_holds_other_model",
    "outputs_ignore_inputs": "constant_output",
    "overfits_tiny_subset": "cannot_overfit",
    "parameters_left_out": "parameters_not_in_optimizer",
    "parameters_unreached": "layers_without_gradient",
    "penalty_too_strong": "regularization_too_strong",
    "raised": "loop_raised",
    "rank_not_finite": "other_process_not_finite",
    "rank_raised": "other_process_raised",
    "rate_is_zero": "learning_rate_zero",
    "rate_too_high": "learning_rate_too_high",
    "rate_too_low": "learning_rate_too_low",
    "regularization_dominates": "regularization_too_strong",
    "regularization_raises": "regularization_does_not_raise_loss",
    "saturated": "saturated_units",
    "schedule_exhausted": "learning_rate_zero",
    "too_good": "suspiciously_good",
    "trained_on_validation": "validation_in_training",
    "validation_in_train_mode": "validated_in_training_mode",
    "validation_loss_rises": "overfitting",
    "vanishing_gradient": "vanishing_gradients",
    "weight_decay_too_strong": "regularization_too_strong",
}
"""Old name -> new name. Old stores hold findings of runs alone, so their "graph_cut" is the watch's."""

OLD_CONFIDENCE = 0.5
"""The confidence of a finding that was stored without one."""

MISMATCH = "output_loss_mismatch"
"""The old name of five problems; the message says which."""

MISMATCHES = (
    ("a softmax already", "softmax_before_cross_entropy"),
    ("a sigmoid already", "sigmoid_before_logits_loss"),
    ("a ReLU cuts", "activation_before_cross_entropy"),
    ("bare scores", "nll_without_log_softmax"),
    ("not their logarithms", "nll_without_log_softmax"),
    ("are negative", "bounded_output"),
    ("a softmax shares", "bounded_output"),
)
"""Words of the message -> new name of :data:`MISMATCH`; the first that the message has."""


def new_name(rule: str, message: str) -> str:
    """Translates a problem's name of a store older than schema 5.

    Args:
        rule: the stored name, old or new.
        message: the finding's message.

    Example:
        >>> new_name("rate_too_high", ""), new_name("plateau", "")
        ('learning_rate_too_high', 'plateau')
        >>> new_name("output_loss_mismatch", "a sigmoid already bounds the outputs")
        'sigmoid_before_logits_loss'
    """
    if rule == MISMATCH:
        named = (name for words, name in MISMATCHES if words in message)
        return next(named, "softmax_before_cross_entropy")
    return NEW_NAMES.get(rule, rule)


def old_unit(kind: str) -> str:
    """Returns the unit of findings' moments: steps in a watched run, else epochs.

    Args:
        kind: the kind of the study.
    """
    return "step" if kind == "watch" else "epoch"
