"""Repeats the trainings of `seq-models demo` under a strategy: their scores and the seconds of their epochs.

    python benchmarks/demo_trainings.py --out FILE [--strategy one|mirrored] [--tasks …] [--share S]

`mirrored` trains on all GPUs, or on one replica a core where there is none. Every run starts from the demo's own seed.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras  # noqa: E402  the variables are read when TensorFlow is imported
import tensorflow as tf  # noqa: E402

from seq_models import demo  # noqa: E402
from seq_models.layers.recurrent import Recurrent  # noqa: E402
from seq_models.tasks import TASKS  # noqa: E402
from seq_models.text import corpora  # noqa: E402
from seq_models.training.strategy import make_strategy  # noqa: E402


class EpochSeconds(keras.callbacks.Callback):
    """The seconds of each epoch, validation included."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(round(time.perf_counter() - self.started, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strategy", choices=("one", "mirrored"), default="mirrored")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--share", type=float, default=1.0, help="of the training examples")
    options = parser.parse_args()
    make_strategy(options.strategy)  # before TensorFlow touches its devices
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    about = {"devices": [gpu.get("device_name") for gpu in gpus] or f"{os.cpu_count()} CPU cores"}
    result = {**about, "strategy": options.strategy, "tensorflow": tf.__version__, "trainings": {}}
    for name in options.tasks:
        result["trainings"][name] = train(name, options)
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(name, result["trainings"][name], flush=True)


def train(name, options):
    recipe, seconds = demo.RECIPES[name], EpochSeconds()
    corpus = corpora.load(name, train_size=int(options.share * recipe["size"]))
    with make_strategy(options.strategy).scope():
        model = demo.train(TASKS[name], corpus, recipe, callbacks=[seconds])
    scores = model.score(corpus.test)
    layers = [getattr(layer, "forward_layer", layer) for layer in model.network.layers]
    used = {layer.engine_used for layer in layers if isinstance(layer, Recurrent)}
    score, *_ = demo.SCORES[name]
    later = seconds.seconds[1:] or seconds.seconds
    return {
        score: round(scores[score], 4),
        "seconds of epochs": seconds.seconds,
        "median of the later": statistics.median(later),
        "engines": sorted(map(" ".join, used)),
    }


if __name__ == "__main__":
    main()
