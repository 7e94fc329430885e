"""From a model's graph to a program: a list of steps for P members, every name and shape resolved beforehand.

torch.fx records what the model's forward does; each node becomes one step. The steps are tried on the example
while they are made, so that every value's rank and memory order is known to the next.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from babysit.training.lowering.functions import VARIADIC, build_call, title
from babysit.training.lowering.layers import LAYERS, Built, Use, build_layer
from babysit.training.lowering.values import (
    UNPLACED,
    NotLoweredError,
    Operation,
    Run,
    Value,
    widened,
)
from babysit.training.population import Population, Tensors
from babysit.training.tape import Tap, Tape


class Step(NamedTuple):
    """One operation.

    Attributes:
        operation: (run, *operands) -> result.
        reads: the numbers of its operands.
        result: the number of its result.
        spent: the numbers of the values that nobody reads afterwards.
    """

    operation: Operation
    reads: tuple[int, ...]
    result: int
    spent: tuple[int, ...] = ()


class Program(NamedTuple):
    """A model for P members.

    Attributes:
        steps: the operations in order.
        values: what is known beforehand, by number; value 0 is the input.
        output: the number of the outputs.
        labels: what each step is called, for a person.
    """

    steps: list[Step]
    values: list[Any]
    output: int
    labels: list[str]

    def __call__(
        self, parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: Tape | None = None
    ) -> Tensor:
        """One pass: outputs [P, B, ...]."""
        run = Run(parameters, buffers, tape, len(next(iter(parameters.values()))))
        values = self.values.copy()
        values[0] = inputs
        for operation, reads, result, spent in self.steps:
            values[result] = operation(run, *[values[number] for number in reads])
            for number in spent:
                values[number] = None
        return values[self.output]  # type: ignore[no-any-return]


class _Tracer(fx.Tracer):
    """Stops at layers that have a form of their own, and sees buffers as it sees parameters."""

    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


def compiled(population: Population, example: Tensor) -> Program:
    """The program of a population's model.

    Raises:
        NotLoweredError: with the first node that has no form for P members.
    """
    # The wrapper makes a lone layer traceable, and takes the constants that tracing attaches to its root.
    root = nn.Sequential(population.template)
    try:
        graph = _Tracer().trace(root)
    except Exception as error:  # a model of the user's may raise anything
        raise NotLoweredError(f"its forward cannot be traced: {first_line(error)}") from None
    with torch.no_grad():
        return _Compiler(population, root, graph, example).program()


def first_line(error: Exception) -> str:
    """What an error says, in one short line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


