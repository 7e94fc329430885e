"""Compilation of a model's graph to a program: steps for P members, with all names and shapes resolved.

torch.fx records the operations of the model's forward; each node becomes one step. Each step runs on the
example as soon as it is built, so that the next knows the rank and memory order of its operands.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from babysit.training.gradient_tape import GradientTape, LinearRecord
from babysit.training.lowering.functions import VARIADIC, build_call, title
from babysit.training.lowering.layers import LAYERS, LayerUse, build_layer
from babysit.training.lowering.primitives import (
    UNPLACED,
    GraphValue,
    NotLoweredError,
    Operation,
    PassContext,
    expanded,
)
from babysit.training.population import Population, Tensors


class ProgramStep(NamedTuple):
    """One operation.

    Attributes:
        operation: (context, *operands) -> result.
        reads: the numbers of its operands.
        result: the number of its result.
        unused: the numbers of the values that no later step reads.
    """

    operation: Operation
    reads: tuple[int, ...]
    result: int
    unused: tuple[int, ...] = ()


class FusedProgram(NamedTuple):
    """A model for P members.

    Attributes:
        steps: the operations in order.
        values: the constants, by number; value 0 is the input.
        output: the number of the outputs.
        labels: the name of each layer and function, for the reason of the lowering.
    """

    steps: list[ProgramStep]
    values: list[Any]
    output: int
    labels: list[str]

    def __call__(
        self, parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: GradientTape | None = None
    ) -> Tensor:
        """Computes the outputs [P, B, ...] of one pass."""
        context = PassContext(parameters, buffers, tape, len(next(iter(parameters.values()))))
        values = self.values.copy()
        values[0] = inputs
        for operation, reads, result, unused in self.steps:
            values[result] = operation(context, *[values[number] for number in reads])
            for number in unused:  # frees its memory
                values[number] = None
        return values[self.output]  # type: ignore[no-any-return]


class _Tracer(fx.Tracer):
    """Tracer that treats layers with a form for P members as leaves, and buffers like parameters."""

    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


def compiled(population: Population, example: Tensor) -> FusedProgram:
    """Compiles a population's model.

    Raises:
        NotLoweredError: a node has no form for P members.
    """
    # The wrapper makes a single layer traceable, and holds the constants that tracing attaches to its root.
    root = nn.Sequential(population.template)
    try:
        graph = _Tracer().trace(root)
    except Exception as error:  # a user's model may raise anything
        raise NotLoweredError(f"its forward cannot be traced: {first_line(error)}") from None
    with torch.no_grad():
        return _Compiler(population, root, graph, example).program()


def first_line(error: Exception) -> str:
    """Shortens an error's message to one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


