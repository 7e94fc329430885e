"""`babysit.check` and `babysit.watch` on programs from issues: half "A" was used for repairs, "B" was not."""

from __future__ import annotations

import zlib

import pytest
import torch
from tests.faults import ISSUES

import babysit
from babysit.verdicts import Severity

UNCHECKED = frozenset(
    {
        "adam_at_the_rate_of_sgd",  # it learns all the same, to a loss half as good
        "eight_narrow_layers",  # so does this
        "weights_of_a_hundredth",  # in the steps tried no rate helped, and none of its causes was seen
        "ctc_of_raw_scores",  # torch's gradient is right behind a log-softmax alone: called a wrong gradient
        "divergence_of_bare_probabilities",  # kl_div is not among the losses known
        "images_divided_by_255_twice",  # in the steps tried the loss moves enough
        "celsius_up_to_five_hundred",  # the slope is learned at once, the offset never
        "target_column_left_in_the_table",  # only the watch looks at columns
    }
)
"""What `babysit.check` does not get right, and why."""

UNWATCHED = frozenset(
    {
        "cubes_of_thousands",  # dead units are named, and they are a symptom of the raw inputs
        "adam_at_the_rate_of_sgd",
        "closure_that_never_zeroes",  # all within one step
        "language_model_that_sees_the_next_word",  # no second forward pass is made in a loop
        "dice_itself_as_the_loss",  # it has a floor, and reaches it
        "ctc_of_raw_scores",
        "divergence_of_bare_probabilities",
        "decoder_from_zero_to_one_for_centred_images",  # the targets of a plain function are not seen
        "images_divided_by_255_twice",
        "plateau_schedule_that_is_told_the_accuracy",  # it falls in steps, and is gone late in the run
        "accumulation_that_forgets",  # the step itself has a gradient
    }
)
"""What `babysit.watch` does not get right, and why."""


def some(programs, share):
    """One in so many, by name: `python -m benchmarks.faults --set issues` runs them all."""
    return [p for p in programs if zlib.crc32(p.name.encode()) % share == 1]


def serious(report):
    return [finding.rule for finding in report.findings if finding.severity is not Severity.INFO]


CHECKED = [p for p in ISSUES if p.checkable and (p.check or not p.faulty) and p.name not in UNCHECKED]
WATCHED = [p for p in ISSUES if (p.watch or not p.faulty) and p.name not in UNWATCHED]


@pytest.mark.slow
@pytest.mark.parametrize("program", some(CHECKED, 3), ids=lambda program: program.name)
def test_the_check_names_the_cause_or_is_silent(program):
    report = babysit.check(*program.build().parts)
    if program.faulty:
        assert report.causes, report
        assert report.causes[0].rule in program.accepted("check"), report
    else:
        assert not serious(report), report


@pytest.mark.filterwarnings("ignore")  # torch's own, at what these programs do
@pytest.mark.parametrize("program", some(WATCHED, 4), ids=lambda program: program.name)
def test_the_watch_names_the_cause_or_is_silent(program):
    job = program.build()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with babysit.watch(job.model, job.optimizer, loss=job.loss) as watch:
            job.run(200, watch.step)
    report = watch.report()
    if program.faulty:
        assert report.causes, report
        assert report.causes[0].rule in program.accepted("watch"), report
    else:
        assert not serious(report), report


@pytest.mark.parametrize(
    ("asked", "missed", "half", "floor"),
    [
        ("check", UNCHECKED, "A", 0.9),
        ("check", UNCHECKED, "B", 0.7),
        ("watch", UNWATCHED, "A", 0.8),
        ("watch", UNWATCHED, "B", 0.65),
    ],
)
def test_the_share_that_is_right(asked, missed, half, floor):
    faulty = [p for p in ISSUES if p.half == half and getattr(p, asked)]
    assert sum(p.name not in missed for p in faulty) >= floor * len(faulty)
    assert len(faulty) >= 20


def test_twins_share_a_half_and_no_name_is_known_from_elsewhere():
    halves = {p.name: p.half for p in ISSUES}
    assert all(halves[f"{p.name}_twin"] == p.half for p in ISSUES if p.faulty)
    assert sum(p.faulty for p in ISSUES) >= 50
    assert sum(not p.faulty and not p.name.endswith("_twin") for p in ISSUES) >= 25
