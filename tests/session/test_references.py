"""How studies and trials are named, and what a wrong name is answered with."""

from __future__ import annotations

import pytest

from babysit.errors import InputError
from babysit.records import Reading, Result, Run, Stage, State, Trial
from babysit.session.references import resolve
from babysit.store.reader import Reader
from babysit.store.writer import Writer


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("references") / "store.sqlite")
    with Writer(url) as writer:
        for name, stages in (("digits", 2), ("digits", 1), ("cifar", 1)):
            number = writer.begin_study(
                name=name, recipe=name, kind="search", seed=0, fingerprint="f", settings={}
            )
            for stage in range(stages):
                writer.begin_stage(number, Stage(stage, ("coarse", "fine")[stage], {}, 3, 1))
                writer.finish_trials(number, [result(stage, trial) for trial in range(3)])
        loop = writer.begin_study(name="mine", recipe="", kind="watch", seed=0, fingerprint="", settings={})
        writer.finish_trials(loop, [result(0, 0)])  # a watched loop has no stages
    with Reader(url) as opened:
        yield opened


def result(stage, number):
    score = 0.1 * (number % 2) + 0.1 * stage
    reading = Reading(1, 10, 2.0, score, score, 1e-3, 2.0)
    return Result(Trial(stage, number, {"l2": 0.1}), Run(State.COMPLETE, (reading,), 2.3, steps=10))


@pytest.mark.parametrize(
    ("text", "study", "key"),
    [
        ("1", 1, None),
        ("digits", 2, None),
        ("cifar/2", 3, (0, 2)),
        ("1/0/2", 1, (0, 2)),
        ("1/fine/2", 1, (1, 2)),
        ("1/best", 1, (1, 1)),
        ("4/0/0", 4, (0, 0)),
        ("mine/0", 4, (0, 0)),
        ("mine", 4, None),
    ],
)
def test_what_is_meant(reader, text, study, key):
    found = resolve(reader, text)
    assert (found.study.id, found.key) == (study, key)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("9", "(?s)no study '9'.*choose one of 4, 3, 2, 1"),
        ("digist", "(?s)no study 'digist'.*did you mean 'digits'"),
        ("1/1/7", "(?s)no trial '1/7'.*choose one of 1/1/2, 1/1/1, 1/1/0"),
        ("1/2", "(?s)no trial '2'.*choose one of 1/0/0"),
        ("1/fine/x", "no trial 'fine/x'"),
        ("4/0/1", "(?s)no trial '0/1'.*choose one of 4/0/0"),
        ("4/train/0", "(?s)no trial 'train/0'.*choose one of 4/0/0"),
    ],
)
def test_what_is_not_there_is_answered_with_the_nearest(reader, text, answer):
    with pytest.raises(InputError, match=answer):
        resolve(reader, text)
