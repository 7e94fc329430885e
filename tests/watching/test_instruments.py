"""The cheap instruments: passes and rows, leaked labels, gradient noise, batch norm, hooks, ranks."""

from __future__ import annotations

import copy
import io
import math
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from torch import multiprocessing, nn

from babysit import watch
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.tie_breakers import TIE_BREAKERS, with_tie_breakers
from babysit.loss_graph import LossGraph
from babysit.verdicts import Cause, Finding, Health, Severity
from babysit.watching.exceptions import known_exception, one_line
from babysit.watching.hooks import Hook, nothing
from babysit.watching.leaks import find_leaking_columns
from babysit.watching.noise import NoiseProbe, NoiseStat, critical_batch, signal_share
from babysit.watching.norms import NormProbe, NormStat
from babysit.watching.passes import EpochPasses, ObservedPasses, Overlap, fingerprints, overlap
from babysit.watching.report import report_on
from babysit.watching.sample import Epoch, OutputStat, Sample, Setup, TargetStat, TensorStat, WatchLog
from watching.loops import convnet, fit, mlp, points

NAN = math.nan


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


class Box(dict):
    """Scalars under names, read at once."""

    def add(self, name, values):
        self[name] = [value.item() for value in values]


def falling(steps=200, first=2.3, last=0.2):
    return tuple(first * (last / first) ** (step / steps) for step in range(steps))


def named(log):
    return {finding.rule for cause in report_on(log).causes for finding in (cause.finding, *cause.symptoms)}


# Rows


@pytest.mark.parametrize("shape", [(32, 5), (32, 784), (32, 3, 32, 32), (32, 1, 28, 28)], ids=str)
def test_a_row_leaves_the_same_number_in_any_batch_and_another_row_another(shape):
    rows = torch.randn(shape, generator=draws())
    whole = fingerprints(rows, 64)
    order = torch.randperm(32, generator=draws(1))
    assert torch.equal(fingerprints(rows[order][:7], 64), whole[order][:7])
    assert len(set(whole.tolist())) == 32
    changed = rows.clone()
    changed[:, 0] += 1
    assert not set(fingerprints(changed, 64).tolist()) & set(whole.tolist())


@pytest.mark.parametrize("batch", [torch.zeros(4, 3), torch.zeros(4), torch.zeros(4, 9, dtype=torch.long)])
def test_rows_that_meet_by_chance_are_not_remembered(batch):
    assert fingerprints(batch, 64) is None


def epochs_of(steps, count, validate):
    """How many steps of each epoch met a hook that counts passes, and what was counted."""
    model, (x, y) = mlp(), points()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    hooked = []
    with watch(model, optimizer) as watching:
        for _ in range(count):
            hooked.append(0)
            for _ in range(steps):
                hooked[-1] += bool(model._forward_pre_hooks)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[:32]), y[:32])
                loss.backward()
                optimizer.step()
                watching.step(loss)
            validate(model, x[400:])
            watching.epoch(val_accuracy=0.5)
    return hooked, watching.log().passes.epochs


def in_eval_mode(model, x):
    model.eval()
    with torch.no_grad():
        model(x)
    model.train()


def test_passes_are_counted_in_the_second_epoch_and_at_the_ends_of_later_ones():
    hooked, epochs = epochs_of(160, 10, in_eval_mode)
    assert epochs[0] is None
    assert epochs[8:] == (None, None)
    assert epochs[1:8] == (EpochPasses(0, 1, 160 * 32, 112),) * 7
    assert hooked[1] == 160
    assert hooked[0] < 30
    assert all(count < 30 for count in hooked[2:8])


def test_a_validation_in_training_mode_is_seen_wherever_epochs_end():
    _, epochs = epochs_of(1, 3, lambda model, x: model(x))
    assert epochs == (None, EpochPasses(1, 0, 32 + 112, 0), EpochPasses(1, 0, 32 + 112, 0))


def test_rows_of_few_values_are_not_judged():
    rows = [[number % 5 for number in range(20)]] * 8
    assert overlap(rows, rows[:2]) is None


def test_training_and_validation_scored_alike_is_no_leak():
    rows = [list(range(start, start + 20)) for start in range(0, 100, 20)] * 4
    seen = overlap(rows, [rows[0], rows[1], list(range(500, 520))])
    assert (seen.judged, seen.known) == (3, 2)
    epochs = tuple(Epoch(50 * n, NAN, 0.8, NAN) for n in range(1, 4))
    assert "validation_in_training" not in named(
        WatchLog(Setup(), falling(), epochs=epochs, passes=ObservedPasses((), seen))
    )
    every = ObservedPasses((), Overlap(3, 3, 1.0, 0.9, 500))
    assert "validation_in_training" in named(WatchLog(Setup(), falling(), epochs=epochs, passes=every))
    assert "validation_in_training" not in named(WatchLog(Setup(), falling(), passes=every))  # not validated


