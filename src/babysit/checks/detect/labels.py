"""Detectors on labels: balance, labels unrelated to the inputs, labels shifted against them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from babysit.checks.detect.inputs import FEW, IMAGES
from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.checks.trace import LossCall
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.data import LABELS_SHIFTED, LABELS_UNBALANCED, LABELS_UNRELATED
from babysit.verdicts import Severity

UNBALANCED = 0.9
"""Share of one class above which accuracy says little: always answering it scores 0.9."""

NARROW = 0.5
"""Share of C that exp(entropy), the classes in use, must reach (TheDeepChecker, Ben Braiek 2023)."""

CLUSTERED = 0.8
"""Distance to the nearest neighbour, over that in shuffled and in Gaussian data of the same spread. Measured
on 512 rows: digits, wine, iris, breast cancer, blobs and Fashion-MNIST 0.66 to 0.79, CIFAR-10 0.90, noise
1.0. In the first group 73% to 100% of nearest neighbours share their label, in CIFAR-10 23%."""

SOMEWHAT = 0.95
"""The same ratio for a finding of severity info."""

_ROWS = 512
_LEAST_ROWS, _SURE_ROWS = 100, 300
_DIRECTIONS = 128  # long inputs are projected onto as many, which keeps distances within about a tenth
_SHIFTS = (1, -1, 2, -2)


@detects(LABELS_UNBALANCED, needs=(RUNS,))
def labels_unbalanced(measured: Measured) -> Detection | None:
    """Finds labels of which over 90% are one class, or whose exp(entropy) is below half of the classes."""
    call = measured.call
    if call is None or call.kind not in ("softmax", "log probabilities", "binary", "probabilities"):
        return None
    shares, count = _shares(measured, call)
    largest = float(shares.max())
    used = math.exp(float(-(shares * shares.clamp(min=1e-12).log()).sum()))
    narrow = len(shares) > 2 and count >= 10 * len(shares) and used < NARROW * len(shares)
    if count < FEW or largest == 1 or not (largest > UNBALANCED or narrow):
        return None
    floor = "lower"
    if measured.prior is not None and measured.chance is not None:
        floor = f"{measured.prior:.3g} beside {measured.chance:.3g}"
    return Detection(
        where="targets",
        message=f"{largest:.0%} of the labels are one class: always answering it is as accurate, "
        f"and knowing the shares alone makes the loss {floor} for equal scores",
        evidence=evidence(
            "largest class", largest, f"about {1 / len(shares):.2g}", f"{used:.2g} classes in use"
        ),
    )


def _shares(measured: Measured, call: LossCall) -> tuple[Tensor, int]:
    """Returns the share of each class among all labels that were read, and the number of labels."""
    labels = _all_labels(measured, call)
    if call.kind in ("binary", "probabilities"):
        positive = float(labels.double().clamp(0, 1).mean()) if labels.numel() else 0.0
        return torch.tensor([1 - positive, positive]), labels.numel()
    if labels.is_floating_point():
        return labels.double().mean(0), len(labels)
    labels = labels[labels != call.options.get("ignore_index", -100)]
    counts = torch.bincount(labels.clamp(min=0), minlength=measured.classes(call)).double()
    return counts / max(float(counts.sum()), 1.0), labels.numel()


def _all_labels(measured: Measured, call: LossCall) -> Tensor:
    """Returns the labels of every batch read, or of the sample where the loss changes the targets."""
    given = measured.y
    same = isinstance(given, Tensor) and given.shape == call.target.shape
    if not same or not bool((given.to(call.target.dtype) == call.target).all()):
        return call.target.flatten() if not call.target.is_floating_point() else call.target
    labels = torch.cat(
        [y.to(call.target.dtype) for _, y in measured.program.all_batches if y.shape[1:] == given.shape[1:]]
    )
    return labels if labels.is_floating_point() else labels.flatten()


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Nearest neighbours among some hundred examples.

    Attributes:
        x, y: the examples, one a row in the order of reading, and their classes.
        nearest: index of each row's nearest neighbour.
        distance: distance to it.
    """

    x: Tensor
    y: Tensor
    nearest: Tensor
    distance: Tensor

    @property
    def chance(self) -> float:
        """Probability that two rows drawn at random have the same class."""
        shares = torch.bincount(self.y).double() / len(self.y)
        return float(shares.square().sum())

    @property
    def noise(self) -> float:
        """Standard deviation of an agreement by chance."""
        return math.sqrt(self.chance * (1 - self.chance) / len(self.y))

    def agreement(self, labels: Tensor) -> float:
        """Returns the share of rows whose nearest neighbour has the same class."""
        return float((labels == labels[self.nearest]).double().mean())

    def is_chance(self, agreement: float) -> bool:
        """Tells whether an agreement is within the noise: one well below chance would be a relation too."""
        return abs(agreement - self.chance) < 3 * self.noise


