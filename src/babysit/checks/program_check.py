"""`babysit.check`: is anything wrong with a training program before it trains?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from babysit.checks.faults import FAULTS, UNANSWERED
from babysit.checks.measuring import Measured, measure
from babysit.checks.program import Batch, copied
from babysit.checks.report import report
from babysit.checks.seen import Fault, Seen
from babysit.verdict.report import Report

if TYPE_CHECKING:
    from torch.optim import Optimizer


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
    """Looks for what keeps a network from learning, before it trains: causes ranked, symptoms under them.

    Everything is tried on copies: the model with its gradients, the optimizer and every random stream are
    as before afterwards. Only the first few batches are looked at.

    Args:
        model: any module; called as ``model(x)``.
        loss: any callable of (outputs, targets): a module, a functional, one's own.
        batches: a DataLoader, a list, any iterable of (inputs, targets). An iterator is consumed.
        optimizer: the one that will train, or several; without it its rate and parameters are not checked.
        val_batches: to look for examples that are in both.
        num_classes: how many there are, where the outputs do not tell.
        seed: of everything random in the checks.

    Returns:
        A report: ``healthy``, ``causes``, ``findings``, ``as_data()``; printed it reads in ten seconds. In a
        test say ``report.raise_if_unhealthy()``, or ``assert report, report``: it is true when healthy, and
        facts and quiet advice (severity info) leave it so.

    Raises:
        InputError: the model is no module, or there is no batch of (inputs, targets).

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
        return report(list(looked(measure(program))), type(model).__name__)


def looked(measured: Measured, left_out: Collection[str] = ()) -> Iterator[tuple[Fault, Seen]]:
    """What the checks saw. One that raises says nothing; how many did is told once, at the end.

    Args:
        measured: the program, measured.
        left_out: the names of checks not to ask.
    """
    broken: dict[str, Exception] = {}
    for fault in FAULTS:
        if fault.name in left_out or (fault.needs_run and not measured.runs):
            continue
        try:
            seen = fault.look(measured)
        except Exception as error:  # a program may do anything; a check must not stop the others
            broken[fault.name] = error
        else:
            if seen is not None:
                yield fault, seen
    if broken:
        yield UNANSWERED, _unanswered(broken)


def _unanswered(broken: Mapping[str, Exception]) -> Seen:
    name, error = next(iter(broken.items()))
    reason = (str(error).splitlines() or [""])[0][:120]
    count = "1 check" if len(broken) == 1 else f"{len(broken)} checks"
    message = f"{count} could not answer; {name}: {type(error).__name__}: {reason}"
    return Seen(", ".join(broken), message)
