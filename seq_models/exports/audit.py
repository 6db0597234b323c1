"""What the files of a SavedModel say of whether a server can load it, and of what it would do wrong.

Each check takes an `Artifact` and yields a sentence for everything that it finds. The names of the checks are those of
what they look at; together they are `CHECKS`.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef, TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from seq_models.exports.operations import FORBIDDEN, allowed

LARGEST = 2**31 - 1  # bytes of a protocol buffer
CONSTANT = 2**20  # bytes; larger ones belong in a variable or an asset
NEWEST_CONSUMER = 12  # the version of graphs that a server must know
# What JSON can carry.
TYPES = {"BOOL", "STRING", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64", "FLOAT", "DOUBLE"}
TAKEN = {"b64", "instances", "inputs", "signature_name"}  # names that a request of REST uses itself
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


def tags(artifact: Artifact) -> Iterator[str]:
    """One graph, with the tag serve."""
    found = [sorted(graph.meta_info_def.tags) for graph in artifact.graphs]
    if found != [["serve"]]:
        yield f"There must be one graph with the tag serve. Received: {found}"


def default_signature(artifact: Artifact) -> Iterator[str]:
    """A signature serving_default, and all of them to predict."""
    if "serving_default" not in artifact.signatures:
        yield f"There must be a signature serving_default. Received: {sorted(artifact.signatures)}"
    for name, signature in artifact.signatures.items():
        if signature.method_name != "tensorflow/serving/predict":
            yield f"{name} must have the method tensorflow/serving/predict. Received: {signature.method_name!r}"


def names(artifact: Artifact) -> Iterator[str]:
    """Names that a request of REST can carry."""
    for key, kind, name, _ in artifact.tensors:
        if not re.fullmatch("[a-z_]+", name) or name in TAKEN:
            yield f"{key}: a name of an {kind} must be [a-z_]+ and none of {sorted(TAKEN)}. Received: {name}"


def batches(artifact: Artifact) -> Iterator[str]:
    """A row for each request in every input and output."""
    for key, kind, name, info in artifact.tensors:
        shape = info.tensor_shape
        if shape.unknown_rank or not shape.dim or shape.dim[0].size != -1:
            sizes = "any" if shape.unknown_rank else [dim.size for dim in shape.dim]
            yield f"{key}: the {kind} {name} must have a row for each request, any number. Received: shape {sizes}"


def types(artifact: Artifact) -> Iterator[str]:
    """Types that JSON can carry."""
    for key, kind, name, info in artifact.tensors:
        dtype = DataType.Name(info.dtype).removeprefix("DT_")
        if dtype not in TYPES:
            yield f"{key}: the {kind} {name} must have a type that JSON carries. Received: {dtype}"


def dense(artifact: Artifact) -> Iterator[str]:
    """Dense tensors only."""
    for key, kind, name, info in artifact.tensors:
        if info.WhichOneof("encoding") != "name":
            yield f"{key}: the {kind} {name} must be a dense tensor. Received: {info.WhichOneof('encoding')}"


def checked_first(artifact: Artifact) -> Iterator[str]:
    """The first operation on every input checks its rank: a server does not, and some operations crash."""
    for key, kind, name, info in artifact.tensors:
        if kind == "input":
            first = set(_users(artifact.graph.graph_def.node, info.name.split(":")[0], artifact.functions))
            if not first <= {"EnsureShape"}:
                yield f"{key}: the first operation on the input {name} must be EnsureShape. Received: {sorted(first)}"


def _users(nodes, tensor, functions):
    """The operations on a tensor, also where it is handed on to a function."""
    for node in nodes:
        for place, name in enumerate(name.split(":")[0] for name in node.input):
            if name != tensor:
                continue
            if node.op in CALLS:
                called = functions[node.attr["f"].func.name]
                yield from _users(called.node_def, called.signature.input_arg[place].name, functions)
            elif node.op == "Identity":
                yield from _users(nodes, node.name, functions)
            else:
                yield node.op


def operations(artifact: Artifact) -> Iterator[str]:
    """Operations that a server has, and none that fail in it or tie the export to one machine."""
    used = {node.op for node in artifact.nodes} - artifact.functions.keys()
    for op in sorted(used):
        if what := next((what for part, what in FORBIDDEN if part in op), None):
            yield f"An export must not hold {what}. Received: {op}"
    known = allowed()
    for op in sorted(used - known):
        yield f"Every operation must be one of TensorFlow Serving 2.20. Received: {op}"
    compiled = [node.name for node in artifact.nodes if "_XlaMustCompile" in node.attr]
    compiled += [name for name, function in artifact.functions.items() if "_XlaMustCompile" in function.attr]
    for name in compiled:
        yield f"An export must not hold a part that must be compiled by XLA. Received: {name}"


def devices(artifact: Artifact) -> Iterator[str]:
    """No operation tied to an accelerator."""
    for device in sorted({node.device for node in artifact.nodes}):
        if "GPU" in device.upper() or "TPU" in device.upper():
            yield f"No operation may be tied to an accelerator. Received: {device}"


def randomness(artifact: Artifact) -> Iterator[str]:
    """Random numbers from seeds of the request only."""
    drawn = {node.op for node in artifact.nodes if node.op.startswith(("Random", "Multinomial", "TruncatedNormal"))}
    for op in sorted(drawn):
        yield f"Random numbers must follow from a seed in the request. Received: {op}"


def versions(artifact: Artifact) -> Iterator[str]:
    """A graph that older servers of the same minor version can read."""
    consumer = artifact.graph.graph_def.versions.min_consumer
    if consumer > NEWEST_CONSUMER:
        yield f"The graph must need a version of at most {NEWEST_CONSUMER}. Received: {consumer}"
    if not artifact.graph.meta_info_def.stripped_default_attrs:
        yield "Default attributes must be stripped, or older servers do not load the graph. Received: they are not"


def sizes(artifact: Artifact) -> Iterator[str]:
    """A graph within the bounds of a protocol buffer."""
    size = artifact.file.stat().st_size
    if size > LARGEST:
        yield f"saved_model.pb must have at most {LARGEST} bytes. Received: {size}"
    for node in artifact.nodes:
        constant = node.attr["value"].tensor.ByteSize() if node.op == "Const" else 0
        if constant > CONSTANT:
            yield f"A constant must have at most {CONSTANT} bytes. Received: {constant} in {node.name}"


def slots(artifact: Artifact) -> Iterator[str]:
    """Variables of the model alone."""
    variables = artifact.path / "variables" / "variables"
    if not variables.with_name("variables.index").exists():
        return
    for name in sorted(tf.train.load_checkpoint(str(variables)).get_variable_to_shape_map()):
        if re.search(r"(^|/)_?optimizer(/|$)|OPTIMIZER_SLOT", name):
            yield f"Variables must be those of the model, not of its optimizer. Received: {name}"


CHECKS = (
    tags, default_signature, names, dense, batches, types, checked_first, operations, devices, randomness, versions,
    sizes, slots,
)  # fmt: skip


def audit(path: str | Path) -> list[str]:
    """What is wrong with the files of a SavedModel, a list of sentences.

    Raises:
        FileNotFoundError: If there is no saved_model.pb.
        google.protobuf.message.DecodeError: If it cannot be read.
    """
    artifact = Artifact(path)
    if len(artifact.graphs) != 1:
        return list(tags(artifact))
    return [problem for check in CHECKS for problem in check(artifact)]