@detects(LABELS_UNRELATED, needs=(RUNS,))
def labels_unrelated(measured: Measured) -> Detection | None:
    """Finds inputs that cluster (nearest neighbours at 0.8 of their distance in noise of the same spread),
    yet neither neighbours nor a linear classifier agree in the label more than by chance; severity info
    up to 0.95.
    """
    found = _neighbours(measured)
    if found is None:
        return None
    agreement = found.agreement(found.y)
    if not found.is_chance(agreement) or _is_linearly_predictable(found):
        return None
    structure = _relative_distance(found)
    if structure > SOMEWHAT:
        return None
    classes = len(torch.unique(found.y))
    sure = structure < CLUSTERED and classes > 2 and len(found.y) >= max(_SURE_ROWS, 20 * classes)
    return Detection(
        where="targets",
        message=f"nearest neighbours among the inputs share their label in {agreement:.0%}, by chance "
        f"{found.chance:.0%}: are inputs and labels shuffled apart?",
        evidence=evidence(
            "agreement of nearest neighbours", agreement, f"above {found.chance:.2g}", "inputs that cluster"
        ),
        severity=None if sure else Severity.INFO,
    )


@detects(LABELS_SHIFTED, needs=(RUNS,))
def labels_shifted(measured: Measured) -> Detection | None:
    """Finds labels that agree with nearest neighbours only by chance, and ten standard errors above it once
    they are moved by one or two places; severity info where the data may be a series.
    """
    found = _neighbours(measured)
    if found is None or not found.is_chance(found.agreement(found.y)):
        return None
    agreements = {shift: found.agreement(found.y.roll(shift)) for shift in _SHIFTS}
    shift = max(agreements, key=lambda each: agreements[each])
    clear = found.chance + 10 * found.noise
    if not agreements[shift] > max(clear, found.chance + 0.25 * (1 - found.chance)):
        return None

    places = f"{abs(shift)} {'place' if abs(shift) == 1 else 'places'}"
    return Detection(
        where="targets",
        message=f"the labels fit the inputs {places} {'later' if shift > 0 else 'earlier'}: they "
        f"are misaligned",
        evidence=evidence(
            "agreement of nearest neighbours",
            found.agreement(found.y),
            f"{agreements[shift]:.2g}",
            f"as with the labels moved by {places}",
        ),
        # To predict the next label is a sound task for a series, but not for images.
        severity=None if measured.x.dim() == IMAGES else Severity.INFO,
    )


def _neighbours(measured: Measured) -> _Neighbours | None:
    """Finds the nearest neighbours of some hundred examples, once; None without numbers and classes."""
    if measured.neighbours is None:
        measured.neighbours = (_nearest_neighbours(measured),)
    found: _Neighbours | None = measured.neighbours[0]
    return found


def _nearest_neighbours(measured: Measured) -> _Neighbours | None:
    rows = _rows(measured)
    if rows is None:
        return None
    x, y = rows
    _, y = torch.unique(y, return_inverse=True)
    classes = int(y.max()) + 1
    if not 2 <= classes <= len(y) // 10 or not bool(torch.isfinite(x).all()):
        return None
    x = _projected(x, measured)
    distances = torch.cdist(x, x).fill_diagonal_(math.inf)
    distance, nearest = distances.min(1)
    return _Neighbours(x, y, nearest, distance)


