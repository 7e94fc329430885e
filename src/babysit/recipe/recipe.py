"""The recipe that the user writes: data, a model, and the space of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import nn

from babysit.data.dataset import Dataset
from babysit.errors import SpaceError
from babysit.recipe.consistency import check_conditions, check_point
from babysit.recipe.initial_weights import INITIALIZATION, parse_scheme
from babysit.recipe.input_steps import PREPROCESSING, parse_steps
from babysit.recipe.space import Choice, Fixed, Plain, Range, Space, When, as_range, closest, plain
from babysit.records import Value
from babysit.training.losses import loss_named
from babysit.training.regularization import REGULARIZATION
from babysit.training.schedules import SCHEDULES, schedule_named
from babysit.training.updates import UPDATES, update_named


class Hyperparameters(Mapping[str, Value]):
    """The argument of ``model(hp)``: values by attribute or by name.

    Example:
        >>> hp = Hyperparameters({"hidden": 50})
        >>> hp.hidden, hp["hidden"]
        (50, 50)
        >>> hp.hiden
        Traceback (most recent call last):
        babysit.errors.SpaceError: the recipe's space has no hyperparameter 'hiden'
          fix: did you mean 'hidden'?
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)
        self.read: set[str] = set()
        """The names that were read, so that a name that is never used can be reported."""

    def __getitem__(self, name: str) -> Value:
        if name not in self._values:
            raise SpaceError(
                f"the recipe's space has no hyperparameter {name!r}", fix=closest(name, list(self._values))
            )
        self.read.add(name)
        return self._values[name]

    def __getattr__(self, name: str) -> Value:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    # Those of Mapping expect a KeyError for an absent name, not a SpaceError.
    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value, or the default where the space has no such name."""
        if name not in self:
            return default
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Recipe:
    """Data, model and space: everything that babysit needs to check, train and search.

    Args:
        data: makes the data set, e.g. ``lambda: bs.data.digits()``.
        model: hyperparameters -> an ``nn.Module`` whose outputs are logits (or predictions).
        loss: "softmax", "hinge", "binary" or "mse". Default: "softmax".
        update: "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam" or "adamw". Default: "sgd".
        schedule: "constant", "multiplicative", "step", "cosine" or "inverse_time". Default: "multiplicative"
            where a ``learning_rate_decay`` is given, else "constant".
        learning_rate_decay: the factor on the learning rate after every epoch, in (0, 1]. Default: None.
        batch_size: examples in a mini-batch. Default: 100.
        epochs: epochs of one training. Default: 5.
        stages: the search's budget as "name:TRIALSxEPOCHS,...". Default: 100 coarse, 50 fine.
        space: name -> range or value. The learning rate, l2 and the parameters of the update rule and of the
            schedule act on the training, ``initialization`` on the first weights; ``preprocessing`` replaces
            the data set's own steps; ``update`` and ``schedule`` named here are searched; any other name is
            for ``model(hp)``.
        enqueue: points that the first stage tries before any other, e.g. ``[{"learning_rate": 1e-3}]``;
            names that a point leaves out are drawn.
        name: name of the recipe in tables. Default: the file's name.

    Raises:
        RecipeError, SpaceError: for a name or value that does not exist.

    Example:
        >>> from babysit.data.sources import digits
        >>> from babysit.nn.networks import two_layer
        >>> from babysit.recipe.space import log_uniform
        >>> recipe = Recipe(digits, lambda hp: two_layer(64, hp.hidden), update="momentum",
        ...                 space=dict(learning_rate=log_uniform(1e-5, 1e-1), hidden=50))
        >>> sorted(recipe.full_space())
        ['batch_size', 'hidden', 'learning_rate', 'momentum']
    """

    data: Callable[[], Dataset]
    model: Callable[[Hyperparameters], nn.Module]
    loss: str = "softmax"
    update: str = "sgd"
    schedule: str = ""
    learning_rate_decay: float | None = None
    batch_size: int = 100
    epochs: int = 5
    stages: str = ""
    space: Mapping[str, Range | Value] = field(default_factory=dict)
    name: str = ""
    enqueue: Sequence[Mapping[str, Value]] = ()

    def __post_init__(self) -> None:
        for rule in ("loss", *RULES):
            if not isinstance(getattr(self, rule), str):
                several = f"; several to search belong in the space: space=dict({rule}=bs.choice(...))"
                raise SpaceError(
                    f"{rule} = {getattr(self, rule)!r} is no name",
                    fix="name one" + (several if rule in RULES else ""),
                )
        for words in ("stages", "name"):
            if not isinstance(getattr(self, words), str):
                raise SpaceError(
                    f"{words} = {getattr(self, words)!r} is no text", fix="give text, or leave it out"
                )
        loss_named(self.loss)
        update_named(self.update)
        if not self.schedule:
            chosen = "constant" if self.learning_rate_decay is None else "multiplicative"
            object.__setattr__(self, "schedule", chosen)
        schedule_named(self.schedule)
        if not isinstance(self.epochs, int) or isinstance(self.epochs, bool) or self.epochs < 1:
            raise SpaceError(f"epochs = {self.epochs!r} is no whole number above 0", fix="use e.g. 10")
        space = self.full_space()
        for name, found in space.items():
            _check_value(name, found)
        check_conditions(space)
        object.__setattr__(self, "enqueue", tuple(check_point(space, point) for point in self.enqueue))

    def full_space(self) -> dict[str, Range]:
        """Returns the range of every hyperparameter that acts: those of the space, then the rules' defaults.

        It leaves out what is off unless it is named (regularization, warm-up, initialization), and the
        parameters of update rules or schedules between which there is a choice: each trial takes the defaults
        of its own rule.
        """
        own: dict[str, Range | Value] = {}
        for possible in self._defaults():
            own |= possible[0] if len(possible) == 1 else {}
        own["batch_size"] = self.batch_size
        if self.learning_rate_decay is not None and "learning_rate_decay" in self.training_names():
            own["learning_rate_decay"] = self.learning_rate_decay
        parents = {found.parent for found in self.space.values() if isinstance(found, When)}
        own |= {rule: getattr(self, rule) for rule in RULES if rule in parents}
        rest = {name: value for name, value in own.items() if name not in self.space}
        return {name: as_range(name, value) for name, value in {**self.space, **rest}.items()}

    def options(self, rule: str) -> tuple[str, ...]:
        """Lists the names that ``update`` or ``schedule`` may take: those in the space, else the recipe's.

        Example:
            >>> from babysit.recipe.loading import load_recipe
            >>> load_recipe("digits").options("update")
            ('momentum',)
        """
        named = as_range(rule, self.space.get(rule, getattr(self, rule)))
        return tuple(str(name) for name in _extremes(plain(named)))

    def _defaults(self) -> list[list[Mapping[str, float]]]:
        """Returns, for update and schedule, the parameters of each possible rule with their defaults."""
        return [[RULES[rule](name).defaults for name in self.options(rule)] for rule in RULES]

    def training_names(self) -> set[str]:
        """Names the hyperparameters that act on the training rather than on the model."""
        rules = {name for possible in self._defaults() for defaults in possible for name in defaults}
        own = {"learning_rate", "warm_up_epochs", "batch_size", INITIALIZATION, PREPROCESSING}
        return own | {*REGULARIZATION, *RULES} | rules

    def with_settings(self, settings: Space, *, epochs: int | None = None) -> Recipe:
        """Returns the recipe with some of its space replaced.

        Raises:
            SpaceError: for a name that the recipe does not know.
        """
        known = list(dict.fromkeys([*self.full_space(), *sorted(self.training_names())]))
        for name, found in settings.items():
            # A condition on the rule may wait for a rule that is not the present one.
            waits = isinstance(found, When) and found.parent in RULES and name in _PARAMETERS
            if name not in known and not waits:
                raise SpaceError(
                    f"the recipe {self.name or ''} has no hyperparameter {name!r}", fix=closest(name, known)
                )
        return replace(
            self, space={**self.space, **settings}, epochs=self.epochs if epochs is None else epochs
        )


class _HasDefaults(Protocol):
    @property
    def defaults(self) -> Mapping[str, float]: ...


RULES: Mapping[str, Callable[[str], _HasDefaults]] = {"update": update_named, "schedule": schedule_named}
"""The kinds of rules that a recipe fixes or its space searches -> the function that finds a rule by name."""

_PARAMETERS = {name for table in (UPDATES, SCHEDULES) for rule in table.values() for name in rule.defaults}

_NAMED: Mapping[str, Callable[[str], object]] = {
    **RULES,
    INITIALIZATION: parse_scheme,
    PREPROCESSING: parse_steps,
}
"""Hyperparameters whose values are names -> the function that parses and refuses them."""

_ALWAYS = ("learning_rate", "batch_size", *RULES)


_ABOVE_ZERO = ("learning_rate", "learning_rate_decay", "step_every", "step_factor")
_AT_LEAST_ZERO = (*REGULARIZATION, "warm_up_epochs", "weight_decay", "momentum", "decay_rate", "epsilon")
_BELOW_ONE = ("momentum", "beta1", "beta2", "squares_decay")


def _check_value(name: str, found: Range) -> None:
    """Refuses values that can only be a mistake: a rate that is text, a negative l2, a momentum of 1."""
    if isinstance(found, When) and name in _ALWAYS:
        raise SpaceError(
            f"{name} = {found}: every trial needs one", fix=f"give {name} a range without when(...)"
        )
    for value in _extremes(plain(found)):
        if name in _NAMED:
            if not isinstance(value, str):
                fix = f"write e.g. {name}=choice(...) of names"
                raise SpaceError(f"{name} = {value!r} is no name", fix=fix)
            _NAMED[name](value)
        if name == "batch_size" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise SpaceError(f"batch_size = {value!r} is no whole number above 0", fix="use e.g. 100")
        if name not in (*_ABOVE_ZERO, *_AT_LEAST_ZERO, *_BELOW_ONE):
            continue
        if isinstance(value, str | bool) or value != value or abs(value) == float("inf"):
            raise SpaceError(f"{name} = {value!r} is not a number", fix=f"write e.g. {name}=1e-3")
        if name in _ABOVE_ZERO and value <= 0:
            raise SpaceError(f"{name} = {value!r} must be above 0", fix=f"write e.g. {name}=1e-3")
        if value < 0:
            raise SpaceError(f"{name} = {value!r} must not be negative", fix=f"write {name}=0 or more")
        if name == "learning_rate_decay" and value > 1:
            raise SpaceError(f"{name} = {value!r} must not be above 1", fix="0.95 is usual, 1 is no decay")
        if name in _BELOW_ONE and value >= 1:
            raise SpaceError(f"{name} = {value!r} must be below 1", fix="0.9 is the usual value")


def _extremes(found: Plain) -> tuple[Value, ...]:
    """Returns the bounds of a numeric range, or all values of another."""
    if isinstance(found, Fixed):
        return (found.value,)
    if isinstance(found, Choice):
        return found.options
    return (int(found.low), int(found.high)) if found.whole else (found.low, found.high)
