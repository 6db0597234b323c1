"""The softmax over a large vocabulary, in clusters by frequency: exact, and cheap where words are frequent."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from seq_models.layers.heads.softmax import SoftmaxHead, most_probable
from seq_models.layers.tensors import Tensor

SMALLEST = 8  # classes: the special tokens of a text, and two in each of two clusters


@keras.saving.register_keras_serializable(package="seq_models")
class AdaptiveSoftmaxHead(SoftmaxHead):
    """The adaptive softmax [1, section 4]: classes are in the order of falling frequency, the rare ones in clusters.

        P(k | h) = softmax(h W_0 + b_0)_k                                      k < c_1: a frequent class
        P(k | h) = softmax(h W_0 + b_0)_{c_1 + i - 1} softmax(h P_i W_i + b_i)_{k - c_i}      c_i ≤ k < c_{i+1}

    The first softmax is over the frequent classes and the I clusters; a cluster is looked into for the targets that are
    in it, and for no others, in losses and gradients alike. Logits are log P(k | h) of all K classes.

    Weights: kernel W_0 (H, c_1 + I), bias b_0; of cluster i kernel P_i (H, max(H / 4^i, 1)), W_i, bias b_i.

    Args:
        classes: K.
        cutoffs: c_1 … c_I, rising; K / 25 and K / 5 if left out: of the words of a text about a quarter are beyond the
            first one.
        kernel_initializer: How W_i starts.
    Raises:
        ValueError: If the cutoffs do not rise from above 0 to below K, with two classes or more in each cluster, or if
            there is to be `label_smoothing` or `calibrated`.
    References:
        [1] Grave, Joulin, Cissé, Grangier and Jégou 2017, Efficient softmax approximation for GPUs, arXiv:1609.04309.
    """

    def __init__(self, classes: int, cutoffs: Sequence[int] | None = None, **kwargs: Any):
        super().__init__(classes, **kwargs)
        for name in ("label_smoothing", "calibrated"):
            if asked := getattr(self, name):
                raise ValueError(f"{name} needs one softmax over all classes. Received: {name}={asked!r}")
        if cutoffs is None:
            first = max(classes // 25, SMALLEST - 4)
            cutoffs = (first, max(classes // 5, first + 2))
        self.cutoffs = list(cutoffs)
        bounds = [0, *self.cutoffs, classes]
        sizes = [high - low for low, high in zip(self.cutoffs, bounds[2:], strict=True)]
        if not sizes or bounds[1] < 1 or min(sizes) < 2:
            expected = f"cutoffs must rise from above 0 to below {classes}, with two classes or more in each cluster"
            raise ValueError(f"{expected}. Received: cutoffs={cutoffs!r}")
        self.first = self._softmax(self.cutoffs[0] + len(self.cutoffs), "first")
        self.tails = [self._softmax(size, f"cluster_{i}") for i, size in enumerate(sizes, start=1)]

    def _softmax(self, classes, name):
        return SoftmaxHead(classes, self.kernel_initializer, name=name, dtype=self.dtype_policy)

    def build(self, hidden_shape):
        H = hidden_shape[-1]
        self.first.build(hidden_shape)
        self.projections = []
        for i, tail in enumerate(self.tails, start=1):
            d = max(H // 4**i, 1)
            project = keras.layers.Dense(d, use_bias=False, name=f"projection_{i}", dtype=self.dtype_policy)
            project.build(hidden_shape)
            tail.build((*hidden_shape[:-1], d))
            self.projections.append(project)

    def call(self, hidden):
        return ops.cast(self._log_probabilities(hidden), self.compute_dtype)

    def compare(self, hidden: Tensor, targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """As of every head; a graph looks for predictions in all clusters, but only where they are asked for."""
        losses = self._of_targets(lambda head, h, y: head.compare(h, y, training)[0], hidden, targets)
        return losses, self.predict(hidden)

    def predict(self, hidden: Tensor) -> Tensor:
        """The most probable class, integers (...): the best of the best one of each softmax."""
        c = self.cutoffs[0]
        classes = [self.first._each(lambda logits: most_probable(logits[..., :c]), "int32", hidden)]
        log_p = [self.first.log_probability(hidden, classes[0])]
        for i, (project, tail) in enumerate(zip(self.projections, self.tails, strict=True)):
            inside = project(hidden)
            best = tail.predict(inside)
            cluster = self.first.log_probability(hidden, ops.full_like(best, c + i))
            classes.append(best + self.cutoffs[i])
            log_p.append(cluster + tail.log_probability(inside, best))
        which = ops.argmax(ops.stack(log_p, axis=-1), axis=-1)  # (...)
        return ops.take_along_axis(ops.stack(classes, axis=-1), which[..., None], axis=-1)[..., 0]

    def log_probability(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self._of_targets(lambda head, h, y: head.log_probability(h, y), hidden, targets)

    def _logits(self, hidden):
        return self._log_probabilities(hidden)

    def _log_probabilities(self, hidden):
        """log P(k | h) of all classes (..., K), of 32 bits at least."""
        c = self.cutoffs[0]
        first = ops.log_softmax(self.first._logits(hidden))
        found = [first[..., :c]]
        for i, (project, tail) in enumerate(zip(self.projections, self.tails, strict=True)):
            found.append(first[..., c + i : c + i + 1] + ops.log_softmax(tail._logits(project(hidden))))
        return ops.concatenate(found, axis=-1)

    def _of_targets(self, said: Callable[..., Tensor], hidden, targets):
        """The sum of what the first softmax and that of a target's cluster say, a number for each target (...)."""
        if not self.built:
            self.build(hidden.shape)
        h = ops.reshape(hidden, (-1, hidden.shape[-1]))  # (N, H)
        y = ops.reshape(ops.cast(targets, "int32"), (-1,))
        bounds = [*self.cutoffs, self.classes]
        clusters = sum(ops.cast(y >= bound, "int32") for bound in self.cutoffs)  # (N,), 0 of a frequent class
        total = said(self.first, h, ops.where(clusters > 0, self.cutoffs[0] + clusters - 1, y))
        for i, (project, tail) in enumerate(zip(self.projections, self.tails, strict=True), start=1):
            [rows] = ops.nonzero(clusters == i)  # (n,)
            if rows.shape[0] == 0:  # known outside of a graph, where Keras has no maximum of nothing
                continue
            inside = said(tail, project(ops.take(h, rows, axis=0)), ops.take(y, rows) - bounds[i - 1])
            total = ops.scatter_update(total, rows[:, None], ops.take(total, rows) + inside)
        return ops.reshape(total, ops.shape(targets))

    def get_config(self):
        return {**super().get_config(), "cutoffs": list(self.cutoffs)}
