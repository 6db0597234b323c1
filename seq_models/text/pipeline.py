"""`tf.data` pipelines: strings in chunks from Python, examples of ids, batches of examples of like length."""

import tensorflow as tf

from seq_models.text.codec import chunked

SHUFFLE_BUFFER = 65_536  # examples
POOL = 32  # batches whose examples are sorted by length together
WORKERS = 2


def string_chunks(examples, fields):
    """A dataset of chunks of examples, each field a tensor of strings (N,).

    Args:
        examples: An iterable, read again in every epoch.
        fields: `fields(example)` gives the example's strings, a tuple of always the same length.
    """
    width = len(fields(next(iter(examples))))

    def chunks():
        for chunk in chunked(examples):
            yield tuple(zip(*map(fields, chunk), strict=True))

    return tf.data.Dataset.from_generator(chunks, output_signature=(tf.TensorSpec([None], tf.string),) * width)


def batches(chunks, count, encode, lengths, finish, batch_size, shuffle, seed):
    """A dataset of padded batches from a dataset of chunks of strings.

    Examples of like length share a batch, so that little is padding: a pool of examples is sorted by length and cut
    into batches, which come in random order if the data is shuffled.

    Args:
        chunks: A dataset of `string_chunks`.
        count: Number of examples.
        encode: From the strings of a chunk to a nested structure of tensors, ragged or not, with a row an example.
        lengths: `lengths(*examples)` gives the lengths (N,) to sort by.
        finish: From a padded batch to the batch that is given out.
        batch_size: Examples in a batch.
        shuffle: Whether to shuffle the examples, anew in every epoch.
        seed: Of the shuffling.
    """

    def by_length(*examples):
        order = tf.argsort(lengths(*examples), stable=True)
        return tf.nest.map_structure(lambda rows: tf.gather(rows, order), examples)

    examples = _rows(chunks.map(encode, num_parallel_calls=WORKERS))
    if shuffle:
        examples = examples.shuffle(SHUFFLE_BUFFER, seed=seed)
    padded = _rows(examples.ragged_batch(POOL * batch_size).map(by_length)).padded_batch(batch_size)
    if shuffle:
        padded = padded.shuffle(POOL, seed=seed)
    options = tf.data.Options()
    options.autotune.enabled = False  # with it the end of every epoch waits for the tuner's next wake-up
    options.deterministic = True
    known = padded.map(finish).apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))
    return known.prefetch(WORKERS).with_options(options)


def _rows(batched):
    """The rows one by one. That a row of a ragged tensor is a plain tensor, only a function of it tells the dataset."""
    return batched.unbatch().map(lambda *example: example)
