"""Cross-validation: every candidate becomes K members that share the batches, each without one fold.

To the caller it is a trainer whose members are the candidates: a reading is the mean over the K folds, and a
candidate explodes when one of its folds does.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from babysit.errors import InputError
from babysit.records import Explosion, Reading, Run, State, score
from babysit.training.observer import Observer
from babysit.training.plan import Candidate, EpochReport, Plan
from babysit.training.requests import MemberRequest, Requests, no_requests
from babysit.training.trainer import Trainer


class FoldTrainer:
    """Trains each candidate on all folds but one, K times.

    Args:
        candidates: equal ``population.signature``; the K members of each start with its weights and key.
        count: K.
        make: makes the trainer of the members; their ``fold`` is the one that each holds out.

    Attributes:
        alive: the numbers of the candidates that still train.
        observer: never called: the layers of folds are not observed.
        requests: returns the changes to candidates; they are applied to all folds of each.

    Raises:
        InputError: a model mixes the examples of a batch.
    """

    def __init__(
        self, candidates: Sequence[Candidate], count: int, make: Callable[[Sequence[Candidate]], Trainer]
    ) -> None:
        refuse_mixing(candidates[0].model)
        self._inner = make([one._replace(fold=fold) for one in candidates for fold in range(count)])
        self._members = [[first * count + fold for fold in range(count)] for first in range(len(candidates))]
        self._readings: list[list[tuple[Reading, ...]]] = [[] for _ in candidates]
        self._explosions: dict[int, Explosion] = {}
        self._dropped: dict[int, State] = {}
        self.alive = list(range(len(candidates)))
        self.observer: Observer | None = None
        self.requests: Requests = no_requests
        self._inner.requests = self._fold_requests

    def _fold_requests(self, _: Sequence[int]) -> list[MemberRequest]:
        """Turns requests to candidates into requests to their folds; only the first fold calls ``done``."""
        still = set(self._inner.alive)
        return [
            request._replace(member=place, done=request.done if index == 0 else lambda step: None)
            for request in self.requests(self.alive)
            for index, place in enumerate(place for place in self._members[request.member] if place in still)
        ]

    @property
    def epoch(self) -> int:
        """The number of epochs done."""
        return self._inner.epoch

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._inner.step

    @property
    def plan(self) -> Plan:
        """The settings that all members share."""
        return self._inner.plan

    def epochs(self, *, steps: int | None = None) -> Iterator[EpochReport]:
        """Trains, and yields a report after each epoch; see ``Trainer.epochs``."""
        for report in self._inner.epochs(steps=steps):
            yield self._merged(report)

    def drop(self, members: Sequence[int], state: State) -> None:
        """Ends some candidates early."""
        gone = {inner for member in members for inner in self._members[member]}
        self._inner.drop([inner for inner in self._inner.alive if inner in gone], state)
        self._dropped |= dict.fromkeys(members, state)
        self.alive = [member for member in self.alive if member not in members]

    def absorb(self, other: FoldTrainer) -> list[int]:
        """Adds the candidates of another trainer of the same plan, batches, folds and epoch."""
        first, places = len(self._members), self._inner.absorb(other._inner)
        self._members += [[places[inner] for inner in members] for members in other._members]
        self._readings += other._readings
        self._explosions |= {first + member: found for member, found in other._explosions.items()}
        self._dropped |= {first + member: found for member, found in other._dropped.items()}
        self.alive += [first + member for member in other.alive]
        return list(range(first, len(self._members)))

    def runs(self) -> list[Run]:
        """Returns the summary of every candidate so far: means over its folds, and each fold's score."""
        inner, found = self._inner.runs(), []
        for member, places in enumerate(self._members):
            runs = [inner[place] for place in places]
            explosion, readings = self._explosions.get(member), self._readings[member]
            state = State.EXPLODED if explosion else self._dropped.get(member, runs[0].state)
            means = tuple(map(mean_reading, readings))
            scores: tuple[float, ...] = ()
            if means and not explosion:  # of the best epoch
                best = max(range(len(means)), key=[score(mean) for mean in means].__getitem__)
                scores = tuple(map(score, readings[best]))
            first = statistics.fmean(run.first_cost for run in runs)
            steps = explosion.step if explosion else runs[0].steps
            touches = max((run.touches for run in runs), key=len)
            run = Run(state, means, first, explosion, runs[0].seconds, steps, folds=scores, touches=touches)
            found.append(run)
        return found

    def _merged(self, report: EpochReport) -> EpochReport:
        """Merges the report on members into one on candidates; an exploded candidate's folds all end."""
        readings, exploded, costs, stopped = {}, {}, {}, []
        for member in self.alive:
            places = self._members[member]
            bad = [place for place in places if place in report.exploded]
            if bad:
                first = min(bad, key=lambda place: report.exploded[place].step)
                exploded[member], costs[member] = report.exploded[first], report.costs[first]
                continue
            if places[0] in report.stopped:
                stopped.append(member)
            else:
                found = tuple(report.readings[place] for place in places)
                self._readings[member].append(found)
                readings[member] = mean_reading(found)
            costs[member] = np.stack([report.costs[place] for place in places]).mean(0, dtype=np.float32)
        self._explosions |= exploded
        gone = {place for member in exploded for place in self._members[member]}
        self._inner.drop([place for place in self._inner.alive if place in gone], State.STOPPED)
        self.alive = [member for member in self.alive if member not in exploded and member not in stopped]
        return EpochReport(report.epoch, readings, exploded, report.first_step, costs, stopped)


def mean_reading(folds: Sequence[Reading]) -> Reading:
    """Averages the folds' readings of one epoch.

    Example:
        >>> two = [Reading(1, 9, 2.0, 0.5, accuracy, 0.1, 1.0) for accuracy in (0.25, 0.75)]
        >>> mean_reading(two).val_accuracy
        0.5
    """
    return replace(
        folds[0],
        cost=_mean(each.cost for each in folds),
        train_accuracy=_mean(each.train_accuracy for each in folds),
        val_accuracy=_mean(each.val_accuracy for each in folds),
        val_loss=_mean(each.val_loss for each in folds),
    )


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return statistics.fmean(found) if all(math.isfinite(value) for value in found) else math.nan


def refuse_mixing(model: nn.Module) -> None:
    """Refuses batch normalization: through its statistics a held-out example would affect the training.

    Raises:
        InputError: the model has such a layer.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"folds share their batches, and the batch normalization {name!r} mixes the examples of a "
                "batch: held-out ones would act on the training",
                fix="search without --folds, or with layer or group normalization",
            )
