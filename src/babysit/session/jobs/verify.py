"""`verify`: compares members of the user's model trained as one population with each trained alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from babysit.data.batches import Batch, Batches
from babysit.errors import InputError
from babysit.recipe.building import Prepared, groups
from babysit.recipe.loading import Settings, apply_settings, load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Numeric, middle, plain, sample
from babysit.records import Result, State, Value
from babysit.seeding import derive, numpy_generator
from babysit.session.jobs.job import open_recipe
from babysit.training.agreement import (
    EXACT_TOLERANCE,
    NUDGE,
    TOLERANCE,
    MemberAgreement,
    MemberTrace,
    RankAgreement,
    Verification,
    is_own_chaos,
    loss_differences,
    rank_correlation,
    tensor_agreements,
)
from babysit.training.evaluation import Evaluation
from babysit.training.population import Tensors
from babysit.training.precision import FLOAT32, remark
from babysit.training.trainer import Candidate, Trainer
from babysit.tuning.stages import draw_trials, ranked

ALONE = "serial"
"""The way of computing that calls the user's module as it is, member by member."""

_OWN_STATE = (
    "trained alone twice it differs from itself too: the model keeps state outside its parameters and "
    "buffers, or draws random numbers from elsewhere than torch"
)
_SHARED = (
    "alone it repeats itself, so its members are not independent in a population: keep what the model counts "
    "or remembers in buffers, and let no example or member look at another through Python"
)
_IMPRECISE = (
    "in float64 the two agree, but in float32 they part before any training: this way of computing loses "
    "digits, which is babysit's fault; please report it with the recipe"
)
_ROUNDING = "rounding, amplified by its own training; in float64 the two agree"
_CHAOTIC = "rounding, amplified by its own training; nudged alone it parts as far"


def verify(
    recipe: Recipe | str,
    settings: Settings = (),
    *,
    members: int = 4,
    steps: int = 50,
    precision: str = FLOAT32,
    trials: int = 20,
    seed: int = 0,
) -> Verification:
    """Trains a few members as one population and each alone, and compares them.

    Args:
        recipe: a recipe, or a built-in's name or file.
        settings: overrides: ``name=value`` texts, or name -> value or range.
        members: their number, at least 2, drawn from the recipe's space. Default: 4.
        steps: of the training. Default: 50.
        precision: compares the ranking of trials in this precision with float32's as well.
        trials: for that ranking, at least 3. Default: 20.
        seed: the one seed.

    Returns:
        The verification; ``equal`` and ``verdict`` say it in short.

    Raises:
        InputError: for a recipe, data, settings, precision or numbers that cannot be used.

    Example:
        >>> found = verify("digits", ["hidden=20"], members=2, steps=5)
        >>> found.way, found.verdict
        ('fused', 'equal to float tolerance')
    """
    loaded = load_recipe(recipe) if isinstance(recipe, str) else recipe
    for name, value, least in (("members", members, 2), ("steps", steps, 1), ("trials", trials, 3)):
        if value < least:
            raise InputError(f"{name} = {value} is too few to compare", fix=f"use at least {least}")
    prepared = open_recipe(apply_settings(loaded, settings), seed=seed, precision=precision)
    found = verify_members(prepared, members=members, steps=steps)
    ranking = None if prepared.precision == FLOAT32 else compare_ranking(prepared, trials=trials)
    return replace(found, remark=remark(precision), ranking=ranking)


def verify_members(prepared: Prepared, *, members: int, steps: int) -> Verification:
    """Compares members in a population with the same members alone, in float32.

    Args:
        prepared: the recipe with its data.
        members: their number.
        steps: of the training, over as many epochs as that takes.

    Raises:
        RecipeError: when the user's model raises.
    """
    prepared = replace(prepared, precision=FLOAT32)
    drawn, numbers = _members(prepared, members)
    populations = [_Population(prepared, [drawn[number] for number in group], steps) for group in numbers]
    compared = {
        number: population.compare(place)
        for group, population in zip(numbers, populations, strict=True)
        for place, number in enumerate(group)
    }
    survivors = [(ours, alone) for _, ours, alone in compared.values() if ours and alone]
    way = populations[0].trainer.lowering
    return Verification(
        way.kind,
        way.reason,
        len(populations),
        steps,
        TOLERANCE,
        tuple(compared[number].agreement for number in range(members)),
        tensor_agreements(survivors),
    )