class _Compiler:
    """Compiler that makes one step per node, and runs it on the example."""

    def __init__(self, population: Population, root: nn.Module, graph: fx.Graph, example: Tensor) -> None:
        self.population, self.root, self.graph, self.example = population, root, graph, example
        template = population.template
        tensors = [*template.named_parameters(), *template.named_buffers()]
        self.names = {id(tensor): name for name, tensor in tensors}
        self.uses = Counter(name for node in graph.nodes for name in self._names_in(node))
        self.useful = _ancestors(graph.output_node())
        self.context = PassContext(population.parameters, population.buffers, None, population.size)
        self.values: dict[fx.Node, GraphValue] = {}
        self.known: list[Any] = []
        self.steps: list[ProgramStep] = []
        self.labels: list[str] = []

    def program(self) -> FusedProgram:
        """Compiles all nodes."""
        for node in self.graph.nodes:
            try:
                self.values[node] = getattr(self, f"_{node.op}")(node)
            except NotLoweredError as error:
                place = node.name
                if node.op == "call_module":
                    layer = self.root.get_submodule(str(node.target))
                    names = {id(module): name for name, module in self.population.template.named_modules()}
                    place = names.get(id(layer), "") or "the model"
                raise NotLoweredError(f"{error} ({place})") from None
        output = self.values[self.graph.output_node()].number
        return FusedProgram(_with_unused(self.steps, output), self.known, output, self.labels)

    # --- one method per kind of node ---

    def _placeholder(self, node: fx.Node) -> GraphValue:
        return self._place(self.example)

    def _get_attr(self, node: fx.Node) -> GraphValue:
        tensor = _attribute(self.root, str(node.target))
        name = self.names.get(id(tensor))
        if name is None:
            return self._place(tensor, known=tensor)
        if name in self.population.parameters:
            return self._step(lambda context: context.parameters[name], [], own=True)
        return self._step(lambda context: context.buffers[name], [], own=True)

    def _call_module(self, node: fx.Node) -> GraphValue:
        layer = self.root.get_submodule(str(node.target))
        (x,) = [self.values[read] for read in node.all_input_nodes]
        names = self._names_of(layer)
        built, own = build_layer(LayerUse(layer, names, x, self._record(node, names, x)))
        kind = type(layer).__name__
        self.labels.append(f"{kind} ({built.remark})" if built.remark else kind)
        return self._step(built.operation, [x], own)

    def _call_function(self, node: fx.Node) -> GraphValue:
        arguments = node.args
        if node.target in VARIADIC and not isinstance(arguments[1], list | tuple):
            arguments = (arguments[0], tuple(arguments[1:]))
        keywords = {key: self._value(argument) for key, argument in node.kwargs.items()}
        call = build_call(node.target, [self._value(argument) for argument in arguments], keywords)
        self.labels.append(title(node.target))
        return self._step(call.operation, call.reads, call.own)

    _call_method = _call_function

    def _output(self, node: fx.Node) -> GraphValue:
        returned = node.args[0]
        if not isinstance(returned, fx.Node) or not isinstance(self.values[returned].sample, Tensor):
            raise NotLoweredError("the model does not return one tensor")
        x = self.values[returned]
        return x if x.own else self._expanded(x)

    # --- values ---

    def _value(self, argument: Any) -> GraphValue:
        """Returns the value of an argument: a node, a constant, or a list, tuple or slice of them."""
        if isinstance(argument, fx.Node):
            return self.values[argument]
        nodes: list[fx.Node] = []
        fx.map_arg(argument, nodes.append)
        if not nodes:
            constant = tuple(argument) if isinstance(argument, list | tuple) else argument
            return GraphValue(UNPLACED, constant, constant=True)
        if isinstance(argument, slice):
            parts = [self._value(part) for part in (argument.start, argument.stop, argument.step)]
            return self._step(lambda context, *bounds: slice(*bounds), parts, own=False)
        items = [self._value(item) for item in argument]
        own = any(item.own for item in items)
        if own:  # a tuple holds own tensors only, or shared ones only
            items = [item if item.own else self._expanded(item) for item in items]
        return self._step(lambda context, *values: values, items, own)

    def _expanded(self, x: GraphValue) -> GraphValue:
        return self._step(lambda context, shared: expanded(shared, context), [x], own=True)

    def _step(self, operation: Operation, reads: list[GraphValue], own: bool) -> GraphValue:
        """Adds a step and runs it on the example."""
        placed = [self._place(v.sample, known=v.sample) if v.number == UNPLACED else v for v in reads]
        result = self._place(operation(self.context, *[value.sample for value in placed]), own=own)
        self.steps.append(ProgramStep(operation, tuple(value.number for value in placed), result.number))
        return result

    def _place(self, sample: Any, *, known: Any = None, own: bool = False) -> GraphValue:
        self.known.append(known)
        return GraphValue(len(self.known) - 1, sample, own)

    # --- layers ---

    def _names_in(self, node: fx.Node) -> list[str]:
        """Lists the population's tensors that a node reads."""
        if node.op == "call_module":
            return list(self._names_of(self.root.get_submodule(str(node.target))).values())
        if node.op == "get_attr":
            name = self.names.get(id(_attribute(self.root, str(node.target))))
            return [name] if name else []
        return []

    def _names_of(self, layer: nn.Module) -> dict[str, str]:
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        return {local: self.names[id(tensor)] for local, tensor in own}

    def _record(self, node: fx.Node, names: Mapping[str, str], x: GraphValue) -> LinearRecord | None:
        """Builds a linear layer's record for the tape; None if its parameters are used elsewhere too."""
        weight, bias = names.get("weight", ""), names.get("bias")
        trained = weight in self.population.parameters and weight not in self.population.frozen
        if not trained or node not in self.useful or any(self.uses[name] > 1 for name in names.values()):
            return None
        trained_bias = None if bias in self.population.frozen else bias
        return LinearRecord(weight, trained_bias, x.sample, x.sample, not x.own)


def _attribute(root: nn.Module, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), root)


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """Collects a node and all nodes that it depends on."""
    found, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += current.all_input_nodes
    return found


def _with_unused(steps: list[ProgramStep], output: int) -> list[ProgramStep]:
    """Adds to each step the values that no later step reads, so that a pass can free their memory."""
    last = {number: at for at, step in enumerate(steps) for number in (*step.reads, step.result)}
    last.pop(output, None)
    unused: dict[int, list[int]] = {}
    for number, at in last.items():
        unused.setdefault(at, []).append(number)
    return [step._replace(unused=tuple(unused.get(at, ()))) for at, step in enumerate(steps)]
