"""Toy examples of the four tasks, and untrained models of them."""

import functools

import keras
import tensorflow as tf

from seq_models.tasks import TASKS

TEXTS = ["a b c d e", "b", "c a", "e e e d b a c", "a", "d b", "c c c", "b a"]
EXAMPLES = {
    "language-model": TEXTS,
    "labeler": [(text.split(), [token.upper() for token in text.split()]) for text in TEXTS],
    "classifier": [(text, "long" if len(text) > 3 else "short") for text in TEXTS],
    "encoder-decoder": [(text, " ".join(reversed(text.split()))) for text in TEXTS],
}
# The smallest network: for what does not depend on the network.
PLAIN = {"tokenizer": "whitespace", "units": 4, "embedding_units": 3, "cell": "simple_rnn", "bidirectional": False}


def small(task, **options):
    """A small model with the same random weights every time."""
    keras.utils.set_random_seed(3)
    options = {"tokenizer": "whitespace", "units": 5, "embedding_units": 4, "dropout": 0.0, **options}
    options = options if task == "language-model" else {"max_length": 12, **options}
    return TASKS[task].from_examples(EXAMPLES[task], **options)


@functools.cache
def shared(task):
    """A small model that no test changes; what was traced once is there for the next one."""
    return small(task)


def dataset_of(batch):
    """A dataset of one batch, without the autotuner: the end of an iterator waits for its next wake-up."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensors(batch).with_options(options)
