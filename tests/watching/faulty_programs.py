"""Complete training programs with one fault each, and the problems that name it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from babysit import watch
from watching.loops import (
    SGD,
    Adam,
    Recurrent,
    batches,
    convnet,
    curve,
    halves,
    mlp,
    order,
    pictures,
    points,
    score,
    train,
    waves,
)

Lambda = torch.optim.lr_scheduler.LambdaLR


def validated_in_training_mode():
    model = convnet()
    return train(model, pictures(), Adam(model.parameters(), 3e-3), mode=True)


def slow_running_statistics():
    model = convnet()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1e-4
    x, y = pictures()
    return train(model, (6 * x + 10, y), Adam(model.parameters(), 3e-3))


def label_among_the_inputs():
    x, y = points(spread=0.3)
    (known, unknown) = halves((torch.cat([x, y[:, None].float()], 1), y))
    unknown[0][:, -1] = 0
    model = mlp(9)
    return train(model, known, Adam(model.parameters(), 3e-3), held_out=unknown)


def one_label_for_all():
    x, y = points()
    model = mlp()
    return train(model, (x, torch.zeros_like(y)), Adam(model.parameters(), 1e-3))


def labels_shuffled_and_memorized():
    x, y = points(400)
    y = y[torch.randperm(len(y), generator=order())]
    model = mlp(8, 256, 4)
    return train(model, (x, y), Adam(model.parameters(), 3e-3), epochs=40)


def _counting(forget_right, forget_total):
    model = mlp()
    known, unknown = halves(points(spread=1.0))
    optimizer, criterion, generator = SGD(model.parameters(), 0.02), nn.CrossEntropyLoss(), order()
    right = total = 0
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(8):
            for x, y in batches(known, 32, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            right, total = right * forget_right, total * forget_total
            model.eval()
            with torch.no_grad():
                for x, y in zip(unknown[0].split(32), unknown[1].split(32), strict=True):
                    right += (model(x).argmax(1) == y).sum().item()
                    total += len(y)
            model.train()
            watching.epoch(val_accuracy=right / total)
    return watching.report()


def counts_never_reset():
    return _counting(1, 1)


def hits_never_reset():
    return _counting(1, 0)


def validation_rows_in_the_training_set():
    x, y = points(spread=0.8)
    model = mlp(8, 64, 4)
    return train(model, (x, y), Adam(model.parameters(), 3e-3), held_out=(x[384:], y[384:]))


def epochs_schedule_called_every_batch():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.1)
    return train(model, points(spread=1.0), optimizer, schedule=schedule, epochs=15)


def far_too_much_decay():
    model = mlp()
    return train(model, points(), SGD(model.parameters(), 0.05, weight_decay=2.0), epochs=15)


def labels_left_on_another_device():
    model, criterion = mlp(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), 0.1)
    x, y = points(64)
    watching = watch(model, optimizer, loss=criterion)
    try:
        with watching:
            for _ in range(10):
                optimizer.zero_grad()
                loss = criterion(model(x), y.to("meta"))
                loss.backward()
                optimizer.step()
                watching.step(loss)
    except RuntimeError:
        pass
    return watching.report()


class Probable(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return F.softmax(self.body(x), dim=1).clamp(1e-7, 1.0)


def softmax_clamped_before_cross_entropy():
    model = Probable()
    return train(model, points(), Adam(model.parameters(), 3e-3), epochs=20)


def sorted_by_class():
    x, y = points(1024, spread=1.0)
    known, unknown = halves((x, y))
    rows = known[1].argsort()
    model = mlp()
    return train(
        model, (known[0][rows], known[1][rows]), SGD(model.parameters(), 0.1), shuffle=False, held_out=unknown
    )


def momentum_of_nearly_one():
    model = mlp(6, 32, 1)
    return train(model, curve(), SGD(model.parameters(), 0.3, momentum=0.99), nn.MSELoss())


def relu_for_negative_targets():
    x, y = curve()
    model = nn.Sequential(mlp(6, 32, 1), nn.ReLU())
    return train(model, (x, y - 3), Adam(model.parameters(), 1e-2), nn.MSELoss())


def inputs_in_the_thousands():
    x, y = points()
    model = mlp()
    return train(model, (3000 * x, y), SGD(model.parameters(), 0.05))


def targets_of_the_batch_before():
    model, generator = Recurrent(), order()
    known, unknown = halves(waves(512))
    optimizer, criterion = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    before = None
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 32, generator):
                target, before = (y if before is None else before), y
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def dropout_in_validation_of_an_mlp():
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    return train(model, points(spread=1.0), Adam(model.parameters(), 3e-3), mode=True)


def target_copied_into_a_regression():
    x, y = curve(600, noise=1.0)
    model = mlp(7, 32, 1)
    return train(model, (torch.cat([x, 2 * y - 1], 1), y), Adam(model.parameters(), 3e-3), nn.MSELoss())


def exponential_decay_every_batch():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    return train(model, points(spread=1.0), optimizer, schedule=schedule, epochs=20)


def l2_written_into_the_loss():
    model, criterion = mlp(), nn.CrossEntropyLoss()

    def penalized(output, y):
        return criterion(output, y) + 3.0 * sum(value.square().sum() for value in model.parameters())

    return train(model, points(), SGD(model.parameters(), 0.02), penalized, epochs=15)


def sum_of_losses_never_reset():
    model, generator = mlp(), order()
    known, unknown = halves(points(spread=1.0))
    optimizer, criterion = Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()
    total = 0.0
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(8):
            for x, y in batches(known, 32, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            total += score(model, unknown, criterion)[1]
            watching.epoch(val_loss=total)
    return watching.report()


def labels_counted_from_one():
    x, y = points()
    model = mlp()
    watching = watch(model, SGD(model.parameters(), 0.1), loss=nn.CrossEntropyLoss())
    try:
        with watching:
            loss = nn.CrossEntropyLoss()(model(x), y + 1)
            loss.backward()
    except IndexError:
        pass
    return watching.report()


def same_loader_for_both():
    x, y = pictures(256)
    model = convnet()
    return train(model, (x, y), Adam(model.parameters(), 3e-3), held_out=(x, y))


def labels_sorted_apart_from_the_inputs():
    x, y = points(600)
    model = mlp(8, 128, 4)
    return train(
        model, (x, y[torch.randperm(600, generator=order())]), Adam(model.parameters(), 5e-3), epochs=40
    )


def loss_added_up_over_the_epoch():
    """The whole epoch's graph is kept and gone through again at every step."""
    x, y = points()
    model, criterion = mlp(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), 0.1)
    watching = watch(model, optimizer, loss=criterion)
    total = 0
    try:
        with watching:
            for rows in range(0, 512, 32):
                total = total + criterion(model(x[rows : rows + 32]), y[rows : rows + 32])
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
                watching.step(total)
    except RuntimeError:
        pass
    return watching.report()


