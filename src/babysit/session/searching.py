"""A whole search: checks, stages, the best retrained, the test split scored once, the outcome kept."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from babysit.data.folds import folds
from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Space, middle
from babysit.records import CheckResult, Details, Reading, State, Study
from babysit.search.engines.calibration import calibrate
from babysit.search.engines.choosing import LOCAL, RAY, check_engine
from babysit.search.engines.inbox import Inbox
from babysit.search.engines.local import Engine, InProcess, Processes, Source
from babysit.search.growth import Growth
from babysit.search.pruning import NONE, check_pruner
from babysit.search.samplers import RANDOM, check_sampler
from babysit.search.search import Progress, Request, search
from babysit.search.stages import FINAL, MOST, Budget, parse_stages
from babysit.session.extending import earlier_search
from babysit.session.finalizing import Retrained, Retraining, finalists_of, finalize, retrain
from babysit.session.first_weights import first_weights
from babysit.session.interrupting import Interruption
from babysit.session.job import Job, file_stem, fingerprint_of, writable
from babysit.session.onnx_files import require_onnx
from babysit.session.recording import DiagnosingRecorder, closing, note_retraining
from babysit.session.summary import summary
from babysit.session.touching import SearchDesk
from babysit.session.training import begin
from babysit.store import queries
from babysit.store.queries import Reader
from babysit.store.writer import Writer
from babysit.training.folds import refuse_mixing

FOR_THE_FINAL = 0.2
"""The share of the time limit that the stages leave for retraining the best."""


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


@dataclass(frozen=True)
class Hooks:
    """Who is told while a search runs; by default nobody."""

    stage: Callable[[Progress], None] = lambda _: None
    final: Callable[[Reading, int], None] = lambda *_: None
    resumed: Callable[[Study, int], None] = lambda *_: None
    interrupted: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Searched:
    """What a search brought.

    Attributes:
        study: its number in the store.
        outcome: what came of it, as it is kept in the store.
        weights: the file with the best model's weights; None when no trial completed.
        report: where its report belongs.
    """

    study: int
    outcome: Mapping[str, Any]
    weights: Path | None
    report: Path


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
            cure="enqueue fewer points or give the first stage more trials, e.g. --stages coarse:40x5",
        )
    return budgets


def _extended(budgets: list[Budget], trials: int) -> list[Budget]:
    last = max(index for index, budget in enumerate(budgets) if budget.name != FINAL)
    if trials > MOST:
        raise InputError(f"--trials {trials} are too many", cure=f"ask for {MOST} at most")
    changed = budgets[last]._replace(trials=trials or budgets[last].trials)
    return [*budgets[:last], changed, *budgets[last + 1 :]]


def run_search(
    job: Job,
    prepared: Prepared,
    ask: Ask,
    *,
    checks: Sequence[CheckResult] = (),
    hooks: Hooks | None = None,
) -> Searched:
    """Searches coarse to fine, retrains the best and scores the test split once.

    Args:
        job: what the user asked for.
        prepared: the recipe with its data.
        ask: stages, workers, resume. A resumed search may ask for more than the earlier one, see
            :func:`babysit.session.extending.earlier_search`.
        checks: answers to keep with the study.
        hooks: who is told.

    Raises:
        InputError: for stages that cannot be read, a store that cannot be written, a search to go on with
            in another precision.
        WorkerError: when a worker process dies; finished trials are kept.
        KeyboardInterrupt: after Ctrl-C, at the end of the running epoch, or at once after the second.
    """
    hooks = hooks or Hooks()
    deadline = time.time() + (ask.timeout or math.inf)
    _check_final(ask)
    if ask.folds:
        prepared = _in_folds(prepared, ask.folds)
    budgets = budgets_of(prepared.recipe, ask)
    boxes, asked = _boxes(prepared, ask), _asked(prepared, ask)
    fingerprint = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **asked)
    writable(job.folder)
    with Writer(job.store_url) as writer:
        # After the writer, which makes the tables: a search killed while it made them can be resumed too.
        earlier = earlier_search(job, prepared, fingerprint, asked) if ask.resume else None
        done = {} if earlier is None else earlier[1]
        if earlier is None:
            study = begin(writer, job, prepared, "search", fingerprint, {**asked, **_of_the_final(ask)})
            writer.checks(study, checks)
        else:
            study = earlier[0].id
            writer.reopen_study(study)
            writer.extend_study(study, fingerprint, {**earlier[0].settings, **asked})
            hooks.resumed(earlier[0], len(done))
        request = Request(
            study,
            prepared.recipe.full_space(),
            budgets,
            job.seed,
            len(prepared.dataset.val),
            boxes,
            done,
            prepared.recipe.enqueue,
            ask.until_stable,
            ask.sampler,
            ask.round_size,
            ask.pruner,
            ask.patience,
            deadline - FOR_THE_FINAL * ask.timeout,
            growth := _growth(budgets),
        )
        extend = _extension(growth, job, prepared, ask, writer, study)
        with (
            closing(writer, study),
            Interruption(hooks.interrupted) as interruption,
            SearchDesk(job.store_url, study, extend) as desk,
        ):
            recorder = DiagnosingRecorder(writer, prepared)
            # Nobody looks at the layers of folds.
            how_to_train = replace(ask, observe=ask.observe and not ask.folds)
            with contextlib.closing(_engine(job, prepared, how_to_train, interruption, desk)) as engine:
                desk.pass_to(engine.touch)
                found = search(request, engine, recorder, hooks.stage)
            interruption.at_once()
            desk.end_if_stopped()
            inbox = Inbox(desk.answered)
            desk.pass_to(inbox.put)
            note_retraining(writer, study, finalists_of(found, budgets)[1])
            stem = file_stem(job.name or prepared.recipe.name, study, fingerprint)
            how = Retraining(ask.seeds, ask.observe, ask.details, deadline)
            each_epoch = _each_epoch(hooks, desk)
            finalists = retrain(replace(prepared, folds=0), found, budgets, how, each_epoch, inbox=inbox)
            if finalists and ask.details:
                writer.details(study, finalists[0].trial, finalists[0].details)
            final, weights = finalize(job, prepared, stem, finalists, onnx=ask.onnx)
            if weights is not None:
                writer.details(study, finalists[0].trial, _pictures(prepared, finalists[0]))
            outcome = summary(prepared, found, final)
            writer.finish_study(study, State.COMPLETE, outcome)
    return Searched(study, outcome, weights, job.folder / f"{stem}.html")


def check_ask(prepared: Prepared, ask: Ask) -> None:
    """Refuses what cannot be done, before anybody waits for checks.

    Raises:
        InputError: for stages, seeds, folds or a form of export that cannot be.
    """
    _check_final(ask)
    budgets_of(prepared.recipe, ask)
    if ask.folds:
        _in_folds(prepared, ask.folds)


def _check_final(ask: Ask) -> None:
    if ask.seeds < 1:
        raise InputError(f"seeds = {ask.seeds} is no whole number above 0", cure="use e.g. --seeds 3")
    if ask.onnx:
        require_onnx()


def _in_folds(prepared: Prepared, count: int) -> Prepared:
    """The same with folds, once it is known that they can be made and the model can be trained on them."""
    folds(prepared.dataset, count, prepared.seed)
    refuse_mixing(prepared.model(middle(prepared.recipe.full_space()), ("folds",)))
    return replace(prepared, folds=count)


def _of_the_final(ask: Ask) -> dict[str, Any]:
    """What was asked of the last stage beyond the usual; it decides no trial before it."""
    return {**({"seeds": ask.seeds} if ask.seeds > 1 else {}), **({"onnx": True} if ask.onnx else {})}


def _pictures(prepared: Prepared, chosen: Retrained) -> Details:
    """The first layer of the chosen model, where it can be drawn."""
    member, shape = chosen.best, prepared.at(chosen.trial.hyperparameters).dataset.input_shape
    reading = member.run.best
    return Details() if reading is None else first_weights(member.weights, shape, reading.step)


def _each_epoch(hooks: Hooks, desk: SearchDesk) -> Callable[[Reading, int], None]:
    """Tells of an epoch of the retraining, and ends it there if that was asked for."""

    def told(reading: Reading, epochs: int) -> None:
        hooks.final(reading, epochs)
        desk.end_if_stopped()

    return told


def _growth(budgets: Sequence[Budget]) -> Growth:
    """The last stage before the final one may grow."""
    given = [budget for budget in budgets if budget.name != FINAL]
    return Growth(len(given) - 1, given[-1].trials)


def _extension(
    growth: Growth, job: Job, prepared: Prepared, ask: Ask, writer: Writer, study: int
) -> Callable[[int], str]:
    """What answers who asks a running search for more trials: the larger command, begun early."""

    def extend(trials: int) -> str:
        if ask.sampler == "grid":
            return "a grid of more trials is another grid: search anew with a larger budget"
        if ask.until_stable:
            return "repetitions of the last stage have its size: search anew with a larger budget"
        reason = growth.ask(
            trials, lambda: _write_down(replace(ask, trials=trials), job, prepared, writer, study)
        )
        return f"the last stage does not grow: {reason}" if reason else ""

    return extend


def _write_down(ask: Ask, job: Job, prepared: Prepared, writer: Writer, study: int) -> None:
    """Keeps in the store that a study was extended, so that the larger command goes on with it."""
    asked = _asked(prepared, ask)
    fingerprint = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **asked)
    with Reader(job.store_url) as reader:
        settings = queries.study(reader, study).settings
    writer.extend_study(study, fingerprint, {**settings, **asked})


def _asked(prepared: Prepared, ask: Ask) -> dict[str, Any]:
    """What decides, beside the recipe, its settings and the seed, which results there are."""
    budgets = budgets_of(prepared.recipe, ask)
    return {
        "stages": [list(budget) for budget in budgets],
        "boxes": repr(sorted(_boxes(prepared, ask).items())),
        **ask.deciding(),
    }


def _boxes(prepared: Prepared, ask: Ask) -> dict[str, Space]:
    return {name: {**prepared.recipe.full_space(), **box} for name, box in ask.boxes.items()}


def _engine(job: Job, prepared: Prepared, ask: Ask, interruption: Interruption, desk: SearchDesk) -> Engine:
    def stop() -> bool:
        return interruption.asked() or desk.is_stopped()

    if ask.engine == RAY:
        from babysit.search.engines.ray import Cluster

        size, see = ask.population, ask.observe
        return Cluster(
            *(prepared, ask.workers, size, ask.address), observe=see, stop=stop, answered=desk.answered
        )
    if ask.workers <= 1 or prepared.device != "cpu" or _threads_pay(prepared, ask):
        return InProcess(prepared, ask.population, observe=ask.observe, stop=stop, answered=desk.answered)
    source = Source(
        job.recipe, job.settings, job.seed, prepared.precision, prepared.way, ask.observe, ask.folds
    )
    return Processes(prepared, source, ask.workers, ask.population, stop=stop, answered=desk.answered)


def _threads_pay(prepared: Prepared, ask: Ask) -> bool:
    """Whether one process with all threads was measured to beat a process per core, which is rare."""
    if ask.population:
        return False
    try:
        found = calibrate(prepared, middle(prepared.recipe.full_space()), workers=ask.workers)
    except InputError:  # a trial that cannot train fails by itself, with its reason
        return False
    return found.threads_pay
