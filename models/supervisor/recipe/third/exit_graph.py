"""Puts the exit into a graph of the encoder, and lets a graph for a CPU stop there.

In: `model.onnx` or `model.fp16.onnx` without an exit; the graph of the exit, which takes `states` (float32, rows x tokens x
numbers) and `attention_mask` and gives `exit` (float32, rows x columns). Out: the same graph, whose `logits` have the columns
of the exit behind them. In one that can stop, the nodes behind the exit's layer stand in a branch that does not run where every
column of the exit is lower than the input `below` (float32, columns), by default minus infinity; the logits are then NaN. What
the nodes compute is not changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "exit/"
WHOLE = f"{PREFIX}whole"
OUTPUTS = "encoder_outputs"
"""The key under which a graph with an exit says how many columns the encoder itself gives."""


def states_of(model: Any, layer: int) -> str:
    """The name of what the layers up to the number `layer` give, counted from 1."""
    ends = f"layer.{layer - 1}/output/LayerNorm/LayerNormalization_output_0"
    return next(str(name) for node in model.graph.node for name in node.output if name.endswith(ends))


def with_states(source: Path, layer: int) -> bytes:
    """The graph with what a layer gives as the output `states`."""
    model = without_exit(onnx.load(str(source)))
    model.graph.node.append(helper.make_node("Identity", [states_of(model, layer)], ["states"]))
    model.graph.output.append(helper.make_tensor_value_info("states", TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def with_exit(source: Path, target: Path, leaf: Path, layer: int, columns: int, can_stop: bool) -> None:
    """Writes the graph with its exit behind a layer. `leaf`: the exit's graph. `columns`: of the exit. One that the graph has
    already is dropped."""
    model, own = without_exit(onnx.load(str(source))), onnx.load(str(leaf))
    graph = model.graph
    states = states_of(model, layer)
    lower = _behind(graph.node, [states])
    upper = [node for node in graph.node if not any(node is other for other in lower)]
    for node in upper:
        node.output[:] = [(WHOLE if can_stop else "judged") if name == "logits" else name for name in node.output]
    exit_nodes, tensors = _renamed(own.graph, states)
    outputs = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    helper.set_model_props(model, {OUTPUTS: str(outputs)})
    del graph.node[:]
    graph.node.extend([*lower, *exit_nodes])
    graph.initializer.extend(tensors)
    if can_stop:
        graph.node.extend(_branch(graph, upper, lower, columns, outputs))
    else:
        graph.node.extend(upper)
    graph.node.append(helper.make_node("Concat", ["judged", f"{PREFIX}exit"], ["logits"], axis=1))
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = outputs + columns
    known = {(given.domain, given.version) for given in model.opset_import}
    model.opset_import.extend(given for given in own.opset_import if given.domain not in {name for name, _ in known})
    onnx.save(model, str(target))


def without_exit(model: Any) -> Any:
    """The graph without its exit, if it has one: as it was before."""
    graph = model.graph
    outputs = {prop.key: prop.value for prop in model.metadata_props}.get(OUTPUTS)
    if outputs is None:
        return model
    nodes, tensors = (
        [],
        [tensor for tensor in graph.initializer if tensor.name.partition("/")[0] not in ("exit", "below")],
    )
    for node in graph.node:
        if node.op_type == "If":
            (branch,) = (attribute.g for attribute in node.attribute if attribute.name == "else_branch")
            nodes += branch.node
            tensors += branch.initializer
        elif not node.output[0].startswith(PREFIX) and node.output[0] != "logits":
            nodes.append(node)
    for node in nodes:
        node.output[:] = ["logits" if name in (WHOLE, "judged") else name for name in node.output]
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for field, values in (
        (found.graph.node, nodes),
        (found.graph.initializer, tensors),
        (found.graph.input, [given for given in graph.input if given.name != "below"]),
        (found.metadata_props, []),
    ):
        del field[:]
        field.extend(values)
    found.graph.output[0].type.tensor_type.shape.dim[1].dim_value = int(outputs)
    return found


def leaf_of(model: Any) -> Any:
    """The graph of the exit that a graph has, as `with_exit` takes it."""
    made = {f"{PREFIX}{name}" for name in ("states", "lower", "numbers", "least", "stops", "stopped", "whole")}
    nodes = [node for node in model.graph.node if node.output[0].startswith(PREFIX) and node.output[0] not in made]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name.startswith(PREFIX)]
    for part in (*nodes, *tensors):
        part.name = part.name.removeprefix(PREFIX)
    for node in nodes:
        node.input[:] = [name.removeprefix(PREFIX) for name in node.input]
        node.output[:] = [name.removeprefix(PREFIX) for name in node.output]
    inputs = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (("states", TensorProto.FLOAT), ("attention_mask", TensorProto.INT64))
    ]
    output = helper.make_tensor_value_info("exit", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        nodes, "exit", inputs, [output], [tensor for tensor in tensors if tensor.name != "nothing"]
    )
    return helper.make_model(graph, opset_imports=model.opset_import)


def _behind(nodes: Iterable[Any], wanted: list[str]) -> list[Any]:
    """The nodes that give what is wanted, and all that these need, in their order."""
    nodes = list(nodes)
    found: set[str] = set()
    makers = {name: node for node in nodes for name in node.output}
    while wanted:
        name = wanted.pop()
        if name in makers and name not in found:
            found.update(makers[name].output)
            wanted += makers[name].input
    return [node for node in nodes if found.intersection(node.output)]


def _renamed(graph: Any, states: str) -> tuple[list[Any], list[Any]]:
    """The nodes and tensors of the exit's graph under names of their own, fed from the encoder."""
    given = {"attention_mask": "attention_mask", "states": f"{PREFIX}states", "": ""}

    def named(name: str) -> str:
        return given.get(name, f"{PREFIX}{name}")

    # The encoder may compute in 16 bits; the exit computes in 32.
    nodes = [helper.make_node("Cast", [states], [f"{PREFIX}states"], f"{PREFIX}cast", to=TensorProto.FLOAT)]
    for node in graph.node:
        node.name = named(node.name)
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
        nodes.append(node)
    for tensor in graph.initializer:
        tensor.name = named(tensor.name)
    return nodes, list(graph.initializer)


