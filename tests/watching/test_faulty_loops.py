"""One program a fault: the fault is the first cause that is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from watching.loops import Functional, Recurrent, convnet, curve, fit, mlp, pictures, points, waves

SGD, Adam = torch.optim.SGD, torch.optim.Adam
CE = nn.CrossEntropyLoss


def classify(model, rate=0.1, criterion=None, optimizer=SGD, data=None, **options):
    criterion = criterion or CE()
    return fit(model, data or points(), criterion, optimizer(model.parameters(), rate), **options)[0]


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(8, 32, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.body(x).detach())


def fresh_leaf(loss):
    return torch.tensor(loss.item(), requires_grad=True)


def foreign():
    model, other = mlp(), mlp()
    return fit(model, points(), CE(), SGD(other.parameters(), 0.1))[0]


def head_forgotten():
    model = mlp()
    return fit(model, points(), CE(), SGD(model[:-1].parameters(), 0.1))[0]


def in_eval_mode():
    model = convnet()
    model.eval()
    return classify(model, 0.01, data=pictures())


def eval_after_the_first_epoch():
    model = convnet()
    count = iter(range(10**6))

    def forget(net):
        if next(count) == 40:
            net.eval()

    return classify(model, 0.05, data=pictures(), before=forget)


def flat_targets(criterion=None, model=None):
    x, y = curve()
    model = model or mlp(6, 32, 1)
    return classify(model, 1e-2, criterion or nn.MSELoss(), data=(x, y[:, 0]))


def by_hand(output, target):
    return ((output - target) ** 2).mean()


def schedule_ended():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 20))
    return fit(model, points(), CE(), optimizer, schedule=schedule)[0]


def no_log(output, target):
    return nn.functional.nll_loss(output, target)


def nan_in_the_data():
    x, y = points()
    x[100] = float("nan")
    return classify(mlp(), data=(x, y))


def dead(model):
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == 32:
                layer.bias.fill_(-30.0)
    return model


def wide(model, factor):
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(factor)
    return model


def symmetric_collapse():
    model = mlp()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
        model[2].weight.zero_()
        model[2].bias.zero_()
    return classify(model, 0.01)


def shuffled_labels():
    x, y = points(count=1024)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]
    return classify(mlp(hidden=8), 0.01, data=(x, y), epochs=5)


FAULTS = {
    "a leaf made of the loss": ("loss_not_connected", lambda: classify(mlp(), adjust=fresh_leaf)),
    "features detached": ("layers_without_gradient", lambda: classify(Cut())),
    "no optimizer step": ("optimizer_never_steps", lambda: classify(mlp(), step=False, measured=True)),
    "optimizer of another model": ("optimizer_holds_other_model", foreign),
    "head added later": ("parameters_not_in_optimizer", head_forgotten),
    "gradients kept, sgd": ("gradients_not_zeroed", lambda: classify(mlp(), zero=False)),
    "gradients kept, adam": (
        "gradients_not_zeroed",
        lambda: classify(mlp(), 1e-3, optimizer=Adam, zero=False),
    ),
    "gradients kept, lstm": (
        "gradients_not_zeroed",
        lambda: classify(Recurrent(), 0.1, data=waves(), zero=False),
    ),
    "eval mode": ("trained_in_eval_mode", in_eval_mode),
    "eval mode after the first epoch": ("trained_in_eval_mode", eval_after_the_first_epoch),
    "(N, 1) against (N,)": ("loss_broadcasts", lambda: flat_targets()),
    "(N, 1) against (N,), l1": ("loss_broadcasts", lambda: flat_targets(nn.L1Loss())),
    "(N, 1) against (N,), by hand": ("loss_broadcasts", lambda: flat_targets(by_hand)),
    "sign flipped": ("sign_flipped", lambda: classify(mlp(), 1e-2, adjust=lambda loss: -loss)),
    "maximize": (
        "sign_flipped",
        lambda: fit(m := mlp(), points(), CE(), SGD(m.parameters(), 1e-2, maximize=True))[0],
    ),
    "probabilities into nll": (
        "nll_without_log_softmax",
        lambda: classify(nn.Sequential(mlp(), nn.Softmax(1)), 1e-2, no_log),
    ),
    "softmax twice": ("softmax_before_cross_entropy", lambda: classify(nn.Sequential(mlp(), nn.Softmax(1)))),
    "sigmoid before cross-entropy": (
        "activation_before_cross_entropy",
        lambda: classify(nn.Sequential(mlp(), nn.Sigmoid())),
    ),
    "rate zero": ("learning_rate_zero", lambda: classify(mlp(), 0.0)),
    "schedule ended": ("learning_rate_zero", schedule_ended),
    "rate far too low": ("learning_rate_too_low", lambda: classify(mlp(), 1e-6)),
    "rate far too low, adam": ("learning_rate_too_low", lambda: classify(mlp(), 1e-8, optimizer=Adam)),
    "rate too high": (
        "learning_rate_too_high",
        lambda: classify(mlp(), 10.0),
    ),
    "rate far too high": ("learning_rate_too_high", lambda: classify(mlp(), 300.0)),
    "rate too high for regression": (
        "learning_rate_too_high",
        lambda: classify(mlp(6, 32, 1), 5.0, nn.MSELoss(), data=curve()),
    ),
    "rate too high, adam": (
        "learning_rate_too_high",
        lambda: classify(mlp(), 3.0, optimizer=Adam),
    ),
    "NaN in the data": (("inputs_not_finite", "loss_not_finite"), nan_in_the_data),
    "dead from the start": ("dead_units", lambda: classify(dead(mlp()))),
    "dead, functional": ("dead_units", lambda: classify(dead(Functional()))),
    "saturated": (
        ("weights_too_large", "saturated_units", "vanishing_gradients"),
        lambda: classify(wide(mlp(activation=nn.Tanh, depth=4), 60.0), 1e-4),
    ),
    "deep sigmoid": ("vanishing_gradients", lambda: classify(mlp(activation=nn.Sigmoid, depth=8), 0.05)),
    "zero weights": ("symmetric_units", symmetric_collapse),
    "shuffled labels": ("learned_nothing", shuffled_labels),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_fault_is_named_first(fault, seed):
    torch.manual_seed(seed)
    expected, program = FAULTS[fault]
    report = program()
    rules = [cause.finding.rule for cause in report.causes]
    assert not report.healthy
    assert rules[0] in ((expected,) if isinstance(expected, str) else expected), str(report)
