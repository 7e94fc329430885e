"""`babysit.check`: the cause first, silence where all is well, and the user's objects unchanged."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.checks.programs import classifier, noise
from tests.faults import FAULTY, FIELD, HEALTHY, ISSUES
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import babysit
from babysit.checks import check as check_module
from babysit.checks.detectors import DETECTORS
from babysit.checks.program import copied
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.errors import InputError
from babysit.verdicts import Health, Severity


def rules(report):
    return [finding.rule for finding in report.findings]


@pytest.mark.slow
@pytest.mark.parametrize("case", FAULTY, ids=lambda case: case.name)
def test_the_right_cause_comes_first(case):
    report = babysit.check(*case.build())
    assert report.causes, report
    assert report.causes[0].rule in case.causes, report


@pytest.mark.parametrize("case", HEALTHY, ids=lambda case: case.name)
def test_a_healthy_program_is_left_alone(case):
    report = babysit.check(*case.build())
    assert report.healthy, report


def test_a_cause_takes_its_symptoms_with_it():
    case = next(case for case in FAULTY if case.name == "bias_that_kills_the_relus")
    report = babysit.check(*case.build())
    assert len(report.serious) == 1
    assert "cannot_overfit" in [symptom.rule for symptom in report.causes[0].symptoms]


class Everything(nn.Module):
    """Batch norm's buffers, dropout's noise, a frozen layer, a layer in evaluation mode, a hook."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(5, 16), nn.BatchNorm1d(16)
        self.drop, self.last = nn.Dropout(0.5), nn.Linear(16, 3)
        self.first.weight.requires_grad_(False)
        self.norm.eval()
        self.last.register_forward_hook(lambda *_: None)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


class Uncopyable(Everything):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


def state_of(model, optimizer, generator):
    def frozen(value):
        if isinstance(value, torch.Tensor):
            return value.detach().clone().numpy().tobytes()
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items() if key != "params"}
        return value

    return {
        "tensors": {name: frozen(value) for name, value in model.state_dict().items()},
        "identities": [id(p) for p in model.parameters()],
        "gradients": [None if p.grad is None else (id(p.grad), frozen(p.grad)) for p in model.parameters()],
        "wanted": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [list(module._forward_hooks) for module in model.modules()],
        "dropout": [module.p for module in model.modules() if isinstance(module, nn.Dropout)],
        "optimizer": [frozen(optimizer.state[p]) for p in optimizer.state],
        "groups": [frozen(group) for group in optimizer.param_groups],
        "held": [[id(p) for p in group["params"]] for group in optimizer.param_groups],
        "random": (frozen(torch.get_rng_state()), random.getstate(), repr(np.random.get_state())),
        "loader": frozen(generator.get_state()),
    }


@pytest.mark.parametrize("kind", [Everything, Uncopyable])
@pytest.mark.parametrize("rate", [1e-3, 1e4])
def test_everything_is_as_before(kind, rate):
    x, y = noise()
    model, generator = kind(), torch.Generator().manual_seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1.0)
    nn.functional.cross_entropy(model(x), y).backward()
    torch.optim.Adam.step(optimizer)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, generator=generator)
    before = state_of(model, optimizer, generator)
    babysit.check(model, nn.CrossEntropyLoss(), loader, optimizer, val_batches=loader)
    after = state_of(model, optimizer, generator)
    assert after == before


def test_everything_is_as_before_when_the_model_raises():
    model, generator = Uncopyable(), torch.Generator()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(torch.randn(4, 7), torch.arange(4) % 3)]
    before = state_of(model, optimizer, generator)
    report = babysit.check(model, nn.CrossEntropyLoss(), batches, optimizer)
    assert report.causes[0].rule == "does_not_run"
    assert state_of(model, optimizer, generator) == before


