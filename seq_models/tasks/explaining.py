"""What each token of a text contributes to a class, by two methods that need not agree."""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from seq_models.text.codec import chunked
from seq_models.text.vocabulary import UNKNOWN

ROWS = 64  # that are read at once
FOR, AGAINST = (0, 130, 60), (200, 30, 30)  # red, green and blue of what speaks for a class, and against it


class Explanation(NamedTuple):
    """What the tokens of a text contribute to a class; in a notebook the text is coloured, green for it, red against.

    Attributes:
        label: The class.
        score: Its probability.
        tokens: Those that were read.
        contributions: A number for each token, of the unit of the method; above 0 it speaks for the class.
        method: See `METHODS`.
    """

    label: str
    score: float
    tokens: list[str]
    contributions: list[float]
    method: str

    def _repr_html_(self) -> str:
        most = max(map(abs, self.contributions), default=0.0) or 1.0
        spans = [_span(*pair, most) for pair in zip(self.tokens, self.contributions, strict=True)]
        head = f"<b>{html.escape(self.label)}</b> {self.score:.3f}, {html.escape(self.method)}:"
        return f"<p>{head} {' '.join(spans)}</p>"


class Explanations(list[Explanation]):
    """A list of explanations, one below the other in a notebook."""

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self)


def occlusion(model: Any, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """P(k | x) - P(k | x with <unk> in the place of x_t) of each token: as many rows are read as there are tokens [1].

    Args:
        model: A classifier.
        ids: Token ids (B, T), 0 is padding.
        numbers: k of each text (B,).
    Returns:
        Floats (B, T), 0 for padding and the end.
    References:
        [1] Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2; of words Li, Monroe and Jurafsky 2016,
        arXiv:1612.08220.
    """
    found = np.zeros(ids.shape, np.float32)
    places = np.argwhere(np.cumsum(ids[:, ::-1] != 0, axis=1)[:, ::-1] > 1)  # without the end, the last one of a row
    whole = _probabilities(model, ids, numbers)
    for some in chunked(places, ROWS):
        rows, at = np.array(some).T
        changed = ids[rows]
        changed[np.arange(len(rows)), at] = UNKNOWN
        found[rows, at] = whole[rows] - _probabilities(model, changed, numbers[rows])
    return found


def gradient_times_input(model: Any, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """e_t · ∂ logit_k / ∂ e_t of each token, e_t its embedding [1, 2]: what the logit of the class owes to it, were all
    linear. Arguments, returns: see `occlusion`; the end has a number, too, which is left out.

    References:
        [1] Shrikumar et al. 2016, arXiv:1605.01713. [2] Denil, Demiraj and de Freitas 2014, arXiv:1412.6815.
    """
    return model.gradients_times_inputs(tf.constant(ids), tf.constant(numbers)).numpy()


METHODS: dict[str, Callable[[Any, np.ndarray, np.ndarray], np.ndarray]] = {
    "occlusion": occlusion,
    "gradient_times_input": gradient_times_input,
}


def explain(model: Any, texts: Sequence[str], method: str, label: str | None, batch_size: int) -> Explanations:
    """See `SequenceClassifier.explain`."""
    names, found = model.preprocessor.labels.names, Explanations()
    for some in chunked(texts, batch_size):
        tokens = model.preprocessor.codec.tokenize(tf.constant(some, tf.string)).to_list()
        ids = model.preprocessor.inputs(tf.constant(some, tf.string)).numpy()
        probabilities = model.probabilities_of(tf.constant(ids)).numpy()
        numbers = np.argmax(probabilities, axis=1) if label is None else np.full(len(ids), names.index(label))
        contributions = METHODS[method](model, ids, numbers)
        for row, (each, k) in enumerate(zip(tokens, numbers, strict=True)):
            words, values = [token.decode() for token in each], contributions[row, : len(each)].tolist()
            found.append(Explanation(names[k], float(probabilities[row, k]), words, values, method))
    return found


def gradient_function(network: Any) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From token ids (B, T) and classes (B,) to e_t · ∂ logit_k / ∂ e_t (B, T)."""
    embedding = network.get_layer("embedding")
    body = keras.Model(network.input, [embedding.output, network.hidden])

    def gradients(ids, numbers):
        with tf.GradientTape() as tape:
            e, hidden = body(ids, training=False)
            logits = tf.gather(network.head(hidden), numbers, batch_dims=1)
        return tf.reduce_sum(e * tape.gradient(logits, e), axis=-1)

    return tf.function(gradients, input_signature=[_ids(2), _ids(1, tf.int64)], autograph=False)


def _ids(rank, dtype=tf.int32):
    return tf.TensorSpec([None] * rank, dtype)


def _probabilities(model, ids, numbers):
    return np.take_along_axis(model.probabilities_of(tf.constant(ids)).numpy(), numbers[:, None], axis=1)[:, 0]


def _span(token, value, most):
    """A token in the colour of its contribution, whose number is shown where the pointer stops."""
    red, green, blue = FOR if value > 0 else AGAINST
    style = f"background-color: rgba({red}, {green}, {blue}, {0.7 * abs(value) / most:.2f})"
    return f'<span style="{style}" title="{value:+z.4f}">{html.escape(token)}</span>'
