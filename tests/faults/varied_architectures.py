"""Programs of varied architectures and losses on which no threshold was chosen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.zoo import adam, diabetes, digits, fault, healthy, loader, mlp, sgd, wine
from torch import nn

SET = "later"

CE = nn.CrossEntropyLoss


@fault("softmax_before_cross_entropy")
def own_exponentials_in_a_sequence_model(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(8, 24, batch_first=True), nn.Linear(24, 10)

        def forward(self, x):
            scores = self.head(self.gru(x.reshape(-1, 8, 8))[0].mean(1))
            powers = torch.exp(scores)
            return powers / powers.sum(1, keepdim=True) if faulty else scores

    model = Net()
    return model, CE(), loader(*digits()), adam(model, 3e-3)


@fault("examples_mixed")
def view_that_mixes_rows(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(256, 10)

        def forward(self, x):
            x = F.relu(self.conv(x))
            x = x.transpose(0, 1).reshape(x.shape[0], -1) if faulty else x.flatten(1)
            return self.head(x)

    model = Net()
    return model, CE(), loader(*digits(image=True)), adam(model)


@fault("learning_rate_too_high")
def momentum_and_a_high_rate(faulty):
    model = mlp(13, 64, 64, 3)
    return model, CE(), loader(*wine()), sgd(model, 20.0 if faulty else 0.05, momentum=0.9)


@fault("bounded_output")
def tanh_for_standardized_targets(faulty):
    model = mlp(10, 32, 1, act=nn.Tanh, last=nn.Tanh() if faulty else None)
    return model, nn.L1Loss(), loader(*diabetes()), adam(model)


@fault("inputs_not_scaled")
def images_of_0_to_255_in_a_conv_net(faulty):
    x, y = digits(raw=True, image=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )
    return model, CE(), loader(x * 16 if faulty else x / 16 - 0.3, y), sgd(model, 0.1)


@fault("optimizer_holds_other_model", "parameters_not_in_optimizer")
def copy_is_trained_not_the_original(faulty):
    import copy

    model = mlp(64, 32, 10)
    held = copy.deepcopy(model) if faulty else model
    return model, CE(), loader(*digits()), adam(held)


@fault("nothing_to_train", "loss_not_connected")
def all_layers_frozen(faulty):
    model = mlp(64, 32, 10)
    optimizer = adam(model)
    for p in model.parameters() if faulty else ():
        p.requires_grad_(False)
    return model, CE(), loader(*digits()), optimizer


@fault("dead_units", "dead_units")
def bad_scale_layer_turns_all_negative(faulty):
    model = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    if faulty:
        with torch.no_grad():
            model[2].weight.copy_(-model[2].weight.abs())
            model[2].bias.fill_(-0.2)
    return model, CE(), loader(*digits()), adam(model)


@fault("loss_not_connected")
def loss_of_the_argmax(faulty):
    model = mlp(13, 16, 3)

    def loss(out, y):
        return (out.argmax(1) != y).float().mean() if faulty else F.cross_entropy(out, y)

    return model, loss, loader(*wine()), adam(model)


@fault("saturated_units", "inputs_not_scaled", "weights_too_large")
def tanh_on_large_inputs(faulty):
    x, y = wine()
    model = mlp(13, 50, 50, 3, act=nn.Tanh)
    for p in model.parameters() if faulty else ():
        nn.init.normal_(p, std=5.0)
    return model, CE(), loader(x, y), sgd(model, 0.01)


@fault("targets_not_finite")
def logarithm_of_zero_targets(faulty):
    x, y = diabetes(raw=True)
    y = y - y.min()
    model = mlp(10, 32, 1)
    return model, nn.MSELoss(), loader(x, (y if faulty else y + 1).log()), adam(model)


@fault("learning_rate_too_low", "targets_not_scaled")
def rate_too_low_with_momentum(faulty):
    model = mlp(10, 32, 1)
    return model, nn.SmoothL1Loss(), loader(*diabetes()), sgd(model, 1e-6 if faulty else 0.02, momentum=0.9)


@fault("classes_on_last_axis")
def tagger_with_classes_last(faulty):
    x = torch.randint(0, 12, (96, 7))
    model = nn.Sequential(nn.Embedding(12, 16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))

    def loss(out, y):
        return F.cross_entropy(out if faulty else out.transpose(1, 2), y)

    return model, loss, loader(x, x % 5), adam(model)


@fault("numbers_of_wrong_type")
def double_from_numpy(faulty):
    x, y = diabetes()
    model = mlp(10, 32, 1)
    return model, nn.MSELoss(), loader(x.double() if faulty else x, y), adam(model)


@healthy
def variational_autoencoder():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.code, self.mean, self.spread = nn.Linear(64, 32), nn.Linear(32, 4), nn.Linear(32, 4)
            self.decode = mlp(4, 32, 64)

        def forward(self, x):
            hidden = F.relu(self.code(x))
            mean, spread = self.mean(hidden), self.spread(hidden)
            return self.decode(mean + torch.randn_like(mean) * (spread / 2).exp()), mean, spread

    def loss(out, x):
        fit = F.binary_cross_entropy_with_logits(out[0], x, reduction="sum")
        return (fit - 0.5 * (1 + out[2] - out[1].square() - out[2].exp()).sum()) / len(x)

    x = digits(raw=True)[0] / 16
    model = Net()
    return model, loss, loader(x, x), adam(model)


@healthy
def sequence_first_recurrent_net():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 16), nn.Linear(16, 1)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    x = torch.randn(4, 20, 32, 3)
    y = 0.2 * x.sum(-1, keepdim=True).cumsum(1)
    model = Net()
    return model, nn.MSELoss(), list(zip(x, y, strict=True)), adam(model, 1e-2)


@healthy
def gan_like_discriminator():
    model = mlp(64, 64, 64, 1, act=lambda: nn.LeakyReLU(0.2))
    x, _ = digits()
    both = torch.cat([x, torch.randn_like(x)])
    labels = torch.cat([torch.ones(len(x), 1), torch.zeros(len(x), 1)])
    optimizer = adam(model, 2e-4, betas=(0.5, 0.999))
    return model, nn.BCEWithLogitsLoss(), loader(both, labels), optimizer


@healthy
def contrastive_embedding():
    model = mlp(64, 64, 16)

    def loss(z, y):
        z = F.normalize(z, dim=1)
        same = (y[:, None] == y[None]).float().fill_diagonal_(0)
        scores = (z @ z.T / 0.5).fill_diagonal_(-1e9).log_softmax(1)
        return -(scores * same).sum(1).div(same.sum(1).clamp(min=1)).mean()

    return model, loss, loader(*digits(), size=64), adam(model)


@healthy
def selu_net_with_lecun_weights():
    model = mlp(64, *[64] * 8, 10, act=nn.SELU)
    for p in model.parameters():
        nn.init.normal_(p, std=p.shape[-1] ** -0.5) if p.dim() > 1 else nn.init.zeros_(p)
    return model, CE(), loader(*digits()), adam(model)


@healthy
def ten_default_relu_layers():
    model = mlp(64, *[64] * 9, 10)
    return model, CE(), loader(*digits()), adam(model)


@healthy
def one_cycle_from_a_low_start():
    model = mlp(64, 50, 10)
    optimizer = sgd(model, 0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=1000)
    return model, CE(), loader(*digits()), optimizer


@healthy
def three_sigmoid_layers():
    model = mlp(64, 50, 50, 50, 10, act=nn.Sigmoid)
    return model, CE(), loader(*digits()), adam(model)


@healthy
def poisson_counts():
    x = torch.randn(256, 6)
    y = torch.poisson(torch.exp(0.5 * x[:, :1] + 0.2))
    model = mlp(6, 16, 1)
    return model, nn.PoissonNLLLoss(), loader(x, y), adam(model, 1e-2)


@healthy
def positive_targets_with_softplus():
    x, y = diabetes(raw=True)
    model = mlp(10, 32, 1, last=nn.Softplus())
    return model, nn.MSELoss(), loader(x, y / 100), adam(model, 1e-2)


@healthy
def next_token_model():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.lstm, self.head = (
                nn.Embedding(30, 16),
                nn.LSTM(16, 32, batch_first=True),
                nn.Linear(32, 30),
            )

        def forward(self, x):
            return self.head(self.lstm(self.embed(x))[0])

    text = torch.randint(0, 30, (64, 1)) + torch.arange(13)
    text = text % 30
    model = Net()

    def loss(out, y):
        return F.cross_entropy(out.flatten(0, 1), y.flatten())

    return model, loss, loader(text[:, :-1], text[:, 1:]), adam(model, 5e-3)


@healthy
def rare_positives():
    x, y = digits()
    rare = (torch.rand(len(y)) < 0.01).float()[:, None]
    model = mlp(64, 32, 1)
    return model, nn.BCEWithLogitsLoss(), loader(x, rare, size=16), adam(model)


@healthy
def mixture_with_two_optimizers():
    model = mlp(64, 50, 10)
    optimizers = [sgd(model[0], 0.1), adam(model[2], 1e-3)]
    return model, CE(), loader(*digits()), optimizers


@healthy
def half_of_the_features_constant():
    x, y = digits()
    x = torch.cat([x, torch.zeros(len(x), 64)], 1)
    model = mlp(128, 50, 10)
    return model, CE(), loader(x, y), adam(model)
