"""The files of a SavedModel, and ways through its graph."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef, TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

INIT = "__saved_model_init_op"
CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class Artifact:
    """A directory of a SavedModel.

    Args:
        path: Its path.
    Raises:
        FileNotFoundError: If there is no saved_model.pb.
        google.protobuf.message.DecodeError: If it cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = self.path / "saved_model.pb"
        self.graphs = SavedModel.FromString(self.file.read_bytes()).meta_graphs

    @functools.cached_property
    def graph(self) -> MetaGraphDef:
        return self.graphs[0]

    @property
    def nodes(self) -> Iterator[NodeDef]:
        """All nodes, also those inside of functions."""
        yield from self.graph.graph_def.node
        for function in self.functions.values():
            yield from function.node_def

    @functools.cached_property
    def functions(self) -> dict[str, FunctionDef]:
        """By name."""
        return {function.signature.name: function for function in self.graph.graph_def.library.function}

    @property
    def signatures(self) -> dict[str, SignatureDef]:
        """Without that which initializes."""
        return {name: signature for name, signature in self.graph.signature_def.items() if name != INIT}

    @property
    def tensors(self) -> Iterator[tuple[str, str, str, TensorInfo]]:
        """(signature, "input" or "output", name, its `TensorInfo`)."""
        for key, signature in self.signatures.items():
            for kind, infos in (("input", signature.inputs), ("output", signature.outputs)):
                for name, info in infos.items():
                    yield key, kind, name, info

    def users(self, tensor: str) -> set[str]:
        """The operations on a tensor of the graph, also where it is handed on to a function."""
        return set(_users(self.graph.graph_def.node, _name(tensor), self.functions))

    def reached(self, tensors: Iterable[str]) -> set[str]:
        """The operations that run when tensors of the graph are asked for, also those inside of functions."""
        nodes = {node.name: node for node in self.graph.graph_def.node}
        names = [name for name in map(_name, tensors) if name in nodes]
        for name in names:  # which grow meanwhile
            names += {_name(tensor) for tensor in nodes[name].input} & nodes.keys() - set(names)
        run = [nodes[name] for name in names]
        ops: set[str] = set()
        seen: set[str] = set()
        while run:
            node = run.pop()
            ops.add(node.op)
            for name in called(node) & self.functions.keys() - seen:
                seen.add(name)
                run += self.functions[name].node_def
        return ops

    def origins(self, op: str, place: int) -> set[str]:
        """The names of the nodes of the graph where an input of every operation of a kind comes from.

        Args:
            op: The kind.
            place: The position of the input.
        Returns:
            Their names; of what is made inside of a function "a function".
        """
        scopes = {"": self.graph.graph_def.node, **{name: f.node_def for name, f in self.functions.items()}}
        nodes = {(scope, node.name): node for scope, inner in scopes.items() for node in inner}
        todo = [(scope, _name(node.input[place])) for (scope, _), node in nodes.items() if node.op == op]
        found, seen = set(), set()
        while todo:
            scope, name = todo.pop()
            if (scope, name) in seen:
                continue
            seen.add((scope, name))
            arguments = [arg.name for arg in self.functions[scope].signature.input_arg] if scope else []
            if name in arguments:
                callers = [(outer, node) for (outer, _), node in nodes.items() if scope in called(node)]
                direct = [(outer, node) for outer, node in callers if node.op in CALLS]
                found |= {"a function"} if len(direct) < len(callers) else set()
                todo += [(outer, _name(node.input[arguments.index(name)])) for outer, node in direct]
            elif (node := nodes.get((scope, name))) and node.op == "Identity":
                todo.append((scope, _name(node.input[0])))
            elif written := self._written(name) if not scope else []:
                todo += [("", value) for value in written]
            else:
                found.add("a function" if scope else name)
        return found

    def _written(self, name):
        """Of a node of the graph that reads a variable: the nodes whose values the graph writes there."""
        nodes = {node.name: node for node in self.graph.graph_def.node}
        if name not in nodes or nodes[name].op != "ReadVariableOp":
            return []
        written = (node.input for node in nodes.values() if node.op == "AssignVariableOp")
        return [_name(value) for variable, value, *_ in written if variable == nodes[name].input[0]]


def called(node: NodeDef) -> set[str]:
    """The names of the functions that a node may call; its operation may be one itself."""
    values = node.attr.values()
    lists = (function.name for value in values for function in value.list.func)
    return {node.op, *(value.func.name for value in values if value.HasField("func")), *lists}


def _name(tensor):
    """The node of a tensor, `name:0`, or of a control input, `^name`."""
    return tensor.split(":")[0].removeprefix("^")


def _users(nodes, tensor, functions):
    for node in nodes:
        for place, name in enumerate(map(_name, node.input)):
            if name != tensor:
                continue
            if node.op in CALLS:
                function = functions[node.attr["f"].func.name]
                yield from _users(function.node_def, function.signature.input_arg[place].name, functions)
            elif node.op == "Identity":
                yield from _users(nodes, node.name, functions)
            else:
                yield node.op