QUICK = {
    validated_in_training_mode: ("validated_in_training_mode",),
    slow_running_statistics: ("norm_mismatch",),
    label_among_the_inputs: ("label_in_inputs",),
    one_label_for_all: ("constant_labels",),
    labels_shuffled_and_memorized: ("memorized_only",),
    counts_never_reset: ("metric_not_reset",),
    hits_never_reset: ("metric_not_reset",),
    validation_rows_in_the_training_set: ("validation_in_training",),
    epochs_schedule_called_every_batch: ("learning_rate_zero",),
    far_too_much_decay: ("regularization_too_strong",),
    labels_left_on_another_device: ("loop_raised",),
    softmax_clamped_before_cross_entropy: ("softmax_before_cross_entropy",),
    sorted_by_class: ("data_not_shuffled",),
    momentum_of_nearly_one: ("oscillation", "learning_rate_too_high", "loss_exploded"),
    relu_for_negative_targets: ("dead_units", "constant_output", "bounded_output"),
    inputs_in_the_thousands: ("inputs_not_scaled", "learning_rate_too_high", "dead_units"),
    targets_of_the_batch_before: ("learned_nothing",),
}
SLOW = {
    dropout_in_validation_of_an_mlp: ("validated_in_training_mode",),
    target_copied_into_a_regression: ("label_in_inputs",),
    exponential_decay_every_batch: ("learning_rate_zero",),
    l2_written_into_the_loss: ("regularization_too_strong",),
    sum_of_losses_never_reset: ("metric_not_reset",),
    labels_counted_from_one: ("labels_outside_range",),
    same_loader_for_both: ("validation_in_training",),
    labels_sorted_apart_from_the_inputs: ("memorized_only",),
    loss_added_up_over_the_epoch: ("loop_raised",),
}
FAULTY = {**QUICK, **SLOW}
