"""A loop of one's own is touched while it trains, and only if it has a store."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import babysit as bs
from babysit.errors import InputError, StopRequested
from babysit.records import CommandKind, CommandState, State, Touch
from babysit.session import watch as watching
from babysit.session.commands import poll
from babysit.store import queries
from babysit.store.commands import Commands, commands_of
from babysit.store.reader import Reader

STOP, SCALE = CommandKind.STOP, CommandKind.SCALE_LEARNING_RATE


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(poll, "POLL_SECONDS", 0.005)


def loop(store, asked=(), *, steps=60, at=20, stop="flag", heeds=True, body=None):
    """A loop in which somebody asks for something after a step; it waits there until that was heard."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    x = torch.randn(32, 6)
    y = x.sum(1, keepdim=True)
    losses = []
    with bs.watch(model, optimizer, store=store, stop=stop) as watch:
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if step == at and asked:
                ask(store, watch, asked)
            watch.step(loss)
            losses.append(loss.item())
            if body is not None:
                body(step)
            if heeds and watch.should_stop:
                break
        watch.epoch(val_loss=0.5)
    return losses, watch


def ask(store, watch, asked):
    with Commands(store) as commands:
        made = [commands.ask(1, kind, argument=argument, **trial(kind)) for kind, argument in asked]
        while any(commands.find(one.id).state is CommandState.ASKED for one in made):
            pass
    while len(watch._handler.inbox._arrived) < sum(kind.is_of_trial for kind, _ in asked):
        pass


def trial(kind):
    return {"trial": (0, 0)} if kind.is_of_trial else {}


def told(store):
    with Reader(store) as reader:
        [study] = queries.studies(reader)
        [result] = queries.results(reader, study.id)
        return study, result.run, commands_of(reader, study.id), queries.series_of(reader, study.id, (0, 0))


NAN = float("nan")


@pytest.mark.slow
def test_a_learning_rate_is_scaled_from_the_next_step_on(tmp_path):
    store = str(tmp_path / "runs.db")
    plain, _ = loop(None)
    losses, watch = loop(store, [(SCALE, 0.1)])
    assert watch.log().failures == (0, "")
    assert losses[:21] == plain[:21]  # the loss of step 21 is that of the weights that step 20 left
    assert losses[21:] != plain[21:]
    assert watch.learning_rate_factor == 0.1
    study, run, [command], series = told(store)
    assert (command.state, command.step) == (CommandState.APPLIED, 20)
    assert command.detail == "learning rate x 0.1 after step 20"
    assert (study.state, run.state) == (State.COMPLETE, State.COMPLETE)
    assert run.touches == (Touch(SCALE, 20, 0.1),)
    rates = dict(zip(*(part.tolist() for part in series["learning_rate"]), strict=True))
    for step, rate in rates.items():
        assert rate == pytest.approx(0.05 * 0.99 ** (step - 1) * (0.1 if step > 20 else 1), rel=1e-6)
    assert max(rates) > 20 >= min(rates)


def test_the_same_weights_as_with_smaller_rates(tmp_path):
    """The slow twin: the loop itself divides its rate."""
    store = str(tmp_path / "runs.db")
    losses, _ = loop(store, [(SCALE, 0.5)], at=10)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(32, 6)
    y = x.sum(1, keepdim=True)
    for step in range(60):
        loss = (model(x) - y).square().mean()
        assert losses[step] == pytest.approx(loss.item(), rel=1e-5)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        rate = 0.05 * 0.99**step * (0.5 if step >= 10 else 1)
        with torch.no_grad():
            for value, grad in zip(model.parameters(), grads, strict=True):
                value -= rate * grad


def test_a_flag_lets_the_loop_end_itself(tmp_path):
    store = str(tmp_path / "runs.db")
    losses, watch = loop(store, [(STOP, NAN)])
    assert len(losses) == 20
    assert watch.should_stop
    study, run, [command], _ = told(store)
    assert (command.state, command.step) == (CommandState.APPLIED, 20)
    assert (study.state, run.state, run.message) == (
        State.STOPPED,
        State.STOPPED,
        "stopped by user at step 20",
    )
    assert [(one.kind, one.step) for one in run.touches] == [(STOP, 20)]


def test_a_loop_that_never_asks_was_not_stopped(tmp_path):
    store = str(tmp_path / "runs.db")
    losses, _ = loop(store, [(STOP, NAN)], heeds=False)
    assert len(losses) == 60
    study, run, [command], _ = told(store)
    assert (study.state, run.state, run.touches) == (State.COMPLETE, State.COMPLETE, ())
    assert (command.state, command.detail) == (CommandState.EXPIRED, "the run had ended")


def test_an_exception_ends_the_loop_where_that_was_wanted(tmp_path):
    store = str(tmp_path / "runs.db")
    losses, _ = loop(store, [(STOP, NAN)], stop="raise", heeds=False)
    assert len(losses) == 19  # step 20 told its loss, and the loop came no further
    study, run, [command], _ = told(store)
    assert (study.state, run.steps, run.message) == (State.STOPPED, 20, "stopped by user at step 20")
    assert command.state is CommandState.APPLIED


def test_the_whole_study_is_the_run(tmp_path):
    store = str(tmp_path / "runs.db")
    loop(store, [(CommandKind.STOP_STUDY, NAN)], stop="raise", heeds=False, body=_yield)
    study, _, [command], _ = told(store)
    assert (study.state, command.state) == (State.STOPPED, CommandState.APPLIED)


def _yield(step):
    """Gives the listener time to pass on what it heard."""
    import time

    time.sleep(0.002)


def test_nothing_is_added_to_a_single_run(tmp_path):
    store = str(tmp_path / "runs.db")
    loop(store, [(CommandKind.EXTEND_STUDY, 9.0)])
    _, run, [command], _ = told(store)
    assert command.state is CommandState.REFUSED
    assert "no trials to add" in command.detail
    assert run.touches == ()


def test_one_process_of_several_is_not_touched(tmp_path, monkeypatch):
    store = str(tmp_path / "runs.db")
    monkeypatch.setattr(watching, "processes", lambda: 4)
    torch.manual_seed(0)
    plain, _ = loop(None)
    with_store, _ = loop(store, [(CommandKind.STOP_STUDY, NAN)])
    assert with_store == plain
    _, _, [command], _ = told(store)
    assert command.state is CommandState.REFUSED
    assert "4 processes" in command.detail


def test_without_a_store_nothing_is_ever_touched():
    losses, watch = loop(None)
    assert not watch.should_stop
    assert len(losses) == 60
    assert not hasattr(watch, "_scaled")


def test_with_a_store_and_no_request_nothing_changes(tmp_path):
    assert loop(str(tmp_path / "runs.db"))[0] == loop(None)[0]


def test_the_loops_own_error_passes(tmp_path):
    store = str(tmp_path / "runs.db")

    def fail(step):
        if step == 30:
            raise StopRequested("another watch's")

    with pytest.raises(StopRequested, match="another"):
        loop(store, [(SCALE, 0.5)], body=fail)
    study, run, _, _ = told(store)
    assert (study.state, run.touches) == (State.FAILED, (Touch(SCALE, 20, 0.5),))


def test_another_way_to_stop_is_refused():
    model = nn.Linear(2, 1)
    with pytest.raises(InputError, match="stop='kill'"):
        bs.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), stop="kill")
