"""The Ray engine on a real cluster of two nodes: it finds what this process finds, whoever is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster as TwoNodes

import babysit as bs
from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform
from babysit.records import Command, CommandKind, CommandState, State
from babysit.tuning.engines import cluster as joining
from babysit.tuning.engines import ray as engine_module
from babysit.tuning.engines.early_stop import EarlyStop
from babysit.tuning.engines.events import EpochDone, Restarted, TrialDone
from babysit.tuning.engines.local import InProcess
from babysit.tuning.engines.ray import Cluster
from babysit.tuning.pruning import StagePruner
from babysit.tuning.stages import draw_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]

RECIPE = """
    import os, time
    import babysit as bs
    from torch import nn

    HERE = os.getpid()

    class Net(nn.Module):
        def __init__(self, hidden, pause):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
            self.pause = pause

        def forward(self, x):
            if os.getpid() != HERE:
                time.sleep(self.pause)
            return self.inner(x.flatten(1))

    def model(hp):
        if hp.hidden == 13 and os.getpid() != HERE:
            os._exit(3)
        return Net(hp.hidden, {pause})

    recipe = bs.Recipe(
        bs.data.digits, model, batch_size=100,
        space=dict(learning_rate=bs.log_uniform(1e-3, 3.0), hidden=bs.choice({widths})),
    )
"""
POPULATION = 3
NODE = {"num_cpus": 1, "num_gpus": 1}  # a GPU that is not there: who gets it is decided all the same


def prepared_of(folder, widths="10, 20", pause=0.0):
    """A recipe whose file is gone: nobody can load it a second time."""
    file = folder / "mine.py"
    file.write_text(textwrap.dedent(RECIPE.format(widths=widths, pause=pause)))
    prepared = prepare(load_recipe(str(file)), seed=3)
    file.unlink()
    return prepared


@pytest.fixture(scope="module")
def nodes():
    two = TwoNodes(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    two.add_node(**NODE)
    yield two
    ray.shutdown()
    two.shutdown()


@pytest.fixture(scope="module")
def answers():
    return []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_of(tmp_path_factory.mktemp("ray"))


@pytest.fixture(scope="module")
def engine(nodes, prepared, answers):
    with contextlib.closing(
        Cluster(prepared, 0, POPULATION, nodes.address, observe=True, answered=answers.append)
    ) as one:
        yield one


@pytest.fixture(autouse=True)
def one_thread():
    """As the workers have: a sum over two threads differs in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trials_of(prepared, count=8):
    return draw_trials(prepared.recipe.full_space(), stage=0, count=count, seed=3)


def story(events, judge=None):
    """What each trial ended as, its epochs, and what the observer saw; it fails where one ends twice."""
    ended, epochs, again = {}, {}, []
    for event in events:
        if isinstance(event, Restarted):
            epochs.pop(event.trial.key, None)
            again.append(event.trial.key)
            if judge is not None:
                judge.restarted(event.trial.key)
        elif isinstance(event, EpochDone):
            assert event.trial.key not in ended
            told = (event.reading, event.costs.tolist(), event.steps.tolist(), repr(event.looks))
            epochs.setdefault(event.trial.key, []).append(told)
            if judge is not None:
                judge.epoch_done(event.trial.key, event.reading)
        else:
            assert isinstance(event, TrialDone)
            assert event.trial.key not in ended
            run = event.result.run
            ended[event.trial.key] = (
                *(run.state, run.readings, run.first_cost, run.explosion, run.steps, run.message),
                *(event.costs.tolist(), dict(event.trial.hyperparameters)),
            )
            if judge is not None:
                judge.ended(event.result)
    return ended, epochs, again


def trained(engine, trials, epochs, pruner="none"):
    judge = StagePruner(pruner, epochs)
    return story(engine.train(trials, epochs, EarlyStop(rungs=judge.rungs), judge), judge)


