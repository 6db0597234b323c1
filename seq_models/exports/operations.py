"""The operations that TensorFlow Serving 2.20 has, and those of them that an export may hold.

    python -m seq_models.exports.operations      writes the list anew, from the packages that are installed

Those that TensorFlow Serving has are those of TensorFlow 2.20 and of TensorFlow Text 2.20. The list is a file, so that
an export made by a newer TensorFlow is held against the server and not against itself.
"""

import functools
import re
from pathlib import Path

LIST = Path(__file__).parent / "operations_2_20.txt"
STATEFUL = "stateful"  # stands after the name of an operation that is more than a function of its inputs
# Stateful operations on variables, tables and tokenizers that a model has, and those that call functions.
OWN = set(
    """
    Assert Case CheckNumerics CheckNumericsV2 DisableCopyOnRead Empty GuaranteeConst HashTableV2 If InitializeTableV2
    LookupTableFindV2 LookupTableSizeV2 ReadVariableOp ResourceGather ResourceGatherNd
    SentencepieceDetokenizeOp SentencepieceIdToStringOp SentencepieceOp SentencepieceStringToIdOp
    SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp SentencepieceVocabSizeOp StatefulPartitionedCall
    StatelessRandomGetAlg TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3
    TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 VarHandleOp
    VarIsInitializedOp VariableShape While WordpieceTokenizeWithOffsets
""".split()
)
# Stateful operations that read, write and fill the model; an answer has none of them.
LOADING = {"AssignVariableOp", "InitializeTableFromTextFileV2", "MergeV2Checkpoints", "RestoreV2", "SaveV2"}
# What else a server has, but an export must not.
FORBIDDEN = {
    "Cudnn": "a recurrence of cuDNN, which has no CPU kernel",
    "Xla": "a part compiled by XLA, which a server has turned off",
    "PyFunc": "a Python function, which is not saved",
    "Reader|ReadFile|MatchingFiles|LoadAndRemapMatrix|codeProto": "a reader of files",
    "Dataset": "a dataset",
    "Iterator": "an iterator of a dataset",
    "Print": "a printer",
    "WriteFile|SummaryWriter|SummaryDbWriter|^Write.*Summary|^Debug|^DumpTensor|^CopyHost$|^Copy$": "a writer of files",
    "Timestamp|^Sleep": "what depends on the time",
    "MutableHashTable|MutableDenseHashTable": "a table that can be changed",
    r"^Random(?!IndexShuffle|GammaGrad)|^Multinomial|TruncatedNormal$|^Stateful(Uniform|StandardNormal|RandomBinomial)"
    r"|^Rng|^NonDeterministicInts|CandidateSampler|^SampleDistorted|SeedGenerator|^RiscRandom|^Skipgram": (
        "random numbers that do not follow from a seed in the request"
    ),
    "^Abort$": "what ends the server",
}


@functools.cache
def known() -> dict[str, bool]:
    """The operations of the server by name: whether they are stateful."""
    lines = [line.split() for line in LIST.read_text("utf-8").splitlines()]
    return {name: marks == [STATEFUL] for name, *marks in lines}


def forbidden(op: str) -> str | None:
    """What an operation of the server is that no export may hold; None if it may."""
    for pattern, what in FORBIDDEN.items():
        if re.search(pattern, op) and not op.startswith("Stateless"):
            return what
    if known().get(op) and op not in OWN | LOADING:
        return "what acts on more than its own variables and tables"
    return None


def write_list() -> None:
    """Writes the operations of the TensorFlow that is installed, which must be 2.20."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers its own

    from seq_models.private_api import all_operations

    if not tf.__version__.startswith("2.20."):
        raise RuntimeError(f"The list must be written with TensorFlow 2.20. Received: {tf.__version__}")
    operations = sorted(all_operations().items())
    LIST.write_text("".join(f"{name} {STATEFUL}\n" if state else f"{name}\n" for name, state in operations), "utf-8")


if __name__ == "__main__":
    write_list()
