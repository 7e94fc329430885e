"""The watch cannot be noticed: same weights, losses and random numbers; no hook stays; nothing is raised."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from babysit import watch
from babysit.errors import InputError
from babysit.verdicts import Health
from watching.loops import Recurrent, convnet, fit, mlp, pictures, points, waves

SGD, Adam = torch.optim.SGD, torch.optim.Adam
LOOPS = {
    "mlp": (mlp, points),
    "conv, batch norm, dropout": (convnet, pictures),
    "lstm": (Recurrent, waves),
}


def hooks(model):
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def state_after(make, data, watched, optimizer=Adam, **options):
    torch.manual_seed(7)
    model = make()
    trainer = optimizer(model.parameters(), 1e-2)
    _, losses = fit(
        model, data(), nn.CrossEntropyLoss(), trainer, epochs=6, watched=watched, every=5, **options
    )
    return model, losses, torch.get_rng_state(), trainer.state_dict()


@pytest.mark.parametrize("case", LOOPS)
@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"zero": False}], ids=str)
def test_weights_losses_and_random_state_are_bit_identical(case, options):
    make, data = LOOPS[case]
    plain, losses, random, kept = state_after(make, data, watched=False, **options)
    seen, same_losses, same_random, same_kept = state_after(make, data, watched=True, **options)
    assert same_losses == losses
    assert torch.equal(random, same_random)
    for (name, value), other in zip(plain.state_dict().items(), seen.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert str(kept) == str(same_kept)


@pytest.mark.parametrize("case", LOOPS)
def test_no_hook_stays(case):
    make, data = LOOPS[case]
    model, *_ = state_after(make, data, watched=True)
    assert hooks(model) == 0
    assert hooks(nn.CrossEntropyLoss()) == 0


def one_step(model, optimizer, x, y, watching):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    watching.step(loss)


def test_hooks_live_only_on_sampled_steps():
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.1)
    counts = []
    with watch(model, optimizer, every=16) as watching:
        for _ in range(200):
            counts.append(hooks(model))
            one_step(model, optimizer, x[:32], y[:32], watching)
    assert counts[0] > 0
    assert sum(count > 0 for count in counts[16:]) <= 2 * (200 // 16)
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


def test_an_error_of_the_loop_passes_and_the_hooks_are_gone():
    model = mlp()
    with pytest.raises(ZeroDivisionError), watch(model, SGD(model.parameters(), 0.1)):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_steps_after_the_context_set_no_hooks():
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as watching:
        one_step(model, optimizer, x, y, watching)
    for _ in range(100):
        one_step(model, optimizer, x, y, watching)
        assert hooks(model) == 0
    assert watching.log().steps == 101


def test_an_error_of_the_watch_is_swallowed_counted_and_reported_once(monkeypatch):
    def broken(*_):
        raise RuntimeError("a broken statistic")

    monkeypatch.setattr("babysit.watching.capture.layer_scalars", broken)
    report, losses = fit(mlp(), points(), nn.CrossEntropyLoss(), SGD(mlp().parameters(), 0.1), epochs=2)
    found = [finding for finding in report.findings if finding.rule == "watch_failed"]
    assert len(losses) == 32
    assert len(found) == 1
    assert "a broken statistic" in found[0].message


def test_a_log_that_breaks_does_not_end_the_job_either(monkeypatch):
    model = mlp()
    watching = watch(model, SGD(model.parameters(), 0.1))
    monkeypatch.setattr(watching, "log", lambda: 1 / 0)
    assert "division by zero" in str(watching.report())
    assert watching.report().health is Health.UNDECIDED


@pytest.mark.parametrize("loss", [None, "a word", [1.0]], ids=str)
def test_whatever_is_given_as_a_loss_nothing_is_raised(loss):
    model = mlp()
    with watch(model, SGD(model.parameters(), 0.1)) as watching:
        watching.step(loss)
        watching.epoch(val_accuracy="high")
    assert "watch_failed" in {finding.rule for finding in watching.report().findings}


def test_an_optimizer_that_is_none_is_no_reason_to_stop():
    model, (x, y) = mlp(), points()
    with watch(model, object()) as watching:
        watching.step(nn.functional.cross_entropy(model(x), y))
    assert watching.report().health is Health.UNDECIDED


def test_what_cannot_be_watched_is_said_at_once():
    with pytest.raises(InputError, match=r"not an nn\.Module"):
        watch("resnet18", None)
    with pytest.raises(InputError, match="at least 1"):
        watch(mlp(), None, every=0)


def test_accumulated_gradients_are_measured_at_the_optimizers_steps():
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=8) as watching:
        for count in range(1, 161):
            loss = nn.functional.cross_entropy(model(x[:32]), y[:32])
            loss.backward()
            if count % 8 == 0:
                optimizer.step()
                optimizer.zero_grad()
            watching.step(loss)
    log = watching.log()
    assert len(log.samples) <= log.updates <= 20
    assert len(log.samples) >= 5
    assert all(sample.stepped for sample in log.samples[:-1])
    assert not [sample for sample in log.samples if sample.stale]


def test_several_optimizers():
    model, (x, y) = mlp(), points()
    body, head = SGD(model[:2].parameters(), 0.1), Adam(model[2:].parameters(), 1e-3)
    with watch(model, [body, head]) as watching:
        for _ in range(100):
            body.zero_grad()
            head.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            body.step()
            head.step()
            watching.step(loss)
    report, log = watching.report(), watching.log()
    assert report.healthy, str(report)
    assert set(log.samples[-1].tensors) == {name for name, _ in model.named_parameters()}
    assert log.samples[-1].rates == (0.1, 1e-3)


def test_mixed_precision():
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with watch(model, optimizer, loss=(criterion := nn.CrossEntropyLoss())) as watching:
        for _ in range(60):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            watching.step(loss)
    gradients = [stat.gradient for stat in watching.log().samples[0].tensors.values()]
    assert watching.report().healthy, str(watching.report())
    assert max(gradients) < 10  # unscaled


@pytest.mark.slow
def test_a_compiled_model_is_watched_from_outside():
    model, (x, y) = mlp(), points()
    compiled = torch.compile(model, backend="eager")
    optimizer = SGD(compiled.parameters(), 0.1)
    with watch(compiled, optimizer) as watching:
        for _ in range(80):
            one_step(compiled, optimizer, x[:64], y[:64], watching)
    log = watching.log()
    assert watching.report().healthy, str(watching.report())
    assert log.setup.compiled
    assert not log.samples[-1].layers
    assert log.samples[-1].tensors
    assert log.samples[-1].stale is False


def test_the_update_ratio_is_the_actual_change():
    torch.manual_seed(0)
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    with watch(model, optimizer) as watching:
        for step in range(1, 10):
            before = copy.deepcopy(model.state_dict())
            one_step(model, optimizer, x, y, watching)
            if step == 9:
                changes = {
                    name: (value - before[name]).norm().item() for name, value in model.named_parameters()
                }
        one_step(model, optimizer, x, y, watching)
    sample = next(sample for sample in watching.log().samples if sample.step == 9)
    for name, change in changes.items():
        assert sample.tensors[name].update == pytest.approx(change, rel=1e-4)
        assert sample.tensors[name].weight == pytest.approx(before[name].norm().item(), rel=1e-4)


def test_validation_batches_do_not_enter_the_statistics():
    torch.manual_seed(0)
    model, (x, y) = mlp(), points()
    optimizer = SGD(model.parameters(), 0.0)
    with watch(model, optimizer, every=1) as watching:
        for _ in range(30):
            model(1000 * x)  # with gradients on, as is often forgotten
            one_step(model, optimizer, x[:32], y[:32], watching)
            model(1000 * x)
    layer = watching.log().samples[-1].layers["0"]
    assert layer.std == pytest.approx(model[0](x[:32]).std().item(), rel=0.02)


def test_the_report_as_data_is_json():
    model, (x, y) = mlp(), points()
    with watch(model, SGD(model.parameters(), float("nan")), name="odd") as watching:
        one_step(model, SGD(model.parameters(), 0.1), x, y, watching)
        watching.step(float("nan"))
    data = json.loads(watching.report().as_json())
    assert data["name"] == "odd"
    assert not data["healthy"]
    assert data["causes"][0]["rule"] == "loss_not_finite"
    assert 0 < data["causes"][0]["confidence"] <= 1


def test_the_report_is_read_in_ten_seconds():
    report, _ = fit((m := mlp()), points(), nn.CrossEntropyLoss(), SGD(m.parameters(), 0.1), zero=False)
    text = str(report)
    assert "gradients are not zeroed" in text
    assert "optimizer.zero_grad()" in text
    assert len(text.splitlines()) < 25
    assert max(map(len, text.splitlines())) <= 110
