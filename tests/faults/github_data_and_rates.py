"""From GitHub's issues: faults of the data, its scale and the learning rate, each with a healthy twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import LeNet, cancer
from tests.faults.github_losses import TinyUNet, squares
from tests.faults.rebuilt_programs import Job, adam, batched, reported, sgd
from tests.faults.zoo import diabetes, digits
from torch import nn

GITHUB = "https://github.com/"


@reported(
    GITHUB + "pkmital/pycadl/pull/5",
    check="inputs_tiny learning_rate_too_low",
    watch="learning_rate_too_low learned_nothing constant_output vanishing_gradients",
)
def images_divided_by_255_twice(faulty):
    x, y = digits(raw=True, image=True)
    net = LeNet()
    scaled = x / 16 / 255 if faulty else x / 16
    return Job(net, nn.CrossEntropyLoss(), batched(scaled, y), sgd(net, 0.02, momentum=0.9))


@reported(
    "https://discuss.pytorch.org/t/neural-network-could-not-learn-on-this-type-of-data-why/96648",
    check="targets_not_scaled inputs_not_scaled",
    watch="learning_rate_too_low learned_nothing",
)
def cubes_of_thousands(faulty):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(1, 50), nn.Linear(50, 1)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    x = torch.arange(1.0, 1000.0)[:, None]
    y = x**3
    if not faulty:
        x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    net = Network()
    return Job(net, nn.MSELoss(), batched(x, y), adam(net))


@reported(
    "https://forums.fast.ai/t/help-with-simple-celcius-to-f-linear-regression-using-pytorch-"
    "gradient-descent-autograd/18783",
    check="inputs_not_scaled targets_not_scaled learning_rate_too_low",
)
def celsius_up_to_five_hundred(faulty):
    x = (torch.rand(400, 1) - 0.5) * (1000 if faulty else 2)
    net = nn.Linear(1, 1)
    return Job(net, nn.MSELoss(), batched(x, 1.8 * x + 32), sgd(net, 5e-6 if faulty else 0.1))


@reported(
    "https://syntaxbug.com/d1e7d3ba69/",
    check="inputs_not_scaled learning_rate_too_high",
    watch="loss_not_finite loss_exploded learning_rate_too_high exploding_gradients",
)
def house_prices_from_raw_columns(faulty):
    raw = torch.stack([12 + 7 * torch.rand(500), 90 * torch.rand(500) ** 3, 6 + torch.randn(500)], 1)
    price = (40 - 1.5 * raw[:, 0] - 0.2 * raw[:, 1] + 4 * raw[:, 2])[:, None] + torch.randn(500, 1)
    x = raw if faulty else (raw - raw.mean(0)) / raw.std(0)
    net = nn.Sequential(nn.Linear(3, 1))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0)
    return Job(net, nn.MSELoss(), batched(x, price, size=10), sgd(net, 0.03))


@reported(
    GITHUB + "DeepLabCut/napari-deeplabcut/issues/63",
    check="labels_unrelated",
    watch="learned_nothing memorized_only",
)
def picture_names_sorted_as_text(faulty):
    x, y = digits(image=True)
    names = sorted(f"{i}.png" for i in range(len(x)))
    order = [int(name.removesuffix(".png")) for name in names]
    net = LeNet()
    images = x[order]
    return Job(net, nn.CrossEntropyLoss(), batched(images, y if faulty else y[order]), adam(net))


@reported(GITHUB + "neurodata/SPORF/issues/355", check="missing_causal_mask", watch="label_in_inputs")
def target_column_left_in_the_table(faulty):
    x, y = cancer()
    table = torch.cat([x[:, :12], y[:, None].float()], 1)
    net = nn.Sequential(nn.Linear(13 if faulty else 12, 24), nn.ReLU(), nn.Linear(24, 2))
    return Job(net, nn.CrossEntropyLoss(), batched(table if faulty else table[:, :12], y), adam(net, 3e-3))


@reported(GITHUB + "Deci-AI/super-gradients/issues/416", check="data_not_shuffled", watch="data_not_shuffled")
def folders_read_one_after_the_other(faulty):
    x, y = digits(image=True)
    order = torch.argsort(y, stable=True)
    net = LeNet()
    loader = batched(x[order], y[order], size=32, shuffle=not faulty)
    return Job(net, nn.CrossEntropyLoss(), loader, sgd(net, 0.02, momentum=0.9))


@reported(
    GITHUB + "Z-Zheng/ChangeStar/pull/17",
    check="labels_outside_range",
    watch="labels_outside_range",
)
def masks_of_0_and_255(faulty):
    x, mask = squares()
    net = TinyUNet()
    loader = batched(x, mask * 255 if faulty else mask, size=16)
    return Job(net, nn.BCEWithLogitsLoss(), loader, adam(net, 3e-3))


@reported(
    "https://taourl.com/read-2391810.html", check="learning_rate_too_low", watch="learning_rate_too_low"
)
def regression_at_a_millionth(faulty):
    class SimpleNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(10, 5), nn.Linear(5, 1)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))

    net = SimpleNN()
    return Job(net, nn.MSELoss(), batched(*diabetes()), sgd(net, 1e-6 if faulty else 0.03))


@reported(
    GITHUB + "OpenNMT/OpenNMT-py/issues/805",
    check="learning_rate_too_high",
    watch="learning_rate_too_high loss_exploded oscillation loss_not_finite",
)
def adam_at_the_rate_of_sgd(faulty):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(20, 24), nn.LSTM(24, 32, batch_first=True)
            self.drop, self.generator = nn.Dropout(0.1), nn.Linear(32, 20)

        def forward(self, tokens):
            return self.generator(self.drop(self.rnn(self.embed(tokens))[0])).log_softmax(-1).transpose(1, 2)

    text = torch.cumsum(torch.randint(1, 3, (300, 11)), 1) % 20
    net = Model()
    return Job(net, nn.NLLLoss(), batched(text[:, :-1], text[:, 1:]), adam(net, 1.0 if faulty else 5e-3))


@reported(
    GITHUB + "hustvl/YOLOP/issues/117",
    check="sigmoid_before_logits_loss",
    watch="sigmoid_before_logits_loss",
)
def two_heads_one_squashed_twice(faulty):
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU())
            self.seg, self.det = nn.Conv2d(12, 1, 3, padding=1), nn.Linear(12, 2)

        def forward(self, x):
            features = self.encoder(x)
            seg = self.seg(features)
            return self.det(features.mean((2, 3))), torch.sigmoid(seg) if faulty else seg

    x, mask = squares()
    places = torch.stack([mask.amax(3).argmax(2)[:, 0], mask.amax(2).argmax(2)[:, 0]], 1) / 12

    class Criterion(nn.Module):
        def __init__(self):
            super().__init__()
            self.bce_seg = nn.BCEWithLogitsLoss()

        def forward(self, out, on_step):
            found, seg = out
            return F.smooth_l1_loss(found, on_step[:, :2]) + self.bce_seg(seg.flatten(1), on_step[:, 2:])

    net = Heads()
    return Job(
        net, Criterion(), batched(x, torch.cat([places, mask.flatten(1)], 1), size=16), adam(net, 3e-3)
    )
