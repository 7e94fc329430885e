"""The checks of labels, splits, penalties, gradients, running statistics; facts and quiet advice."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import babysit
from babysit.checks import experiments as learning
from babysit.checks.detect import gradient as backward
from babysit.checks.detect import rate_range
from babysit.verdicts import Severity

CE = nn.CrossEntropyLoss


def drawn(count=400, features=6, classes=3):
    """Clusters, one a class."""
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(classes, (count,), generator=generator)
    centres = torch.randn(classes, features, generator=generator)
    return centres[y] + torch.randn(count, features, generator=generator) / 6, y


def batched(x, y, size=40):
    return list(zip(x.split(size), y.split(size), strict=True))


def network(features=6, outputs=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, outputs))


def found(report, rule):
    return next((finding for finding in report.findings if finding.rule == rule), None)


def check(x, y, model=None, loss=None, optimizer=None, **options):
    return babysit.check(model or network(), loss or CE(), batched(x, y), optimizer, **options)


# labels


def shuffled(y):
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]


def test_shuffled_labels_are_told_from_the_true_ones():
    x, y = drawn()
    assert found(check(x, y), "labels_unrelated") is None
    report = check(x, shuffled(y))
    assert [cause.rule for cause in report.causes] == ["labels_unrelated"]
    assert report.causes[0].finding.evidence[0].value < 0.45


def test_labels_of_noise_are_nobodys_fault():
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(400, 6, generator=generator), torch.randint(3, (400,), generator=generator)
    assert found(check(x, y), "labels_unrelated") is None


def test_two_classes_that_neighbours_do_not_tell_apart_are_a_quiet_word():
    x, y = drawn()
    report = check(x, shuffled(y) % 2)
    assert report.healthy
    assert found(report, "labels_unrelated").severity is Severity.INFO


def test_labels_off_by_one_explain_that_they_seem_unrelated():
    x, y = drawn()
    report = check(x, y.roll(1))
    assert report.causes[0].rule == "labels_shifted"
    assert "1 place earlier" in report.causes[0].finding.message
    assert [symptom.rule for symptom in report.causes[0].symptoms] == ["labels_unrelated"]
    assert found(check(x, y), "labels_shifted") is None


def test_imbalance_says_what_it_does_to_accuracy_and_loss():
    x, _ = drawn()
    y = (torch.arange(400) % 20 == 0).long()
    finding = found(check(x, y, network(outputs=2)), "labels_unbalanced")
    assert "95%" in finding.message
    assert "0.212 beside 0.693" in finding.message  # the entropy of 7 in 128, ln 2


def test_imbalance_of_a_binary_target_and_of_many_classes():
    x, _ = drawn()
    rare = (torch.arange(400) % 20 == 0).float()[:, None]
    assert found(check(x, rare, network(outputs=1), nn.BCEWithLogitsLoss()), "labels_unbalanced")
    y = torch.where(torch.arange(400) % 5 > 0, torch.arange(400) % 2, torch.arange(400) % 8)
    finding = found(check(x, y, network(outputs=8)), "labels_unbalanced")
    assert "classes in use" in finding.evidence[0].why
    assert found(check(x, torch.arange(400) % 8, network(outputs=8)), "labels_unbalanced") is None


# the first loss


def test_a_loss_below_the_classes_shares_is_told_and_one_at_them_is_not():
    x, _ = drawn()
    y = (torch.arange(400) % 10 == 0).float()[:, None]
    model = network(outputs=1)
    with torch.no_grad():
        model[2].weight.mul_(0.01)
        model[2].bias.fill_(-2.2)
    assert found(check(x, y, model, nn.BCEWithLogitsLoss()), "initial_loss_low") is None
    x, y = drawn()
    trained = network()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(trained(x), y).backward()
        optimizer.step()
    report = check(x, y, trained)
    assert report.healthy
    assert found(report, "initial_loss_low").severity is Severity.INFO


# the splits


def validated(train, val, **options):
    (x, y), held_out = train, [val]
    return found(check(x, y, val_batches=held_out, **options), "validation_in_training")


def test_a_few_equal_rows_are_a_quiet_word_and_many_a_warning():
    x, y = drawn()
    generator = torch.Generator().manual_seed(3)
    fresh = torch.randn(200, 6, generator=generator)
    fresh[:4] = x[:4]
    assert validated((x, y), (fresh, y[:200])).severity is Severity.INFO
    fresh[:20] = x[:20]
    finding = validated((x, y), (fresh, y[:200]))
    assert finding.severity is Severity.WARNING
    assert "100% of them with the same target" in finding.evidence[0].why
    assert validated((x, y), (torch.randn(200, 6, generator=generator), y[:200])) is None


def test_bits_that_repeat_by_nature_are_no_leak():
    generator = torch.Generator().manual_seed(3)
    x = (torch.rand(600, 6, generator=generator) > 0.5).float()
    y = (x.sum(1) > 3).long()
    assert validated((x[:400], y[:400]), (x[400:], y[400:])).severity is Severity.INFO


def test_oversampling_before_the_split_is_a_leak_though_the_data_repeats():
    x, y = drawn(200)
    x, y = x.repeat(3, 1), y.repeat(3)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(3))
    x, y = x[order], y[order]
    assert validated((x[:400], y[:400]), (x[400:], y[400:])).severity is Severity.WARNING


def test_a_grid_with_new_noise_in_its_targets_is_no_leak():
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(-1, 1, 100)[:, None]
    train, val = (x.sin() + 0.1 * torch.randn(100, 1, generator=generator) for _ in range(2))
    finding = validated((x, train), (x, val), model=network(1, 1), loss=nn.MSELoss())
    assert finding.severity is Severity.INFO


# the loss and its penalties


def penalized(strength, power=2):
    model = network()

    def loss(out, y):
        return F.cross_entropy(out, y) + strength * sum(p.abs().pow(power).sum() for p in model.parameters())

    return model, loss


def test_a_penalty_in_the_loss_is_read_back():
    model, loss = penalized(5e-4)
    report = check(*drawn(), model, loss)
    assert report.healthy
    value = 5e-4 * sum(float(p.square().sum()) for p in model.parameters())
    assert f"1/2 * 0.001 * sum(W^2) = {value:.3g}" in found(report, "penalty_in_loss").message
    assert all(p.grad is None for p in model.parameters())


def test_a_penalty_of_another_form_and_none():
    model, loss = penalized(1e-4, power=1)
    assert "sum(W^2)" not in found(check(*drawn(), model, loss), "penalty_in_loss").message
    assert found(check(*drawn()), "penalty_in_loss") is None


def test_a_loss_module_that_holds_the_model_has_its_penalty_read_too():
    class Regularized(nn.Module):
        def __init__(self, model, strength):
            super().__init__()
            self.model, self.strength = model, strength

        def forward(self, out, y):
            return F.cross_entropy(out, y) + self.strength * sum(
                p.square().sum() for p in self.model.parameters()
            )

    model = network()
    assert found(check(*drawn(), model, Regularized(model, 5e-4)), "penalty_in_loss")
    assert check(*drawn(), model, Regularized(model, 300.0)).causes[0].rule == "regularization_too_strong"
    assert check(*drawn(), model, Regularized(model, -1e-2)).causes[0].rule == "penalty_lowers_loss"


def test_weight_decay_is_explained_where_somebody_chose_it():
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-3)
    value = 0.5e-3 * sum(float(p.square().sum()) for p in model.parameters())
    assert f"{value:.3g}" in found(check(*drawn(), model, optimizer=sgd), "weight_decay_unseen").message
    chosen = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    assert "AdamW" in found(check(*drawn(), model, optimizer=chosen), "weight_decay_unseen").message
    usual = torch.optim.AdamW(model.parameters())
    assert found(check(*drawn(), model, optimizer=usual), "weight_decay_unseen") is None


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (lambda out, y: (out.log_softmax(1).gather(1, y[:, None])).sum().neg(), "summed_loss"),
        (lambda out, y: F.cross_entropy(out, y) / len(y), "loss_divided_twice"),
        (lambda out, y: F.cross_entropy(out, y, reduction="none"), "loss_not_reduced"),
    ],
)
def test_what_is_made_of_a_batch(loss, rule):
    assert found(check(*drawn(), loss=loss), rule)
    assert found(check(*drawn()), rule) is None


def test_the_effect_of_a_sum_is_in_numbers():
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
    report = check(*drawn(), model, CE(reduction="sum"), sgd)
    assert "learning rate 0.001 acts like 0.04 on the mean" in found(report, "summed_loss").message
    adam = torch.optim.Adam(model.parameters())
    report = check(*drawn(), model, CE(reduction="sum"), adam)
    assert "Adam divides that out" in found(report, "summed_loss").message


# gradients


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**3

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return ctx.factor * x**2 * upstream, None


class ScaledGradient(Cube):
    """A name that says that the gradient is another on purpose."""

    forward = staticmethod(lambda ctx, x, factor: Cube.forward(ctx, x, factor))
    backward = staticmethod(lambda ctx, upstream: Cube.backward(ctx, upstream))


class Own(nn.Module):
    def __init__(self, function, factor):
        super().__init__()
        self.body, self.function, self.factor = network(outputs=8), function, factor
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.function.apply(self.body(x), self.factor))


@pytest.mark.parametrize(
    ("function", "factor", "severity"),
    [
        (Cube, 3, None),
        (Cube, 2, Severity.ERROR),
        (Cube, -3, Severity.ERROR),
        (Cube, 3.3, Severity.ERROR),
        (ScaledGradient, 2, Severity.INFO),
    ],
)
def test_a_backward_of_ones_own(monkeypatch, function, factor, severity):
    monkeypatch.setattr(backward, "_SECONDS_TO_NAME", 1e9)
    monkeypatch.setattr(backward, "SECONDS", 1e9)
    finding = found(check(*drawn(), Own(function, factor)), "wrong_gradient")
    assert (finding and finding.severity) == severity
    if severity is Severity.ERROR:
        assert "backward of Cube" in finding.message
        assert "body.0.weight" in finding.message


def test_a_branch_held_constant_is_a_quiet_word():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            hidden = torch.tanh(self.first(x))
            return self.last(hidden + hidden.detach())

    assert found(check(*drawn(), Residual()), "wrong_gradient").severity is Severity.INFO


# batch normalization and initial scales


def normalized(**options):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16, **options), nn.ReLU(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize(
    ("options", "rule", "severity"),
    [
        ({"momentum": 0.0}, "batch_norm_never_updated", Severity.WARNING),
        ({"momentum": 0.9}, "batch_norm_forgetful", Severity.INFO),
        ({"track_running_stats": False}, "batch_norm_without_statistics", Severity.INFO),
    ],
)
def test_running_statistics(options, rule, severity):
    assert found(check(*drawn(), normalized(**options)), rule).severity is severity
    assert found(check(*drawn(), normalized()), rule) is None


def test_pretrained_statistics_may_stay_as_they_are():
    model = normalized(momentum=0.0)
    model[1].running_mean.fill_(0.5)
    assert found(check(*drawn(), model), "batch_norm_never_updated") is None


def test_batches_of_two_before_batch_normalization():
    report = babysit.check(normalized(), CE(), batched(*drawn(40), size=2))
    assert found(report, "batch_norm_small_batch")


class Written(nn.Module):
    """Layers called by name, where no Sequential tells their order."""

    def __init__(self, first):
        super().__init__()
        self.fc1, self.norm, self.fc2, self.first = (
            nn.Linear(6, 16),
            nn.BatchNorm1d(16),
            nn.Linear(16, 3),
            first,
        )

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(F.relu(self.norm(x)) if self.first else self.norm(F.relu(x)))


def test_where_batch_normalization_stands_is_seen_in_any_model():
    before, behind = check(*drawn(), Written(True)), check(*drawn(), Written(False))
    assert found(before, "redundant_bias").where == "fc1.bias"
    assert found(before, "norm_after_activation") is None
    assert found(behind, "norm_after_activation")
    assert found(behind, "redundant_bias") is None


def deep(initialize):
    torch.manual_seed(0)
    layers = [nn.Linear(6 if i == 0 else 64, 64, bias=False) for i in range(6)]
    for layer in layers:
        initialize(layer.weight)
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())], nn.Linear(64, 3))


def test_the_scale_over_many_layers_is_held_against_the_scheme():
    own = found(check(*drawn(), deep(lambda w: None)), "signal_drifts")
    assert own.severity is Severity.INFO
    assert own.evidence[0].expected == "1.41"
    assert own.evidence[0].value == pytest.approx(0.577, abs=0.15)  # 1 / sqrt(3)
    assert "torch's own" in own.evidence[0].why
    assert found(check(*drawn(), deep(nn.init.kaiming_normal_)), "signal_drifts") is None


def test_quiet_advice_on_inputs_and_activations():
    x, y = drawn()
    images = (x.repeat(1, 6).reshape(400, 1, 6, 6) / 5 + 0.5).clamp(0, 1)
    flat = nn.Sequential(nn.Flatten(), network(36))
    assert "subtract the mean image" in found(check(images, y, flat), "inputs_all_positive").message
    wide = torch.cat([x, torch.zeros(400, 10)], 1)
    assert found(check(wide, y, network(16)), "constant_features").evidence[0].value == 10 / 16
    bent = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3))
    assert found(check(x, y, bent), "hidden_tanh")


# the learning rate


@pytest.mark.parametrize(("rate", "place"), [(1e-3, "lies below"), (0.1, "lies in")])
def test_where_the_rate_lies_is_told_as_a_fact(monkeypatch, rate, place):
    monkeypatch.setattr(rate_range, "SECONDS", 1e9)
    monkeypatch.setattr(learning, "SECONDS", 1e9)
    x, y = drawn()
    model = network()
    report = check(x, y, model, optimizer=torch.optim.SGD(model.parameters(), lr=rate))
    assert report.healthy
    finding = found(report, "learning_rate_range")
    assert finding.severity is Severity.INFO
    assert f"learning rate {rate:g} {place}" in finding.message
