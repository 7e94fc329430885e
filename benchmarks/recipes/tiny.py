"""So small that a million steps take minutes: 1000 steps of 16 examples an epoch, 8-8-2."""

import numpy as np

import babysit as bs


def data():
    chance = np.random.default_rng(0)
    x = chance.standard_normal((16500, 8)).astype(np.float32)
    # A tenth of the labels is wrong, so that there is always something left to learn.
    y = ((x @ chance.standard_normal(8) > 0) ^ (chance.random(16500) < 0.1)).astype(np.int64)
    return bs.data.arrays(x[:16000], y[:16000], x[16000:], y[16000:])


def model(hp):
    return bs.nn.two_layer(8, 8, 2, weight_scale=0.1)


recipe = bs.Recipe(
    data,
    model,
    update="momentum",
    batch_size=16,
    epochs=1000,
    space={"learning_rate": bs.log_uniform(1e-4, 1e-2), "l2": 1e-4},
)