# The mode of validation


@pytest.mark.parametrize(
    ("after_last_step", "evaluated", "mode_dependent", "expected"),
    [(3, 0, ("model",), True), (3, 1, ("model",), False), (0, 3, ("model",), False), (3, 0, (), False)],
)
def test_validation_in_training_mode_matters_where_layers_have_modes(
    after_last_step, evaluated, mode_dependent, expected
):
    epochs = tuple(Epoch(50 * n, NAN, 0.6, NAN) for n in range(1, 4))
    passes = ObservedPasses((EpochPasses(after_last_step, evaluated, 100, 100),) * 3)
    log = WatchLog(Setup(mode_dependent=mode_dependent), falling(), epochs=epochs, passes=passes)
    assert ("validated_in_training_mode" in named(log)) is expected


# Counters


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.7, 1.5, 2.3, 3.2], True),
        ([70.0, 80.0, 85.0], False),
        ([0.7, 0.8, 0.85], False),
        ([62 / 100, (62 + 71) / 200, (62 + 71 + 77) / 300, (62 + 71 + 77 + 80) / 400], True),
        ([0.62, 0.71, 0.77, 0.8], False),
        ([0.623, 0.7111, 0.7733], False),
    ],
)
def test_a_share_of_hits_is_a_whole_number_of_them(values, expected):
    epochs = tuple(Epoch(50 * n, NAN, value, NAN) for n, value in enumerate(values, 1))
    passes = ObservedPasses((EpochPasses(0, 1, 400, 100),) * len(values))
    assert (
        "metric_not_reset" in named(WatchLog(Setup(), falling(), epochs=epochs, passes=passes))
    ) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.9, 1.5, 2.0, 2.4], True),
        ([0.5, 0.6, 0.7, 0.8], False),
        ([1.0, 2.0, 4.0, 9.0], False),
        ([0.9, 0.6, 0.5], False),
    ],
)
def test_a_loss_that_piles_up(values, expected):
    epochs = tuple(Epoch(50 * n, NAN, NAN, value) for n, value in enumerate(values, 1))
    assert ("metric_not_reset" in named(WatchLog(Setup(), falling(), epochs=epochs))) is expected


# Labels


def labelled(*shares):
    output = OutputStat(32, 0.0, 1.0, 1.0)
    return tuple(
        Sample(step, True, output=output, targets=TargetStat(each)) for step, each in enumerate(shares, 1)
    )


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(1.0, 0.0)] * 6, {"constant_labels"}),
        ([(1.0, 0.0)] * 3 + [(0.0, 1.0)] * 3, {"data_not_shuffled"}),
        ([(1.0, 0.0)] * 3 + [(0.9, 0.1)] * 3, set()),
        ([(0.5, 0.5)] * 6, set()),
    ],
)
def test_labels_that_are_constant_or_sorted(shares, expected):
    assert (
        named(WatchLog(Setup(), falling(), samples=labelled(*shares)))
        & {"constant_labels", "data_not_shuffled"}
        == expected
    )


def test_the_label_is_found_among_the_inputs_and_nothing_else_is():
    x, y = points(64)
    constant = x.clone()
    constant[:, 0] = -4.88 / 6.02  # its mean is off by rounding
    assert not find_leaking_columns(constant, torch.zeros(64, 4), y).any()
    leaked = torch.cat([x, (y == 2).float()[:, None]], 1)
    assert find_leaking_columns(leaked, torch.zeros(64, 4), y).nonzero().flatten().tolist() == [8]
    few = torch.arange(64) % 60  # nearly every example is alone in its class
    assert not find_leaking_columns(x, torch.zeros(64, 60), few).any()
    target = x[:, 1:2] + x[:, 2:3]
    assert not find_leaking_columns(x, target, target).any()
    assert find_leaking_columns(x, target, 3 - 2 * x[:, 4:5]).nonzero().flatten().tolist() == [4]
    assert find_leaking_columns(x[:, :1], target, target) is None
    assert find_leaking_columns(x, x, x) is None


@pytest.mark.parametrize(("best", "expected"), [(0.3, True), (0.45, False)])
def test_learned_by_heart_is_at_chance_from_first_to_last(best, expected):
    epochs = tuple(Epoch(60 * n, NAN, value, NAN) for n, value in enumerate((0.25, best, 0.26), 1))
    graph = LossGraph(cut=False, kind="cross-entropy", alone=True)
    samples = labelled(*[(0.25,) * 4] * 6)
    assert (
        "memorized_only" in named(WatchLog(Setup(), falling(), samples=samples, epochs=epochs, graph=graph))
    ) is expected


