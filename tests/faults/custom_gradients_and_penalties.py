"""Faults of custom gradients, penalties, labels and running statistics, and healthy programs near them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.zoo import adam, binary, diabetes, digits, fault, healthy, loader, mlp, sgd, wine
from torch import nn

SET = "added"

CE = nn.CrossEntropyLoss


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 9, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


@fault("labels_unrelated")
def images_and_labels_shuffled_apart(faulty):
    x, y = digits(image=True)
    x = x[torch.randperm(len(x))] if faulty else x
    model = convnet()
    return model, CE(), loader(x, y), adam(model)


@fault("labels_unrelated")
def table_sorted_without_its_labels(faulty):
    x, y = digits()
    order = x.sum(1).argsort()
    model = mlp(64, 50, 10)
    return model, CE(), loader(x[order], y if faulty else y[order], 64), sgd(model)


@fault("labels_shifted")
def label_file_with_one_line_too_many(faulty):
    x, y = digits(image=True)
    y = y.roll(1) if faulty else y
    model = convnet()
    return model, CE(), loader(x, y, 64, shuffle=False), adam(model)


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, correct):
        ctx.save_for_backward(x)
        ctx.correct = correct
        return x * x

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return (2 if ctx.correct else 1) * x * upstream, None


class _Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, correct):
        ctx.save_for_backward(x)
        ctx.correct = correct
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        slope = gate + x * gate * (1 - gate)
        return slope * upstream if ctx.correct else slope, None


@fault("wrong_gradient")
def square_whose_backward_forgets_the_two(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(13, 24), nn.Linear(24, 3)

        def forward(self, x):
            return self.last(_Square.apply(self.first(x), not faulty))

    model = Net()
    return model, CE(), loader(*wine()), adam(model)


@fault("wrong_gradient")
def swish_whose_backward_forgets_what_comes_from_above(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8 * 36, 10)

        def forward(self, x):
            return self.head(_Swish.apply(self.norm(self.conv(x)), not faulty).flatten(1))

    model = Net()
    return model, CE(), loader(*digits(image=True)), adam(model)


@fault("penalty_lowers_loss")
def penalty_that_is_subtracted(faulty):
    model = mlp(10, 32, 1)

    def loss(out, y):
        penalty = 1e-3 * sum(p.square().sum() for p in model.parameters())
        return F.mse_loss(out, y) + (-penalty if faulty else penalty)

    return model, loss, loader(*diabetes()), adam(model)


@fault("regularization_too_strong")
def penalty_of_one_hundred(faulty):
    model = mlp(64, 50, 10)

    def loss(out, y):
        weights = [p for p in model.parameters() if p.dim() > 1]
        return F.cross_entropy(out, y) + (100.0 if faulty else 1e-4) * sum(w.norm() ** 2 for w in weights)

    return model, loss, loader(*digits()), sgd(model, 1e-2)


@fault("batch_norm_never_updated")
def momentum_of_zero_in_batch_norm(faulty):
    momentum = 0.0 if faulty else 0.1
    model = nn.Sequential(
        nn.Linear(64, 50, bias=False), nn.BatchNorm1d(50, momentum=momentum), nn.ReLU(), nn.Linear(50, 10)
    )
    return model, CE(), loader(*digits(), drop_last=True), adam(model)


class _GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, upstream):
        return -0.1 * upstream


@healthy
def gradient_reversal_for_a_second_head():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.domain = nn.Linear(64, 40), nn.Linear(40, 10), nn.Linear(40, 2)

        def forward(self, x):
            features = F.relu(self.body(x))
            return self.head(features), self.domain(_GradReverse.apply(features))

    model = Net()

    def loss(out, y):
        return F.cross_entropy(out[0], y) + 0.1 * F.cross_entropy(out[1], y % 2)

    return model, loss, loader(*digits()), adam(model)


class _Steps(torch.autograd.Function):
    """Straight through, under a name that does not say so."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).to(x.dtype) - 0.5

    @staticmethod
    def backward(ctx, upstream):
        return upstream


@healthy
def straight_through_steps():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 60), nn.Linear(60, 10)

        def forward(self, x):
            return self.last(_Steps.apply(self.first(x)))

    model = Net()
    return model, CE(), loader(*digits()), adam(model)


@healthy
def target_network_held_constant():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.predictor = mlp(64, 50, 20), mlp(20, 20, 20)

        def forward(self, x):
            first, second = self.encoder(x), self.encoder(x + 0.1 * x.roll(1, 1))
            return self.predictor(first), second.detach()

    model = Net()

    def loss(out, _):
        return -F.cosine_similarity(out[0], out[1]).mean() + 1.0

    return model, loss, loader(*digits()), adam(model)


@healthy
def rare_class_with_its_share_in_the_bias():
    x, y = digits()
    rare = (y == 3) & (torch.arange(len(y)) % 3 == 0)
    model = mlp(64, 40, 1)
    nn.init.constant_(model[-1].bias, -3.3)
    return model, nn.BCEWithLogitsLoss(), loader(x, rare.float()[:, None]), adam(model)


@healthy
def half_of_the_labels_wrong():
    x, y = digits(image=True)
    wrong = torch.rand(len(y)) < 0.6
    model = convnet()
    return model, CE(), loader(x, torch.where(wrong, torch.randint(10, y.shape), y)), adam(model)


@healthy
def parity_of_bits():
    x = (torch.rand(2000, 12) > 0.5).float()
    y = (x.sum(1) % 2).long()
    model = mlp(12, 128, 2)
    return model, CE(), loader(2 * x - 1, y, 64), adam(model, 3e-3)


@healthy
def tomorrows_sign_of_a_random_walk():
    moves = torch.randn(1500).cumsum(0).diff()
    x = moves.unfold(0, 10, 1)[:-1]
    y = (moves[10:][: len(x)] > 0).long()
    model = mlp(10, 32, 2)
    return model, CE(), loader(x, y, 64, shuffle=False), adam(model)


@healthy
def keras_momentum_in_batch_norm():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8, momentum=0.99),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(288, 10),
    )
    return model, CE(), loader(*digits(image=True), 64), adam(model)


@healthy
def lasso_in_the_loss():
    model = mlp(13, 32, 1)

    def loss(out, y):
        return F.binary_cross_entropy_with_logits(out, y) + 1e-4 * sum(
            p.abs().sum() for p in model.parameters()
        )

    return model, loss, loader(*binary()), sgd(model, 0.3)


@healthy
def loss_with_a_weight_it_learns():
    class Balanced(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_variance = nn.Parameter(torch.zeros(()))

        def forward(self, out, y):
            return F.mse_loss(out, y) * torch.exp(-self.log_variance) + self.log_variance

    model, loss = mlp(10, 32, 1), Balanced()
    return (
        model,
        loss,
        loader(*diabetes()),
        torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=1e-3),
    )


@healthy
def clustered_table_with_few_hints():
    centres = torch.randn(6, 15) * 2
    group = torch.randint(6, (1500,))
    x = centres[group] + torch.randn(1500, 15)
    y = (0.7 * x[:, 0] - 0.7 * x[:, 1] + 2 * torch.randn(1500)).sign().clamp(min=0).long()
    model = mlp(15, 32, 2)
    return model, CE(), loader(x, y, 64), adam(model)
