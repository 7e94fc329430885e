"""A small LeNet on handwritten digits: two convolutions, two linear layers, PyTorch's own initialization."""

from torch import nn

import babysit as bs


def data():
    return bs.data.digits(preprocess=[bs.data.MeanImage()])


def model(hp):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


recipe = bs.Recipe(
    data,
    model,
    update="sgd",
    batch_size=50,
    epochs=5,
    space={"learning_rate": bs.log_uniform(1e-5, 1e-1), "l2": bs.log_uniform(1e-5, 1e2)},
)
