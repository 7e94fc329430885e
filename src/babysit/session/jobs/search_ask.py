"""What a search is asked to do, and what of it decides its results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from babysit.data.folds import folds
from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Space, middle
from babysit.session.jobs.job import Job, words_of
from babysit.session.models.onnx import require_onnx
from babysit.training.folds import refuse_mixing
from babysit.tuning.engines.registry import LOCAL, check_engine
from babysit.tuning.pruning import NONE, check_pruner
from babysit.tuning.samplers import RANDOM, check_sampler
from babysit.tuning.stages import FINAL, MOST, Budget, parse_stages


@dataclass(frozen=True)
class Ask:
    """What a search is asked to do beside its job.

    Attributes:
        stages: "name:TRIALSxEPOCHS,..."; empty for the recipe's own.
        boxes: prescribed boxes of stages, by name.
        workers: worker processes; 0 trains in this process.
        resume: go on with the interrupted search of the same command.
        population: trials that train together; 0 measures what is fastest here.
        observe: look at layers and updates, for findings and for the dashboard; default yes.
        until_stable: further stages at most, of the last one's budget, until no edge alarm remains and the
            best stays; default none.
        details: also keep histograms and first-layer weights of the best trials' retraining, in the store
            under "final/" names of their trials; default no.
        trials: how many in all the last stage before the final one has; 0 leaves what the stages say.
        identity: what tells a recipe that no file holds from another of its name; default nothing.
        seeds: trainings of each of the best, from initial weights of their own; default 1.
        onnx: also write the chosen network as ONNX; default no.
        folds: score every trial on K folds of the training and validation rows; 0, the default, on the
            validation split. The last stage trains on the training split again.
        sampler: where trials come from: random, grid, qmc, tpe, gp or cmaes; default random.
        round_size: trials that are drawn and judged at once; 0, the default, for 16 where the sampler
            learns, else for all.
        pruner: who is given up at rungs: none, median or asha; default none.
        patience: epochs without a better validation score after which a trial is complete; default 0, never.
        timeout: seconds after which no epoch begins; the last fifth of them is kept for retraining the best.
            Default 0, no limit.
        engine: who trains: local, the default, or ray.
        address: of the Ray cluster; default a new one on this machine.

    Raises:
        InputError: for a sampler, pruner or engine that does not exist, or needs what is not installed.
    """

    stages: str = ""
    boxes: Mapping[str, Space] = field(default_factory=dict)
    workers: int = 0
    resume: bool = False
    population: int = 0
    observe: bool = True
    details: bool = False
    until_stable: int = 0
    trials: int = 0
    identity: str = ""
    seeds: int = 1
    onnx: bool = False
    folds: int = 0
    sampler: str = RANDOM
    round_size: int = 0
    pruner: str = NONE
    patience: int = 0
    timeout: float = 0.0
    engine: str = LOCAL
    address: str = ""

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        check_pruner(self.pruner)
        check_engine(self.engine, self.address)

    def deciding(self) -> dict[str, Any]:
        """What beside stages and boxes decides which results there are, where it is not as usual."""
        names = (
            *("sampler", "round_size", "pruner", "patience"),
            *("until_stable", "identity", "folds"),
        )
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(Ask, name)}


def budgets_of(recipe: Recipe, ask: Ask) -> list[Budget]:
    """The stages that are asked for, else the recipe's, else 100 coarse and 50 fine trials.

    Example:
        >>> from babysit.recipe.loading import load_recipe
        >>> [budget.trials for budget in budgets_of(load_recipe("digits"), Ask())]
        [100, 50, 1]
    """
    usual = f"coarse:100x{recipe.epochs},fine:50x{recipe.epochs}"
    budgets = _extended(parse_stages(ask.stages or recipe.stages or usual), ask.trials)
    if len(recipe.enqueue) > budgets[0].trials:
        raise InputError(
            f"{len(recipe.enqueue)} points are enqueued, but the stage {budgets[0].name!r} has only "
            f"{budgets[0].trials} trials",
            fix="enqueue fewer points or give the first stage more trials, e.g. --stages coarse:40x5",
        )
    return budgets


def _extended(budgets: list[Budget], trials: int) -> list[Budget]:
    last = max(index for index, budget in enumerate(budgets) if budget.name != FINAL)
    if trials > MOST:
        raise InputError(f"--trials {trials} are too many", fix=f"ask for {MOST} at most")
    changed = budgets[last]._replace(trials=trials or budgets[last].trials)
    return [*budgets[:last], changed, *budgets[last + 1 :]]


def check_ask(prepared: Prepared, ask: Ask) -> None:
    """Refuses what cannot be done, before anybody waits for checks.

    Raises:
        InputError: for stages, seeds, folds or a form of export that cannot be.
    """
    check_final(ask)
    budgets_of(prepared.recipe, ask)
    if ask.folds:
        in_folds(prepared, ask.folds)


def check_final(ask: Ask) -> None:
    """Refuses seeds or a form of export that cannot be."""
    if ask.seeds < 1:
        raise InputError(f"seeds = {ask.seeds} is no whole number above 0", fix="use e.g. --seeds 3")
    if ask.onnx:
        require_onnx()


def in_folds(prepared: Prepared, count: int) -> Prepared:
    """The same with folds, once it is known that they can be made and the model can be trained on them."""
    folds(prepared.dataset, count, prepared.seed)
    refuse_mixing(prepared.model(middle(prepared.recipe.full_space()), ("folds",)))
    return replace(prepared, folds=count)


def of_the_final(ask: Ask) -> dict[str, Any]:
    """What was asked of the last stage beyond the usual; it decides no trial before it."""
    return {**({"seeds": ask.seeds} if ask.seeds > 1 else {}), **({"onnx": True} if ask.onnx else {})}


def how_words(job: Job, ask: Ask) -> list[str]:
    """What the command line says of how a search is done, which decides no result.

    Example:
        >>> how_words(Job("digits", device="auto"), Ask(engine="local", workers=2, timeout=90))
        ['--workers', '2', '--timeout', '90']
    """
    said = {
        "--engine": "" if ask.engine == LOCAL else ask.engine,
        "--address": ask.address,
        "--workers": str(ask.workers) if ask.workers > 1 or (ask.workers and ask.engine != LOCAL) else "",
        "--population": str(ask.population or ""),
        "--timeout": f"{math.ceil(ask.timeout)}" if ask.timeout else "",
    }
    return [*words_of(job), *(word for name, value in said.items() if value for word in (name, value))]


def asked_of(prepared: Prepared, ask: Ask) -> dict[str, Any]:
    """What decides, beside the recipe, its settings and the seed, which results there are."""
    budgets = budgets_of(prepared.recipe, ask)
    return {
        "stages": [list(budget) for budget in budgets],
        "boxes": repr(sorted(boxes_of(prepared, ask).items())),
        **ask.deciding(),
    }


def boxes_of(prepared: Prepared, ask: Ask) -> dict[str, Space]:
    """The prescribed boxes, by the names of their stages."""
    return {name: {**prepared.recipe.full_space(), **box} for name, box in ask.boxes.items()}
