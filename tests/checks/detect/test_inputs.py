"""Detectors on inputs and targets: constant, positive, sorted, of one class."""

from __future__ import annotations

import torch
from tests.checks.programs import (
    adam,
    check,
    classifier,
    clusters,
    finding,
    noise,
    normal,
    rules,
    seeded,
)
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import babysit


def test_constant_inputs():
    report = babysit.check(classifier(5), nn.CrossEntropyLoss(), [(torch.ones(64, 5), noise()[1])])
    assert report.causes[0].rule == "inputs_constant"


def test_info_findings_on_inputs_and_activations():
    x, y = clusters()
    images = (x.repeat(1, 6).reshape(400, 1, 6, 6) / 5 + 0.5).clamp(0, 1)
    flat = nn.Sequential(nn.Flatten(), classifier(36))
    assert "subtract the mean image" in finding(check(images, y, flat), "inputs_all_positive").message
    wide = torch.cat([x, torch.zeros(400, 10)], 1)
    assert finding(check(wide, y, classifier(16)), "constant_features").evidence[0].value == 10 / 16
    bent = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3))
    assert finding(check(x, y, bent), "hidden_tanh")


def classified(labels, *, shuffle=False, classes=3):
    x = normal(len(labels), 6)
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
    x = normal(320, 6)
    pairs = torch.cat([x, x + 0.1], 1)
    model = seeded(Contrast)
    labels = torch.zeros(320, dtype=torch.long)
    loader = DataLoader(TensorDataset(pairs, labels), 32, shuffle=True)
    assert rules(babysit.check(model, nn.CrossEntropyLoss(), loader, adam(model))) == set()
