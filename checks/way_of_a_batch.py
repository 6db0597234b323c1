"""The files that a batch passes from a line of a file to the loss, and a text on its way to the answer.

    python checks/way_of_a_batch.py

The first step of an epoch, in which files are read anew, and a `predict_text` are traced, operation by operation. A
file is on the way if a function in it returns or yields what carries the data: a line, an example, a row, an array or
tensor with an axis. What looks at data only (checks, counts, metrics) or says how to treat them (options, choices) is
not. Two things are listed apart: the operations on texts that a `Codec` calls, and the layers of the network.
"""

import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

import seq_models as sm
from seq_models.tasks import TASKS

FILES = {  # of each task; the word is in everything that comes out of them
    "language-model": {"train.txt": "zyzzyva eats\n"},
    "labeler": {"train.conll": "zyzzyva NOUN\neats VERB\n\n"},
    "classifier": {"train.tsv": "zyzzyva eats\tgood\n"},
    "encoder-decoder": {"train.en": "zyzzyva eats\n", "train.es": "zyzzyva come\n"},
}


def carries(value):
    if isinstance(value, list | tuple | dict):
        return any(map(carries, value.values() if isinstance(value, dict) else value))
    is_array = isinstance(value, np.ndarray | tf.Tensor | tf.RaggedTensor) and len(value.shape) > 0
    return is_array or isinstance(value, str) and "zyzzyva" in value


def show_way(title, function, *arguments):
    found = {"on the way": {}, "operations on texts": {}, "layers": {}}

    def note(frame, event, value):
        name = frame.f_code.co_filename.rpartition("/seq_models/")[2]
        if event == "return" and name != frame.f_code.co_filename and carries(value):
            kind = "layers" if name.startswith("layers/") and not name.startswith("layers/heads/") else "on the way"
            while name != "text/codec.py" and (frame := frame.f_back):
                kind = "operations on texts" if frame.f_code.co_qualname.startswith("Codec.") else kind
            found[kind].setdefault(name)

    sys.setprofile(note)
    function(*arguments)
    sys.setprofile(None)
    print(title, *(f"  {len(names)} {kind}: {', '.join(names)}" for kind, names in found.items()), sep="\n")


def first_step(model, epoch):
    model.train_step(tf.nest.map_structure(tf.constant, next(epoch())))


for task, files in FILES.items():
    paths = [Path(tempfile.mkdtemp()) / name for name in files]
    for path in paths:
        path.write_text(files[path.name] * 9)
    examples = sm.read_examples(*paths)
    model = TASKS[task].from_examples(examples, units=4)
    model.compile()
    with mock.patch.object(tf.data.Dataset, "from_generator", wraps=tf.data.Dataset.from_generator) as made:
        model.dataset(examples, shuffle=True)
    tf.config.run_functions_eagerly(True)
    show_way(f"{task}, a batch:", first_step, model, made.call_args.args[0])
    show_way(f"{task}, predict_text:", model.predict_text, ["zyzzyva eats"])
    tf.config.run_functions_eagerly(False)
