"""A wide network on CIFAR-10: ten times the hidden units, 3072-500-10."""

import babysit as bs


def data():
    return bs.data.cifar10(preprocess=[bs.data.MeanImage()])


def model(hp):
    return bs.nn.two_layer(3072, hp.hidden, 10, weight_scale=1e-4)


recipe = bs.Recipe(
    data,
    model,
    update="sgd",
    batch_size=100,
    epochs=1,
    space={"learning_rate": bs.log_uniform(1e-6, 1e-3), "l2": bs.log_uniform(1e-5, 1e5), "hidden": 500},
)
