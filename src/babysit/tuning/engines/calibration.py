"""The population size that trains fastest, measured once per machine and network, and remembered.

More members share the first layer's matrix product and the cost of calling it; too many leave the cache of
a CPU or the memory of a GPU. The best size depends on the network and the machine. So a few steps at sizes
that double are timed, and the smallest size close to the best is taken, which leaves more to spread over
workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from platformdirs import user_cache_dir

from babysit.recipe.building import Prepared, calling
from babysit.records import Value
from babysit.training.population import signature
from babysit.training.trainer import Candidate

SIZES = (4, 8, 16, 32, 64, 128, 256, 512)
CLOSE = 0.95
"""The smallest size that reaches this share of the best rate is taken."""

_SECONDS = 1.5
_STEPS = 3
_ROUNDS = 3
_FORMAT = 1


class Calibration(NamedTuple):
    """A measurement.

    Attributes:
        size: members that should train together.
        rates: size -> trial-steps per second of one process with one thread.
        threads_pay: True if one process with all threads is faster than one process per core.
    """

    size: int
    rates: Mapping[int, float]
    threads_pay: bool


def calibrate(prepared: Prepared, hyperparameters: Mapping[str, Value], *, workers: int = 1) -> Calibration:
    """Returns the population size for the network of some hyperparameters, measured now or before.

    Args:
        prepared: the recipe with its data.
        hyperparameters: of one of the trials; the real-valued ones do not matter.
        workers: processes that would train at the same time, to compare with threads.

    Raises:
        InputError: when the model cannot be built or trained.
    """
    candidate = prepared.candidate({**hyperparameters, "learning_rate": 0.0}, ("calibration",))
    file = _file(prepared, candidate, workers)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
        data = json.loads(file.read_text())
        rates = {int(size): float(rate) for size, rate in data["rates"].items()}
        return Calibration(int(data["size"]), rates, bool(data["threads_pay"]))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        rates = _rates(prepared, candidate)
        size = chosen(rates)
        threads_pay = False
        if workers > 1:
            torch.set_num_threads(workers)
            threads_pay = _rate(prepared, candidate, size) > workers * rates[size]
    finally:
        torch.set_num_threads(threads)
    found = Calibration(size, rates, threads_pay)
    with contextlib.suppress(OSError):  # where nothing can be written, it is measured again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(found._asdict()))
        part.replace(file)
    return found


def _rates(prepared: Prepared, candidate: Candidate) -> dict[int, float]:
    """Measures the rate of each size, until larger ones are no faster or the time is up."""
    rates: dict[int, float] = {}
    deadline = time.perf_counter() + _SECONDS
    for size in SIZES:
        if rates and (time.perf_counter() > deadline or not _fits(prepared, candidate, size)):
            break
        former = max(rates.values(), default=0.0)
        rates[size] = _rate(prepared, candidate, size)
        if CLOSE * rates[size] < former:  # not worth twice the size; the next would be worth still less
            break
    return rates


def chosen(rates: Mapping[int, float]) -> int:
    """Returns the smallest size whose rate is close to the best.

    Example:
        >>> chosen({4: 800.0, 8: 1250.0, 16: 1290.0, 32: 1300.0})
        8
    """
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= CLOSE * best)


def _rate(prepared: Prepared, candidate: Candidate, size: int) -> float:
    """Measures trial-steps per second of a population of copies; with a learning rate of 0 none explodes."""
    trainer = prepared.trainer_of([candidate] * size, 1)
    batch = next(trainer.batches.epoch(1))

    def seconds(steps: int) -> float:
        started = time.perf_counter()
        calling("the model, in training,", lambda: trainer.rehearse(*batch, steps))
        if trainer.plan.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds(1)
    return size * _STEPS / min(seconds(_STEPS) for _ in range(_ROUNDS))


def _fits(prepared: Prepared, candidate: Candidate, size: int) -> bool:
    """Returns True if parameters, gradients and update state take a quarter of the free memory at most."""
    values: int = sum(value.numel() * value.element_size() for value in candidate.model.state_dict().values())
    if prepared.device.startswith("cuda"):
        free = int(torch.cuda.mem_get_info()[0])
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**32
    return bool(4 * values * size <= free / 4)


def _file(prepared: Prepared, candidate: Candidate, workers: int) -> Path:
    """Returns the path that remembers the measurement; its name is a hash of all that it depends on."""
    processor = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else ""
    machine = (str(processor), os.cpu_count(), torch.__version__, prepared.device, prepared.precision)
    layers = [(name, type(module).__name__) for name, module in candidate.model.named_modules()]
    shape = prepared.at(candidate.hyperparameters).dataset.input_shape
    update = candidate.hyperparameters.get("update", prepared.recipe.update)
    network = (layers, signature(candidate.model)[1:], shape, update)
    text = repr((_FORMAT, machine, network, candidate.hyperparameters["batch_size"], workers))
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return Path(user_cache_dir("babysit")) / "calibration" / f"{name}.json"
