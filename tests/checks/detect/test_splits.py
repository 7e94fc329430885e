"""The detector of validation examples among the training examples."""

from __future__ import annotations

import torch
from tests.checks.programs import check, classifier, clusters, finding, noise
from torch import nn

import babysit
from babysit.verdicts import Severity


def validated(train, val, **options):
    (x, y), held_out = train, [val]
    return finding(check(x, y, val_batches=held_out, **options), "validation_in_training")


def test_a_few_equal_rows_are_an_info_finding_and_many_a_warning():
    x, y = clusters()
    generator = torch.Generator().manual_seed(3)
    fresh = torch.randn(200, 6, generator=generator)
    fresh[:4] = x[:4]
    assert validated((x, y), (fresh, y[:200])).severity is Severity.INFO
    fresh[:20] = x[:20]
    found = validated((x, y), (fresh, y[:200]))
    assert found.severity is Severity.WARNING
    assert "100% of them with the same target" in found.evidence[0].why
    assert validated((x, y), (torch.randn(200, 6, generator=generator), y[:200])) is None


def test_bits_that_repeat_by_nature_are_no_leak():
    generator = torch.Generator().manual_seed(3)
    x = (torch.rand(600, 6, generator=generator) > 0.5).float()
    y = (x.sum(1) > 3).long()
    assert validated((x[:400], y[:400]), (x[400:], y[400:])).severity is Severity.INFO


def test_oversampling_before_the_split_is_a_leak_though_the_data_repeats():
    x, y = clusters(200)
    x, y = x.repeat(3, 1), y.repeat(3)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(3))
    x, y = x[order], y[order]
    assert validated((x[:400], y[:400]), (x[400:], y[400:])).severity is Severity.WARNING


def test_a_grid_with_new_noise_in_its_targets_is_no_leak():
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(-1, 1, 100)[:, None]
    train, val = (x.sin() + 0.1 * torch.randn(100, 1, generator=generator) for _ in range(2))
    found = validated((x, train), (x, val), model=classifier(1, 1), loss=nn.MSELoss())
    assert found.severity is Severity.INFO


def test_validation_examples_among_the_training_examples():
    x, y = noise()
    other, labels = torch.randn(20, 5), torch.randint(3, (20,))
    mixed = [(torch.cat([other, x[:5]]), torch.cat([labels, y[:5]]))]
    loss = nn.CrossEntropyLoss()
    report = babysit.check(classifier(5), loss, [(x, y)], val_batches=mixed)
    assert [cause.rule for cause in report.causes] == ["validation_in_training"]
    assert babysit.check(classifier(5), loss, [(x, y)], val_batches=[(other, labels)]).healthy
