"""The operations that TensorFlow Serving 2.20 has: those of TensorFlow 2.20 and of TensorFlow Text 2.20.

    python -m seq_models.exports.operations      writes the list anew, from the packages that are installed

The list is a file, so that an export made by a newer TensorFlow is held against the server and not against itself.
"""

from pathlib import Path

LIST = Path(__file__).parent / "operations_2_20.txt"
# Operations that a server has, but that fail in it, write files, or tie an export to one machine.
FORBIDDEN = (
    ("Cudnn", "a recurrence of cuDNN, which has no CPU kernel"),
    ("Xla", "a part compiled by XLA, which a server has turned off"),
    ("PyFunc", "a Python function, which is not saved"),
    ("Dataset", "a dataset"),
    ("Iterator", "an iterator of a dataset"),
    ("Print", "a printer"),
    ("WriteFile", "a writer of files"),
    ("MutableHashTable", "a table that can be changed"),
)


def allowed() -> set[str]:
    """The names of the operations."""
    return set(LIST.read_text("utf-8").split())


def write_list() -> None:
    """Writes the names of the operations of the TensorFlow that is installed, which must be 2.20."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers its own

    from seq_models.private_api import names_of_all_operations

    if not tf.__version__.startswith("2.20."):
        raise RuntimeError(f"The list must be written with TensorFlow 2.20. Received: {tf.__version__}")
    LIST.write_text("\n".join(names_of_all_operations()) + "\n", "utf-8")


if __name__ == "__main__":
    write_list()
