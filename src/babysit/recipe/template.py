"""The commented recipe that `babysit new` writes."""

from __future__ import annotations

TEMPLATE = '''\
"""A babysit recipe: data, a model, and the hyperparameters to search.

    babysit check  {path}      is the set-up sound? (first loss, regularization, 20 examples, gradients)
    babysit search {path}      coarse to fine, then the best one trained and scored
    babysit train  {path} -s learning_rate=1e-2
"""

import babysit as bs
from torch import nn


def data():
    # Others: bs.data.cifar10(), bs.data.fashion_mnist(), bs.data.image_folder("photos"),
    # bs.data.csv("table.csv", label="species"), bs.data.npz("arrays.npz"), bs.data.arrays(...).
    # Preprocessing is fitted on the training split only. For images, centring is enough.
    return bs.data.digits(preprocess=[bs.data.MeanImage()])


def model(hp):
    # Any nn.Module. Return logits: the loss adds the softmax. hp holds everything named in the space.
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, hp.hidden),
        nn.ReLU(),
        nn.Linear(hp.hidden, 10),
    )


recipe = bs.Recipe(
    data,
    model,
    loss="softmax",  # or "hinge", "binary", "mse"
    update="momentum",  # or "sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw"
    learning_rate_decay=0.95,  # after every epoch
    batch_size=50,
    epochs=10,
    stages="coarse:40x3,fine:20x10,final:1x20",  # name:TRIALSxEPOCHS
    space=dict(
        # Ranges are values, not exponents. Rates and strengths act multiplicatively: search their logarithm.
        learning_rate=bs.log_uniform(1e-5, 1e-1),
        l2=bs.log_uniform(1e-5, 1e1),
        hidden=bs.choice(50, 100),
        momentum=0.9,  # a plain value is fixed
    ),
)
'''
