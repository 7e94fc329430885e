"""From forums and repositories: faults of model, loss, data or set-up, each with a healthy twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_iris
from tests.faults.rebuilt_programs import Job, adam, batched, one_hot, reported, sgd
from tests.faults.zoo import diabetes, digits, wine
from torch import nn

FORUM = "https://discuss.pytorch.org/t/"


def cancer():
    table = load_breast_cancer()
    x = torch.tensor(table.data, dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0), torch.tensor(table.target)


def iris():
    table = load_iris()
    x = torch.tensor(table.data, dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0), torch.tensor(table.target)


def xor(count=256):
    corners = torch.randint(0, 2, (count, 2)).float()
    return corners, (corners.sum(1) == 1).float()[:, None]


def tones(count=400, length=24, classes=3):
    y = torch.randint(classes, (count,))
    time = torch.arange(length) / length * 2 * math.pi
    x = torch.sin((y[:, None] + 1) * time + 6.28 * torch.rand(count, 1)) + 0.1 * torch.randn(count, length)
    return x, y


class LeNet(nn.Module):
    def __init__(self, end=None):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 16, 3)
        self.fc1, self.fc2 = nn.Linear(16 * 2 * 2, 60), nn.Linear(60, 10)
        self.end = end

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(self.conv2(x))
        x = x.view(-1, 16 * 2 * 2)
        x = self.fc2(F.relu(self.fc1(x)))
        return x if self.end is None else self.end(x)


@reported(
    FORUM + "cross-entropy-loss-is-not-decreasing/43814",
    check="softmax_before_cross_entropy",
    watch="softmax_before_cross_entropy",
)
def lenet_that_returns_probabilities(faulty):
    net = LeNet(end=(lambda x: F.softmax(x, dim=1)) if faulty else None)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), sgd(net, 0.01, momentum=0.9))


@reported(
    FORUM + "cross-entropy-loss-is-not-decreasing/43814/16",
    check="learning_rate_too_high inputs_not_scaled",
    watch="dead_units learning_rate_too_high constant_output loss_exploded loss_not_finite",
)
def lenet_whose_relus_die(faulty):
    x, y = digits(raw=True, image=True)
    net = LeNet()
    return Job(
        net, nn.CrossEntropyLoss(), batched(x * 16 if faulty else x / 16, y), sgd(net, 0.1, momentum=0.9)
    )


@reported(
    FORUM + "predictions-stuck-at-zero-when-positive-label-1-is-only-16-of-data/145203",
    check="sigmoid_before_logits_loss",
    watch="sigmoid_before_logits_loss",
)
def weighted_logits_loss_of_a_sigmoid(faulty):
    x, y = cancer()
    keep = torch.cat([(y == 1).nonzero()[:300, 0], (y == 0).nonzero()[:57, 0]])
    weight = torch.tensor([0.84, 0.16])
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    elementwise = nn.BCEWithLogitsLoss(reduction="none")

    def criterion(out, labels):
        margin = out[:, 1] - out[:, 0]
        per_row = elementwise(torch.sigmoid(margin) if faulty else margin, labels)
        return (per_row * weight[labels.long()]).mean()

    return Job(net, criterion, batched(x[keep], y[keep].float()), adam(net))


@reported(
    FORUM + "unable-to-learn-xor-representation-using-2-layers-of-multi-layered-perceptron-mlp/13287",
    check="cannot_overfit learns_at_no_rate",
    watch="learned_nothing constant_output",
)
def xor_by_two_linear_layers(faulty):
    middle = nn.Identity() if faulty else nn.ReLU()
    net = nn.Sequential(nn.Linear(2, 10), middle, nn.Linear(10, 1))
    return Job(net, nn.BCEWithLogitsLoss(), batched(*xor(), size=16), adam(net, 0.01))


@reported(
    FORUM + "simple-linear-sigmoid-network-not-learning/98714",
    check="learning_rate_too_low",
    watch="learning_rate_too_low learned_nothing constant_output",
)
def xor_by_sigmoids_at_a_low_rate(faulty):
    net = nn.Sequential(nn.Linear(2, 4 if faulty else 16), nn.Sigmoid() if faulty else nn.Tanh())
    net.append(nn.Linear(net[0].out_features, 1)).append(nn.Sigmoid())
    return Job(net, nn.MSELoss(), batched(*xor(), size=4), sgd(net, 0.01) if faulty else adam(net, 0.03))


@reported(
    "https://whosebug.com/index.php/question/6116914/"
    "neural-network-trained-with-PyTorch-outputs-the-mean-value-for-every-input",
    check="learning_rate_too_low",
    watch="learning_rate_too_low learned_nothing constant_output",
)
def digits_by_sigmoid_outputs_and_squares(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer1, self.layer2 = nn.Linear(64, 200), nn.Linear(200, 10)

        def forward(self, x):
            return torch.sigmoid(self.layer2(torch.sigmoid(self.layer1(x))))

    x, y = digits(raw=True)
    net = Net()
    optimizer = sgd(net, 0.001) if faulty else adam(net, 5e-3)
    return Job(net, nn.MSELoss(), batched(x / 16, one_hot(y, 10)), optimizer)


@reported(
    "https://whosebug.com/question/6301115/Weird-behaviour-of-loss-function-in-pytorch",
    check="learning_rate_too_high",
    watch="learning_rate_too_high loss_not_finite loss_exploded exploding_gradients",
)
def exponential_of_the_cross_entropy(faulty):
    net = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))

    def criterion(out, y):
        loss = F.cross_entropy(out, y)
        return torch.exp(loss / 0.5) if faulty else loss

    return Job(net, criterion, batched(*digits()), sgd(net, 0.1))


@reported(
    FORUM + "why-the-model-fail-to-converge-without-a-manul-weight-initialization/50431",
    check="loss_broadcasts",
    watch="loss_broadcasts",
)
def squeeze_without_an_assignment(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer1 = nn.Linear(2, 1, bias=False)

        def forward(self, x):
            x = self.layer1(x)
            if faulty:
                x.squeeze()
                return x
            return x.squeeze(1)

    data = 100 * torch.randn(2000, 2)
    net = Net()
    y = 5 * data[:, 0] + 3 * data[:, 1] + torch.randn(2000)
    return Job(net, nn.MSELoss(), batched(data, y, size=100), sgd(net, 1e-5))


@reported("http://xiaobeizi.cn/x/6iuujguWdu", check="loss_broadcasts", watch="loss_broadcasts")
def three_outputs_for_one_target(faulty):
    x = torch.rand(200, 1) * 4
    net = nn.Linear(1, 3 if faulty else 1)
    return Job(net, nn.MSELoss(), batched(x, 2 * x + 0.1 * torch.randn(200, 1), size=4), sgd(net, 0.01))


@reported(
    "https://whosebug.com/question/5407576/Why-does-my-autoencoder-for-de-noising-in-PyTorch-learns-to-zero-out-everything",
    check="bounded_output",
    watch="bounded_output dead_units",
)
def denoiser_of_cosines_that_ends_in_relu(faulty):
    time = torch.arange(40) * 2 * math.pi / 8
    clean = torch.cos(time + 6.28 * torch.rand(512, 1, 1))
    layers = [nn.Conv1d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv1d(16, 8, 5, padding=2), nn.ReLU()]
    layers += [nn.ConvTranspose1d(8, 16, 5, padding=2), nn.ReLU(), nn.ConvTranspose1d(16, 1, 5, padding=2)]
    net = nn.Sequential(*layers, *([nn.ReLU()] if faulty else []))
    return Job(net, nn.MSELoss(), batched(clean + 0.2 * torch.randn_like(clean), clean), adam(net))


@reported(FORUM + "lstm-change-batch-first-true-loss-does-not-decrease/62364", check="examples_mixed")
def crnn_whose_lstm_became_batch_first(faulty):
    class CRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.cnn = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.rnn = nn.LSTM(64, 32, bidirectional=True, batch_first=faulty)
            self.embedding = nn.Linear(64, 10)

        def forward(self, x):
            features = self.cnn(x)
            columns = features.permute(3, 0, 1, 2).flatten(2)  # width, batch, channels x height
            out, _ = self.rnn(columns)
            return self.embedding(out.mean(0))

    net = CRNN()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), adam(net))


@reported(
    "https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1#policy-gradients-and-reinforce-with-baseline",
    check="activation_before_cross_entropy",
    watch="activation_before_cross_entropy",
)
def policy_with_rectified_scores(faulty):
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(30, 64), nn.Linear(64, 64), nn.Linear(64, 2)

        def forward(self, x):
            x = F.relu(self.fc2(F.relu(self.fc1(x))))
            q = F.relu(self.fc3(x)) if faulty else self.fc3(x)
            return F.log_softmax(q, dim=-1)

    net = Policy()
    return Job(net, nn.NLLLoss(), batched(*cancer()), adam(net))


@reported(
    "https://github.com/huggingface/sentence-transformers/issues/2872", check="parameters_not_in_optimizer"
)
def loss_with_a_classifier_of_its_own(faulty):
    class SoftmaxLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = nn.Linear(3 * 8, 2)

        def forward(self, pair, label):
            u, v = pair
            return F.cross_entropy(self.classifier(torch.cat([u, v, (u - v).abs()], 1)), label)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 8))

        def forward(self, pair):
            return self.net(pair[:, 0]), self.net(pair[:, 1])

    x, y = iris()
    first, second = torch.randint(150, (2, 600))
    net, criterion = Encoder(), SoftmaxLoss()
    held = [*net.parameters()] if faulty else [*net.parameters(), *criterion.parameters()]
    pairs = torch.stack([x[first], x[second]], 1)
    return Job(net, criterion, batched(pairs, (y[first] == y[second]).long()), torch.optim.Adam(held, 1e-2))


@reported(
    "https://github.com/David-Durst/csknow/issues/2",
    check="softmax_before_cross_entropy activation_before_cross_entropy",
    watch="softmax_before_cross_entropy activation_before_cross_entropy",
)
def bot_with_relu_and_softmax_at_the_end(faulty):
    end = [nn.ReLU(), nn.Softmax(dim=1)] if faulty else []
    net = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3), *end)
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), sgd(net, 0.05))


@reported(
    "https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1#loss-becoming-nan-due-to-torch-log",
    check="loss_not_finite",
    watch="loss_not_finite",
)
def logarithm_of_rectified_features(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(13, 32), nn.Linear(32, 3)

        def forward(self, x):
            hidden = F.relu(self.first(x))
            return self.last(torch.log(hidden if faulty else hidden + 1))

    net = Net()
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), adam(net))


@reported("http://ddrv.cn/?p=758668", check="loss_not_finite", watch="loss_not_finite")
def root_of_a_masked_distance(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))

        def forward(self, x):
            return self.body(x)

    x, y = diabetes()
    place = torch.cat([y, x[:, :1]], 1)
    known = (torch.arange(len(x)) % 5 != 0).float()[:, None]

    def masked(out, target):
        gap = (out - target[:, :2]) * target[:, 2:]
        return torch.sqrt(gap.square().sum(1) + (0 if faulty else 1e-10)).mean()

    net = Net()
    return Job(net, masked, batched(x, torch.cat([place, known], 1)), adam(net))


@reported(
    "https://taourl.com/read-2208585.html",
    check="weights_too_large",
    watch="loss_not_finite loss_exploded learning_rate_too_high exploding_gradients",
)
def weights_up_to_a_thousand(faulty):
    class MLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(10, 50), nn.Linear(50, 1)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))

    net = MLP()
    for param in net.parameters() if faulty else ():
        param.data.uniform_(-1000, 1000)
    return Job(net, nn.MSELoss(), batched(*diabetes()), sgd(net, 0.01))


@reported(
    "https://mejorcodigo.com/p/45698.html",
    check="inputs_not_scaled learning_rate_too_high",
    watch="loss_not_finite loss_exploded learning_rate_too_high exploding_gradients",
)
def line_through_large_x(faulty):
    x = torch.rand(500, 1) * (100 if faulty else 1)
    net = nn.Linear(1, 1)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    return Job(net, nn.MSELoss(), batched(x, 5 * x + 3 + 0.1 * torch.randn(500, 1), size=500), sgd(net, 0.1))


@reported("https://thecodeforge.io/ml-ai/pytorch-neural-network/", check="unregistered_parameters")
def layer_created_in_forward(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.out = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            middle = nn.Linear(64, 64) if faulty else self.fc2
            return self.out(F.relu(middle(x)))

    net = Net()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), adam(net))


@reported(
    "https://www.engineermaxxing.com/micro/lessons/pytorch-internals.html", check="unregistered_parameters"
)
def branches_in_a_plain_dict(faulty):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            convs = {str(k): nn.Conv1d(1, 8, k, padding=k // 2) for k in (3, 5, 7)}
            self.convs = convs if faulty else nn.ModuleDict(convs)
            self.head = nn.Linear(24, 3)

        def forward(self, x):
            pooled = [F.relu(conv(x[:, None])).amax(2) for conv in self.convs.values()]
            return self.head(torch.cat(pooled, 1))

    net = Branches()
    return Job(net, nn.CrossEntropyLoss(), batched(*tones()), adam(net, 1e-2))


@reported(
    "https://pexcera.com/learn/advanced-dl/the-discriminator-and-generator-loop.html",
    check="layers_without_gradient loss_not_connected",
    watch="loss_not_connected layers_without_gradient",
)
def generator_behind_a_detach(faulty):
    class Fooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
            self.discriminator = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

        def forward(self, z):
            fake = self.generator(z)
            return self.discriminator(fake.detach() if faulty else fake)

    net = Fooling()
    optimizer = torch.optim.Adam(net.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return Job(net, nn.BCEWithLogitsLoss(), batched(torch.randn(512, 8), torch.ones(512, 1)), optimizer)


@reported("https://github.com/thuml/Xlearn/issues/32", check="constant_labels", watch="constant_labels")
def dataset_that_returns_the_first_label(faulty):
    x, y = digits(image=True)
    net = LeNet()
    return Job(net, nn.CrossEntropyLoss(), batched(x, y[:1].expand(len(y)) if faulty else y), adam(net))


@reported("https://taourl.com/read-2624309.html", check="examples_mixed")
def rnn_that_takes_the_batch_for_time(faulty):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.GRU(1, 32, batch_first=not faulty), nn.Linear(32, 3)

        def forward(self, x):
            out, _ = self.rnn(x[..., None])
            return self.fc(out[:, -1, :])

    net = Tagger()
    return Job(net, nn.CrossEntropyLoss(), batched(*tones()), adam(net, 1e-2))


@reported(
    "https://thecodeforge.io/ml-ai/attention-is-all-you-need/",
    check="constant_output cannot_overfit learns_at_no_rate",
    watch="constant_output learned_nothing",
)
def transformer_without_positions(faulty):
    class Orders(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.places = nn.Embedding(8, 32), nn.Parameter(torch.randn(8, 32) * 0.5)
            self.encoder = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
            self.head = nn.Linear(32, 2)

        def forward(self, tokens):
            x = self.embed(tokens)
            return self.head(self.encoder(x if faulty else x + self.places).mean(1))

    tokens = torch.stack([torch.randperm(8) for _ in range(512)])
    y = (tokens.argmax(1) > tokens.argmin(1)).long()
    net = Orders()
    if faulty:
        del net.places
    return Job(net, nn.CrossEntropyLoss(), batched(tokens, y), adam(net, 3e-3))


@reported(
    "https://pgg1610.github.io/data_blog/posts/2020-10-19-pytorch_transfer_learning_basics.html",
    check="optimizer_holds_other_model parameters_not_in_optimizer",
    watch="optimizer_holds_other_model optimizer_never_steps parameters_not_in_optimizer",
)
def head_replaced_behind_the_optimizer(faulty):
    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten())
            self.fc = nn.Linear(16 * 36, 10)

        def forward(self, x):
            return self.fc(self.features(x))

    net = Backbone()
    for param in net.parameters():
        param.requires_grad = False
    net.fc = nn.Linear(16 * 36, 10)
    optimizer = torch.optim.Adam(net.fc.parameters(), lr=1e-3)
    if faulty:
        net.fc = nn.Linear(16 * 36, 10)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), optimizer)


@reported(
    "https://errorhandle.ai/multilabel-classification-converges-to-all-zeroes",
    check="bounded_output cannot_overfit",
    watch="bounded_output cannot_overfit",
)
def softmax_for_several_labels(faulty):
    x = torch.randn(600, 12)
    y = (x @ torch.randn(12, 6) > 0).float()
    net = nn.Sequential(
        nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 6), nn.Softmax(1) if faulty else nn.Sigmoid()
    )
    return Job(net, nn.BCELoss(), batched(x, y), adam(net, 3e-3))


@reported(
    "https://kaustabpal.github.io/dqn",
    check="loss_broadcasts",
    watch="loss_broadcasts",
)
def q_values_gathered_as_a_column(faulty):
    class QNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))

        def forward(self, transition):
            state, action = transition[:, :6], transition[:, 6:].long()
            chosen = self.body(state).gather(1, action)
            return chosen if faulty else chosen.squeeze(1)

    state, action = torch.randn(800, 6), torch.randint(3, (800, 1))
    value = (state @ torch.randn(6, 3)).gather(1, action)[:, 0] + 0.1 * torch.randn(800)
    net = QNet()
    return Job(
        net, nn.SmoothL1Loss(), batched(torch.cat([state, action.float()], 1), value, size=64), adam(net)
    )


@reported(
    FORUM + "vanilla-reinforce-for-continuous-distributions/25718",
    check="sign_flipped",
    watch="sign_flipped loss_exploded loss_not_finite",
)
def variational_autoencoder_with_the_sign_of_its_loss(faulty):
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.mean, self.logvar = nn.Linear(64, 48), nn.Linear(48, 4), nn.Linear(48, 4)
            self.fc3, self.fc4 = nn.Linear(4, 48), nn.Linear(48, 64)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mean, logvar = self.mean(h), self.logvar(h)
            z = mean + torch.exp(logvar / 2) * torch.randn_like(mean)
            return self.fc4(F.relu(self.fc3(z))), mean, logvar

    def criterion(out, x):
        logits, mean, logvar = out
        likelihood = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
        divergence = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1).mean()
        bound = likelihood - divergence
        return bound if faulty else -bound

    x = digits(raw=True)[0] / 16
    net = VAE()
    return Job(net, criterion, batched(x, x, size=64), adam(net))


@reported(
    "https://forums.fast.ai/t/why-does-the-nll-has-grad-fn-while-accuracy-doesnt/50891",
    check="loss_not_connected layers_without_gradient",
    watch="loss_not_connected vanishing_gradients layers_without_gradient",
)
def squared_error_of_rounded_outputs(faulty):
    x, y = iris()
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))

    def criterion(out, target):
        return F.mse_loss(out.round() if faulty else out, target)

    return Job(net, criterion, batched(x, y[:, None].float()), adam(net, 1e-2))


@reported(
    "https://github.com/mlelarge/graph_neural_net/pull/37",
    check="softmax_before_cross_entropy",
    watch="softmax_before_cross_entropy",
)
def node_classifier_with_a_softmax(faulty):
    class GCN(nn.Module):
        def __init__(self, edges):
            super().__init__()
            self.register_buffer("edges", edges / edges.sum(1, keepdim=True))
            self.w1, self.w2 = nn.Linear(20, 16), nn.Linear(16, 3)

        def forward(self, x):
            x = F.relu(self.edges @ self.w1(x))
            x = self.edges @ self.w2(x)
            return x.softmax(-1) if faulty else x

    group = torch.randint(3, (90,))
    same = group[:, None] == group
    edges = ((torch.rand(90, 90) < torch.where(same, 0.2, 0.03)) | torch.eye(90, dtype=torch.bool)).float()
    x = torch.randn(90, 20) + one_hot(group, 3) @ torch.randn(3, 20)
    net = GCN(edges)
    return Job(net, nn.CrossEntropyLoss(), [(x, group)], adam(net, 0.01))


@reported(
    "https://kader-xai.github.io/mini-courses/pytorch/day08.html",
    check="layers_without_gradient",
    watch="layers_without_gradient loss_not_connected",
)
def encoder_under_no_grad(faulty):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4), nn.ReLU())
            self.classifier = nn.Linear(4, 10)

        def forward(self, x):
            if faulty:
                with torch.no_grad():
                    codes = self.encoder(x)
            else:
                codes = self.encoder(x)
            return self.classifier(codes)

    net = Wrapped()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), adam(net, 3e-3))


@reported("https://duoke360.com/post/34781", check="loss_broadcasts", watch="loss_broadcasts")
def lstm_forecast_against_flat_targets(faulty):
    class Forecast(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.dense = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, window):
            out, _ = self.lstm(window)
            return self.dense(out[:, -1])

    series = torch.sin(torch.arange(700) * 0.3) + 0.5 * torch.sin(torch.arange(700) * 0.07)
    windows = series.unfold(0, 21, 1)
    x, y = windows[:, :20, None], windows[:, 20]
    net = Forecast()
    return Job(net, nn.MSELoss(), batched(x, y if faulty else y[:, None]), adam(net, 5e-3))


@reported(
    "https://www.codegenes.net/blog/outputs-all-0-no-updates-pytorch",
    check="inputs_constant constant_output",
    watch="constant_output learned_nothing",
)
def tokens_from_truncated_floats(faulty):
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.fc = nn.Embedding(18, 16, padding_idx=0), nn.Linear(64 * 16, 10)

        def forward(self, tokens):
            return self.fc(F.relu(self.embed(tokens).flatten(1)))

    x, y = digits(raw=True)
    tokens = (x / 16.5).long() if faulty else x.long() + 1
    net = Bag()
    return Job(net, nn.CrossEntropyLoss(), batched(tokens, y), adam(net, 3e-3))


@reported(
    "https://taourl.com/read-1959901.html",
    check="vanishing_signal vanishing_gradients",
    watch="vanishing_gradients constant_output learned_nothing",
)
def deep_sigmoids_give_one_output(faulty):
    act = nn.Sigmoid if faulty else nn.ReLU
    layers = [nn.Linear(30, 32), act()]
    for _ in range(9 if faulty else 2):
        layers += [nn.Linear(32, 32), act()]
    net = nn.Sequential(*layers, nn.Linear(32, 1))
    x, y = cancer()
    return Job(net, nn.BCEWithLogitsLoss(), batched(x, y.float()[:, None]), sgd(net, 0.1))


@reported(
    "https://blog.51cto.com/u_16213299/7145640",
    check="inputs_not_finite",
    watch="loss_not_finite",
)
def column_divided_by_its_zero_spread(faulty):
    x, y = digits(raw=True)
    spread = x.std(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    scaled = (x - x.mean(0)) / (spread if faulty else spread.clamp(min=1e-3))
    return Job(net, nn.CrossEntropyLoss(), batched(scaled, y), adam(net))


@reported(
    "https://errorhandle.ai/loss-and-accuracy-are-0-when-using-a-neural-network-with-a-single-output-neuron-tensorflow",
    check="one_unit_softmax",
    watch="one_unit_softmax constant_output learned_nothing",
)
def one_output_through_a_softmax(faulty):
    x, y = cancer()
    net = nn.Sequential(
        nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(1) if faulty else nn.Sigmoid()
    )
    return Job(net, nn.BCELoss(), batched(x, y[:, None].float()), adam(net, 3e-3))
