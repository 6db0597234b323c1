"""Whether exports made by one TensorFlow answer the same in another: made here, loaded there.

    make .venv-tf221/.installed
    .venv-tf221/bin/python checks/across_versions.py --python .venv/bin/python

The four tasks, with both tokenizers of words, untrained. Each export passes the gate of this TensorFlow first, and then
that of the other: its process loads the export and must give the model's answers to all of the gate's questions.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402  TensorFlow reads the environment once, when it is imported
import tensorflow as tf  # noqa: E402

import seq_models as sm  # noqa: E402
from seq_models.exports.gate import Process, check  # noqa: E402
from seq_models.exports.probes import probes_of  # noqa: E402
from seq_models.tasks import TASKS  # noqa: E402
from seq_models.text import corpora  # noqa: E402

TOKENIZERS = ("words", "wordpiece")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="the interpreter with the other TensorFlow")
    options = parser.parse_args()
    other = subprocess.run(
        [options.python, "-c", "import tensorflow; print(tensorflow.__version__)"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    for task in TASKS:
        for tokenizer in TOKENIZERS:
            if task == "labeler" and tokenizer == "wordpiece":
                continue  # its examples are cut into tokens already
            examples = corpora.load(task, 400, 8).train
            keras.utils.set_random_seed(1)
            sizes = {"units": 16, "max_length": 24, "vocabulary_size": 300}
            model = TASKS[task].from_examples(examples, tokenizer=tokenizer, **sizes)
            model.sample_texts = [model.question(example) for example in examples[:8]]
            with tempfile.TemporaryDirectory() as directory:
                path = sm.export(model, Path(directory) / task)
                probes = probes_of(model)
                check(path, probes, Process(options.python))
            print(
                f"{task}, {tokenizer}: {len(probes)} requests answered alike by {tf.__version__} and {other}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
