"""Verdicts on complete training programs; most of them are slow."""

from __future__ import annotations

import pytest
import torch

from watching import faulty_programs
from watching.faulty_programs import FAULTY
from watching.healthy_programs import HEALTHY

QUICK = {"one_cycle", "moving_average", "weights_averaged", "few_binary_features", "train_accuracy_too"}


def cases(programs, quick):
    return [
        pytest.param(
            program, id=program.__name__, marks=[] if program.__name__ in quick else pytest.mark.slow
        )
        for program in programs
    ]


@pytest.mark.parametrize("program", cases(HEALTHY, QUICK))
def test_a_healthy_program_gets_no_warning(program):
    torch.manual_seed(0)
    said = program()
    for report in said if isinstance(said, tuple) else (said,):
        assert report.healthy, str(report)
        assert not [cause for cause in report.causes if cause.rule == "watch_failed"], str(report)


@pytest.mark.parametrize("program", cases(FAULTY, {program.__name__ for program in faulty_programs.QUICK}))
def test_the_fault_is_named_first(program):
    torch.manual_seed(0)
    report = program()
    assert not report.healthy
    assert report.causes[0].rule in FAULTY[program], str(report)
