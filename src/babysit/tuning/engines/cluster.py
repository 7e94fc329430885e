"""A Ray cluster as a search finds it: connecting to it or starting one, its room, what is sent to it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pickle import PicklingError
from typing import Any

# What Ray would print into our output, or send home, is decided as it is imported; others take it from here.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray as ray
from ray._private import ray_constants
from ray._private import utils as ray_utils
from ray.exceptions import RayError as RayError
from ray.exceptions import RayTaskError as RayTaskError

from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.recipe.loading import FILE_MODULE
from babysit.tuning.engines.local import default_workers

_LOCAL = "local"


def connect(address: str, workers: int) -> bool:
    """Connects to a cluster, or starts one.

    Args:
        address: as ``ray.init`` takes it; empty for RAY_ADDRESS, or a new cluster of this machine.
        workers: for how many a new one has room; 0 for one a core.

    Returns:
        Whether the connection is new: False where this process had one already.

    Raises:
        InputError: the cluster cannot be reached or started.
    """
    if address.startswith("ray://"):
        raise InputError(
            f"{address} is an address for Ray's client, which cannot stream what workers tell",
            fix="run babysit on a machine of the cluster, with --address auto",
        )
    if ray.is_initialized():
        return False
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = address or os.environ.get("RAY_ADDRESS", "") or _LOCAL
    is_ours = address == _LOCAL
    own = {"num_cpus": workers or default_workers(), "include_dashboard": False} if is_ours else {}
    try:
        with _privately(is_ours):
            ray.init(address=address, log_to_driver=False, configure_logging=False, **own)
    except Exception as error:  # a start that takes too long is a bare one
        ray.shutdown()
        raise InputError(
            f"the Ray cluster at {address!r} cannot be used: {str(error).strip().splitlines()[0]}",
            fix="see that it runs (`ray status`) with the Ray and Python of this machine; "
            "--address auto finds the cluster that this machine is part of; "
            "on a busy machine it may be too slow to start: try again",
        ) from error
    return True


@contextlib.contextmanager
def _set(module: Any, name: str, value: Any) -> Iterator[None]:
    """Gives an internal name of Ray another value meanwhile; a Ray that lacks it stays as it is."""
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def _privately(is_ours: bool) -> Iterator[None]:
    """Keeps ``ray.init`` from exposing secrets and ports.

    A driver's command line, which may hold a store's password, is not given to the cluster. The daemons of a
    cluster that this process starts listen on 127.0.0.1, not on every address, since any process that can
    connect to them can run code here. ``ray.init(_node_ip_address="127.0.0.1")`` does not help: it takes the
    machine's own address instead. The switch below is the one that Ray uses on macOS and Windows.
    """
    with contextlib.ExitStack() as meanwhile:
        meanwhile.enter_context(_set(ray_utils, "get_entrypoint_name", lambda: "babysit"))
        if is_ours:
            meanwhile.enter_context(_set(ray_constants, "ENABLE_RAY_CLUSTER", False))
        yield


def room(device: str, workers: int) -> int:
    """Returns the number of workers: the requested one, or as many as there is room for.

    Args:
        device: "cpu", or else each worker needs a GPU.
        workers: the requested number, which may have to wait for machines; 0 for as many as fit.

    Raises:
        InputError: there is no room for any.
    """
    resource = "CPU" if device == "cpu" else "GPU"
    found = workers or int(ray.cluster_resources().get(resource, 0))
    if not found:
        raise InputError(
            f"the Ray cluster has no {resource}",
            fix="add a machine that has one, or say with --workers for how many to wait",
        )
    return found


def put(prepared: Prepared) -> Any:
    """Puts the recipe, its data and the code of its file into the object store; returns a reference.

    Raises:
        InputError: the recipe cannot be pickled.
    """
    device = prepared.device if prepared.device == "cpu" else "cuda"  # each worker sees its own GPU alone
    for function in (prepared.recipe.data, prepared.recipe.model):
        module = sys.modules.get(getattr(function, "__module__", ""))
        if module is not None and module.__name__.startswith(FILE_MODULE):
            ray.cloudpickle.register_pickle_by_value(module)
    try:
        ray.cloudpickle.dumps(prepared.recipe)
    except (TypeError, ValueError, AttributeError, PicklingError) as error:
        raise InputError(
            f"the recipe {prepared.recipe.name} cannot be sent to other machines: {error}",
            fix="let model(hp) and data() use no open file, lock or connection of the module around them",
        ) from error
    return ray.put(replace(prepared, device=device))
