"""Heads: from the last hidden states h of a network to logits, and from h and the targets to losses and predictions.

Everything that asks how wrong or how sure a model is (training, validation, scores, answers, exports) asks its head:

    head(hidden)                    logits
    head.compare(hidden, targets)   losses and predictions, a number each for every target
    head.predict(hidden)            predictions alone
    head.probabilities(hidden)      P(y = k | h)
    head.log_probability(hidden, targets)   log P(y | h), whatever the loss is

A head sees hidden states and not logits, so that it may go through them in pieces. Shapes: hidden (..., H), targets and
what is said of each (...).
"""

from typing import Any

import keras
from keras import ops

from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class SoftmaxHead(keras.layers.Layer):
    """One of K classes for each hidden state [1, section 8.3]:

        logits = h W + b      P(y = k | h) = softmax(logits)_k      loss = -log P(y | h)      prediction = argmax_k

    Weights: kernel W (H, K), bias b (K,).

    Args:
        classes: K, a positive integer.
        kernel_initializer: How W starts.
    Call arguments:
        hidden: h, floats (..., H).
    Returns:
        Logits, floats (..., K).
    References:
        [1] Jurafsky and Martin, chapter 8.
    """

    def __init__(self, classes: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.classes = classes
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, hidden_shape):
        shape = (hidden_shape[-1], self.classes)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.classes,), initializer="zeros")

    def call(self, hidden):
        return ops.matmul(hidden, self.kernel) + self.bias

    def compute_output_shape(self, hidden_shape):
        return (*hidden_shape[:-1], self.classes)

    def compare(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Losses, floats of 32 bits, and predictions, integers: both of the shape of `targets`, integers (...)."""
        logits = self._logits(hidden)
        return cross_entropy(targets, logits), ops.argmax(logits, axis=-1)

    def predict(self, hidden: Tensor) -> Tensor:
        """The most probable class, integers (...)."""
        return ops.argmax(self._logits(hidden), axis=-1)

    def probabilities(self, hidden: Tensor) -> Tensor:
        """The probability of each class, floats of 32 bits (..., K)."""
        return ops.softmax(self._logits(hidden))

    def log_probability(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """log P(y | h) of the targets, natural, of their shape: one operation, where no gradient is asked for."""
        return -ops.sparse_categorical_crossentropy(targets, self._logits(hidden), from_logits=True)

    def _logits(self, hidden):
        """As of a call, in 32 bits at least, whatever the network calculates with."""
        logits = self(hidden)
        return ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "classes": self.classes, "kernel_initializer": initializer}


class TiedSoftmaxHead(SoftmaxHead):
    """`SoftmaxHead` whose W is the transposed matrix E of an embedding, without a bias [1, 2]: logits = h E'.

    Args:
        embedding: A `keras.layers.ReversibleEmbedding`; E is its weight and none of this layer.
    References:
        [1] Press and Wolf 2017, Using the Output Embedding to Improve Language Models. [2] Inan, Khosravi and Socher
        2017, Tying Word Vectors and Word Classifiers.
    """

    def __init__(self, embedding: keras.layers.ReversibleEmbedding, **kwargs: Any):
        super().__init__(embedding.input_dim, **kwargs)
        self._tied = lambda hidden: embedding(hidden, reverse=True)  # a function, so that E has one owner

    def build(self, hidden_shape):
        pass

    def call(self, hidden):
        return self._tied(hidden)

    def get_config(self):
        raise ValueError(
            "The config of a tied head is that of its network: copy the whole one by "
            "network.from_config(network.get_config()). Received: get_config of the head alone"
        )


def cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    """-log softmax(logits)[target] of every token.

    Its gradient is softmax(logits), less one at the target. The softmax is computed once for both; what is left are two
    maxima, a gather and a scatter.

        log Σ_v exp(logits_v) = max_v logits_v - log max_v softmax(logits)_v

    where the last maximum is at least 1/V, so that nothing underflows.

    Args:
        targets: Integers (...).
        logits: Floats (..., V), V static.
    Returns:
        Floats (...).
    """
    V = logits.shape[-1]
    flat = ops.reshape(targets, (-1,))  # (N,)
    rows = ops.arange(ops.shape(flat)[0], dtype="int32")
    at_targets = ops.stack([rows, ops.cast(flat, "int32")], axis=1)  # (N, 2)

    def picked(values):
        return ops.take(ops.reshape(values, (-1,)), at_targets[:, 0] * V + at_targets[:, 1])  # (N, V) -> (N,)

    @ops.custom_gradient
    def losses(logits):
        softmax = ops.softmax(logits)  # (N, V)
        log_sum = ops.max(logits, axis=-1) - ops.log(ops.max(softmax, axis=-1))

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # torch hands it over by name, after the logits
            weighted = softmax * upstream[:, None]
            return ops.scatter_update(weighted, at_targets, picked(softmax) * upstream - upstream)

        return log_sum - picked(logits), gradient

    return ops.reshape(losses(ops.reshape(logits, (-1, V))), ops.shape(targets))
