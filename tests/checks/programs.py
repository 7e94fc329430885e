"""Small training programs for the tests of the checks, and how to read their reports."""

from __future__ import annotations

import torch
from torch import nn

import babysit
from babysit.verdicts import Severity


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def clusters(count=400, features=6, classes=3):
    """Clusters, one a class."""
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(classes, (count,), generator=generator)
    centres = torch.randn(classes, features, generator=generator)
    return centres[y] + torch.randn(count, features, generator=generator) / 6, y


def curve(count=48, features=4):
    """A noisy sine of the first feature."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator)
    return x, x[:, :1].sin() + 0.1 * torch.randn(count, 1, generator=generator)


def batched(x, y, size=40):
    return list(zip(x.split(size), y.split(size), strict=True))


def classifier(features=6, outputs=3):
    return seeded(lambda: nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, outputs)))


def tanh_network(*layers):
    return seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), *layers))


def adam(*modules, lr=1e-2):
    return torch.optim.Adam([p for module in modules for p in module.parameters()], lr=lr)


def check(x, y, model=None, loss=None, optimizer=None, **options):
    loss = loss or nn.CrossEntropyLoss()
    return babysit.check(model or classifier(), loss, batched(x, y), optimizer, **options)


def finding(report, rule):
    return next((each for each in report.findings if each.rule == rule), None)


def rules(report, *, serious=True):
    found = [f.rule for f in report.findings if not serious or f.severity is not Severity.INFO]
    return set(found)


def first_rule(model, loss, batch, optimizer=None):
    report = babysit.check(model, loss, [batch], optimizer)
    return report.serious[0].rule if report.serious else ""


def noise(count=64, features=5, classes=3):
    """Noise with labels that do not depend on it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator)
    return x, torch.randint(classes, (count,), generator=generator)
