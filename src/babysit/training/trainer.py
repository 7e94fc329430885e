"""The training loop of a population: batches, forward, cost, explosion rule, update, evaluation.

The trainer decides nothing about the run beyond the explosion rule, writes nowhere and prints nothing: it
yields one report per epoch, and whoever iterates may record it, draw it, drop members or stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from babysit.data.batches import Batches, Examples
from babysit.nn.dropout import mix
from babysit.records import CommandKind, Explosion, Reading, Run, State, score
from babysit.training.denormals import denormals_flushed
from babysit.training.evaluation import Evaluation, Score, measure, measure_folds
from babysit.training.gradients import Dense, Gradient, Penalized, bias_gradient, missing, outer_product
from babysit.training.history import History
from babysit.training.losses import weighted_mean
from babysit.training.lowering import Forward, lower
from babysit.training.observer import Moment, Observer
from babysit.training.plan import EXPLOSION_LIMIT as EXPLOSION_LIMIT
from babysit.training.plan import Candidate as Candidate
from babysit.training.plan import EpochReport as EpochReport
from babysit.training.plan import FoldRows as FoldRows
from babysit.training.plan import Plan as Plan
from babysit.training.plan import rates_of
from babysit.training.population import Tensors, stack
from babysit.training.precision import Precision, forward_context, precise, precision_named
from babysit.training.regularization import REGULARIZATION, penalty, project
from babysit.training.requests import Requests, no_requests
from babysit.training.schedules import WARM_UP, warm_up
from babysit.training.tape import Tape


class Trainer:
    """Trains P models of one architecture with one pass over the data.

    cost = data loss + 1/2 * l2 * sum(W^2) + l1 * sum(|W|), the batch's, before its update; accuracies are
    measured after it. Member k ends as the same candidate trained alone, to float tolerance.

    Args:
        candidates: the members; equal ``population.signature``.
        plan: loss, update rule, schedule, epochs.
        batches: the mini-batches, shared by all members.
        evaluation: the rows for the accuracies.
        keep_best: keep a copy of each member's weights at its best validation score.
        way: how the members compute together, "fused", "vmap" or "serial"; the fastest by default.
        folds: which fold each row belongs to; None, the default, where no candidate
            has a fold. A member's batch cost is then the mean over the examples it keeps, its training
            accuracy that on kept examples, its validation score that on those it never trained on.

    Attributes:
        observer: who may look at some steps; it changes nothing. Nobody by default.
        requests: asked before an epoch and at each judgement of the costs, what is to be done to which
            members. To the others it makes no difference. Nobody asks by default.

    Raises:
        RecipeError: when the models do not share an architecture.

    Example:
        >>> from babysit.data.sources import digits
        >>> from babysit.nn.networks import two_layer
        >>> from babysit.training.evaluation import evaluation_of
        >>> from babysit.training.losses import LOSSES
        >>> from babysit.training.schedules import SCHEDULES
        >>> from babysit.training.updates import UPDATES
        >>> data = digits()
        >>> plan = Plan(LOSSES["softmax"], UPDATES["sgd"], SCHEDULES["constant"], epochs=1)
        >>> rates = [1e-3, 1e-2, 1e3]
        >>> members = [Candidate(two_layer(64), {"learning_rate": rate}) for rate in rates]
        >>> trainer = Trainer(members, plan, Batches(data, 100, seed=0), evaluation_of(data, seed=0))
        >>> for report in trainer.epochs():
        ...     sorted(report.readings), sorted(report.exploded)
        ([0, 1], [2])
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        plan: Plan,
        batches: Batches,
        evaluation: Evaluation,
        *,
        keep_best: bool = False,
        way: str | None = None,
        folds: FoldRows | None = None,
    ) -> None:
        self._folds = None if folds is None else [torch.from_numpy(rows).to(plan.device) for rows in folds]
        self.plan, self.batches, self.keep_best = plan, batches, keep_best
        self.evaluation = evaluation.to(plan.device)
        self.population = stack([candidate.model for candidate in candidates], plan.device)
        self.lowering = lower(self.population, self.evaluation.train_x[:2].to(plan.device), way)
        self._precision = precision_named(plan.precision, torch.device(plan.device).type)
        self._forward = _at_precision(self.lowering.forward, self._precision, torch.device(plan.device).type)
        self._draws = self.population.has_dropout or self.lowering.kind == "serial"
        self.epoch = self.step = 0
        self.alive = list(range(len(candidates)))
        self._members = [History() for _ in candidates]
        self._elapsed = 0.0
        self.observer: Observer | None = None
        self.requests: Requests = no_requests
        self.population.slots.add(self._member_tensors(candidates))
        self._look()

    def _member_tensors(self, candidates: Sequence[Candidate]) -> Tensors:
        """What the trainer itself knows of every member, as tensors of the population's slots."""
        size, device = len(candidates), self.plan.device
        found = {
            "member_keys": torch.tensor([candidate.key for candidate in candidates], dtype=torch.int64),
            "limits": torch.full((size,), math.inf, dtype=torch.float64),
            "costs": torch.zeros(size, self.batches.steps_per_epoch, dtype=torch.float64),
        }
        if self._folds is not None:
            found["fold"] = torch.tensor([candidate.fold for candidate in candidates], dtype=torch.int64)
        found |= {f"rates/{name}": rate for name, rate in rates_of(candidates, self.plan).items()}
        for name in self.population.trained:
            state = self.plan.update.init(self.population.parameters[name].detach())
            found |= {f"update/{name}/{part}": value for part, value in state.items()}
        return {name: value.to(device) for name, value in found.items()}

    def _look(self) -> None:
        """Takes fresh views of the members that are there."""
        slots = self.population.slots
        rates = slots.under("rates/")
        # What nobody uses is left out, so that nobody spends a pass over memory on it.
        unused = {name for name in (*REGULARIZATION, WARM_UP) if not rates[name].any()}
        self.rates = {name: rate for name, rate in rates.items() if name not in unused}
        self._update_state = {name: slots.under(f"update/{name}/") for name in self.population.trained}
        self._weights = [self.population.parameters[name] for name in self.population.weights]

    def epochs(self, *, steps: int | None = None) -> Iterator[EpochReport]:
        """Trains until all epochs are done or no member is left, yielding a report after each epoch.

        Args:
            steps: stop after so many steps in all, in the middle of an epoch if need be.
        """
        while self.epoch < self.plan.epochs and self.alive and self.step < (steps or math.inf):
            started = time.perf_counter()
            with denormals_flushed(), precise(self._precision.name):
                report = self._train_epoch(steps or math.inf)
            self._elapsed += time.perf_counter() - started
            for member in (*report.readings, *report.cut_short):
                self._members[member].seconds = self._elapsed
            yield report

    def rehearse(self, x: Tensor, y: Tensor, steps: int) -> None:
        """Trains so many steps on one batch, for the clock; the trainer is not to be used afterwards."""
        self.population.template.train()
        with denormals_flushed(), precise(self._precision.name):
            for _ in range(steps):
                self._train_step(x.to(self.plan.device), y.to(self.plan.device), 1)

    def drop(self, members: Sequence[int], state: State) -> None:
        """Ends some members early, e.g. as pruned or stopped; the others train on undisturbed."""
        for member in members:
            self._members[member].dropped = state
        leaving = set(members)
        self._release([slot for slot, member in enumerate(self.alive) if member in leaving])

    def absorb(self, other: Trainer) -> list[int]:
        """Takes in the members of another trainer of the same plan, batches and age, in the free slots.

        Populations that explosions and pruning have thinned out train faster as one; no member's result
        depends on who trains beside it, so none changes. The other trainer is not to be used any more.

        Returns:
            The numbers that the other's members have here, in their order there.
        """
        first = len(self._members)
        self.population.admit(other.population)
        self.alive += [first + member for member in other.alive]
        self._members += other._members
        self._look()
        return list(range(first, len(self._members)))

    def runs(self) -> list[Run]:
        """The summary of every member so far, in the order given."""
        finished = self.epoch >= self.plan.epochs
        return [member.run(finished) for member in self._members]

    def weights(self, member: int) -> Tensors:
        """A member's state dict: at its best validation score if those are kept, else as it is now."""
        kept = self._members[member]
        return kept.best if kept.best else self.population.member(self.alive.index(member))

    def snapshot(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that the next epoch depends on, as tensors and as plain data; ``restore`` takes both."""
        slots = self.population.slots
        tensors = {name: slots[name].detach() for name in slots if name not in _OF_ONE_EPOCH}
        for member, kept in enumerate(self._members):
            tensors |= {f"best/{member}/{name}": value for name, value in kept.best.items()}
        data = {
            "epoch": self.epoch,
            "step": self.step,
            "alive": self.alive,
            "elapsed": self._elapsed,
            "members": [member.as_data() for member in self._members],
        }
        return tensors, data

    def restore(self, tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> None:
        """Puts a snapshot back into a trainer made with the same arguments; training goes on bit for bit."""
        self.population.load(tensors)
        self._look()
        self.alive = list(data["alive"])
        self.epoch, self.step, self._elapsed = data["epoch"], data["step"], data["elapsed"]
        self._members = [History.from_data(entry) for entry in data["members"]]
        for key, value in tensors.items():
            if key.startswith("best/"):
                _, member, name = key.split("/", 2)
                self._members[int(member)].best[name] = value.clone()

    def costs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The data loss (with its graph) and the full cost of every member on one batch, each [P]."""
        return self._costs(x.to(self.plan.device), y.to(self.plan.device), None)

    def _costs(
        self, x: Tensor, y: Tensor, tape: Tape | None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        outputs = self._forward(self.population.parameters, self.population.buffers, x, tape)
        losses = self.plan.loss.per_example(outputs, y)
        data_loss = losses.mean(1) if weights is None else weighted_mean(losses, weights)
        with torch.no_grad():
            cost = data_loss.double()
            return data_loss, cost + penalty(self._weights, self.rates) if self._weights else cost

    def _train_epoch(self, last_step: float) -> EpochReport:
        epoch = _Epoch(self.step + 1, dict.fromkeys(self.alive, ()), {}, [])
        self._heed(epoch)
        if self.alive:
            self._train_steps(epoch, last_step)
        self.epoch += 1
        self._close(epoch)
        readings = self._evaluate(epoch)
        arrays = {member: np.asarray(costs, dtype=np.float32) for member, costs in epoch.costs.items()}
        return EpochReport(self.epoch, readings, epoch.exploded, epoch.first_step, arrays, epoch.stopped)

    def _train_steps(self, epoch: _Epoch, last_step: float) -> None:
        self.population.template.train()
        rows = iter(()) if self._folds is None else self.batches.rows(self.epoch + 1)
        for count, (x, y) in enumerate(self.batches.epoch(self.epoch + 1), start=1):
            weights = None if self._folds is None else self._keeps(self._folds[0][next(rows)]).to(x.dtype)
            self._train_step(x.to(self.plan.device), y.to(self.plan.device), count, weights)
            last = count == self.batches.steps_per_epoch or self.step >= last_step
            if last or count % _steps_between_judgements(self.plan.device) == 0:
                self._judge(epoch, count)
                if not last:  # an epoch that is done is evaluated first
                    self._heed(epoch)
            if last or not self.alive:
                break

    def _keeps(self, fold_of: Tensor) -> Tensor:
        """Which of some rows each member trains on, bool [P, rows]."""
        return fold_of != self.population.slots["fold"].unsqueeze(1)

    def _train_step(self, x: Tensor, y: Tensor, count: int, weights: Tensor | None = None) -> None:
        self.step += 1
        if self._draws:
            self.population.set_keys(mix(self.population.slots["member_keys"] + self.step))
        tape: Tape = []
        data_loss, cost = self._costs(x, y, tape, weights)
        gradients = self._gradients(data_loss, tape)
        self.population.slots["costs"][:, count - 1] = cost
        if self.step == 1:
            # A cost that starts at NaN has a NaN limit, which no cost satisfies: it explodes at once.
            limits = torch.where(cost.isfinite(), cost.abs() * self.plan.explosion_limit, math.nan)
            if weights is not None:  # a cost of no example is no measure
                limits = torch.where(weights.any(1), limits, math.inf)
            self.population.slots["limits"].copy_(limits)
        moment = self._moment(x, gradients)
        with torch.no_grad():
            if moment is None or self.observer is None:
                self._update(gradients)
                return
            self.observer.before(moment)
            self._update(gradients)
            self.observer.after(moment)

    def _moment(self, x: Tensor, gradients: Mapping[str, Gradient]) -> Moment | None:
        """The current step for an observer that wants to see it."""
        if self.observer is None or not self.observer.wants(self.step):
            return None
        return Moment(
            self.step,
            tuple(self.alive),
            self.population.template,
            self.population.parameters,
            self.population.buffers,
            gradients,
            x,
            self._learning_rate(),
        )

    def _gradients(self, data_loss: Tensor, tape: Tape) -> dict[str, Gradient]:
        """The data loss's gradient of every trained parameter; those of tapped layers stay factored."""
        parameters, tapped = self.population.parameters, _parameters_of(tape)
        plain = [name for name in self.population.trained if name not in tapped]
        wanted = [tap.outputs for tap in tape] + [parameters[name] for name in plain]
        # The sum over members: a mean would scale every member's gradient by 1/P.
        found = torch.autograd.grad(data_loss.sum(), wanted, allow_unused=True)
        gradients: dict[str, Gradient] = {}
        for tap, errors in zip(tape, found, strict=False):
            if errors is not None:
                gradients[tap.weight] = outer_product(errors, tap.inputs, shared=tap.shared)
                if tap.bias is not None:
                    gradients[tap.bias] = bias_gradient(errors)
        for name, value in zip(plain, found[len(tape) :], strict=True):
            if value is not None:
                gradients[name] = Dense(value)
        return {name: gradients.get(name) or missing(parameters[name]) for name in self.population.trained}

    def _update(self, gradients: Mapping[str, Gradient]) -> None:
        rates = {**self.rates, "learning_rate": self._learning_rate()}
        weights = set(self.population.weights)
        for name, gradient in gradients.items():
            parameter, state = self.population.parameters[name], self._update_state[name]
            if name in weights:
                self.plan.update.update(parameter, Penalized(gradient, parameter, rates), state, rates)
                project(parameter, rates)
            else:
                self.plan.update.update(parameter, gradient, state, rates)

    def _learning_rate(self) -> Tensor:
        """The learning rate of the current step, [P]."""
        per_epoch = self.batches.steps_per_epoch
        factor = self.plan.schedule.factor((self.step - 1) / per_epoch, self.plan.epochs, self.rates)
        rate = self.rates["learning_rate"] * factor
        return rate * warm_up(self.step / per_epoch, self.rates) if WARM_UP in self.rates else rate

    def _judge(self, epoch: _Epoch, count: int) -> None:
        """Applies the explosion rule to the steps since the last judgement; the exploded leave."""
        recent = self.population.slots["costs"][:, epoch.judged : count]
        limits = self.population.slots["limits"].unsqueeze(1)
        bad = ~((recent <= limits) & recent.isfinite())
        if bool(bad.any()):
            for slot in bad.any(1).nonzero().flatten().tolist():
                first_bad = epoch.judged + int(bad[slot].int().argmax())
                self._explode(epoch, slot, first_bad)
            self._release(bad.any(1).nonzero().flatten().tolist())
        epoch.judged = count

    def _heed(self, epoch: _Epoch) -> None:
        """Does what is asked of members; the stopped leave as the exploded do."""
        stopped: set[int] = set()
        for request in self.requests(self.alive):
            slot = self.alive.index(request.member)
            if slot in stopped:  # what comes after a stop finds nobody
                continue
            if request.touch.kind is CommandKind.STOP:
                stopped.add(slot)
            else:
                self.population.slots["rates/learning_rate"][slot] *= request.touch.argument
            touch = replace(request.touch, step=self.step)
            self._members[request.member].touches.append(touch)
            request.done(self.step)
        for slot in stopped:
            self._stop(epoch, slot)
        if stopped:
            self._release(sorted(stopped))

    def _stop(self, epoch: _Epoch, slot: int) -> None:
        """Writes down that the member in a slot was stopped by hand after the last judged step."""
        member = self.alive[slot]
        costs = self.population.slots["costs"][slot, : epoch.judged].tolist()
        history = self._members[member]
        history.dropped, history.steps = State.STOPPED, self.step
        if costs:
            history.begin(costs[0], epoch.first_step)
        epoch.stopped.append(member)
        epoch.costs[member] = costs

    def _explode(self, epoch: _Epoch, slot: int, index: int) -> None:
        """Writes down that the member in a slot exploded at the epoch's step of that index, from 0."""
        member = self.alive[slot]
        costs = self.population.slots["costs"][slot, : index + 1].tolist()
        history, step = self._members[member], epoch.first_step + index
        history.begin(costs[0], epoch.first_step)
        history.steps = step
        history.explosion = Explosion(step, self.epoch + 1, costs[-1], history.first_cost)
        epoch.exploded[member], epoch.costs[member] = history.explosion, costs

    def _close(self, epoch: _Epoch) -> None:
        """Writes down the costs of those that came through the epoch."""
        rows = self.population.slots["costs"][:, : epoch.judged].tolist()
        for member, costs in zip(self.alive, rows, strict=True):
            self._members[member].begin(costs[0], epoch.first_step)
            self._members[member].steps = self.step
            epoch.costs[member] = costs

    def _release(self, slots: Sequence[int]) -> None:
        order = self.population.release(slots)
        self.alive = [self.alive[slot] for slot in order]
        self._look()

    def _evaluate(self, epoch: _Epoch) -> dict[int, Reading]:
        """Readings of the members that are alive; one whose outputs are no numbers explodes here."""
        if not self.alive:
            return {}
        self.population.template.eval()
        train, val = self._measured()
        readings, lost = {}, []
        for slot, (member, rate) in enumerate(zip(self.alive, self._learning_rate().tolist(), strict=True)):
            history = self._members[member]
            if not math.isfinite(val.loss[slot]):
                history.explosion = epoch.exploded[member] = Explosion(
                    self.step, self.epoch, val.loss[slot], history.first_cost
                )
                lost.append(slot)
                continue
            readings[member] = Reading(
                self.epoch,
                self.step,
                epoch.costs[member][-1],
                train.accuracy[slot],
                val.accuracy[slot],
                rate,
                val.loss[slot],
            )
            history.readings.append(readings[member])
            self._remember_best(slot, member, readings[member])
        if lost:
            self._release(lost)
        return readings

    def _measured(self) -> tuple[Score, Score]:
        """Every member on the training sample and on validation; of folds, on what it keeps and holds out."""
        found = self.evaluation
        if self._folds is None:
            return self._measure(found.train_x, found.train_y), self._measure(found.val_x, found.val_y)
        train, sample = self._folds
        fold = self.population.slots["fold"]
        same = (self.population, self._forward, self.plan.loss)
        return (
            measure_folds(*same, found.train_x, found.train_y, fold, lambda held: sample != held),
            measure_folds(*same, found.val_x, found.val_y, fold, lambda held: train == held),
        )

    def _measure(self, x: Examples, y: Tensor) -> Score:
        return measure(self.population, self._forward, self.plan.loss, x, y)

    def _remember_best(self, slot: int, member: int, reading: Reading) -> None:
        history = self._members[member]
        if self.keep_best and score(reading) > history.best_score:
            history.best_score, history.best = score(reading), self.population.member(slot)


def _at_precision(forward: Forward, precision: Precision, device: str) -> Forward:
    """The forward pass as the precision wants it; the loss is always computed in full."""
    if precision.autocast is None:
        return forward

    def cast(parameters: Tensors, buffers: Tensors, x: Tensor, tape: Tape | None = None) -> Tensor:
        # No tape: the factors would be of the cast type, and their product belongs to float32 weights.
        with forward_context(precision.name, device):
            return forward(parameters, buffers, x).float()

    return cast


_OF_ONE_EPOCH = frozenset({"costs"})


@dataclass(slots=True)
class _Epoch:
    """One epoch in the making.

    Attributes:
        first_step: its first step, from 1.
        costs: member -> the cost of each of its steps, once known.
        exploded: member -> explosion.
        stopped: members that were stopped by hand.
        judged: how many of its steps the explosion rule has seen.
    """

    first_step: int
    costs: dict[int, Sequence[float]]
    exploded: dict[int, Explosion]
    stopped: list[int]
    judged: int = 0


def _steps_between_judgements(device: str) -> int:
    """A look at the costs makes an accelerator wait for all it was given, and costs a small network a tenth
    of its step; a member that exploded meanwhile trains on for nobody.
    """
    return 8 if torch.device(device).type == "cpu" else 32


def _parameters_of(tape: Tape) -> set[str]:
    return {tap.weight for tap in tape} | {tap.bias for tap in tape if tap.bias is not None}