def test_a_loss_that_closes_over_the_model_leaves_no_gradient_in_it():
    model = classifier(5)

    def loss(out, y):
        return nn.functional.cross_entropy(out, y) + 1e-4 * sum(p.square().sum() for p in model.parameters())

    assert babysit.check(model, loss, [noise()], torch.optim.SGD(model.parameters(), lr=0.1)).healthy
    assert all(p.grad is None for p in model.parameters())


def test_the_batches_are_not_changed_by_a_model_that_works_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = classifier(5)

        def forward(self, x):
            return self.body(x.mul_(1.0).clamp_(-1, 1))

    x, y = noise()
    kept = x.clone()
    babysit.check(InPlace(), nn.CrossEntropyLoss(), [(x, y)])
    assert torch.equal(x, kept)


def test_the_same_twice():
    model = Everything()
    parts = (model, nn.CrossEntropyLoss(), [noise()], torch.optim.Adam(model.parameters(), lr=1e-9))
    assert str(babysit.check(*parts)) == str(babysit.check(*parts))


def test_a_learning_rate_of_zero_is_named_so():
    model = classifier(5)
    report = babysit.check(
        model, nn.CrossEntropyLoss(), [noise()], torch.optim.SGD(model.parameters(), lr=0.0)
    )
    assert [cause.rule for cause in report.serious] == ["learning_rate_zero"]
    assert report.causes[0].finding.severity is Severity.ERROR


def test_the_report_as_data_text_and_assertion():
    case = next(case for case in FAULTY if case.name == "nan_in_a_feature")
    report = babysit.check(*case.build())
    found = json.loads(json.dumps(report.as_data(), allow_nan=False))
    assert not found["healthy"]
    assert found["causes"][0]["rule"] == "inputs_not_finite"
    assert found["causes"][0]["evidence"][0]["expected"] == "0"
    assert "NaN" in str(report)
    assert len(str(report).splitlines()) < 12
    assert not report
    with pytest.raises(AssertionError, match="NaN"):
        report.raise_if_unhealthy()


def test_a_healthy_report():
    report = babysit.check(classifier(5), nn.CrossEntropyLoss(), [noise()])
    report.raise_if_unhealthy()
    assert report
    first, *rest = str(report).splitlines()
    assert re.fullmatch(r"Sequential: healthy before training: nothing wrong in \d+ questions", first)
    assert next(line for line in rest if line.startswith("  ")).startswith(
        "  does not apply (no optimizer was given)"
    )
    found = report.as_data()
    assert (found["healthy"], found["verdict"]) == (True, "healthy")
    assert (found["causes"], found["findings"]) == ([], [])
    assert {question["answer"] for question in found["questions"]} == {"answered", "does not apply"}


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (
            "log_softmax_before_cross_entropy",
            lambda: (nn.Sequential(classifier(5), nn.LogSoftmax(1)), noise()),
        ),
        (
            "inputs_all_positive",
            lambda: (classifier(5), (noise()[0].abs() + 1, noise()[1])),
        ),
        ("labels_unbalanced", lambda: (classifier(5), (noise()[0], (torch.arange(64) == 3).long()))),
        (
            "hidden_sigmoids",
            lambda: (nn.Sequential(nn.Linear(5, 9), nn.Sigmoid(), nn.Linear(9, 3)), noise()),
        ),
        (
            "redundant_bias",
            lambda: (nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3)), noise()),
        ),
    ],
)
def test_quiet_advice_is_no_alarm(rule, make):
    model, batch = make()
    report = babysit.check(model, nn.CrossEntropyLoss(), [batch])
    assert rule in rules(report)
    assert report.healthy
    assert {finding.severity for finding in report.findings} == {Severity.INFO}
    assert "info:" in str(report)


def test_a_warm_up_counts_with_the_rate_it_leads_to():
    model = classifier(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-9)
    assert babysit.check(model, nn.CrossEntropyLoss(), [noise()], optimizer).healthy