def _members(prepared: Prepared, count: int) -> tuple[list[Candidate], list[list[int]]]:
    """Draws members of one architecture, the first from the middle of the space, and groups them.

    Whole numbers and choices, which mostly shape the network, are those of the first member. If the members
    still differ in architecture, only hyperparameters of the training are drawn.
    """
    space, first = prepared.recipe.full_space(), middle(prepared.recipe.full_space())
    real = {
        name
        for name, entry in space.items()
        if isinstance(found := plain(entry), Numeric) and not found.whole
    }
    for names in (real, real & prepared.recipe.training_names()):
        drawn = [first]
        for number in range(1, count):
            values = sample(space, numpy_generator(prepared.seed, "verify", number))
            drawn.append(
                {name: values[name] if name in names and name in values else first[name] for name in first}
            )
        candidates = [prepared.candidate(values, ("verify", number)) for number, values in enumerate(drawn)]
        populations = groups(candidates)
        if len(populations) == 1:
            break
    return candidates, populations


def _train(
    prepared: Prepared, candidates: Sequence[Candidate], steps: int, way: str | None = None
) -> tuple[Trainer, list[MemberTrace]]:
    """Trains a number of steps; returns the trainer, and the trace of every member."""
    per_epoch = prepared.batches(int(candidates[0].hyperparameters["batch_size"])).steps_per_epoch  # type: ignore[call-overload]
    epochs = max(prepared.recipe.epochs, math.ceil(steps / per_epoch))
    trainer = prepared.trainer_of(candidates, epochs, way=way)
    costs: list[list[float]] = [[] for _ in candidates]
    val_losses = [math.nan] * len(candidates)
    for report in prepared.reports(trainer, steps=steps):
        for member, values in report.costs.items():
            costs[member] += values.tolist()
        for member, reading in report.readings.items():
            val_losses[member] = reading.val_loss
    traces = []
    for member, run in enumerate(trainer.runs()):
        step = None if run.explosion is None else run.explosion.step
        exploded = step is not None
        weights = {} if exploded else trainer.weights(member)
        loss = math.nan if exploded else val_losses[member]
        traces.append(MemberTrace(np.asarray(costs[member], np.float64), loss, step, weights))
    return trainer, traces


class _Compared(NamedTuple):
    agreement: MemberAgreement
    ours: Tensors
    alone: Tensors


class _Reason(NamedTuple):
    cause: str = ""
    equal: bool = True
    exact: float = math.nan
    growth: float = math.nan


class _Population:
    """Members that trained together, to be compared with each member alone."""

    def __init__(self, prepared: Prepared, candidates: Sequence[Candidate], steps: int) -> None:
        self._prepared, self._candidates, self._steps = prepared, candidates, steps
        self.trainer, self._traces = _train(prepared, candidates, steps)

    def compare(self, place: int) -> _Compared:
        """Compares a member with itself alone; where they differ, finds the reason."""
        ours, alone = self._traces[place], self._alone(self._prepared, self._candidates[place])
        differences = loss_differences(ours, alone)
        largest, step = float(differences.max()), min(int(differences.argmax()) + 1, len(alone.costs))
        within = largest <= TOLERANCE and ours.explosion == alone.explosion
        reason = _Reason() if within else self._reason(place, ours, alone)
        values = cast(Mapping[str, Value], self._candidates[place].hyperparameters)
        explosions = (ours.explosion, alone.explosion)
        agreement = MemberAgreement(
            dict(values), largest, step, explosions, reason.exact, reason.growth, reason.cause, reason.equal
        )
        return _Compared(agreement, ours.weights, alone.weights)

    def _alone(self, prepared: Prepared, candidate: Candidate) -> MemberTrace:
        return _train(prepared, [candidate], self._steps, ALONE)[1][0]

    def _reason(self, place: int, ours: MemberTrace, alone: MemberTrace) -> _Reason:
        candidate = self._candidates[place]
        again = self._alone(self._prepared, candidate)
        if again.explosion != alone.explosion or loss_differences(again, alone).max() > TOLERANCE:
            return _Reason(_OWN_STATE, False)
        exact = self._exact(place)
        if exact is not None and exact > EXACT_TOLERANCE:
            return _Reason(_SHARED, False, exact)
        if exact is not None:
            # At the first step there was no training yet that could have amplified rounding.
            precise = loss_differences(ours, alone)[0] <= TOLERANCE
            return _Reason(_ROUNDING if precise else _IMPRECISE, bool(precise), exact)
        nudged = self._alone(self._prepared, _nudged(self._prepared, candidate))
        chaotic = is_own_chaos(ours, alone, nudged)
        growth = float(loss_differences(nudged, alone).max())
        return _Reason(_CHAOTIC if chaotic else _SHARED, chaotic, growth=growth)

    def _exact(self, place: int) -> float | None:
        """Returns the largest difference in float64; None for a model that cannot run in it."""
        if self._double is None:
            return None
        prepared, candidates, traces = self._double
        alone = self._alone(prepared, candidates[place])
        if traces[place].explosion != alone.explosion:
            return math.inf
        return float(loss_differences(traces[place], alone).max())

    @cached_property
    def _double(self) -> tuple[Prepared, list[Candidate], list[MemberTrace]] | None:
        """The same population in float64, computed in the same way."""
        double = _Double(**{field.name: getattr(self._prepared, field.name) for field in fields(Prepared)})
        candidates = [
            candidate._replace(model=copy.deepcopy(candidate.model).double())
            for candidate in self._candidates
        ]
        try:
            trainer, traces = _train(double, candidates, self._steps)
            self._alone(double, candidates[0])
        except Exception:  # a user's model may insist on float32 anywhere
            return None
        return (double, candidates, traces) if trainer.lowering.kind == self.trainer.lowering.kind else None


