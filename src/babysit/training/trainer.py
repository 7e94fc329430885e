"""The training loop of a population: batches, forward, cost, explosion rule, update, evaluation.

The trainer makes no decision about the run except the explosion rule, and neither writes nor prints: it
yields one report per epoch, and the caller may record it, draw it, drop members or stop.
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

from babysit.data.batches import Batches
from babysit.nn.dropout import mix
from babysit.records import CommandKind, Explosion, Reading, Run, State, score
from babysit.training.evaluation import Evaluation, measure, measure_folds
from babysit.training.gradient_tape import GradientTape
from babysit.training.gradients import Dense, Gradient, Penalized, bias_gradient, missing, outer_product
from babysit.training.history import MemberHistory
from babysit.training.losses import weighted_mean
from babysit.training.lowering import Forward, lower
from babysit.training.observer import Moment, Observer
from babysit.training.plan import Candidate as Candidate
from babysit.training.plan import EpochReport as EpochReport
from babysit.training.plan import FoldRows as FoldRows
from babysit.training.plan import Plan as Plan
from babysit.training.plan import rates_of
from babysit.training.population import Tensors, stack
from babysit.training.precision import (
    Precision,
    denormals_flushed,
    forward_context,
    precise,
    precision_named,
)
from babysit.training.regularization import REGULARIZATION, penalty, project
from babysit.training.requests import Requests, no_requests
from babysit.training.schedules import WARM_UP, warm_up


class Trainer:
    """Trains P models of one architecture with one pass over the data.

    cost = data loss + 1/2 * l2 * sum(W^2) + l1 * sum(|W|), the batch's, before its update; accuracies are
    measured after it. Member k ends as the same candidate trained alone, to float tolerance.

    Args:
        candidates: the members; equal ``population.signature``.
        plan: loss, update rule, schedule, epochs.
        batches: the mini-batches, shared by all members.
        evaluation: the rows for the accuracies.
        keep_best: keep a copy of each member's weights at its best validation score. Default: False.
        way: how the members compute together, "fused", "vmap" or "serial". Default: the fastest.
        folds: the fold of each row, where candidates have a fold. A member's batch cost is then the mean over
            the examples it keeps, its training accuracy that on kept examples, and its validation score that
            on examples it never trained on. Default: None.

    Attributes:
        observer: receives selected steps, read-only. Default: None.
        requests: called before an epoch and whenever the explosion rule is applied; returns the changes to
            members. Other members are not affected. Default: no requests.

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
        self._members = [MemberHistory() for _ in candidates]
        self._elapsed = 0.0
        self.observer: Observer | None = None
        self.requests: Requests = no_requests
        self.population.tensors.add(self._member_tensors(candidates))
        self._refresh_views()

    def _member_tensors(self, candidates: Sequence[Candidate]) -> Tensors:
        """Builds the trainer's own tensors with a member axis: keys, limits, costs, rates, update state."""
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

    def _refresh_views(self) -> None:
        tensors = self.population.tensors
        rates = tensors.under("rates/")
        # A rate that is 0 for all members is left out: it would cost a pass over memory.
        unused = {name for name in (*REGULARIZATION, WARM_UP) if not rates[name].any()}
        self.rates = {name: rate for name, rate in rates.items() if name not in unused}
        self._update_state = {name: tensors.under(f"update/{name}/") for name in self.population.trained}
        self._weights = [self.population.parameters[name] for name in self.population.weights]

    def epochs(self, *, steps: int | None = None) -> Iterator[EpochReport]:
        """Trains until all epochs are done or no member is left, yielding a report after each epoch.

        Args:
            steps: stop after this many steps in total, even in the middle of an epoch. Default: None.
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
        """Trains this many steps on one batch, to measure time; the trainer is unusable afterwards."""
        self.population.template.train()
        with denormals_flushed(), precise(self._precision.name):
            for _ in range(steps):
                self._train_step(x.to(self.plan.device), y.to(self.plan.device), 1)

    def drop(self, members: Sequence[int], state: State) -> None:
        """Ends some members early, e.g. as pruned or stopped; the others are not affected."""
        for member in members:
            self._members[member].dropped = state
        leaving = set(members)
        self._release([slot for slot, member in enumerate(self.alive) if member in leaving])

    def absorb(self, other: Trainer) -> list[int]:
        """Adds the members of another trainer of the same plan, batches and epoch, in the free slots.

        Two populations that have lost members train faster as one. No member's result depends on the other
        members, so no result changes. The other trainer is unusable afterwards.

        Returns:
            The numbers of the added members here, in the order of the other trainer.
        """
        first = len(self._members)
        self.population.admit(other.population)
        self.alive += [first + member for member in other.alive]
        self._members += other._members
        self._refresh_views()
        return list(range(first, len(self._members)))

    def runs(self) -> list[Run]:
        """Returns the summary of every member so far, in the order given."""
        finished = self.epoch >= self.plan.epochs
        return [member.run(finished) for member in self._members]

    def weights(self, member: int) -> Tensors:
        """Returns a member's state dict, at its best validation score if that is kept, else as it is now."""
        kept = self._members[member]
        return kept.best if kept.best else self.population.member(self.alive.index(member))

    def snapshot(self) -> tuple[Tensors, dict[str, Any]]:
        """Returns the state for ``restore``, as tensors and as plain data."""
        stacked = self.population.tensors
        # The costs belong to one epoch only.
        tensors = {name: stacked[name].detach() for name in stacked if name != "costs"}
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
        """Restores a snapshot in a trainer made with the same arguments; training continues bit for bit."""
        self.population.load(tensors)
        self._refresh_views()
        self.alive = list(data["alive"])
        self.epoch, self.step, self._elapsed = data["epoch"], data["step"], data["elapsed"]
        self._members = [MemberHistory.from_data(entry) for entry in data["members"]]
        for key, value in tensors.items():
            if key.startswith("best/"):
                _, member, name = key.split("/", 2)
                self._members[int(member)].best[name] = value.clone()

    def costs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the data loss (with its graph) and the full cost of every member on one batch, each [P]."""
        return self._costs(x.to(self.plan.device), y.to(self.plan.device), None)

    def _costs(
        self, x: Tensor, y: Tensor, tape: GradientTape | None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        outputs = self._forward(self.population.parameters, self.population.buffers, x, tape)
        losses = self.plan.loss.per_example(outputs, y)
        data_loss = losses.mean(1) if weights is None else weighted_mean(losses, weights)
        with torch.no_grad():
            cost = data_loss.double()
            return data_loss, cost + penalty(self._weights, self.rates) if self._weights else cost

    def _train_epoch(self, last_step: float) -> EpochReport:
        epoch = _Epoch(self.step + 1, dict.fromkeys(self.alive, ()), {}, [])
        self._apply_requests(epoch)
        if self.alive:
            self._train_steps(epoch, last_step)
        self.epoch += 1
        rows = self.population.tensors["costs"][:, : epoch.judged].tolist()
        for member, costs in zip(self.alive, rows, strict=True):
            self._members[member].begin(costs[0], epoch.first_step)
            self._members[member].steps = self.step
            epoch.costs[member] = costs
        readings = self._evaluate(epoch)
        arrays = {member: np.asarray(costs, dtype=np.float32) for member, costs in epoch.costs.items()}
        return EpochReport(self.epoch, readings, epoch.exploded, epoch.first_step, arrays, epoch.stopped)

    def _train_steps(self, epoch: _Epoch, last_step: float) -> None:
        self.population.template.train()
        rows = iter(()) if self._folds is None else self.batches.rows(self.epoch + 1)
        for count, (x, y) in enumerate(self.batches.epoch(self.epoch + 1), start=1):
            weights = None
            if self._folds is not None:  # [P, rows], 1 for an example that the member trains on
                fold_of, held_out = self._folds[0][next(rows)], self.population.tensors["fold"]
                weights = (fold_of != held_out.unsqueeze(1)).to(x.dtype)
            self._train_step(x.to(self.plan.device), y.to(self.plan.device), count, weights)
            last = count == self.batches.steps_per_epoch or self.step >= last_step
            if last or count % _steps_between_judgements(self.plan.device) == 0:
                self._apply_explosion_rule(epoch, count)
                if not last:  # after the last step the epoch is evaluated first
                    self._apply_requests(epoch)
            if last or not self.alive:
                break

    def _train_step(self, x: Tensor, y: Tensor, count: int, weights: Tensor | None = None) -> None:
        self.step += 1
        if self._draws:
            self.population.set_keys(mix(self.population.tensors["member_keys"] + self.step))
        tape: GradientTape = []
        data_loss, cost = self._costs(x, y, tape, weights)
        gradients = self._gradients(data_loss, tape)
        self.population.tensors["costs"][:, count - 1] = cost
        if self.step == 1:
            # A cost that starts at NaN has a NaN limit, which no cost satisfies: it explodes at once.
            limits = torch.where(cost.isfinite(), cost.abs() * self.plan.explosion_limit, math.nan)
            if weights is not None:  # a cost of no examples gives no limit
                limits = torch.where(weights.any(1), limits, math.inf)
            self.population.tensors["limits"].copy_(limits)
        observer = self.observer if self.observer is not None and self.observer.wants(self.step) else None
        if observer is not None:
            moment = Moment(
                self.step,
                tuple(self.alive),
                self.population.template,
                self.population.parameters,
                self.population.buffers,
                gradients,
                x,
                self._learning_rate(),
            )
        with torch.no_grad():
            if observer is not None:
                observer.before(moment)
            self._update(gradients)
            if observer is not None:
                observer.after(moment)

    def _gradients(self, data_loss: Tensor, tape: GradientTape) -> dict[str, Gradient]:
        """Computes the data loss's gradient of every trained parameter, as products for recorded layers."""
        parameters = self.population.parameters
        recorded = {name for record in tape for name in (record.weight, record.bias)}
        plain = [name for name in self.population.trained if name not in recorded]
        wanted = [record.outputs for record in tape] + [parameters[name] for name in plain]
        # The sum over members: a mean would scale every member's gradient by 1/P.
        found = torch.autograd.grad(data_loss.sum(), wanted, allow_unused=True)
        gradients: dict[str, Gradient] = {}
        for record, errors in zip(tape, found, strict=False):
            if errors is not None:
                gradients[record.weight] = outer_product(errors, record.inputs, shared=record.shared)
                if record.bias is not None:
                    gradients[record.bias] = bias_gradient(errors)
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
        """Computes the learning rate of the current step, [P]."""
        per_epoch = self.batches.steps_per_epoch
        factor = self.plan.schedule.factor((self.step - 1) / per_epoch, self.plan.epochs, self.rates)
        rate = self.rates["learning_rate"] * factor
        return rate * warm_up(self.step / per_epoch, self.rates) if WARM_UP in self.rates else rate

    def _apply_explosion_rule(self, epoch: _Epoch, count: int) -> None:
        """Removes the members that exploded since the last check, up to the epoch's step ``count``."""
        recent = self.population.tensors["costs"][:, epoch.judged : count]
        limits = self.population.tensors["limits"].unsqueeze(1)
        bad = ~((recent <= limits) & recent.isfinite())
        if bool(bad.any()):
            slots = bad.any(1).nonzero().flatten().tolist()
            for slot in slots:
                index = epoch.judged + int(bad[slot].int().argmax())  # of the first bad step, from 0
                member, step = self.alive[slot], epoch.first_step + index
                costs = self.population.tensors["costs"][slot, : index + 1].tolist()
                history = self._members[member]
                history.begin(costs[0], epoch.first_step)
                history.steps = step
                history.explosion = Explosion(step, self.epoch + 1, costs[-1], history.first_cost)
                epoch.exploded[member], epoch.costs[member] = history.explosion, costs
            self._release(slots)
        epoch.judged = count

    def _apply_requests(self, epoch: _Epoch) -> None:
        """Applies the requests to members, and removes those that are stopped."""
        stopped: set[int] = set()
        for request in self.requests(self.alive):
            slot = self.alive.index(request.member)
            if slot in stopped:  # a request after a stop has no effect
                continue
            if request.touch.kind is CommandKind.STOP:
                stopped.add(slot)
            else:
                self.population.tensors["rates/learning_rate"][slot] *= request.touch.argument
            touch = replace(request.touch, step=self.step)
            self._members[request.member].touches.append(touch)
            request.done(self.step)
        for slot in stopped:
            member = self.alive[slot]
            costs = self.population.tensors["costs"][slot, : epoch.judged].tolist()
            history = self._members[member]
            history.dropped, history.steps = State.STOPPED, self.step
            if costs:
                history.begin(costs[0], epoch.first_step)
            epoch.stopped.append(member)
            epoch.costs[member] = costs
        if stopped:
            self._release(sorted(stopped))

    def _release(self, slots: Sequence[int]) -> None:
        order = self.population.release(slots)
        self.alive = [self.alive[slot] for slot in order]
        self._refresh_views()

    def _evaluate(self, epoch: _Epoch) -> dict[int, Reading]:
        """Measures the members that are alive; one with a NaN or infinite validation loss explodes here."""
        if not self.alive:
            return {}
        self.population.template.eval()
        rows, measured = self.evaluation, (self.population, self._forward, self.plan.loss)
        if self._folds is None:
            train = measure(*measured, rows.train_x, rows.train_y)
            val = measure(*measured, rows.val_x, rows.val_y)
        else:  # a member's accuracies on the examples that it trains on, and on those that it holds out
            fold_of_train, fold_of_sample = self._folds
            fold = self.population.tensors["fold"]
            train = measure_folds(*measured, rows.train_x, rows.train_y, fold, lambda f: fold_of_sample != f)
            val = measure_folds(*measured, rows.val_x, rows.val_y, fold, lambda f: fold_of_train == f)
        readings, lost = {}, []
        for slot, (member, rate) in enumerate(zip(self.alive, self._learning_rate().tolist(), strict=True)):
            history = self._members[member]
            if not math.isfinite(val.loss[slot]):
                history.explosion = epoch.exploded[member] = Explosion(
                    self.step, self.epoch, val.loss[slot], history.first_cost
                )
                lost.append(slot)
                continue
            reading = readings[member] = Reading(
                self.epoch,
                self.step,
                epoch.costs[member][-1],
                train.accuracy[slot],
                val.accuracy[slot],
                rate,
                val.loss[slot],
            )
            history.readings.append(reading)
            if self.keep_best and score(reading) > history.best_score:
                history.best_score, history.best = score(reading), self.population.member(slot)
        if lost:
            self._release(lost)
        return readings


def _at_precision(forward: Forward, precision: Precision, device: str) -> Forward:
    """Returns the forward pass under the precision's autocast; its outputs are always float32."""
    if precision.autocast is None:
        return forward

    def cast(parameters: Tensors, buffers: Tensors, x: Tensor, tape: GradientTape | None = None) -> Tensor:
        # No tape: the factors would have the cast type, while their product is added to float32 weights.
        with forward_context(precision.name, device):
            return forward(parameters, buffers, x).float()

    return cast


@dataclass(slots=True)
class _Epoch:
    """Intermediate results of the current epoch.

    Attributes:
        first_step: its first step, from 1.
        costs: member -> the cost of each of its steps, once known.
        exploded: member -> explosion.
        stopped: members that the user stopped.
        judged: the number of its steps that the explosion rule was applied to.
    """

    first_step: int
    costs: dict[int, Sequence[float]]
    exploded: dict[int, Explosion]
    stopped: list[int]
    judged: int = 0


def _steps_between_judgements(device: str) -> int:
    """Returns the number of steps between two applications of the explosion rule.

    Reading the costs makes an accelerator finish all queued work, and costs a small network a tenth of its
    step. A member that explodes in between trains on in vain.
    """
    return 8 if torch.device(device).type == "cpu" else 32
