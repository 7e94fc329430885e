"""scikit-learn's MLPClassifier, an epoch a ``partial_fit``, trials dealt to one process per core."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.peers.task import Pair, Task, Trained, answer, clock, dealt

_given: tuple[Task, dict[str, np.ndarray]]
_NAMES = ("train_x", "train_y", "val_x", "val_y")


def _classifier(task: Task, pair: Pair, number: int) -> MLPClassifier:
    return MLPClassifier(
        hidden_layer_sizes=(task.shape[1],),
        solver="sgd",
        momentum=0,
        nesterovs_momentum=False,
        learning_rate_init=pair[0],
        alpha=pair[1] * task.batch,  # it divides its penalty by the batch's examples
        batch_size=task.batch,
        random_state=number,
    )


def _one(number: int) -> Trained:
    task, data = _given
    start, best, note, done = clock(), math.nan, "", 0
    classifier = _classifier(task, task.pairs[number], number)
    for _ in range(task.epochs):
        done += 1
        try:
            classifier.partial_fit(data["train_x"], data["train_y"], classes=np.arange(10))
        except ValueError:  # it refuses to continue with NaN or infinite weights
            note = "weights became non-finite"
            break
        best = float(np.fmax(best, classifier.score(data["val_x"], data["val_y"])))
    # Its epochs keep the remainder as a smaller batch.
    steps = done * math.ceil(len(data["train_x"]) / task.batch)
    return Trained(start, clock(), steps, best, note)


def work(task: Task) -> list[Trained]:
    """Loads the data once; the workers share it."""
    global _given
    warnings.simplefilter("ignore")  # overflows of trials that explode
    arrays = {name: np.load(Path(task.data) / f"{name}.npy") for name in _NAMES}
    for name in ("train_x", "val_x"):
        arrays[name] = arrays[name].reshape(len(arrays[name]), -1)
    _given = task, arrays
    return dealt(task, _one)


if __name__ == "__main__":
    answer(work)
