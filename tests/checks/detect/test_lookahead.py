"""The detector of a missing causal mask."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import adam, rules, seeded
from torch import nn
from torch.nn import functional as F

import babysit


class Words(nn.Module):
    def __init__(self, layout, *, masked):
        super().__init__()
        self.embed = nn.Embedding(9, 16)
        self.rnn = nn.GRU(16, 8 if not masked else 16, batch_first=True, bidirectional=not masked)
        self.head, self.layout = nn.Linear(16, 9), layout

    def forward(self, tokens):
        scores = self.head(self.rnn(self.embed(tokens))[0])
        return scores.transpose(1, 2) if self.layout == "classes first" else scores.flatten(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["classes first", "flat"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_language_model_that_sees_the_next_word(layout, masked):
    text = torch.cumsum(torch.randint(1, 3, (64, 8), generator=torch.Generator().manual_seed(0)), 1) % 9
    model = seeded(lambda: Words(layout, masked=masked))

    def loss(out, y):
        return F.cross_entropy(out, y if layout == "classes first" else y.flatten())

    report = babysit.check(model, loss, [(text[:, :-1], text[:, 1:])], adam(model))
    assert ("missing_causal_mask" in rules(report)) is not masked, report
