"""`babysit.check`: a diagnosis of a training program before it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from babysit.checks.detectors import DETECTORS
from babysit.checks.measured import measure
from babysit.checks.program import Batch, copied
from babysit.diagnosis.detection import run_detectors
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report

if TYPE_CHECKING:
    from torch.optim import Optimizer

BEFORE = "before training"


def check(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Iterable[Batch],
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    val_batches: Iterable[Batch] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> Report:
    """Finds the causes that keep a network from learning, before it trains.

    The causes are ranked, each with its symptoms. Everything runs on copies: afterwards the model with its
    gradients, the optimizer and every random state are as before. Only the first few batches are read.

    Args:
        model: any module; called as ``model(x)``.
        loss: any callable of (outputs, targets): a module, a functional, your own.
        batches: a DataLoader, a list, any iterable of (inputs, targets). An iterator is consumed.
        optimizer: the optimizer that will train, or several. Default: None, the questions about the learning
            rate and the optimizer's parameters do not apply.
        val_batches: validation batches, searched for training examples. Default: None, that question does
            not apply.
        num_classes: number of classes. Default: None, the width of the outputs.
        seed: seed of everything random in the checks. Default: 0.

    Returns:
        A report: ``health``, ``causes``, ``questions``, ``as_data()``; printed it reads in ten seconds. It is
        healthy where every question that matters was answered and nothing is wrong, and undecided where one
        was not answered. In a test write ``report.raise_if_unhealthy()``, or ``assert report, report``: a
        report is false when unhealthy; findings of severity info leave it true.

    Raises:
        InputError: if the model is not a module, or there is no batch of (inputs, targets).

    Example:
        >>> import torch
        >>> x, y = torch.randn(64, 5), torch.randint(3, (64,))
        >>> model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
        >>> check(model, nn.CrossEntropyLoss(), [(x, y)]).causes[0].rule
        'softmax_before_cross_entropy'
        >>> check(model[:3], nn.CrossEntropyLoss(), [(x, y)]).healthy
        True
    """
    given = {"val_batches": val_batches, "num_classes": num_classes, "seed": seed}
    with copied(model, loss, batches, optimizer, **given) as program:  # type: ignore[arg-type]
        answers = run_detectors(DETECTORS, measure(program))
    return diagnose(*answers, name=type(model).__name__, when=BEFORE)
