"""Healthy programs with settings that look unusual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.zoo import adam, binary, diabetes, digits, healthy, loader, mlp, sgd, wine
from torch import nn

CE = nn.CrossEntropyLoss


@healthy
def adam_with_warm_up():
    model = mlp(64, 50, 10)
    optimizer = adam(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 1000))
    return model, CE(), loader(*digits()), optimizer


@healthy
def summed_loss_with_a_small_rate():
    model = mlp(64, 50, 10)
    return model, CE(reduction="sum"), loader(*digits()), sgd(model, 1e-3)


@healthy
def targets_times_ten():
    x, y = diabetes()
    model = mlp(10, 32, 1)
    return model, nn.MSELoss(), loader(x, 10 * y), adam(model, 1e-2)


@healthy
def sparse_relus():
    model = mlp(64, 200, 10)
    nn.init.constant_(model[0].bias, -0.8)
    return model, CE(), loader(*digits()), adam(model)


@healthy
def frozen_backbone():
    model = mlp(64, 100, 50, 10)
    for p in model[:4].parameters():
        p.requires_grad_(False)
    return model, CE(), loader(*digits()), torch.optim.Adam(model[4].parameters(), lr=1e-2)


@healthy
def head_alone_in_the_optimizer():
    model = nn.ModuleDict({"body": mlp(64, 100, 50), "head": nn.Linear(50, 10)})
    net = nn.Sequential(model["body"], nn.ReLU(), model["head"])
    return net, CE(), loader(*digits()), torch.optim.Adam(net[2].parameters(), lr=1e-2)


@healthy
def tiny_data():
    x, y = wine()
    model = mlp(13, 8, 3)
    return model, CE(), [(x[:12], y[:12])], adam(model, 1e-2)


@healthy
def noisy_labels():
    x, y = digits()
    wrong = torch.rand(len(y)) < 0.4
    model = mlp(64, 100, 10)
    return (
        model,
        CE(label_smoothing=0.1),
        loader(x, torch.where(wrong, torch.randint(10, y.shape), y)),
        adam(model),
    )


@healthy
def lstm_classifier():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = (
                nn.LSTM(8, 32, num_layers=2, batch_first=True, dropout=0.2),
                nn.Linear(32, 10),
            )

        def forward(self, x):
            _, (hidden, _) = self.lstm(x)
            return self.head(hidden[-1])

    x, y = digits()
    model = Net()
    return model, CE(), loader(x.reshape(-1, 8, 8), y), adam(model, 3e-3)


@healthy
def token_tagger():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 16, padding_idx=0)
            self.rnn, self.head = nn.GRU(16, 24, batch_first=True, bidirectional=True), nn.Linear(48, 4)

        def forward(self, x):
            return self.head(self.rnn(self.embed(x))[0]).transpose(1, 2)

    x = torch.randint(1, 20, (128, 9))
    y = (x % 4).masked_fill(torch.rand(x.shape) < 0.2, -100)
    model = Net()
    return model, CE(), loader(x, y), adam(model, 1e-2)


@healthy
def autoencoder():
    x, _ = digits(raw=True)
    x = x / 16
    model = mlp(64, 32, 8, 32, 64, last=nn.Sigmoid())
    return model, nn.MSELoss(), loader(x, x), adam(model, 3e-3)


@healthy
def small_conv_net_with_batch_norm():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    return model, CE(), loader(*digits(image=True)), sgd(model, 0.05, momentum=0.9, weight_decay=5e-4)


@healthy
def small_transformer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(8, 32)
            self.place = nn.Parameter(torch.zeros(8, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.1)
            self.body, self.head = (
                nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
                nn.Linear(32, 10),
            )

        def forward(self, x):
            return self.head(self.body(self.embed(x) + self.place).mean(1))

    x, y = digits()
    model = Net()
    return model, CE(), loader(x.reshape(-1, 8, 8), y), torch.optim.AdamW(model.parameters(), lr=1e-3)


@healthy
def multi_label():
    x, y = digits()
    tags = torch.stack([y % 2 == 0, y > 4, y == 7], 1).float()
    model = mlp(64, 50, 3)
    return model, nn.BCEWithLogitsLoss(), loader(x, tags), adam(model)


@healthy
def regression_at_the_noise_floor():
    x = torch.randn(256, 5)
    y = 0.1 * x[:, :1] + torch.randn(256, 1)
    model = mlp(5, 16, 1)
    return model, nn.MSELoss(), loader(x, y), adam(model)


@healthy
def linear_regression_on_raw_targets():
    x, y = diabetes(raw=True)
    model = nn.Linear(10, 1)
    return model, nn.MSELoss(), loader(x, y), sgd(model, 0.01)


@healthy
def logistic_regression():
    model = nn.Linear(13, 1)
    return model, nn.BCEWithLogitsLoss(), loader(*binary()), sgd(model, 0.1)


@healthy
def last_layer_starts_at_zero():
    model = mlp(64, 50, 10)
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return model, CE(), loader(*digits()), adam(model)


@healthy
def rare_positives_with_weight():
    x, y = digits()
    model = mlp(64, 32, 1)
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0]))
    return model, loss, loader(x, (y == 3).float()[:, None]), adam(model)


@healthy
def deep_residual_net_with_layer_norm():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
            nn.init.zeros_(self.down.weight)

        def forward(self, x):
            return x + self.down(F.gelu(self.up(self.norm(x))))

    model = nn.Sequential(
        nn.Linear(64, 32), *[Block() for _ in range(8)], nn.LayerNorm(32), nn.Linear(32, 10)
    )
    return model, CE(), loader(*digits()), torch.optim.AdamW(model.parameters(), lr=1e-3)


@healthy
def heavy_dropout_and_decay():
    model = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Dropout(0.7), nn.Linear(200, 10))
    return model, CE(), loader(*digits()), sgd(model, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-2)


@healthy
def two_outputs_and_an_own_loss():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.spread = mlp(10, 32, 16), nn.Linear(16, 1), nn.Linear(16, 1)

        def forward(self, x):
            hidden = torch.tanh(self.body(x))
            return self.mean(hidden), F.softplus(self.spread(hidden)) + 1e-3

    model = Net()
    return model, lambda out, y: F.gaussian_nll_loss(out[0], y, out[1]), loader(*diabetes()), adam(model)


@healthy
def raw_pixels_behind_batch_norm():
    model = nn.Sequential(nn.BatchNorm1d(64), *mlp(64, 50, 10))
    x, y = digits(raw=True)
    return model, CE(), loader(x * 16, y), adam(model)


@healthy
def fine_tuning_at_a_low_rate():
    model = mlp(64, 50, 10)
    return model, CE(), loader(*digits()), adam(model, 1e-4)


@healthy
def segmentation():
    x, _ = digits(raw=True, image=True)
    mask = (x > 8).float()
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    return model, nn.BCEWithLogitsLoss(), loader(x / 16, mask), adam(model, 1e-2)


@healthy
def squeeze_and_excite():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate, self.head = nn.Conv2d(1, 16, 3), nn.Linear(16, 16), nn.Linear(16, 10)

        def forward(self, x):
            x = F.relu(self.conv(x))
            return self.head((x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]).amax((2, 3)))

    model = Net()
    return model, CE(), loader(*digits(image=True)), adam(model, 1e-2)
