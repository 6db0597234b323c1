"""The files that a batch passes from a line of a file to the loss, and a text on its way to the answer.

    python checks/way_of_a_batch.py

The first step of an epoch, in which files are read anew, and a `predict_text` are traced, operation by operation. A
file is on the way if a function in it returns or yields what carries the data: a line, an example, a row, an array or
tensor with an axis. What looks at data only (checks, counts, metrics) or says how to treat them (options, choices) is
not. Two things on the way are one function of tensors each to those around them, and what they are made of is listed
apart: the operations on texts that a codec calls, and the layers below the head.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import seq_models as sm  # noqa: E402
from seq_models.tasks import TASKS  # noqa: E402

WORD = "zyzzyva"
HEAD = ("layers/heads.py", "layers/losses.py")
FILES = {
    "language-model": {"train.txt": f"{WORD} eats\n"},
    "labeler": {"train.conll": f"{WORD} NOUN\neats VERB\n\n"},
    "classifier": {"train.tsv": f"{WORD} eats\tgood\n"},
    "encoder-decoder": {"train.en": f"{WORD} eats\n", "train.es": f"{WORD} come\n"},
}


def carries(value):
    if isinstance(value, str | bytes):
        return WORD in str(value)
    if isinstance(value, list | tuple | dict):
        return any(map(carries, value.values() if isinstance(value, dict) else value))
    return isinstance(value, np.ndarray | tf.Tensor | tf.RaggedTensor) and len(value.shape) > 0


def kind_of(name, frame):
    while frame := frame.f_back:
        if name != "text/codec.py" and frame.f_code.co_qualname.startswith("Codec."):
            return "operations on texts"
    return "layers" if name.startswith("layers/") and name not in HEAD else "on the way"


def way(function):
    """The files by kind, in the order in which they hand on data."""
    found = {"on the way": {}, "operations on texts": {}, "layers": {}}

    def note(frame, event, value):
        _, inside, name = frame.f_code.co_filename.rpartition(f"{os.sep}seq_models{os.sep}")
        if event == "return" and inside and carries(value):
            found[kind_of(name, frame)].setdefault(name)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


def main():
    made, from_generator = [], tf.data.Dataset.from_generator
    tf.data.Dataset.from_generator = lambda batches, **more: made.append(batches) or from_generator(batches, **more)
    for task, files in FILES.items():
        with tempfile.TemporaryDirectory() as directory:
            paths = [Path(directory) / name for name in files]
            for path in paths:
                path.write_text(files[path.name] * 9)
            examples = sm.read_examples(*paths)
            model = TASKS[task].from_examples(examples, units=4)
            model.compile()
            model.dataset(examples, shuffle=True)
            tf.config.run_functions_eagerly(True)

            def step(model=model):
                batch = next(made[-1]())
                model.train_step(tf.nest.map_structure(tf.constant, batch))

            ways = {"a batch": way(step), "predict_text": way(lambda model=model: model.predict_text([f"{WORD} eats"]))}
            tf.config.run_functions_eagerly(False)
        for what, found in ways.items():
            print(f"{task}, {what}:")
            for kind, names in found.items():
                print(f"  {len(names)} {kind}: {', '.join(names)}")


if __name__ == "__main__":
    main()
