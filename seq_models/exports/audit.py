"""What the files of a SavedModel say of whether a server can load it, and of what it would do wrong.

Each check takes an `Artifact` and yields a sentence for everything that it finds. The names of the checks are those of
what they look at; together they are `CHECKS`.
"""

import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType

from seq_models.exports.graphs import Artifact
from seq_models.exports.operations import LOADING, forbidden, known

LARGEST = 2**31 - 1  # bytes of a protocol buffer
CONSTANT = 2**20  # bytes; larger ones belong in a variable or an asset
NEWEST_CONSUMER = 12  # the version of graphs that a server must know
# What JSON can carry.
TYPES = {"BOOL", "STRING", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64", "FLOAT", "DOUBLE"}
TAKEN = {"b64", "instances", "inputs", "signature_name"}  # names that a request of REST uses itself


def tags(artifact: Artifact) -> Iterator[str]:
    """One graph, with the tag serve."""
    found = [sorted(graph.meta_info_def.tags) for graph in artifact.graphs]
    if found != [["serve"]]:
        yield f"There must be one graph with the tag serve. Received: {found}"


def default_signature(artifact: Artifact) -> Iterator[str]:
    """A signature serving_default, and all of them to predict from something."""
    if "serving_default" not in artifact.signatures:
        yield f"There must be a signature serving_default. Received: {sorted(artifact.signatures)}"
    for name, signature in artifact.signatures.items():
        if signature.method_name != "tensorflow/serving/predict":
            yield f"{name} must have the method tensorflow/serving/predict. Received: {signature.method_name!r}"
        if not signature.inputs:
            yield f"{name} must have an input. Received: none"


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
            first = artifact.users(info.name)
            if not first <= {"EnsureShape"}:
                yield f"{key}: the first operation on the input {name} must be EnsureShape. Received: {sorted(first)}"


def operations(artifact: Artifact) -> Iterator[str]:
    """Operations that a server has, none of which acts on more than the model, fails, or is tied to one machine."""
    used = {node.op for node in artifact.nodes} - artifact.functions.keys()
    for op in sorted(used):
        if what := forbidden(op):
            yield f"An export must not hold {what}. Received: {op}"
    for op in sorted(used - known().keys()):
        yield f"Every operation must be one of TensorFlow Serving 2.20. Received: {op}"
    compiled = [node.name for node in artifact.nodes if "_XlaMustCompile" in node.attr]
    compiled += [name for name, function in artifact.functions.items() if "_XlaMustCompile" in function.attr]
    for name in compiled:
        yield f"An export must not hold a part that must be compiled by XLA. Received: {name}"


def answers(artifact: Artifact) -> Iterator[str]:
    """Signatures that neither load nor change anything."""
    for key, signature in artifact.signatures.items():
        for op in sorted(artifact.reached(info.name for info in signature.outputs.values()) & LOADING):
            yield f"{key}: an answer must not read or write a file, or change the model. Received: {op}"


def assets(artifact: Artifact) -> Iterator[str]:
    """Files for tables, all of them in the directory of assets."""
    directory = (artifact.path / "assets").resolve()
    for name in sorted({asset.filename for asset in artifact.graph.asset_file_def}):
        if "\0" in name or not (directory / name).resolve().is_relative_to(directory):
            yield f"An asset must be a file in {directory}. Received: {name!r}, which leaves it"
        elif not (directory / name).is_file():
            yield f"An asset must be a file in {directory}. Received: {name!r}, which is not there"
    named = {asset.tensor_info.name.split(":")[0] for asset in artifact.graph.asset_file_def}
    for origin in sorted(artifact.origins("InitializeTableFromTextFileV2", 1) - named):
        yield f"A table must be read from an asset. Received: the name of a file from {origin}"


def devices(artifact: Artifact) -> Iterator[str]:
    """No operation tied to an accelerator."""
    for device in sorted({node.device for node in artifact.nodes}):
        if "GPU" in device.upper() or "TPU" in device.upper():
            yield f"No operation may be tied to an accelerator. Received: {device}"


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
    tags, default_signature, names, dense, batches, types, checked_first, operations, answers, assets, devices,
    versions, sizes, slots,
)  # fmt: skip


def problems_of(artifact: Artifact) -> list[str]:
    """What is wrong with an artifact, a list of sentences; none of it is loaded for that."""
    if len(artifact.graphs) != 1:
        return list(tags(artifact))
    return [problem for check in CHECKS for problem in check(artifact)]
