"""The faulty programs, each with its healthy twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.zoo import adam, binary, diabetes, digits, fault, loader, mlp, sgd, wine
from torch import nn

CE = nn.CrossEntropyLoss
X_ENT = ("softmax_before_cross_entropy",)


@fault(*X_ENT)
def softmax_layer_before_cross_entropy(faulty):
    model = mlp(64, 50, 10, last=nn.Softmax(dim=1) if faulty else None)
    return model, CE(), loader(*digits()), adam(model)


@fault(*X_ENT)
def functional_softmax_and_own_loss(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 10)

        def forward(self, x):
            scores = self.head(F.relu(self.conv(x)).flatten(1))
            return F.softmax(scores, dim=-1) if faulty else scores

    model = Net()
    return model, lambda out, y: F.cross_entropy(out, y), loader(*digits(image=True)), sgd(model)


@fault("sigmoid_before_logits_loss")
def sigmoid_before_bce_with_logits(faulty):
    model = mlp(13, 16, 1, last=nn.Sigmoid() if faulty else None)
    return model, nn.BCEWithLogitsLoss(), loader(*binary()), adam(model, 1e-2)


@fault("no_sigmoid_before_bce")
def bce_on_bare_scores(faulty):
    model = mlp(13, 16, 1, last=None if faulty else nn.Sigmoid())
    return model, nn.BCELoss(), loader(*binary()), adam(model, 1e-2)


@fault("nll_without_log_softmax")
def nll_on_bare_scores(faulty):
    model = mlp(64, 32, 10, last=None if faulty else nn.LogSoftmax(dim=1))
    return model, nn.NLLLoss(), loader(*digits()), adam(model)


@fault("nll_without_log_softmax")
def nll_on_probabilities(faulty):
    model = mlp(13, 20, 3, last=nn.Softmax(1) if faulty else nn.LogSoftmax(1))
    return model, F.nll_loss, loader(*wine()), sgd(model)


@fault("one_unit_softmax")
def softmax_over_one_unit(faulty):
    model = mlp(13, 16, 1, last=nn.Softmax(dim=1) if faulty else nn.Sigmoid())
    return model, nn.BCELoss(), loader(*binary()), adam(model)


@fault("one_unit_softmax")
def cross_entropy_with_one_output(faulty):
    x, y = binary()
    model = mlp(13, 16, 1 if faulty else 2)
    return model, CE(), loader(x, y[:, 0].long()), adam(model)


@fault("bounded_output")
def relu_at_the_end_of_a_regression(faulty):
    model = mlp(10, 32, 1, last=nn.ReLU() if faulty else None)
    return model, nn.MSELoss(), loader(*diabetes()), adam(model)


@fault("bounded_output")
def sigmoid_for_raw_targets(faulty):
    x, y = diabetes(raw=True)
    model = mlp(10, 32, 1, last=nn.Sigmoid())
    return model, nn.MSELoss(), loader(x, y if faulty else y / 400), adam(model)


@fault("loss_broadcasts")
def targets_without_an_axis(faulty):
    x, y = diabetes()
    model = mlp(10, 32, 1)
    return model, nn.MSELoss(), loader(x, y[:, 0] if faulty else y), adam(model)


@fault("loss_broadcasts")
def own_squared_error_broadcasts(faulty):
    x, y = diabetes()
    model = mlp(10, 16, 1, act=nn.Tanh)
    return (
        model,
        lambda out, t: ((out - t) ** 2).mean(),
        loader(x, y[:, 0] if faulty else y),
        sgd(model, 0.05),
    )


@fault("labels_outside_range")
def labels_from_one(faulty):
    x, y = wine()
    model = mlp(13, 16, 3)
    return model, CE(), loader(x, y + 1 if faulty else y), adam(model)


@fault("labels_outside_range")
def labels_of_minus_one(faulty):
    x, y = binary()
    model = mlp(13, 16, 1)
    return model, nn.BCEWithLogitsLoss(), loader(x, 2 * y - 1 if faulty else y), adam(model)


@fault("labels_of_wrong_type")
def float_labels(faulty):
    x, y = digits()
    model = mlp(64, 32, 10)
    return model, CE(), loader(x, y.float() if faulty else y), adam(model)


@fault("labels_of_wrong_type")
def labels_in_a_column(faulty):
    x, y = digits()
    model = mlp(64, 32, 10)
    return model, CE(), loader(x, y[:, None] if faulty else y), adam(model)


@fault("inputs_not_finite")
def nan_in_a_feature(faulty):
    x, y = wine()
    if faulty:
        x = x.clone()
        x[::7, 3] = float("nan")
    model = mlp(13, 16, 3)
    return model, CE(), loader(x, y), adam(model)


@fault("inputs_not_scaled")
def raw_features_of_all_sizes(faulty):
    model = mlp(13, 32, 3)
    return model, CE(), loader(*wine(raw=faulty)), sgd(model, 0.05)


@fault("inputs_not_scaled")
def raw_pixels(faulty):
    x, y = digits(raw=True, image=True)
    x = x * 15.9 if faulty else (x - 4.9) / 6
    model = nn.Sequential(nn.Flatten(), *mlp(64, 100, 100, 10))
    return model, CE(), loader(x, y), sgd(model, 0.1)


@fault("learning_rate_too_high")
def rate_far_too_high(faulty):
    model = mlp(64, 50, 10)
    return model, CE(), loader(*digits()), sgd(model, 100.0 if faulty else 0.1)


@fault("learning_rate_too_high")
def adam_with_rate_of_one(faulty):
    model = mlp(10, 64, 64, 1)
    return model, nn.MSELoss(), loader(*diabetes()), adam(model, 1.0 if faulty else 1e-3)


@fault("learning_rate_too_low")
def rate_of_a_millionth(faulty):
    model = mlp(64, 50, 10)
    return model, CE(), loader(*digits()), sgd(model, 1e-6 if faulty else 0.05)


@fault("learning_rate_too_low")
def adam_at_1e_8(faulty):
    model = mlp(13, 16, 3)
    return model, CE(), loader(*wine()), adam(model, 1e-8 if faulty else 1e-3)


@fault("symmetric_units")
def all_weights_zero(faulty):
    model = mlp(64, 50, 10)
    for p in model.parameters() if faulty else ():
        nn.init.zeros_(p)
    return model, CE(), loader(*digits()), sgd(model)


@fault("symmetric_units")
def all_weights_constant(faulty):
    model = mlp(10, 32, 32, 1, act=nn.Tanh)
    for p in model.parameters() if faulty else ():
        nn.init.constant_(p, 0.1)
    return model, nn.MSELoss(), loader(*diabetes()), adam(model)


@fault("weights_too_large")
def weights_from_a_unit_normal(faulty):
    model = mlp(64, 100, 100, 10)
    for p in model.parameters() if faulty else ():
        nn.init.normal_(p)
    return model, CE(), loader(*digits()), sgd(model, 0.01)


@fault("vanishing_signal", "vanishing_gradients")
def twelve_sigmoid_layers(faulty):
    act = nn.Sigmoid if faulty else nn.ReLU
    model = mlp(64, *[50] * (12 if faulty else 3), 10, act=act)
    return model, CE(), loader(*digits()), sgd(model, 0.1)


@fault("vanishing_signal", "vanishing_gradients")
def deep_with_tiny_weights(faulty):
    model = mlp(64, *[50] * 6, 10, act=nn.Tanh)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, std=0.01) if faulty else nn.init.xavier_normal_(p)
    return model, CE(), loader(*digits()), sgd(model, 0.1)


@fault("dead_units")
def bias_that_kills_the_relus(faulty):
    model = mlp(64, 50, 10)
    nn.init.constant_(model[0].bias, -50.0 if faulty else 0.01)
    return model, CE(), loader(*digits()), adam(model)


@fault("loss_not_connected")
def detached_outputs(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(13, 16, 3)

        def forward(self, x):
            out = self.body(x)
            return out.detach().requires_grad_() if faulty else out

    model = Net()
    return model, CE(), loader(*wine()), adam(model)


@fault("loss_not_connected")
def loss_in_a_new_tensor(faulty):
    model = mlp(10, 16, 1)

    def loss(out, y):
        value = F.mse_loss(out, y)
        return torch.tensor(value.item(), requires_grad=True) if faulty else value

    return model, loss, loader(*diabetes()), adam(model)


@fault("layers_without_gradient")
def data_in_the_middle(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 40), nn.Linear(40, 10)

        def forward(self, x):
            hidden = F.relu(self.first(x))
            return self.second(hidden.data if faulty else hidden)

    model = Net()
    return model, CE(), loader(*digits()), adam(model)


@fault("unregistered_parameters")
def layers_in_a_plain_list(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Linear(64, 40), nn.Linear(40, 40)]
            self.hidden = layers if faulty else nn.ModuleList(layers)
            self.head = nn.Linear(40, 10)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.head(x)

    model = Net()
    return model, CE(), loader(*digits()), adam(model)


@fault("optimizer_holds_other_model")
def optimizer_of_an_earlier_model(faulty):
    first, model = mlp(13, 16, 3), mlp(13, 16, 3)
    return model, CE(), loader(*wine()), adam(first if faulty else model)


@fault("optimizer_holds_other_model", "parameters_not_in_optimizer")
def head_replaced_after_the_optimizer(faulty):
    model = mlp(13, 16, 10)
    optimizer = adam(model)
    model[-1] = nn.Linear(16, 3)
    return model, CE(), loader(*wine()), optimizer if faulty else adam(model)


@fault("parameters_not_in_optimizer")
def only_the_first_layer_is_trained(faulty):
    model = mlp(13, 16, 3)
    held = model[0].parameters() if faulty else model.parameters()
    return model, CE(), loader(*wine()), torch.optim.Adam(held, lr=1e-2)


@fault("unused_parameters")
def layer_that_forward_forgets(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)

        def forward(self, x):
            x = F.relu(self.a(x))
            return self.c(x if faulty else F.relu(self.b(x)))

    model = Net()
    return model, CE(), loader(*digits()), adam(model)


@fault("examples_mixed")
def softmax_attention_over_the_batch(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.score, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            return self.head(x * F.softmax(self.score(x), dim=0 if faulty else 1) * (1 if faulty else 64))

    model = Net()
    return model, CE(), loader(*digits()), adam(model, 1e-2)


@fault("examples_mixed")
def lstm_along_the_batch(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 32, batch_first=not faulty), nn.Linear(32, 10)

        def forward(self, x):
            return self.head(self.lstm(x.reshape(-1, 8, 8))[0][:, -1])

    model = Net()
    return model, CE(), loader(*digits()), adam(model, 1e-2)


@fault("sign_flipped")
def minus_cross_entropy(faulty):
    model = mlp(13, 16, 3)
    sign = -1 if faulty else 1
    return model, lambda out, y: sign * F.cross_entropy(out, y), loader(*wine()), adam(model)


@fault("batch_norm_batch_of_one")
def batch_norm_with_single_examples(faulty):
    model = nn.Sequential(nn.Linear(13, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    return model, CE(), loader(*wine(), size=1 if faulty else 16), adam(model)


@fault("regularization_too_strong")
def weight_decay_of_a_hundred(faulty):
    model = mlp(64, 50, 10)
    decay = 100.0 if faulty else 0.01
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=decay)
    return model, CE(), loader(*digits()), optimizer


@fault("targets_not_scaled")
def raw_targets_of_a_regression(faulty):
    x, y = diabetes(raw=True)
    model = mlp(10, 32, 1)
    return model, nn.MSELoss(), loader(x, y * 1000 if faulty else y / 77 - 2), adam(model)


@fault("data_not_shuffled")
def sorted_and_not_shuffled(faulty):
    x, y = digits()
    order = y.argsort()
    model = mlp(64, 50, 10)
    return model, CE(), loader(x[order], y[order], size=16, shuffle=not faulty), adam(model)


@fault("dropout_in_evaluation")
def dropout_always_on(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            hidden = F.relu(self.a(x))
            return self.b(F.dropout(hidden, 0.5) if faulty else F.dropout(hidden, 0.5, self.training))

    model = Net()
    return model, CE(), loader(*digits()), adam(model)


@fault("strong_dropout")
def dropout_of_what_is_kept(faulty):
    model = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Dropout(0.9 if faulty else 0.1), nn.Linear(50, 10))
    return model, CE(), loader(*digits()), adam(model)


@fault("activation_before_cross_entropy")
def relu_before_cross_entropy(faulty):
    model = mlp(64, 50, 10, last=nn.ReLU() if faulty else None)
    return model, CE(), loader(*digits()), adam(model)