class _Double(Prepared):
    """The same recipe with all its data in float64."""

    @cached_property
    def evaluation(self) -> Evaluation:
        """The rows that accuracies are measured on."""
        train_x, train_y, val_x, val_y = super().evaluation
        return Evaluation(train_x.double(), _doubled(train_y), val_x.double(), _doubled(val_y))

    def batches(self, batch_size: int) -> Batches:
        """Returns the same mini-batches in float64."""
        return _DoubleBatches(self.dataset, batch_size, seed=derive(self.seed, "order"))


class _DoubleBatches(Batches):
    def epoch(self, epoch: int) -> Iterator[Batch]:
        for x, y in super().epoch(epoch):
            yield _doubled(x), _doubled(y)


def _doubled(rows: Tensor) -> Tensor:
    return rows.double() if rows.is_floating_point() else rows


def _nudged(prepared: Prepared, candidate: Candidate) -> Candidate:
    """Returns the candidate with its initial weights changed in the last digits of float32."""
    model: nn.Module = copy.deepcopy(candidate.model)
    generator = torch.Generator().manual_seed(derive(prepared.seed, "verify", "nudge"))
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.mul_((1 + NUDGE * noise).to(parameter))
    return candidate._replace(model=model)


def compare_ranking(prepared: Prepared, *, trials: int, epochs: int = 1) -> RankAgreement:
    """Trains the same trials in float32 and in the prepared precision, and compares how they rank.

    Args:
        prepared: the recipe with its data; its precision is the one compared with float32.
        trials: their number, drawn from the recipe's space.
        epochs: of each. Default: 1.
    """
    ours = _trained(replace(prepared, precision=FLOAT32), trials, epochs)
    theirs = _trained(prepared, trials, epochs)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.run.best and b.run.best]
    losses = []
    for a, b in pairs:
        own, other = a.run.readings[-1].val_loss, b.run.readings[-1].val_loss
        losses.append(abs(own - other) / abs(own) if own else abs(other))
    best = ranked(ours)[:1], ranked(theirs)[:1]
    scores = {result.trial.key: result.score for result in ours}
    same = bool(best[0] and best[1]) and scores[best[1][0].trial.key] == best[0][0].score
    exploded = [sum(result.run.state is State.EXPLODED for result in found) for found in (ours, theirs)]
    return RankAgreement(
        prepared.precision,
        remark(prepared.precision),
        trials,
        epochs,
        rank_correlation([result.score for result in ours], [result.score for result in theirs]),
        max(losses, default=math.nan),
        sum(losses) / len(losses) if losses else math.nan,
        (best[0][0].trial.key if best[0] else None, best[1][0].trial.key if best[1] else None),
        same,
        (exploded[0], exploded[1]),
    )


def _trained(prepared: Prepared, count: int, epochs: int) -> list[Result]:
    """Trains trials; returns their results, in the order in which they were drawn."""
    trials = draw_trials(prepared.recipe.full_space(), stage=0, count=count, seed=prepared.seed)
    candidates = [prepared.candidate(trial.hyperparameters, ("trial", *trial.key)) for trial in trials]
    found: dict[int, Result] = {}
    for group in groups(candidates):
        trainer = prepared.trainer_of([candidates[index] for index in group], epochs)
        for _ in prepared.reports(trainer):
            pass
        found |= {index: Result(trials[index], run) for index, run in zip(group, trainer.runs(), strict=True)}
    return [found[index] for index in range(count)]