class _Compiler:
    """Makes one step per node, and runs it on the example."""

    def __init__(self, population: Population, root: nn.Module, graph: fx.Graph, example: Tensor) -> None:
        self.population, self.root, self.graph, self.example = population, root, graph, example
        template = population.template
        self.names = {id(tensor): name for name, tensor in _tensors(template)}
        self.titles = {id(module): name for name, module in template.named_modules()}
        self.uses = Counter(name for node in graph.nodes for name in self._names_in(node))
        self.useful = _ancestors(graph.output_node())
        self.run = Run(population.parameters, population.buffers, None, population.size)
        self.values: dict[fx.Node, Value] = {}
        self.known: list[Any] = []
        self.samples: list[Any] = []
        self.steps: list[Step] = []
        self.labels: list[str] = []

    def program(self) -> Program:
        """The steps of all nodes."""
        for node in self.graph.nodes:
            try:
                self.values[node] = getattr(self, f"_{node.op}")(node)
            except NotLoweredError as error:
                raise NotLoweredError(f"{error} ({self._title(node)})") from None
        output = self.values[self.graph.output_node()].number
        return Program(_with_spent(self.steps, output), self.known, output, self.labels)

    # --- one method per kind of node ---

    def _placeholder(self, node: fx.Node) -> Value:
        return self._place(self.example)

    def _get_attr(self, node: fx.Node) -> Value:
        tensor = _attribute(self.root, str(node.target))
        name = self.names.get(id(tensor))
        if name is None:
            return self._place(tensor, known=tensor)
        if name in self.population.parameters:
            return self._step(lambda run: run.parameters[name], [], own=True)
        return self._step(lambda run: run.buffers[name], [], own=True)

    def _call_module(self, node: fx.Node) -> Value:
        layer, (x,) = (
            self.root.get_submodule(str(node.target)),
            [self.values[n] for n in node.all_input_nodes],
        )
        names = self._names_of(layer)
        use = Use(layer, names, x, self._tap(node, names, x))
        built, own = build_layer(use)
        self._label(type(layer).__name__, built)
        return self._step(built.operation, [x], own)

    def _call_function(self, node: fx.Node) -> Value:
        arguments = node.args
        if node.target in VARIADIC and not isinstance(arguments[1], list | tuple):
            arguments = (arguments[0], tuple(arguments[1:]))
        keywords = {key: self._value(argument) for key, argument in node.kwargs.items()}
        call = build_call(node.target, [self._value(argument) for argument in arguments], keywords)
        self.labels.append(title(node.target))
        return self._step(call.operation, call.reads, call.own)

    _call_method = _call_function

    def _output(self, node: fx.Node) -> Value:
        returned = node.args[0]
        if not isinstance(returned, fx.Node) or not isinstance(self.values[returned].sample, Tensor):
            raise NotLoweredError("the model does not return one tensor")
        x = self.values[returned]
        return x if x.own else self._widened(x)

    # --- values ---

    def _value(self, argument: Any) -> Value:
        """A node's value, a constant, or a list, tuple or slice of them."""
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if not _holds_nodes(argument):
            constant = tuple(argument) if isinstance(argument, list | tuple) else argument
            return Value(UNPLACED, constant, constant=True)
        if isinstance(argument, slice):
            parts = [self._value(part) for part in (argument.start, argument.stop, argument.step)]
            return self._step(lambda run, *bounds: slice(*bounds), parts, own=False)
        return self._together([self._value(item) for item in argument])

    def _together(self, items: list[Value]) -> Value:
        """Several values as one tuple; if one is the members' own, all are."""
        own = any(item.own for item in items)
        if own:
            items = [item if item.own else self._widened(item) for item in items]
        return self._step(lambda run, *values: values, items, own)

    def _widened(self, x: Value) -> Value:
        return self._step(lambda run, shared: widened(shared, run), [x], own=True)

    def _step(self, operation: Operation, reads: list[Value], own: bool) -> Value:
        """Adds a step and runs it on the example."""
        placed = [self._place(v.sample, known=v.sample) if v.number == UNPLACED else v for v in reads]
        result = self._place(operation(self.run, *[value.sample for value in placed]), own=own)
        self.steps.append(Step(operation, tuple(value.number for value in placed), result.number))
        return result

    def _place(self, sample: Any, *, known: Any = None, own: bool = False) -> Value:
        self.known.append(known)
        self.samples.append(sample)
        return Value(len(self.known) - 1, sample, own)

    # --- layers ---

    def _names_in(self, node: fx.Node) -> list[str]:
        """The population's tensors that a node reads."""
        if node.op == "call_module":
            return list(self._names_of(self.root.get_submodule(str(node.target))).values())
        if node.op == "get_attr":
            return [name for name in (self.names.get(id(_attribute(self.root, str(node.target)))),) if name]
        return []

    def _names_of(self, layer: nn.Module) -> dict[str, str]:
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        return {local: self.names[id(tensor)] for local, tensor in own}

    def _tap(self, node: fx.Node, names: Mapping[str, str], x: Value) -> Tap | None:
        """What a linear layer may leave on the tape: nothing if its gradient has another part as well."""
        weight, bias = names.get("weight", ""), names.get("bias")
        trained = weight in self.population.parameters and weight not in self.population.frozen
        if not trained or node not in self.useful or any(self.uses[name] > 1 for name in names.values()):
            return None
        trained_bias = None if bias in self.population.frozen else bias
        return Tap(weight, trained_bias, x.sample, x.sample, not x.own)

    def _label(self, kind: str, built: Built) -> None:
        self.labels.append(f"{kind} ({built.remark})" if built.remark else kind)

    def _title(self, node: fx.Node) -> str:
        """Where a node is, as the user knows it."""
        if node.op != "call_module":
            return node.name
        return self.titles.get(id(self.root.get_submodule(str(node.target))), "") or "the model"


def _tensors(template: nn.Module) -> list[tuple[str, Tensor]]:
    return [*template.named_parameters(), *template.named_buffers()]


def _attribute(root: nn.Module, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), root)


def _holds_nodes(argument: Any) -> bool:
    found: list[fx.Node] = []
    fx.map_arg(argument, found.append)
    return bool(found)


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """The node and all that it is made of."""
    found, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += current.all_input_nodes
    return found


def _with_spent(steps: list[Step], output: int) -> list[Step]:
    """The steps with what each leaves unread, so that a pass holds no more memory than it must."""
    last = {number: at for at, step in enumerate(steps) for number in (*step.reads, step.result)}
    last.pop(output, None)
    spent: dict[int, list[int]] = {}
    for number, at in last.items():
        spent.setdefault(at, []).append(number)
    return [step._replace(spent=tuple(spent.get(at, ()))) for at, step in enumerate(steps)]
