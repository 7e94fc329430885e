"""Made training curves, healthy and sick, as rows of a log."""

from __future__ import annotations

import math
import random


def noise(seed):
    generator = random.Random(seed)
    return lambda size: generator.gauss(0, size)


def falling(seed, epochs=40, *, start=2.3, floor=0.4, rate=0.2, wobble=0.02, top=0.9, gap=0.03):
    """An exponential fall to a floor, with accuracies that rise to match."""
    shake = noise(seed)
    rows = []
    for epoch in range(1, epochs + 1):
        share = math.exp(-rate * epoch)
        cost = (floor + (start - floor) * share) * (1 + shake(wobble))
        train = min(1.0, max(0.0, 0.1 + (top - 0.1) * (1 - share) + shake(0.005)))
        val = min(1.0, max(0.0, train - gap * (1 - share) + shake(0.008)))
        rows.append({"epoch": epoch, "loss": cost, "acc": train, "val_acc": val, "val_loss": cost * 1.05})
    return rows


def only(rows, *names):
    return [{name: row[name] for name in names} for row in rows]


def warm_up(seed):
    rows = []
    for row in falling(seed, 60, rate=0.12):
        epoch = row["epoch"]
        flat = 2.3 * (1 + noise(seed + epoch)(0.003))
        warm = min(1.0, epoch / 20)
        rows.append({**row, "loss": flat if epoch < 20 else row["loss"], "lr": 1e-3 * warm})
    return rows


def short_warm_up(seed):
    rows = falling(seed, 60)
    return [{**row, "loss": 2.3} if row["epoch"] < 6 else row for row in rows]


def regression(seed):
    """Down to the noise floor of the targets in a few epochs, and no further."""
    shake = noise(seed)
    return [
        {
            "epoch": e,
            "loss": 0.25 + math.exp(-e) + shake(0.01),
            "val_loss": 0.27 + math.exp(-e) + shake(0.015),
        }
        for e in range(1, 51)
    ]


def small_batches(seed):
    """Steps of a handful of examples: each cost says little."""
    generator = random.Random(seed)
    return [
        {"step": 10 * n, "loss": (0.5 + 1.8 * math.exp(-n / 40)) * generator.gammavariate(4, 0.25)}
        for n in range(1, 201)
    ]


def easy(seed):
    """All training examples right, 98% of the others; the validation loss creeps up from confidence."""
    shake = noise(seed)
    return [
        {
            "epoch": e,
            "loss": 0.6 * math.exp(-0.5 * e) + 1e-4,
            "acc": min(1.0, 0.93 + 0.02 * e),
            "val_acc": min(0.985, 0.94 + 0.01 * e) + shake(0.002),
            "val_loss": 0.06 + 0.1 * math.exp(-e) + 0.002 * e + abs(shake(0.002)),
        }
        for e in range(1, 31)
    ]


def fine_tuned(seed):
    """A good start, a little better after three epochs of steps."""
    shake = noise(seed)
    return [
        {"loss": 0.35 * math.exp(-n / 30) + 0.05 + abs(shake(0.03)), "learning_rate": 5e-5 * (1 - n / 61)}
        for n in range(1, 61)
    ]


def cosine(seed):
    return [
        {**row, "lr": 0.05 * (1 + math.cos(math.pi * row["epoch"] / 40))}
        for row in falling(seed, 40, rate=0.1)
    ]


def stepped(seed):
    """A rate that falls by ten twice, and a cost that steps down with it."""
    shake = noise(seed)
    rows = []
    for e in range(1, 91):
        level, rate = (0.9, 0.1) if e < 30 else (0.5, 0.01) if e < 60 else (0.42, 0.001)
        cost = level + 1.4 * math.exp(-e / 4) + shake(0.03)
        val = 0.95 - 0.35 * level + shake(0.02)
        rows.append({"epoch": e, "loss": cost, "acc": 0.97 - 0.35 * level, "val_acc": val, "lr": rate})
    return rows


def dropout(seed):
    """Training cost is measured under dropout, so validation looks better."""
    return [
        {**row, "val_loss": row["loss"] * 0.8, "val_acc": row["acc"] + 0.04}
        for row in falling(seed, top=0.85)
    ]