def test_a_cluster_finds_what_this_process_finds_to_the_last_bit(engine, prepared):
    trials = trials_of(prepared)
    found, expected = (
        trained(engine, trials, 2),
        trained(InProcess(prepared, POPULATION, observe=True), trials, 2),
    )
    assert found == expected
    assert len(found[0]) == 8
    assert {ended[0] for ended in found[0].values()} >= {State.COMPLETE}
    assert len({worker["NodeID"] for worker in ray.nodes() if worker["Alive"]}) == 2
    assert len(engine._started) == 2
    ours = ray.get_runtime_context().get_job_id()
    told = {job["JobID"]: job["Entrypoint"] for job in ray._private.state.jobs()}
    assert told[ours] == "babysit"  # and no word of the command, in which there may be a password


def test_the_same_workers_prune_at_rungs_as_this_process_does(engine, prepared):
    trials = trials_of(prepared)
    before = [worker.actor for worker in engine._started]
    found = trained(engine, trials, 4, "asha")
    assert found == trained(InProcess(prepared, POPULATION, observe=True), trials, 4, "asha")
    assert State.PRUNED in {ended[0] for ended in found[0].values()}
    assert [worker.actor for worker in engine._started] == before


def test_a_command_reaches_its_trial_wherever_it_trains(engine, prepared, answers):
    trials = trials_of(prepared)
    for number, kind in ((2, CommandKind.STOP), (5, CommandKind.SCALE_LEARNING_RATE)):
        engine.touch(Command(number, 1, (0, number), kind, 0.5, "ann", 0.0, CommandState.SEEN))
    # Calls to the workers' thread for commands overtake nothing: wait until they have been heard.
    for worker in engine._started:
        ray.get(worker.actor.versions.options(concurrency_group=engine_module._COMMANDS).remote())
    ended, _, _ = trained(engine, trials, 2)
    assert ended[0, 2][0] is State.STOPPED
    assert ended[0, 2][5] == "stopped by user at step 0"
    assert sorted(answer.command for answer in answers) == [2, 5]
    untouched = trained(InProcess(prepared, POPULATION), trials, 2)[0]
    assert ended[0, 5][1] != untouched[0, 5][1]
    assert ended[0, 0] == untouched[0, 0]
    assert engine._touching == {}


def test_workers_of_other_versions_are_refused(engine, monkeypatch):
    ours = {**engine_module.versions(), "torch": "1.13"}
    monkeypatch.setattr(engine_module, "versions", lambda: ours)
    with pytest.raises(
        InputError, match=r"has torch .*, this process 1\.13\n.*same versions on every machine"
    ):
        engine_module._refuse_other_versions(engine._started[0])


def test_an_address_for_rays_client_is_refused():
    with pytest.raises(InputError, match="--address auto"):
        joining.connect("ray://somewhere:10001", 0)


def test_a_recipe_that_holds_a_lock_cannot_be_sent(engine, prepared):
    lock = threading.Lock()
    held = replace(prepared, recipe=replace(prepared.recipe, data=lambda: lock))
    with pytest.raises(InputError, match="cannot be sent to other machines: cannot pickle"):
        joining.put(held)


def test_ctrl_c_ends_the_workers_and_nothing_that_others_started(nodes, engine, prepared):
    trials, asked = trials_of(prepared, 2), []
    other = Cluster(prepared, 1, POPULATION, nodes.address, stop=lambda: bool(asked))
    other._started, engine._started[:] = engine._started[:1], engine._started[1:]  # no new ones for this
    with contextlib.closing(other), pytest.raises(KeyboardInterrupt):
        asked.extend(other.train(trials, 50))
    assert 1 <= len(asked) <= 2
    assert ray.is_initialized()
    assert len(engine._started) == 1


