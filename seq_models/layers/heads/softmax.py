"""The softmax over all classes, with a matrix of its own or that of an embedding."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.heads.cross_entropy import cross_entropy
from seq_models.layers.heads.pieces import by_size, log_sum_exp_in_pieces, logits_of, over_pieces, precise
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
class SoftmaxHead(keras.layers.Layer):
    """One of K classes for each hidden state [1, section 8.3]:

        logits = h W + b      P(y = k | h) = softmax(logits)_k      loss = -log P(y | h)      prediction = argmax_k

    With `label_smoothing` ε training minimizes (1 - ε) loss - ε/K Σ_k log P(k | h) [2, section 7].
    With `calibrated` probabilities have a temperature, by which they may be as sure as they are right, and there is a
    threshold below which a prediction is no answer [3, section 4.2], [4]:

        P(y = k | h) = softmax(logits / T)_k      it abstains where max_k P(y = k | h) < threshold

    T is fitted when all else is trained. It is no part of the loss, and changes no prediction.

    Weights: kernel W (H, K), bias b (K,); with `calibrated` temperature T and threshold, scalars that are not trained,
    at first 1 and 0.

    Args:
        classes: K, a positive integer.
        kernel_initializer: How W starts.
        label_smoothing: ε in [0, 1).
        calibrated: Whether there is a temperature.
    Call arguments:
        hidden: h, floats (..., H).
    Returns:
        Logits, floats (..., K).
    Raises:
        ValueError: If `label_smoothing` is not in [0, 1).
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Szegedy et al. 2016 (arXiv:1512.00567). [3] Guo et al. 2017, On
        Calibration of Modern Neural Networks. [4] Chow 1970, On Optimum Recognition Error and Reject Tradeoff.
    """

    def __init__(
        self,
        classes: int,
        kernel_initializer: Any = "glorot_uniform",
        label_smoothing: float = 0.0,
        calibrated: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1). Received: label_smoothing={label_smoothing!r}")
        self.supports_masking = True
        self.classes, self.label_smoothing, self.calibrated = classes, label_smoothing, calibrated
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, hidden_shape):
        shape = (hidden_shape[-1], self.classes)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.classes,), initializer="zeros")
        self.build_calibration()

    def build_calibration(self) -> None:
        """Makes the weights T and threshold, where it has them."""
        if self.calibrated:
            self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones", trainable=False)
            self.threshold = self.add_weight(name="threshold", shape=(), initializer="zeros", trainable=False)

    def call(self, hidden):
        return ops.cast(logits_of(hidden, *self.affine()), self.compute_dtype)

    def compute_output_shape(self, hidden_shape):
        return (*hidden_shape[:-1], self.classes)

    def affine(self, classes: Tensor | None = None) -> Tensors:
        """W (H, K) and b (K,), of all classes or of some, integers (K,): tensors in the head's dtype of calculation."""
        W, b = self.kernel, self.bias
        if classes is not None:
            W, b = ops.take(W, classes, axis=1), ops.take(b, classes)
        return [ops.cast(W, self.compute_dtype), ops.cast(b, self.compute_dtype)]

    def compare(self, hidden: Tensor, targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Losses, floats of 32 bits, and predictions, integers: both of the shape of `targets`, integers (...).

        In training a loss may be an estimate of the one that it is else. Where predictions are not asked for, a graph
        does not make them.
        """

        def in_pieces(h, y, weights):
            W, *b = weights
            at_targets = [ops.take(W, y, axis=1), *(ops.take(each, y) for each in b)]
            others = log_sum_exp_in_pieces(h, y, ops.arange(self.classes, dtype="int32"), weights)
            predictions = over_pieces(lambda h: most_probable(logits_of(h, *weights)), self.classes, "int32", h)
            return loss_beside(others, h, at_targets), predictions

        def whole(logits, y):
            return cross_entropy(y, logits), most_probable(logits)

        losses, predictions = self._by_size(whole, in_pieces, hidden, targets)
        if training and self.label_smoothing:
            losses += self.label_smoothing * self._above_mean(hidden, targets)
        return losses, predictions

    def _above_mean(self, hidden, targets):
        """logit_y - 1/K Σ_k logit_k, of the shape of the targets, without all logits: both are products with h.

        ε times it is what smoothing adds to a loss S - logit_y, with S = log Σ_k exp(logit_k): the smoothed one is
        (1 - ε) (S - logit_y) + ε (S - mean).
        """
        if type(self).call is not SoftmaxHead.call:
            logits = self._logits(hidden)
            return ops.take_along_axis(logits, _integers(targets)[..., None], axis=-1)[..., 0] - ops.mean(
                logits, axis=-1
            )
        y = ops.reshape(_integers(targets), (-1,))
        h = ops.cast(ops.reshape(hidden, (-1, hidden.shape[-1])), precise(self.compute_dtype))  # (N, H)
        of_all, of_targets = ([ops.cast(w, h.dtype) for w in self.affine(classes)] for classes in (None, y))
        W, *b = (of_y - ops.mean(of_k, axis=-1, keepdims=True) for of_y, of_k in zip(of_targets, of_all, strict=True))
        return ops.reshape(sum(b, ops.sum(h * ops.transpose(W), axis=1)), ops.shape(targets))

    def predict(self, hidden: Tensor) -> Tensor:
        """The most probable class, integers (...)."""
        return self._each(most_probable, "int32", hidden)

    def probabilities(self, hidden: Tensor) -> Tensor:
        """The probability of each class, floats of 32 bits (..., K)."""
        return ops.softmax(self._cooled(self._logits(hidden), self._temperature()))

    def abstains(self, confidence: Tensor) -> Tensor:
        """Whether a prediction of such a probability is no answer, booleans of the shape of the argument."""
        if not self.calibrated:
            return ops.zeros_like(confidence, dtype="bool")
        return confidence < ops.cast(self.threshold, confidence.dtype)

    def log_probability(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """log P(y | h) of the targets, natural, of their shape: one operation, where no gradient is asked for."""
        T = self._temperature()

        def log_p(logits, y):
            return -ops.sparse_categorical_crossentropy(y, self._cooled(logits, T), from_logits=True)

        return self._each(log_p, precise(self.compute_dtype), hidden, targets)

    def _temperature(self):
        """T as a tensor, None without one."""
        return ops.convert_to_tensor(self.temperature) if self.calibrated and self.built else None

    @staticmethod
    def _cooled(logits, T):
        return logits if T is None else logits / ops.cast(T, logits.dtype)

    def _logits(self, hidden):
        """As of a call, in 32 bits at least, whatever the network calculates with."""
        logits = self(hidden)
        return ops.cast(logits, precise(logits.dtype))

    def _each(self, said, dtype, hidden, *targets):
        """A number for each hidden state, a function of logits (..., K) and targets (...)."""

        def in_pieces(h, *rest):
            *y, weights = rest
            return over_pieces(lambda h, *y: said(logits_of(h, *weights), *y), self.classes, dtype, h, *y)

        return self._by_size(said, in_pieces, hidden, *targets)

    def _by_size(self, whole, in_pieces, hidden, *targets):
        """`whole(logits, targets)`, or where logits would be too many `in_pieces(h (N, H), targets (N,), weights)`."""
        if type(self).call is not SoftmaxHead.call:  # a subclass with logits of its own
            return whole(self._logits(hidden), *targets)
        hidden = ops.cast(hidden, self.compute_dtype)
        if not self.built:
            self.build(hidden.shape)
        weights = self.affine()
        shape = ops.shape(hidden)[:-1]

        def flat():
            h, *y = (ops.reshape(x, (-1, *x.shape[len(shape) :])) for x in (hidden, *map(_integers, targets)))
            return keras.tree.map_structure(lambda said: ops.reshape(said, shape), in_pieces(h, *y, weights))

        return by_size(hidden, self.classes, lambda: whole(logits_of(hidden, *weights), *targets), flat)

    def load_own_variables(self, store: Any) -> None:
        """As every layer; of a model from before there was a temperature it and the threshold stay as they are."""
        if not self.calibrated or len(store.keys()) == len(self.weights):
            super().load_own_variables(store)
            return
        for place, variable in enumerate(self.trainable_weights):
            variable.assign(store[str(place)])

    def get_config(self):
        own = {"classes": self.classes, "label_smoothing": self.label_smoothing, "calibrated": self.calibrated}
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **own}


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
        self._embedding = lambda: embedding  # a function, so that E has one owner

    def build(self, hidden_shape):
        if not self._embedding().built:
            self._embedding().build()
        self.build_calibration()

    def affine(self, classes: Tensor | None = None) -> Tensors:
        E = self._embedding().embeddings
        E = E if classes is None else ops.take(E, classes, axis=0)
        return [ops.transpose(ops.cast(E, self.compute_dtype))]

    def get_config(self):
        raise ValueError(
            "The config of a tied head is that of its network: copy the whole one by "
            "network.from_config(network.get_config()). Received: get_config of the head alone"
        )


def most_probable(logits: Tensor) -> Tensor:
    """argmax_k of logits (..., K), integers (...)."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def loss_beside(others: Tensor, h: Tensor, at_targets: Tensors) -> Tensor:
    """-log P(y | h) = log(exp(others) + exp(logit_y)) - logit_y.

    Args:
        others: The log of the summed exp of all other logits, floats (N,).
        h: Hidden states, floats (N, H).
        at_targets: The columns (H, N) of W for the targets, and their b (N,) if there is one.
    Returns:
        Floats (N,).
    """
    W, *b = (ops.cast(weight, others.dtype) for weight in at_targets)
    return ops.softplus(others - sum(b, ops.sum(ops.cast(h, others.dtype) * ops.transpose(W), axis=1)))


def _integers(targets):
    return ops.cast(targets, "int32")