def language_model(seed):
    shake = noise(seed)
    return [
        {"step": 100 * n, "train_loss": 3.2 + 7.6 * n**-0.6 + shake(0.05), "lr": 3e-4} for n in range(1, 301)
    ]


def imbalanced(seed):
    """Nine in ten are of one class; the accuracy creeps up from there."""
    shake = noise(seed)
    return [
        {
            "epoch": e,
            "loss": 0.15 + 0.2 * math.exp(-e / 5),
            "acc": 0.9 + 0.05 * (1 - math.exp(-e / 5)) + shake(0.003),
        }
        for e in range(1, 31)
    ]


def noisy_labels(seed):
    """Hard and noisy: 62% is all there is, without a gap to speak of."""
    return falling(seed, floor=1.1, top=0.64, gap=0.04)


def likelihood(seed):
    """A density's negative log-likelihood has no floor at zero."""
    shake = noise(seed)
    return [{"epoch": e, "loss": 1.5 - 4 * (1 - math.exp(-e / 8)) + shake(0.02)} for e in range(1, 41)]


def skipped_step(seed):
    """One NaN of a loss scaler that recovers."""
    rows = only(falling(seed), "epoch", "loss")
    rows[2] = {**rows[2], "loss": math.nan}
    return rows


def spike(seed):
    rows = falling(seed)
    rows[17] = {**rows[17], "loss": 4.0, "val_loss": 3.5, "val_acc": 0.4}
    return rows


def restarts(seed):
    """Warm restarts: the cost rises a little with the rate and falls lower."""
    rows = falling(seed, 60, rate=0.08)
    return [
        {**row, "loss": row["loss"] * (1.15 if row["epoch"] % 20 in (1, 2) else 1.0), "lr": 1e-1}
        for row in rows
    ]


def tiny_validation(seed):
    """Sixty validation examples: the score wavers by a few of them."""
    generator = random.Random(seed)
    return [
        {**row, "val_acc": sum(generator.random() < 0.85 for _ in range(60)) / 60} for row in falling(seed)
    ]


def resumed(seed):
    """A run that goes on from good weights: little is left to gain."""
    shake = noise(seed)
    return [
        {"epoch": e, "loss": 0.12 - 0.0005 * e + shake(0.004), "acc": 0.962 + shake(0.002), "val_acc": 0.955}
        for e in range(51, 81)
    ]


HEALTHY = {
    "fast convergence": lambda seed: falling(seed, 20, rate=1.0, floor=0.02, top=0.995, gap=0.01),
    "slow and steady": lambda seed: falling(seed, 40, rate=0.05),
    "small batches": small_batches,
    "regression to the noise floor": regression,
    "warm-up, then drop": warm_up,
    "short warm-up without a rate": short_warm_up,
    "100% train, 98% val": easy,
    "small gap": lambda seed: falling(seed, gap=0.06),
    "fine-tuning": fine_tuned,
    "cosine to zero": cosine,
    "rate stepped down": stepped,
    "dropout": dropout,
    "language model": language_model,
    "imbalanced classes": imbalanced,
    "noisy labels": noisy_labels,
    "negative log-likelihood": likelihood,
    "one skipped step": skipped_step,
    "one spike": spike,
    "warm restarts": restarts,
    "few validation examples": tiny_validation,
    "resumed": resumed,
    "three epochs": lambda seed: falling(seed, 3),
    "one epoch": lambda seed: falling(seed, 1),
    "still on its way": lambda seed: falling(seed, 12, rate=0.06),
    "summed loss": lambda seed: falling(seed, start=295, floor=40),
}


def constant(cost, **others):
    return [{"epoch": e, "loss": cost, **others} for e in range(1, 21)]


def at_chance(seed):
    shake = noise(seed)
    return [
        {"epoch": e, "loss": 2.3026 + (0.4 if e == 1 else 0) + abs(shake(0.004)), "acc": 0.1 + shake(0.004)}
        for e in range(1, 21)
    ]