def _branch(graph: Any, upper: list[Any], lower: list[Any], columns: int, outputs: int) -> list[Any]:
    """The nodes that decide whether to stop, with the upper layers and their tensors as a branch of the last."""
    used = {name for node in upper for name in node.input}
    shared = {name for node in [*lower, *graph.node] for name in node.input}
    inside = [tensor for tensor in graph.initializer if tensor.name in used - shared]
    outside = [tensor for tensor in graph.initializer if tensor.name not in used - shared]
    del graph.initializer[:]
    graph.initializer.extend(outside)
    for name, values in {
        "below": np.full(columns, -np.inf, np.float32),
        f"{PREFIX}nothing": np.full((1, outputs), np.nan, np.float32),
    }.items():
        graph.initializer.append(numpy_helper.from_array(values, name))
    graph.input.append(helper.make_tensor_value_info("below", TensorProto.FLOAT, [columns]))
    stopped = f"{PREFIX}stopped"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (stopped, WHOLE)]
    stop = helper.make_graph([helper.make_node("Identity", [f"{PREFIX}nothing"], [stopped])], "stop", [], ends[:1])
    go_on = helper.make_graph(upper, "go_on", [], ends[1:], initializer=inside)
    return [
        helper.make_node("Less", [f"{PREFIX}exit", "below"], [f"{PREFIX}lower"]),
        helper.make_node("Cast", [f"{PREFIX}lower"], [f"{PREFIX}numbers"], to=TensorProto.INT32),
        helper.make_node("ReduceMin", [f"{PREFIX}numbers"], [f"{PREFIX}least"], keepdims=0),
        helper.make_node("Cast", [f"{PREFIX}least"], [f"{PREFIX}stops"], to=TensorProto.BOOL),
        helper.make_node("If", [f"{PREFIX}stops"], ["judged"], then_branch=stop, else_branch=go_on),
    ]