def test_inputs_that_are_no_tensor():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = classifier(5)

        def forward(self, given):
            return {"scores": self.body(given["a"] + given["b"])}

    x, y = noise()
    model = Pair()

    def loss(out, target):
        return nn.functional.cross_entropy(out["scores"], target)

    batches = [({"a": x, "b": 0.1 * x}, y)]
    assert babysit.check(model, loss, batches, torch.optim.SGD(model.parameters(), lr=0.1)).healthy
    report = babysit.check(model, loss, batches, torch.optim.SGD(classifier(5).parameters(), lr=0.1))
    assert report.causes[0].rule == "optimizer_holds_other_model"


def test_a_compiled_model_is_checked_as_what_it_compiles():
    model = classifier(5)
    compiled = torch.compile(model, backend="eager")
    report = babysit.check(
        compiled, nn.CrossEntropyLoss(), [noise()], torch.optim.Adam(compiled.parameters())
    )
    assert report.healthy


def test_numpy_batches_and_an_endless_stream():
    x, y = noise()

    def endless():
        while True:
            yield x.numpy(), y.numpy()

    assert babysit.check(classifier(5), nn.CrossEntropyLoss(), endless()).healthy


@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (print, [noise()], "nn.Module"),
        (classifier(5), [], "no batch"),
        (classifier(5), [noise()[0]], "not a pair"),
    ],
)
def test_what_cannot_be_checked_is_refused_with_a_fix(model, batches, message):
    with pytest.raises(InputError, match=message) as refused:
        babysit.check(model, nn.CrossEntropyLoss(), batches)
    assert refused.value.fix


def test_every_fault_of_weight_has_a_program_in_the_zoo():
    shown = {cause for case in FAULTY for cause in case.causes}
    shown |= {cause for program in (*FIELD, *ISSUES) for cause in program.accepted("check")}
    names = {detector.problem.name for detector in DETECTORS}
    loud = {each.problem.name for each in DETECTORS if each.severity is not Severity.INFO}
    quiet = {name for name in names if CATALOGUE[name].severity is Severity.INFO or name not in loud}
    symptoms = {
        "does_not_run",
        "loss_not_finite",
        "initial_loss_high",
        "learns_at_no_rate",
        "cannot_overfit",
    }
    tested_here = {"validation_in_training", "inputs_constant", "cannot_overfit", "learning_rate_zero"}
    assert names - quiet - symptoms - tested_here <= shown


def test_a_first_loss_that_is_no_number():
    report = babysit.check(classifier(5), lambda out, y: (out - out).log().sum(), [noise()])
    assert report.causes[0].rule == "loss_not_finite"
    assert math.isinf(report.causes[0].finding.evidence[0].value)


def test_the_programs_copy_holds_its_own_parameters():
    model = classifier(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with copied(model, nn.CrossEntropyLoss(), [noise()], optimizer) as program:
        held = {id(p) for group in program.optimizers[0].param_groups for p in group["params"]}
        assert held == {id(p) for p in program.model.parameters()}
        assert not held & {id(p) for p in model.parameters()}


def test_a_question_that_breaks_stays_unanswered_and_stops_no_other(monkeypatch):
    def breaks(_):
        raise ZeroDivisionError("inside the check")

    broken = [replace(detector, look=breaks) for detector in DETECTORS[:2]]
    monkeypatch.setattr(check_module, "DETECTORS", (*broken, *DETECTORS[2:]))
    x, y = torch.randn(64, 5), torch.randint(3, (64,))
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
    found = babysit.check(model, nn.CrossEntropyLoss(), [(x, y)])
    assert found.causes[0].rule == "softmax_before_cross_entropy"
    reasons = {question.rule: question.reason for question in found.unanswered}
    assert reasons == {
        detector.problem.name: "the question raised ZeroDivisionError: inside the check"
        for detector in DETECTORS[:2]
    }
    fine = babysit.check(model[:3], nn.CrossEntropyLoss(), [(x, y)])
    assert fine.health is Health.UNDECIDED
    assert fine.exit_code == 0
    assert "2 not answered: the question raised ZeroDivisionError" in fine.headline
