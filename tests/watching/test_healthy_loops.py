"""A healthy run stays silent: no warning, whatever its settings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from watching.loops import (
    Functional,
    Recurrent,
    convnet,
    cosine,
    curve,
    fit,
    mlp,
    pictures,
    points,
    warm_up,
    waves,
)

SGD, Adam = torch.optim.SGD, torch.optim.Adam
Schedule = torch.optim.lr_scheduler.LambdaLR


def plain_sgd():
    model = mlp()
    return fit(model, points(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1), measured=True)


def adam_with_warm_up():
    model = mlp()
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(model, points(), nn.CrossEntropyLoss(), optimizer, schedule=Schedule(optimizer, warm_up(100)))


def summed_loss():
    model = mlp()
    return fit(model, points(), nn.CrossEntropyLoss(reduction="sum"), SGD(model.parameters(), 2e-3))


def targets_times_ten():
    model = mlp(6, 64, 1)
    return fit(model, curve(scale=10), nn.MSELoss(), Adam(model.parameters(), 3e-3), epochs=30)


def sparse_relu():
    model = mlp(8, 128, 4)
    with torch.no_grad():
        model[0].bias.fill_(-1.0)
    return fit(model, points(), nn.CrossEntropyLoss(), Adam(model.parameters(), 1e-3))


def frozen_backbone():
    model = nn.Sequential(mlp(8, 64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))
    model[0].requires_grad_(False)
    trainable = [value for value in model.parameters() if value.requires_grad]
    return fit(model, points(), nn.CrossEntropyLoss(), SGD(trainable, 0.1), measured=True)


def head_alone_in_the_optimizer():
    model = mlp(8, 64, 4)
    return fit(model, points(), nn.CrossEntropyLoss(), Adam(model[-1].parameters(), 1e-2))


def eval_mode_of_a_frozen_backbone():
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU()), nn.Linear(32, 4))
    model[0].requires_grad_(False)
    model.eval()
    return fit(model, points(), nn.CrossEntropyLoss(), Adam(model[1].parameters(), 1e-2))


def noise_floor():
    model = mlp(6, 16, 1)
    data = curve(noise=3.0, count=2048)
    return fit(model, data, nn.MSELoss(), Adam(model.parameters(), 1e-3), size=64, epochs=10)


def linear_at_the_floor_from_the_start():
    x, y = curve(noise=1.0)
    model = nn.Linear(6, 1)
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], 1), y).solution
    with torch.no_grad():
        model.weight.copy_(solution[:6].T)
        model.bias.copy_(solution[6])
    return fit(model, (x, y), nn.MSELoss(), SGD(model.parameters(), 1e-2), epochs=15)


def lstm():
    model = Recurrent()
    return fit(model, waves(), nn.CrossEntropyLoss(), Adam(model.parameters(), 1e-2), epochs=25)


def autoencoder():
    x, _ = points(features=12, spread=1.0)
    model = nn.Sequential(mlp(12, 32, 3, depth=1), mlp(3, 32, 12, depth=1))
    return fit(model, (x, x), nn.MSELoss(), Adam(model.parameters(), 3e-3), epochs=30)


def conv_batch_norm():
    model = convnet()
    return fit(model, pictures(), nn.CrossEntropyLoss(), Adam(model.parameters(), 3e-3), measured=True)


def momentum_and_cosine():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    return fit(model, points(), nn.CrossEntropyLoss(), optimizer, schedule=Schedule(optimizer, cosine(320)))


def quarter(loss):
    return loss / 4


def accumulated_gradients():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.2)
    return fit(model, points(), nn.CrossEntropyLoss(), optimizer, accumulate=4, adjust=quarter, epochs=30)


def functional_activations():
    model = Functional()
    return fit(model, points(), nn.functional.cross_entropy, Adam(model.parameters(), 3e-3))


def tanh_net():
    model = mlp(activation=nn.Tanh)
    return fit(model, points(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1))


def binary_with_logits():
    x, y = points(classes=2)
    model = mlp(8, 32, 1)
    data = (x, y[:, None].float())
    return fit(model, data, nn.BCEWithLogitsLoss(), Adam(model.parameters(), 3e-3))


def noisy_labels():
    x, y = points(count=1024)
    wrong = torch.rand(len(y), generator=torch.Generator().manual_seed(5)) < 0.3
    y = torch.where(wrong, (y + 1) % 4, y)
    model = mlp()
    return fit(model, (x, y), nn.CrossEntropyLoss(), Adam(model.parameters(), 1e-3), epochs=15)


def tiny_data():
    model = mlp()
    return fit(model, points(count=24), nn.CrossEntropyLoss(), Adam(model.parameters(), 1e-2), epochs=100)


def deep_relu():
    model = mlp(depth=6)
    return fit(model, points(), nn.CrossEntropyLoss(), Adam(model.parameters(), 1e-3))


def softmax_inside_attention():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(1, 16), nn.Linear(16, 3)
            self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)

        def forward(self, x):
            steps = torch.linspace(0, 1, x.shape[1])[None, :, None].expand(len(x), -1, 16)
            return self.head(self.block(self.embed(x) + steps).mean(1))

    model = Attends()
    return fit(model, waves(), nn.CrossEntropyLoss(), Adam(model.parameters(), 3e-3), epochs=25)


def evaluation_in_between():
    """The model is evaluated with gradients on, as beginners do, between training steps."""
    model = convnet()
    x, y = pictures()

    def look(net):
        net.eval()
        net(x[:16]).argmax(1)
        net.train()

    return fit(model, (x, y), nn.CrossEntropyLoss(), Adam(model.parameters(), 3e-3), before=look)


def likelihood_below_zero():
    """A density's negative log-likelihood may well be negative."""
    x, y = curve(noise=0.02)
    model = mlp(6, 64, 2)

    def likelihood(output, target):
        mean, log_variance = output[:, :1], output[:, 1:].clamp(-8, 8)
        return (log_variance + (target - mean) ** 2 * (-log_variance).exp()).mean()

    return fit(model, (x, y), likelihood, Adam(model.parameters(), 1e-3), epochs=40)


HEALTHY = (
    *(
        plain_sgd,
        adam_with_warm_up,
        summed_loss,
        targets_times_ten,
        sparse_relu,
        frozen_backbone,
        noise_floor,
    ),
    *(head_alone_in_the_optimizer, eval_mode_of_a_frozen_backbone, linear_at_the_floor_from_the_start, lstm),
    *(autoencoder, conv_batch_norm, momentum_and_cosine, accumulated_gradients, functional_activations),
    *(tanh_net, binary_with_logits, noisy_labels, tiny_data, deep_relu, softmax_inside_attention),
    *(evaluation_in_between, likelihood_below_zero),
)


@pytest.mark.parametrize("program", HEALTHY, ids=lambda program: program.__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_program_gets_no_warning(program, seed):
    torch.manual_seed(seed)
    report, _ = program()
    assert report.healthy, str(report)
    assert not [cause for cause in report.causes if cause.finding.rule == "watch_failed"]
