"""More programs, written after the rules and run once before anything was changed for them."""

from __future__ import annotations

import copy
import io

import torch
from torch import nn
from torch.nn import functional as F

from babysit.watching.watch import watch
from watching.loops import batches, convnet, curve, mlp, pictures, points, waves
from watching.unseen import SGD, Adam, halves, order, score, train

# Healthy ones


def best_weights_kept():
    """The best model is copied and saved whole whenever validation improves."""
    model, generator = convnet(), order()
    known, unknown = halves(pictures())
    optimizer, criterion = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    best, kept = 0.0, None
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 24, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss.item())
            accuracy, _ = score(model, unknown, criterion)
            if accuracy >= best:
                best, kept = accuracy, copy.deepcopy(model)
                torch.save(model, io.BytesIO())
            watching.epoch(val_accuracy=accuracy)
    kept(unknown[0])
    return watching.report()


def policy_gradient():
    """A bandit: the loss is a reward times a log-probability, and means nothing by itself."""
    model, generator = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3)), order()
    optimizer = Adam(model.parameters(), 1e-2)
    with watch(model, optimizer) as watching:
        for _ in range(300):
            state = torch.randn(32, 4, generator=generator)
            scores = model(state).log_softmax(1)
            action = torch.multinomial(scores.exp(), 1, generator=generator)
            reward = (action[:, 0] == state[:, :3].argmax(1)).float()
            loss = -(scores.gather(1, action)[:, 0] * (reward - reward.mean())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watching.step(loss)
    return watching.report()


def huber_with_plateau_scheduler():
    model = mlp(6, 48, 1)
    optimizer = Adam(model.parameters(), 5e-3)
    known, unknown = halves(curve(800, noise=0.5, scale=3.0))
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.3)
    criterion, generator = nn.SmoothL1Loss(), order()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(20):
            for x, y in batches(known, 50, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            _, val_loss = score(model, unknown, criterion)
            schedule.step(val_loss)
            watching.epoch(val_loss=val_loss)
    return watching.report()


def distillation():
    """A frozen teacher, a student, and the divergence of their answers."""
    teacher, student, generator = mlp(8, 64, 4), mlp(8, 16, 4), order()
    x, y = points()
    fit_teacher = Adam(teacher.parameters(), 1e-2)
    for _ in range(60):
        fit_teacher.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        fit_teacher.step()
    teacher.eval().requires_grad_(False)
    optimizer = Adam(student.parameters(), 5e-3)
    with watch(student, optimizer) as watching:
        for _ in range(12):
            for rows, _ in batches((x, y), 32, generator):
                loss = F.kl_div(student(rows).log_softmax(1), teacher(rows).softmax(1), reduction="batchmean")
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                optimizer.step()
                watching.step(loss)
    return watching.report()


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(1, 20, batch_first=True, bidirectional=True), nn.Linear(40, 3)

    def forward(self, x, lengths=None):
        output, _ = self.cell(x)
        return self.head(output.mean(1))


def gru_with_clipping():
    model, generator = Gated(), order()
    known, unknown = halves(waves(400))
    optimizer, criterion = torch.optim.RMSprop(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(15):
            for x, y in batches(known, 20, generator):
                optimizer.zero_grad()
                loss = criterion(model(x, lengths=None), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def small_batches_in_batch_norm():
    model = convnet()
    return train(model, pictures(), Adam(model.parameters(), 1e-3), size=4, epochs=8)


def multi_label():
    x, _ = points(800)
    weights = torch.randn(8, 5, generator=order())
    y = ((x @ weights) > 1.0).float()
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 5))
    return train(model, (x, y), torch.optim.AdamW(model.parameters(), 2e-3), nn.BCEWithLogitsLoss())


def learned_in_one_epoch():
    """An easy task: everything is right after the first epoch, and stays so."""
    model = mlp()
    return train(model, points(2048, spread=4.0), Adam(model.parameters(), 5e-3), epochs=6)


def few_binary_features():
    """Eight features of 0 and 1: many rows are alike, some of them in both sets."""
    generator = order()
    x = torch.randint(0, 2, (1024, 8), generator=generator).float()
    y = ((x[:, 0] + x[:, 3] + x[:, 5]) > 1).long()
    model = mlp(8, 32, 2)
    return train(model, (x, y), Adam(model.parameters(), 3e-3))


def last_batch_of_three():
    model = mlp()
    return train(
        model, points(515), SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True), size=64, epochs=15
    )


# Faulty ones


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


HEALTHY = (
    *(best_weights_kept, policy_gradient, huber_with_plateau_scheduler, distillation, gru_with_clipping),
    *(
        small_batches_in_batch_norm,
        multi_label,
        learned_in_one_epoch,
        few_binary_features,
        last_batch_of_three,
    ),
)
FAULTY = {
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