@pytest.mark.parametrize(("losses", "expected"), [((2.9, 2.6, 3.1), True), ((2.9, 1.6, 3.1), False)])
def test_validation_losses_alone_tell_it_too(losses, expected):
    epochs = tuple(Epoch(60 * n, NAN, NAN, value) for n, value in enumerate(losses, 1))
    assert ("memorized_only" in named(WatchLog(Setup(), falling(), epochs=epochs))) is expected


# Gradient noise


def test_the_signal_in_a_gradient_is_what_two_batches_share():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(2000))
    stats = []
    for _ in range(20):
        probe, box = NoiseProbe(), Box()
        weight.grad = 1.0 + 3.0 * torch.randn(2000)
        probe.remember([weight])
        weight.grad = 1.0 + 3.0 * torch.randn(2000)
        probe.compare(box)
        stats.append(NoiseStat(*box[("noise",)]))
    assert signal_share(stats) == pytest.approx(0.1, rel=0.15)
    assert critical_batch(0.1, 32) == pytest.approx(288)


def test_the_noise_of_a_real_run_shrinks_with_the_batch():
    shares = []
    for size in (8, 256):
        torch.manual_seed(0)
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        watching = watch(model, optimizer, loss=(criterion := nn.CrossEntropyLoss()), every=2)
        x, y = points(1024)
        with watching:
            for step in range(40):
                rows = torch.randperm(1024, generator=draws(step))[:size]
                optimizer.zero_grad()
                loss = criterion(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                watching.step(loss)
        shares.append(signal_share([sample.noise for sample in watching.log().samples if sample.noise]))
    assert 0 < 2 * shares[0] < shares[1] < 1


def test_steps_of_noise_at_a_standstill_are_a_remark():
    tensors = {"w": TensorStat(1.0, 1.0, 1e-3, 100, 2)}
    samples = tuple(
        Sample(
            10 * n,
            True,
            (0.1,),
            tensors=tensors,
            output=OutputStat(32, 0.0, 1.0, 1.0),
            noise=NoiseStat(0.001, 1.0),
        )
        for n in range(1, 20)
    )
    losses = (2.0,) * 20 + (1.5,) * 180
    report = report_on(WatchLog(Setup(), losses, samples=samples))
    (noisy,) = [cause for cause in report.causes if cause.rule == "gradient_noise"]
    assert not report.serious
    assert "3.2e+04 examples (now 32)" in noisy.finding.message


# Batch norm


def test_a_batch_norms_own_statistics_are_set_beside_the_batches():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    probe, box = NormProbe(net), Box()
    norm = net[1]
    with torch.no_grad():
        norm.running_mean.normal_(generator=draws())
        norm.running_var.fill_(2.0)
    old, x = norm.running_mean.clone(), torch.randn(64, 4, generator=draws(1))
    probe.open()
    before = net[0](x)
    norm(before)
    probe.measure(box)
    shift = ((before.mean(0) - old).abs() / (2 + norm.eps) ** 0.5).mean().item()
    stretch = ((before.var(0) + norm.eps) / (2 + norm.eps)).log().abs().mean().item()
    assert box[("norm", "1")] == pytest.approx([shift, stretch, 1], rel=1e-3)


def test_a_mismatch_without_harm_is_none():
    norms = {"1": NormStat(5.0, 0.1)}
    samples = tuple(Sample(10 * n, True, norms=norms) for n in range(1, 20))
    fine = tuple(Epoch(60 * n, 0.9, 0.88, 0.3) for n in range(1, 4))
    bad = tuple(Epoch(60 * n, 0.95, 0.4, 3.0) for n in range(1, 4))
    assert "norm_mismatch" not in named(WatchLog(Setup(), falling(), samples=samples, epochs=fine))
    assert (
        report_on(WatchLog(Setup(), falling(), samples=samples, epochs=bad)).causes[0].rule == "norm_mismatch"
    )


# The course of a run


def test_flat_and_then_falling_is_a_late_start_unless_the_rate_warms_up():
    losses = (2.3,) * 90 + falling(110)
    late = tuple(Sample(step, True, (0.1,)) for step in range(1, 200, 16))
    warm = tuple(Sample(step, True, (0.001 * step,)) for step in range(1, 200, 16))
    assert "slow_start" in named(WatchLog(Setup(), losses, samples=late))
    assert "slow_start" not in named(WatchLog(Setup(), losses, samples=warm))
    assert "slow_start" not in named(WatchLog(Setup(), falling(), samples=late))


def test_a_run_cut_off_in_full_progress_should_go_on():
    losses = falling(last=1.3)
    epochs = tuple(Epoch(50 * n, NAN, 0.4 + 0.05 * n, NAN) for n in range(1, 5))
    report = report_on(WatchLog(Setup(), losses, epochs=epochs))
    assert "still_improving" in {finding.rule for finding in report.findings}
    assert not report.serious


# How a loop ends


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (RuntimeError("Expected all tensors to be on the same device, but got cpu and cuda:0"), "one device"),
        (IndexError("Target 4 is out of bounds."), "no class"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x3 and 4x2)"), "another size"),
        (RuntimeError("element 0 of tensors does not require grad"), "no graph"),
    ],
)
def test_known_exceptions_of_pytorch_get_a_fix(error, meaning):
    assert meaning in known_exception(one_line(type(error), error)).meaning