def test_the_trials_of_a_killed_node_train_again_elsewhere(nodes, engine, tmp_path):
    engine.close()
    prepared = prepared_of(tmp_path)
    trials, ending = trials_of(prepared), EarlyStop(rungs=(1, 3))
    with contextlib.closing(Cluster(prepared, 2, POPULATION, nodes.address)) as cluster:
        cluster._start(2)  # both are there before the first group is given to either
        ray.wait([worker.stream for worker in cluster._started], num_returns=2)
        events = cluster.train(trials, 5, ending, every_third)
        ended, epochs, again = story(killing(events, cluster, nodes))
    assert again
    assert len(set(again)) == len(again)
    expected, their_epochs, _ = story(InProcess(prepared, POPULATION).train(trials, 5, ending, every_third))
    assert {ended[key][5] for key in ((0, 0), (0, 3), (0, 6))} >= {"not at rung 1"}
    assert ended.keys() == expected.keys()
    for key, (state, readings, *_, message, _costs, hyperparameters) in ended.items():
        assert (state, message, hyperparameters) == (expected[key][0], expected[key][5], expected[key][-1])
        assert len(epochs.get(key, [])) == len(their_epochs.get(key, []))
        # Who trains again may do so in another company, which may change the last bits.
        for reading, theirs in zip(readings, expected[key][1], strict=True):
            assert reading.cost == pytest.approx(theirs.cost, rel=1e-3)
    nodes.add_node(**NODE)


def every_third(rung):
    return {(0, number): f"not at rung {rung}" for number in range(rung - 1, 8, 3)}


def killing(events, cluster, nodes):
    """Passes events on; past the first rung the second machine is gone, whatever ran on it."""
    for event in events:
        yield event
        if nodes.worker_nodes and isinstance(event, EpochDone) and event.reading.epoch == 2:
            assert all(worker.is_ready for worker in cluster._started)
            node = next(iter(nodes.worker_nodes))
            raylet = node.all_processes["raylet"][0].process.pid
            workers = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
            nodes.remove_node(node, allow_graceful=False)
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def test_a_trial_that_ends_its_worker_twice_has_failed_and_the_others_have_not(nodes, tmp_path):
    prepared = prepared_of(tmp_path, widths="10, 13")
    trials = trials_of(prepared, 5)
    with contextlib.closing(Cluster(prepared, 2, POPULATION, nodes.address)) as cluster:
        ended, _, again = trained(cluster, trials, 1)
    deadly = {trial.key for trial in trials if trial.hyperparameters["hidden"] == 13}
    assert 0 < len(deadly) < len(trials)
    assert {key for key, end in ended.items() if end[0] is State.FAILED} == deadly
    assert deadly <= set(again)
    assert all("lost its worker twice" in ended[key][5] for key in deadly)
    assert len(ended) == len(trials)


def test_a_recipe_that_no_file_holds_trains_on_the_cluster(nodes, tmp_path):
    def model(hp):
        (tmp_path / str(os.getpid())).touch()
        return two_layer(64, hp.hidden)

    space = {"learning_rate": log_uniform(1e-4, 1e-2), "hidden": 5}
    recipe = Recipe(digits, model, space=space, name="mine")
    asked = {"stages": "coarse:4x2", "population": 2}
    found = bs.search(recipe, engine="ray", address=nodes.address, workers=2, folder=tmp_path / "a", **asked)
    assert {int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()} - {os.getpid()}
    here = bs.search(recipe, folder=tmp_path / "b", **asked)
    scores = [row["val_loss"] for row in here.rows()]  # of other groups, which may change the last bits
    assert [row["val_loss"] for row in found.rows()] == pytest.approx(scores, rel=1e-4)


def test_each_worker_that_needs_a_gpu_gets_one_of_its_own(nodes, prepared):
    ray.init(nodes.address, log_to_driver=False, configure_logging=False)
    try:
        wait_for_gpus(2)
        assert joining.room("cuda", 0) == 2
        material = joining.put(replace(prepared, device="cuda:0"))
        assert ray.get(material).device == "cuda"  # whichever the worker sees
        workers = [engine_module._new_worker("cuda", ray.put(prepared), False) for _ in range(2)]
        told = ray.get([worker.actor.__ray_call__.remote(where_it_is) for worker in workers])
        assert {devices for _, devices in told} == {"0"}  # the first of its machine
        assert len({node for node, _ in told}) == 2
        for worker in workers:
            ray.kill(worker.actor)
    finally:
        ray.shutdown()


def wait_for_gpus(count):
    """Until the cluster has taken notice of the node that an earlier test killed."""
    late = time.monotonic() + 60
    while ray.cluster_resources().get("GPU") != count and time.monotonic() < late:
        time.sleep(0.1)


def where_it_is(actor):
    return ray.get_runtime_context().get_node_id(), os.environ.get("CUDA_VISIBLE_DEVICES")
