"""From GitHub's issues: outputs and losses that do not fit, and signs, each with a healthy twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import cancer, iris
from tests.faults.rebuilt_programs import Job, adam, batched, one_hot, reported
from tests.faults.zoo import digits
from torch import nn

GITHUB = "https://github.com/"


def squares(count=192, size=12):
    mask = torch.zeros(count, 1, size, size)
    for i, (row, column) in enumerate(torch.randint(1, size - 5, (count, 2)).tolist()):
        mask[i, 0, row : row + 4, column : column + 4] = 1
    return mask + 0.4 * torch.randn_like(mask), mask


class TinyUNet(nn.Module):
    def __init__(self, end=None):
        super().__init__()
        self.inc = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True))
        self.up, self.outc = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 1, 1)
        self.end = end

    def forward(self, x):
        first = self.inc(x)
        d1 = self.outc(torch.cat([self.up(self.down(first)), first], dim=1))
        return d1 if self.end is None else self.end(d1)


@reported(
    GITHUB + "avBuffer/UNet3plus_pth/issues/23",
    check="sigmoid_before_logits_loss",
    watch="sigmoid_before_logits_loss",
)
def unet_that_ends_in_a_sigmoid(faulty):
    net = TinyUNet(torch.sigmoid if faulty else None)
    return Job(net, nn.BCEWithLogitsLoss(), batched(*squares(), size=16), adam(net, 3e-3))


@reported(
    GITHUB + "bkitano/llama-from-scratch/issues/5",
    check="softmax_before_cross_entropy",
    watch="softmax_before_cross_entropy",
)
def characters_through_a_softmax(faulty):
    class SimpleBrokenModel(nn.Module):
        def __init__(self, vocab=12, d_model=32):
            super().__init__()
            self.embedding = nn.Embedding(vocab, d_model)
            self.linear = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, vocab))

        def forward(self, idx):
            a = self.linear(self.embedding(idx))
            return F.softmax(a, dim=-1) if faulty else a

    def criterion(out, y):
        return F.cross_entropy(out.view(-1, 12), y.view(-1))

    x = torch.randint(12, (400, 16))
    y = torch.where(torch.rand(400, 16) < 0.1, torch.randint(12, (400, 16)), (5 * x + 1) % 12)
    net = SimpleBrokenModel()
    return Job(net, criterion, batched(x, y), adam(net, 3e-3))


@reported(
    GITHUB + "itakurah/focal-loss-pytorch/pull/5",
    check="sigmoid_before_logits_loss",
    watch="sigmoid_before_logits_loss",
)
def focal_loss_squashed_twice(faulty):
    class FocalLoss(nn.Module):
        def __init__(self, gamma=2.0, alpha=0.25):
            super().__init__()
            self.gamma, self.alpha = gamma, alpha

        def forward(self, inputs, targets):
            probs = torch.sigmoid(inputs)
            given = probs if faulty else inputs
            bce = F.binary_cross_entropy_with_logits(given, targets, reduction="none")
            p_t = probs * targets + (1 - probs) * (1 - targets)
            alpha_t = self.alpha * targets + (1 - self.alpha) * (1 - targets)
            return (alpha_t * (1 - p_t) ** self.gamma * bce).mean()

    x, y = cancer()
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    return Job(net, FocalLoss(), batched(x, y.float()[:, None]), adam(net))


@reported(
    GITHUB + "somijeong/MGUIT/issues/2",
    check="nll_without_log_softmax",
    watch="nll_without_log_softmax",
)
def memory_items_scored_without_a_logarithm(faulty):
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
            self.keys = nn.Parameter(F.normalize(torch.randn(10, 16), dim=1))

        def forward(self, x):
            score = F.normalize(self.encode(x), dim=1) @ F.normalize(self.keys, dim=1).T
            return F.softmax(score / 0.2, dim=1)

    def criterion(logits, label):
        return torch.exp(F.nll_loss(logits, label)) if faulty else F.nll_loss(torch.log(logits), label)

    net = Memory()
    return Job(net, criterion, batched(*digits()), adam(net, 3e-3))


@reported(
    GITHUB + "ProteomicsML/ProteomicsML/pull/203",
    check="bounded_output",
    watch="bounded_output dead_units",
)
def retention_time_through_a_relu(faulty):
    class LSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.lstm = nn.Embedding(20, 16), nn.LSTM(16, 24, batch_first=True)
            self.dense, self.out = nn.Linear(24, 16), nn.Linear(16, 1)

        def forward(self, tokens):
            hidden, _ = self.lstm(self.embed(tokens))
            value = self.out(F.relu(self.dense(hidden[:, -1, :])))
            return F.relu(value) if faulty else value

    tokens = torch.randint(20, (500, 10))
    y = torch.randn(20)[tokens].sum(1, keepdim=True)
    net = LSTM()
    return Job(net, nn.MSELoss(), batched(tokens, (y - y.mean()) / y.std()), adam(net, 3e-3))


class VAE(nn.Module):
    def __init__(self, end=torch.sigmoid):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(64, 48), nn.Linear(48, 6), nn.Linear(48, 6)
        self.fc3, self.fc4, self.end = nn.Linear(6, 48), nn.Linear(48, 64), end

    def forward(self, x):
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.end(self.fc4(F.relu(self.fc3(z)))), mu, logvar


@reported(
    GITHUB + "graviraja/pytorch-sample-codes/issues/6",
    check="sign_flipped",
    watch="sign_flipped loss_exploded loss_not_finite",
)
def divergence_with_its_sign_flipped(faulty):
    def criterion(out, x):
        recon, mu, logvar = out
        error = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
        divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
        return error - divergence if faulty else error + divergence

    x = digits(raw=True)[0] / 16
    net = VAE()
    return Job(net, criterion, batched(x, x, size=64), adam(net))


@reported(GITHUB + "sraashis/easytorch/pull/38", check="sign_flipped", watch="sign_flipped")
def dice_itself_as_the_loss(faulty):
    def dice_loss(out, target, smooth=1.0):
        iflat, tflat = out.contiguous().view(-1), target.contiguous().view(-1)
        score = (2.0 * (iflat * tflat).sum() + smooth) / (iflat.sum() + tflat.sum() + smooth)
        return score if faulty else 1 - score

    net = TinyUNet(torch.sigmoid)
    return Job(net, dice_loss, batched(*squares(), size=16), adam(net, 3e-3))


@reported(
    GITHUB + "gwx314/STARS/issues/9",
    check="nll_without_log_softmax",
    watch="nll_without_log_softmax",
)
def ctc_of_raw_scores(faulty):
    class Phones(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lstm = nn.Conv1d(5, 16, 3, padding=1), nn.LSTM(16, 16, batch_first=True)
            self.fc = nn.Linear(16, 6)

        def forward(self, frames):
            h, _ = self.lstm(F.relu(self.conv(frames)).transpose(1, 2))
            return self.fc(h)

    def criterion(logits, labels):
        scores = logits if faulty else logits.log_softmax(-1)
        lengths = torch.full((len(labels),), scores.shape[1]), torch.full((len(labels),), labels.shape[1])
        return F.ctc_loss(scores.transpose(0, 1), labels, *lengths)

    labels = torch.randint(5, (256, 4))
    frames = one_hot(labels, 5).repeat_interleave(4, dim=1).transpose(1, 2)
    net = Phones()
    return Job(net, criterion, batched(frames + 0.3 * torch.randn_like(frames), labels + 1), adam(net, 1e-2))


@reported(
    GITHUB + "lightly-ai/lightly/issues/1194",
    check="nll_without_log_softmax",
    watch="nll_without_log_softmax",
)
def divergence_of_bare_probabilities(faulty):
    def criterion(out, teacher):
        student = F.softmax(out, dim=1) if faulty else F.log_softmax(out, dim=1)
        return F.kl_div(student, teacher, reduction="batchmean")

    x, y = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    return Job(net, criterion, batched(x, 0.9 * one_hot(y, 10) + 0.01), adam(net, 3e-3))


@reported(GITHUB + "RLinf/RLinf/issues/1568", check="loss_broadcasts", watch="loss_broadcasts")
def clipped_values_against_a_column(faulty):
    class ValueHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(6, 32), nn.Tanh()), nn.Linear(32, 1)

        def forward(self, obs):
            values = self.head(self.body(obs))
            return values[:, 0] if faulty else values

    def criterion(values, on_step):
        returns, prev = on_step[:, :1], on_step[:, 1:]
        clipped = prev + (values - prev).clamp(-0.5, 0.5)
        return torch.max((values - returns) ** 2, (clipped - returns) ** 2).mean()

    obs = torch.randn(600, 6)
    returns = torch.tanh(obs @ torch.randn(6, 1)) + 0.1 * torch.randn(600, 1)
    on_step = torch.cat([returns, returns + 0.3 * torch.randn(600, 1)], 1)
    net = ValueHead()
    return Job(net, criterion, batched(obs, on_step), adam(net, 3e-3))


@reported(
    GITHUB + "PacktPublishing/Deep-Reinforcement-Learning-Hands-On/issues/33",
    check="loss_broadcasts",
    watch="loss_broadcasts",
)
def advantage_of_every_pair(faulty):
    class A2C(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 48), nn.ReLU())
            self.policy, self.value = nn.Linear(48, 3), nn.Linear(48, 1)

        def forward(self, x):
            h = self.net(x)
            return self.policy(h), self.value(h)

    def criterion(out, on_step):
        logits, value = out
        action, reward = on_step[:, 0].long(), on_step[:, 1]
        loss_value = F.mse_loss(value.squeeze(-1), reward)
        advantage = reward - (value.detach() if faulty else value.detach().squeeze(-1))
        log_p = F.log_softmax(logits, dim=1)[range(len(action)), action]
        return loss_value - (advantage * log_p).mean()

    x, y = iris()
    rows, action = torch.randint(150, (900,)), torch.randint(3, (900,))
    on_step = torch.stack([action.float(), (action == y[rows]).float()], 1)
    net = A2C()
    return Job(net, criterion, batched(x[rows], on_step), adam(net, 3e-3))


@reported(
    "https://whosebug.com/question/5616116/"
    "What-could-cause-a-VAE-Variational-AutoEncoder-to-output-random-noise-even-after-training",
    check="bounded_output",
    watch="bounded_output",
)
def decoder_from_zero_to_one_for_centred_images(faulty):
    def criterion(out, x):
        recon, mu, logvar = out
        divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        return 50 * F.mse_loss(recon, x) + divergence.mean()

    x = digits(raw=True)[0] / 8 - 1
    net = VAE(torch.sigmoid if faulty else torch.tanh)
    return Job(net, criterion, batched(x, x, size=64), adam(net))


@reported(
    GITHUB + "DeepReinforcementLearning/DeepReinforcementLearningInAction/issues/32",
    check="examples_mixed",
)
def policy_normalized_over_the_batch(faulty):
    def loss_fn(preds, on_step):
        chosen = preds.gather(1, on_step[:, :1].long()).squeeze(1)
        return -torch.sum(on_step[:, 1] * torch.log(chosen))

    x, y = iris()
    rows, action = torch.randint(150, (900,)), torch.randint(3, (900, 1))
    reward = (action[:, 0] == y[rows]).float()[:, None]
    net = nn.Sequential(nn.Linear(4, 150), nn.LeakyReLU(), nn.Linear(150, 3), nn.Softmax(0 if faulty else 1))
    return Job(net, loss_fn, batched(x[rows], torch.cat([action.float(), reward], 1)), adam(net, 9e-4))
