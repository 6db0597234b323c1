"""What a training shows while it runs: callbacks for TensorBoard, each one idea, cheap enough to leave on."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from seq_models.errors import positive
from seq_models.training.watching.error_analysis import ErrorAnalysis
from seq_models.training.watching.hyperparameters import Hyperparameters
from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.projector import Projector
from seq_models.training.watching.samples import Attention, Samples
from seq_models.training.watching.scalars import Scalars
from seq_models.training.watching.through_time import ThroughTime
from seq_models.training.watching.weights import GradientNorms, Weights

EXAMPLES = 512  # validation examples that are looked at: as many, drawn from all of them
BATCH = 8  # of these, whose gradient is taken
SHOWN = 4  # of these, whose answers and attention are shown
LONGEST = 100  # tokens of the text that is read step by step
LOOKS = 3  # callbacks that look every so many steps and share the time


def watchers(
    directory: Path, model: Any, valid_examples: Iterable[Any], options: dict, every: int = 100, share: float = 0.02
) -> list[keras.callbacks.Callback]:
    """Callbacks that show a training in TensorBoard (`DIRECTORY/logs`) and in `DIRECTORY/metrics.jsonl`.

    They read the model and change nothing. Of several workers only the chief needs them: they wait for no other one.

    Args:
        directory: The run directory.
        model: A task's model, compiled.
        valid_examples: The validation examples; some are drawn from them, always the same.
        options: The options of the training and the model, all of them, for the table of hyper-parameters.
        every: Training steps from one line of numbers to the next.
        share: Of the training's time that looking takes at most between the ends of epochs, at each of which all is
            looked at; 0 for numbers only.
    Raises:
        ValueError: If `every` is not a positive integer, or `share` not in [0, 1].
    """
    positive(every=every)
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1]. Received: share={share!r}")
    log = TrainingLog(directory)
    looks = _looks(log, model, valid_examples, every, share / LOOKS) if share else []
    return [
        Scalars(log, every),
        *looks,
        Hyperparameters(log, options, options.get("monitor") or model.monitor, directory),
    ]


def _looks(log, model, valid_examples, every, each):
    examples = draw(valid_examples, EXAMPLES)
    shown = examples[:SHOWN]
    return [
        Weights(log, every, each),
        GradientNorms(log, every, each, model.batch(examples[:BATCH])),
        ThroughTime(log, every, each, one_text(model, examples)),
        ErrorAnalysis(log, model, examples),
        Samples(log, shown),
        Projector(log),
        *([Attention(log, shown)] if getattr(model.network, "attends", False) else []),
    ]


def one_text(model: Any, examples: Sequence[Any]) -> tuple:
    """A batch of the longest of some examples, but for very long ones: (inputs, targets, weights)."""
    batches = [model.batch([example]) for example in examples[:BATCH]]
    lengths = [tf.nest.flatten(inputs)[0].shape[1] for inputs, _, _ in batches]
    fitting = [length for length in lengths if length <= LONGEST] or [min(lengths)]
    return batches[lengths.index(max(fitting))]


def draw(examples: Iterable[Any], count: int) -> list[Any]:
    """Examples drawn from all of them, each as likely as any other: a list of `count`, or all if there are fewer.

    They are read once and not kept (Vitter 1985, algorithm R); the same examples give the same ones every time.
    """
    drawn: list[Any] = []
    generator = random.Random(0)
    for number, example in enumerate(examples):
        if number < count:
            drawn.append(example)
        elif (place := generator.randrange(number + 1)) < count:
            drawn[place] = example
    return drawn