def _rows(measured: Measured) -> tuple[Tensor, Tensor] | None:
    """Returns some hundred different examples as rows of numbers, and their labels."""
    call, x, y = measured.call, measured.x, measured.y
    labelled = call is not None and call.kind != "regression"
    if not labelled or not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.dim() < 2:
        return None
    numbers = x.is_floating_point() or x.dtype == torch.uint8
    if not numbers or y.dim() == 0 or y.numel() != len(y) or len(y) != len(x):
        return None
    fitting = [
        b
        for b in measured.program.all_batches
        if b[0].shape[1:] == x.shape[1:] and b[1].shape[1:] == y.shape[1:]
    ]
    xs, ys = [], []
    for inputs, labels in fitting:
        xs.append(inputs)
        ys.append(labels)
        if sum(map(len, xs)) >= _ROWS:
            break
    rows, found = torch.cat(xs)[:_ROWS].flatten(1).float(), torch.cat(ys)[:_ROWS].flatten()
    rows, found = _unique(rows, found)
    return (rows, found) if len(found) >= _LEAST_ROWS else None


def _unique(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Keeps each pair of input and label once, in order: a row that is read twice is its own neighbour."""
    _, where = torch.unique(torch.cat([x, y[:, None].to(x.dtype)], 1), dim=0, return_inverse=True)
    first = torch.full((int(where.max()) + 1,), len(x), dtype=torch.long, device=x.device)
    order = torch.arange(len(x), device=x.device)
    first.scatter_reduce_(0, where, order, "amin")
    kept = first.sort().values
    return x[kept], y[kept]


def _projected(x: Tensor, measured: Measured) -> Tensor:
    """Centres the data, standardizes the columns of a table, and projects long rows at random."""
    x = x - x.mean(0)
    if measured.x.dim() == 2:
        spread = x.std(0)
        x = torch.where(spread > 1e-6 * x.abs().max(), x / spread.clamp(min=1e-12), 0.0)
    if x.shape[1] <= 2 * _DIRECTIONS:
        return x
    generator = torch.Generator().manual_seed(measured.program.seed)
    directions = torch.randn(x.shape[1], _DIRECTIONS, generator=generator).to(x.device)
    found: Tensor = x @ directions / _DIRECTIONS**0.5
    return found


def _relative_distance(found: _Neighbours) -> float:
    """Returns the distance to the nearest neighbour over that in data without clusters."""
    x, generator = found.x, torch.Generator().manual_seed(0)
    order = torch.rand(x.shape, generator=generator).argsort(0).to(x.device)
    gaussian = torch.randn(len(x), len(x), generator=generator).to(x.device) @ x / len(x) ** 0.5
    plain = [torch.cdist(a, a).fill_diagonal_(math.inf).min(1).values for a in (x.gather(0, order), gaussian)]
    return float(found.distance.median()) / max(min(float(each.median()) for each in plain), 1e-12)


def _is_linearly_predictable(found: _Neighbours) -> bool:
    """Tells whether a linear classifier, fitted to one half, does better than chance on the other."""
    half = len(found.y) // 2
    x = torch.cat([found.x, torch.ones_like(found.x[:, :1])], 1).double()
    hot = torch.nn.functional.one_hot(found.y).double()
    scale = float(x[:half].square().sum()) / x.shape[1]
    gram = x[:half].T @ x[:half] + 0.1 * scale * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    scores = x[half:] @ torch.linalg.solve(gram, x[:half].T @ (hot[:half] - hot[:half].mean(0)))
    answers = (scores + hot[:half].mean(0)).argmax(1)
    right = float((answers == found.y[half:]).double().mean())
    best = float(hot[half:].mean(0).max())
    # Better than always answering the largest class, or than random answers of these shares.
    shares = torch.nn.functional.one_hot(answers, hot.shape[1]).double().mean(0)
    by_chance = float((shares * hot[half:].mean(0)).sum())
    noise = math.sqrt(max(by_chance * (1 - by_chance), 1e-6) / (len(found.y) - half))
    return right > best + 3 * noise or right > by_chance + 3 * noise
