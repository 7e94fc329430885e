"""What the programs from issues taught `babysit.check`: each where it must speak, and where it must not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import babysit
from babysit.verdicts import Severity


def rules(report, *, serious=True):
    found = [f.rule for f in report.findings if not serious or f.severity is not Severity.INFO]
    return set(found)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def adam(model, lr=1e-2):
    return torch.optim.Adam(model.parameters(), lr=lr)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def overlap(out, target):
    p = torch.sigmoid(out)
    return 2 * (p * target).sum() / (p.sum() + target.sum())


@pytest.mark.parametrize(("loss", "flipped"), [(overlap, True), (lambda out, y: 1 - overlap(out, y), False)])
def test_a_step_away_from_the_targets(loss, flipped):
    x = random(128, 6)
    masks = (x @ random(6, 5) > 0).float()
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 5)))
    report = babysit.check(model, loss, [(x, masks)], adam(model))
    assert ("sign_flipped" in rules(report)) is flipped, report


def test_a_distance_whose_label_says_near_is_no_flipped_sign():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 8)

        def forward(self, pair):
            return (self.body(pair[:, :4]) - self.body(pair[:, 4:])).norm(dim=1)

    def contrastive(out, same):
        return (same * out.square() + (1 - same) * (2 - out).clamp(min=0).square()).mean()

    x = random(128, 4)
    partner = torch.cat([x[:64] + 0.1, x[64:].flip(0)])
    model = seeded(Apart)
    batch = (torch.cat([x, partner], 1), (torch.arange(128) < 64).float())
    assert "sign_flipped" not in rules(babysit.check(model, contrastive, [batch], adam(model)))


@pytest.mark.parametrize(("sign", "flipped"), [(-1, True), (1, False)])
def test_a_loss_without_a_floor(sign, flipped):
    def criterion(out, y):
        spread = out[:, 1:]
        return F.mse_loss(out[:, :1], y) + sign * (spread.exp() - spread - 1).mean()

    x = random(128, 6)
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)))
    report = babysit.check(model, criterion, [(x, x[:, :1])], adam(model, 3e-2))
    assert ("sign_flipped" in rules(report)) is flipped, report


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.score, self.value, self.dim = nn.Linear(4, 1), nn.Linear(4, 2), dim

    def forward(self, x):
        weight = F.softmax(self.score(x), dim=self.dim)
        return (weight * self.value(x)).sum(1)


@pytest.mark.parametrize(("dim", "lone"), [(2, True), (1, False)])
def test_a_softmax_over_an_axis_of_one_inside_the_model(dim, lone):
    x = random(96, 5, 4)
    model = seeded(lambda: Attention(dim))
    labels = (x[:, 0, 0] > 0).long()
    report = babysit.check(model, nn.CrossEntropyLoss(), [(x, labels)], adam(model))
    assert ("one_unit_softmax" in rules(report)) is lone, report


def classified(labels, *, shuffle=False, classes=3):
    x = random(len(labels), 6)
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, classes)))
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(TensorDataset(x, labels), 16, shuffle=shuffle, generator=generator)
    return rules(babysit.check(model, nn.CrossEntropyLoss(), loader, adam(model)))


def test_labels_that_come_sorted():
    labels = torch.arange(300) // 100
    labels[0] = 2  # the first examples are not all alike
    assert "data_not_shuffled" in classified(labels)
    assert "data_not_shuffled" not in classified(labels, shuffle=True)
    assert "data_not_shuffled" not in classified(labels[torch.randperm(300, generator=torch.Generator())])


def test_one_class_in_random_order():
    assert "constant_labels" in classified(torch.ones(400, dtype=torch.long), shuffle=True)
    assert "data_not_shuffled" not in classified(torch.ones(400, dtype=torch.long), shuffle=True)
    assert "constant_labels" not in classified(torch.ones(100, dtype=torch.long), shuffle=True)
    assert "data_not_shuffled" in classified(torch.ones(400, dtype=torch.long))


class Contrast(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 8)

    def forward(self, pair):
        query, key = (F.normalize(self.body(half), dim=1) for half in pair.chunk(2, dim=1))
        others = query @ key.T - 2 * torch.eye(len(query))
        return torch.cat([(query * key).sum(1, keepdim=True), others], 1) / 0.2


def test_a_contrast_whose_true_pair_is_always_the_first():
    x = random(320, 6)
    pairs = torch.cat([x, x + 0.1], 1)
    model = seeded(Contrast)
    labels = torch.zeros(320, dtype=torch.long)
    loader = DataLoader(TensorDataset(pairs, labels), 32, shuffle=True)
    assert rules(babysit.check(model, nn.CrossEntropyLoss(), loader, adam(model))) == set()


def test_a_graph_of_more_nodes_than_are_measured_at_once():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("edges", torch.eye(200) + torch.eye(200).roll(1, 0))
            self.linear = nn.Linear(6, 2)

        def forward(self, x):
            return self.edges @ self.linear(x)

    x = random(200, 6)
    model = seeded(Graph)
    labels = ((model.edges @ x)[:, 0] > 0).long()
    report = babysit.check(model, nn.CrossEntropyLoss(), [(x, labels)], adam(model))
    assert report.healthy, report


class Words(nn.Module):
    def __init__(self, layout, *, masked):
        super().__init__()
        self.embed = nn.Embedding(9, 16)
        self.rnn = nn.GRU(16, 8 if not masked else 16, batch_first=True, bidirectional=not masked)
        self.head, self.layout = nn.Linear(16, 9), layout

    def forward(self, tokens):
        scores = self.head(self.rnn(self.embed(tokens))[0])
        return scores.transpose(1, 2) if self.layout == "classes first" else scores.flatten(0, 1)


@pytest.mark.parametrize("layout", ["classes first", "flat"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_language_model_that_sees_the_next_word(layout, masked):
    text = torch.cumsum(torch.randint(1, 3, (64, 8), generator=torch.Generator().manual_seed(0)), 1) % 9
    model = seeded(lambda: Words(layout, masked=masked))

    def loss(out, y):
        return F.cross_entropy(out, y if layout == "classes first" else y.flatten())

    report = babysit.check(model, loss, [(text[:, :-1], text[:, 1:])], adam(model))
    assert ("missing_causal_mask" in rules(report)) is not masked, report


def test_a_critic_that_is_to_stay():
    class Fooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator, self.critic = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU())
            self.last = nn.Linear(8, 1)

        def forward(self, z):
            return self.last(self.critic(self.generator(z)))

    model = seeded(Fooling)
    batch = (random(128, 4), torch.ones(128, 1))
    report = babysit.check(model, nn.BCEWithLogitsLoss(), [batch], adam(model.generator))
    assert "parameters_not_in_optimizer" in rules(report, serious=False)
    assert "parameters_not_in_optimizer" not in rules(report)
    told = (batch[0], (batch[0][:, :1] > 0).float())
    report = babysit.check(model, nn.BCEWithLogitsLoss(), [told], adam(model.generator))
    assert "parameters_not_in_optimizer" in rules(report)
