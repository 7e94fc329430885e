"""The built-in recipes."""

from __future__ import annotations

from torch import nn

from babysit.data.dataset import Dataset
from babysit.data.preprocessing import MeanImage, Standardize
from babysit.data.sources import cifar10, digits, fashion_mnist, mnist
from babysit.nn.networks import mlp_of, two_layer
from babysit.recipe.recipe import Hyperparameters, Recipe
from babysit.recipe.space import choice, integer, log_uniform, uniform


def _digits() -> Dataset:
    return digits(preprocess=[MeanImage()])


def _cifar10() -> Dataset:
    return cifar10(preprocess=[MeanImage()])


def _cifar10_deep() -> Dataset:
    # 5,000 to validate on: a set of 1,000 cannot distinguish two good networks (standard error 0.016).
    return cifar10(preprocess=[Standardize()], val=5000)


def _mnist() -> Dataset:
    return mnist(preprocess=[MeanImage()])


def _fashion_mnist() -> Dataset:
    return fashion_mnist(preprocess=[MeanImage()])


def _digits_model(hp: Hyperparameters) -> nn.Module:
    return two_layer(64, int(hp.hidden), 10, weight_scale=1e-2)


def _cifar10_model(hp: Hyperparameters) -> nn.Module:
    return two_layer(3072, int(hp.hidden), 10, weight_scale=1e-4)


def _cifar10_deep_model(hp: Hyperparameters) -> nn.Module:
    return mlp_of(hp, 3072, 10)


def _fashion_mnist_model(hp: Hyperparameters) -> nn.Module:
    return two_layer(784, int(hp.hidden), 10, weight_scale=1e-3)


BUILTIN: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            _digits,
            _digits_model,
            update="momentum",
            learning_rate_decay=0.95,
            batch_size=50,
            epochs=10,
            stages="coarse:100x5,fine:50x10,final:1x30",
            space={
                "learning_rate": log_uniform(1e-5, 1e-1),
                "l2": log_uniform(1e-5, 1e2),
                "hidden": 100,
            },
            name="digits",
        ),
        # That of the lecture: its 'momentum' run passed no momentum, which made it plain gradient descent.
        Recipe(
            _cifar10,
            _cifar10_model,
            update="sgd",
            learning_rate_decay=0.9,
            batch_size=100,
            epochs=5,
            stages="coarse:100x5,fine:50x10,final:1x20",
            space={
                "learning_rate": log_uniform(1e-6, 1e-3),
                "l2": log_uniform(1e-5, 1e5),
                "hidden": 50,
            },
            name="cifar10",
        ),
        Recipe(
            _fashion_mnist,
            _fashion_mnist_model,
            update="momentum",
            learning_rate_decay=0.95,
            batch_size=100,
            epochs=5,
            stages="coarse:60x3,fine:30x5,final:1x15",
            space={
                "learning_rate": log_uniform(1e-7, 1e-3),
                "l2": log_uniform(1e-5, 1e3),
                "hidden": 100,
            },
            name="fashion-mnist",
        ),
        Recipe(
            _mnist,
            _fashion_mnist_model,
            update="momentum",
            learning_rate_decay=0.95,
            batch_size=100,
            epochs=5,
            stages="coarse:60x3,fine:30x5,final:1x15",
            space={
                "learning_rate": log_uniform(1e-7, 1e-3),
                "l2": log_uniform(1e-5, 1e3),
                "hidden": 100,
            },
            name="mnist",
        ),
        # Everything that makes a fully connected network; the budget is 20 minutes on two cores.
        Recipe(
            _cifar10_deep,
            _cifar10_deep_model,
            schedule="cosine",
            batch_size=200,
            epochs=12,
            stages="coarse:24x2,fine:10x6,final:1x20",
            space={
                "update": choice("momentum", "adam"),
                "learning_rate": log_uniform(3e-4, 3e-2),
                "l2": log_uniform(1e-6, 1e-2),
                "depth": integer(1, 3),
                "width": choice(256, 512),
                "batch_norm": choice(True, False),
                "dropout": uniform(0, 0.5),
            },
            name="cifar10-deep",
        ),
    )
}
