"""Handwritten digits: 64-50-10, plain gradient descent."""

import babysit as bs


def data():
    return bs.data.digits(preprocess=[bs.data.MeanImage()])


def model(hp):
    return bs.nn.two_layer(64, hp.hidden, 10, weight_scale=1e-2)


recipe = bs.Recipe(
    data,
    model,
    update="sgd",
    batch_size=50,
    epochs=10,
    space={"learning_rate": bs.log_uniform(1e-5, 1e-1), "l2": bs.log_uniform(1e-5, 1e2), "hidden": 50},
)