def test_an_exception_is_reported_and_one_that_ends_on_purpose_is_not():
    class TrialPruned(Exception):  # noqa: N818
        pass

    # Of a loop that ended on purpose before its first step nothing is known.
    undecided, unhealthy = Health.UNDECIDED, Health.UNHEALTHY
    for error, expected in (
        (ValueError("what?"), unhealthy),
        (KeyboardInterrupt(), undecided),
        (TrialPruned(), undecided),
    ):
        model = mlp()
        watching = watch(model, torch.optim.SGD(model.parameters(), 0.1))
        with pytest.raises(type(error)), watching:
            raise error
        assert watching.report().health is expected


# Close calls


def cause(rule, sure):
    return Cause(Finding(rule, Severity.WARNING, "", 1, "", (), "", "", confidence=sure))


def test_two_close_causes_are_distinguished_and_two_distant_ones_are_not():
    close, _ = with_tie_breakers([cause("overfitting", 0.75), cause("norm_mismatch", 0.7)])
    assert "eval mode" in close.distinguish
    assert close.as_data()["distinguish"] == close.distinguish
    sure, _ = with_tie_breakers([cause("overfitting", 0.95), cause("norm_mismatch", 0.3)])
    assert not sure.distinguish
    assert set().union(*TIE_BREAKERS) <= set(CATALOGUE)


# Hooks


def test_a_model_is_copied_and_saved_whole_while_it_is_watched():
    model = convnet()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, loss=nn.CrossEntropyLoss()) as watching:
        for _ in range(3):
            twin = copy.deepcopy(model)
            torch.save(model, io.BytesIO())
            twin(torch.zeros(4, 1, 8, 8))
            loss = model(torch.randn(4, 1, 8, 8, generator=draws())).square().mean()
            loss.backward()
            optimizer.step()
            watching.step(loss)
        copied = [hook for part in twin.modules() for hook in part._forward_hooks.values()]
    assert all(hook is nothing for hook in copied)
    assert pickle.loads(pickle.dumps(Hook(print))) is nothing
    assert not [cause for cause in watching.report().causes if cause.rule == "watch_failed"]


def test_only_one_hook_stays_between_samples_and_none_when_all_is_known():
    model, (x, y) = mlp(), points(64)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    counts = []
    with watch(model, optimizer) as watching:
        for _ in range(12):
            for _ in range(10):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            watching.epoch(val_accuracy=0.5)
            counts.append(len(model._forward_pre_hooks))
    assert counts[0] == 1
    assert counts[-1] == 0


def test_a_discriminator_that_the_generator_trains_through_is_zeroed_all_the_same():
    make, judged = mlp(2, 8, 2), mlp(2, 8, 1)
    first, second = (torch.optim.SGD(net.parameters(), 0.01) for net in (make, judged))
    for zero, expected in ((True, False), (False, True)):
        with watch(judged, second) as watching:
            for step in range(40):
                noise = torch.randn(16, 2, generator=draws(step))
                if zero:
                    second.zero_grad()
                loss = judged(noise).square().mean() - judged(make(noise).detach()).mean()
                loss.backward()
                second.step()
                watching.step(loss)
                first.zero_grad()
                judged(make(noise)).mean().backward()
                first.step()
        rules = {finding.rule for finding in watching.report().findings}
        assert ("gradients_not_zeroed" in rules) is expected


# Ranks


def _train_in_a_group(rank, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(mlp())
    report, _ = fit(
        model, points(128), nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1), epochs=8
    )
    Path(folder, str(rank)).write_text(f"{report.healthy} {report.steps}\n{report}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_of_two_processes_the_first_reports():
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_train_in_a_group, (folder,), nprocs=2)
        first, second = (Path(folder, each).read_text() for each in "01")
    assert first.startswith("True 32\n")
    assert second.startswith("False 0\n")  # it watches nothing
    assert "rank 0 watches and reports" in second


@pytest.mark.parametrize(("rank", "world", "steps"), [("0", "2", 1), ("1", "2", 0), ("1", None, 1)])
def test_without_a_group_the_launcher_says_the_rank(monkeypatch, rank, world, steps):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world:
        monkeypatch.setenv("WORLD_SIZE", world)
    model = mlp()
    with watch(model, torch.optim.SGD(model.parameters(), 0.1)) as watching:
        watching.step(1.0)
    assert watching.report().steps == steps