def late_start(seed):
    shake = noise(seed)
    costs = [2.3 + shake(0.004) if e < 20 else 0.3 + 2 * math.exp(-(e - 19) / 4) for e in range(1, 41)]
    return [{"epoch": e, "loss": cost} for e, cost in enumerate(costs, 1)]


def overfitted(seed):
    return [
        {**row, "val_acc": row["acc"] - 0.005 * row["epoch"]} for row in falling(seed, top=0.99, floor=0.02)
    ]


def turned(seed):
    """No accuracy: the validation loss falls, then rises while the cost goes on falling."""
    shake = noise(seed)
    return [
        {
            "epoch": e,
            "train_loss": math.exp(-e / 8),
            "val_loss": 0.4 + math.exp(-e / 3) + 0.015 * e + shake(0.005),
        }
        for e in range(1, 41)
    ]


def jumping(seed):
    shake = noise(seed)
    return [
        {**row, "val_acc": min(1, max(0, 0.6 + (0.15 if row["epoch"] % 2 else -0.15) + shake(0.03)))}
        for row in only(falling(seed, top=0.7), "epoch", "loss")
    ]


def shooting_up(seed):
    """The very high rate of the lecture's cartoon: dips, then shoots up, but stays a number."""
    shake = noise(seed)
    return [{"epoch": e, "loss": 1.2 + abs(e - 8) ** 1.3 * 0.11 + shake(0.02)} for e in range(1, 21)]


def growing(seed):
    return [{"step": n, "loss": 2.3 * 1.1**n} for n in range(1, 41)]


def dead_metric(_):
    return [{"epoch": e, "loss": 0.69 * math.exp(-e / 6), "acc": 0.5} for e in range(1, 21)]


def negative(_):
    return [
        {"epoch": e, "loss": -0.1 - 0.04 * e, "acc": 0.1 + 0.03 * e, "val_acc": 0.1 + 0.03 * e}
        for e in range(1, 21)
    ]


def leaked(_):
    return [{"epoch": e, "loss": 0.02 * math.exp(-e), "acc": 1.0, "val_acc": 1.0} for e in range(1, 9)]


def no_rate_left(seed):
    return [
        {
            **row,
            "loss": 1.5 + noise(seed + row["epoch"])(0.03),
            "acc": 0.45,
            "val_acc": 0.44,
            "lr": 0.1 * 0.2 ** row["epoch"],
        }
        for row in falling(seed)
    ]


def half_precision(_):
    """Half precision overflows, as Hugging Face prints it: loss 0, and no number for the validation loss."""
    good = [{"epoch": e, "loss": 1.0 / e, "eval_loss": 1.1 / e} for e in (1, 2)]
    return good + [{"epoch": e, "loss": 0.0, "eval_loss": math.nan} for e in (3, 4, 5)]


def small_network(seed):
    return falling(seed, floor=1.3, top=0.55, gap=0.0, wobble=0.001)


SICK = {
    "constant at chance": (lambda seed: constant(math.log(10), acc=0.1), "learning_rate_too_low"),
    "slow fall": (
        lambda seed: [{"epoch": e, "loss": 2.3026 - 2e-5 * e, "acc": 0.1 + 0.005 * e} for e in range(1, 21)],
        "learning_rate_too_low",
    ),
    "at chance with noise": (at_chance, "learned_nothing"),
    "late start": (late_start, "slow_start"),
    "a gap": (overfitted, "overfitting"),
    "validation loss turns up": (turned, "overfitting"),
    "jumps": (jumping, "oscillation"),
    "shoots up": (shooting_up, "learning_rate_too_high"),
    "grows without end": (growing, "loss_exploded"),
    "NaN in the end": (
        lambda seed: [*only(falling(seed), "epoch", "loss"), {"epoch": 41, "loss": math.nan}],
        "loss_not_finite",
    ),
    "NaN hidden by half precision": (half_precision, "loss_not_finite"),
    "dead metric": (dead_metric, "metric_disagrees_with_loss"),
    "negative cross-entropy": (negative, "negative_loss"),
    "leak": (leaked, "suspiciously_good"),
    "schedule at zero": (no_rate_left, "learning_rate_zero"),
    "too small a network": (small_network, "underfitting"),
}
