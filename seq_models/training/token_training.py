"""Training steps whose loss is a mean over the real tokens of the global batch."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq_models.errors import positive
from seq_models.layers.tensors import Tensors
from seq_models.networks import Network
from seq_models.private_api import Directions, DistributedFit
from seq_models.training import optimizers  # noqa: F401  a saved model is loaded with its schedule, found by its name
from seq_models.training.metrics import TokenMean


def _of_network(name):
    """An attribute of a model that is that of its network."""
    return property(lambda self: getattr(self.network, name))


@keras.saving.register_keras_serializable(package="seq_models")
class TokenTraining(DistributedFit):
    """A network together with its training on (inputs, targets, weights).

        loss = Σ_i w_i loss_i / Σ_i w_i        loss_i as the network's head gives it for target i

    w_i is the weight that the data give, in a training step times that of the class y_i (`class_weights`). A target
    that is none of the head's classes, as an unseen label, has no loss; to the metrics it counts as wrong.

    Both sums run over the whole global batch, so that padding, bucketing and the number of replicas change nothing:
    each replica divides its sum by the number of tokens on all replicas, and the gradients are summed. The `loss` in
    the logs is the mean over all tokens of an epoch. Penalties of regularizers and of the network's
    `regularized` are added to what is minimized.
    `gradient_norm` in the logs is the mean over the steps of an epoch of the norm of all gradients together, before
    they are clipped; with a dynamic loss scale a step that is not taken does not count.

    Args:
        network: A network of `seq_models.networks`, whose inputs and outputs are those of this model.
        token_metrics: Metrics of (targets, predictions, weights).
    Attributes:
        class_weights: Floats (K,), or None if all classes count alike: those of the last `fit`.
    """

    def __init__(self, network: Network, token_metrics: Sequence[keras.Metric] = (), name: str | None = None):
        super().__init__(name=name)
        self.network = network
        self.token_metrics = list(token_metrics)
        self.token_loss = TokenMean(name="loss")
        self.gradient_norm = keras.metrics.Mean(name="gradient_norm")
        self.class_weights: np.ndarray | None = None
        self._frozen: frozenset[int] = frozenset()  # ids of variables, for Keras takes what holds these as weights
        self._metrics_of_logits = False
        self.built = True

    def build(self, input_shape=None):
        """Nothing: the network is built when it is made."""

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    layers = _of_network("layers")
    inputs = _of_network("inputs")
    outputs = _of_network("outputs")
    input = _of_network("input")
    output = _of_network("output")
    input_shape = _of_network("input_shape")
    output_shape = _of_network("output_shape")

    def export(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`, from token ids to logits; `seq_models.export` gives strings in and out."""
        self.network.export(*args, **kwargs)

    def compile(
        self,
        optimizer: Any = "adam",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`; the loss is the one above.

        Clipping acts on the gradients of the whole global batch; that of a Keras optimizer would act on the part of
        each replica.

        Args:
            optimizer: A name or a Keras optimizer, without clipping of its own.
            clip_norm: Largest norm of all gradients together [1], or None.
            clip_value: Largest absolute value of a number in a gradient, or None; not together with `clip_norm`.
            accumulate: Parts in which a replica works through the rows of its batch, one after the other, before the
                weights are updated: less memory for the same update.
            kwargs: Other arguments of `keras.Model.compile`. Its metrics, weighted or not, are given what counts in the
                loss: targets (N,), logits (N, K) and weights (N,) of all tokens of a batch.
        References:
            [1] Pascanu, Mikolov and Bengio 2013, algorithm 1.
        """
        _check(clip_norm, clip_value, accumulate)
        if "loss" in kwargs:
            raise ValueError(f"The task brings its own loss. Received: loss={kwargs['loss']!r}")
        of_logits = keras.tree.flatten([kwargs.pop(name, None) or [] for name in ("metrics", "weighted_metrics")])
        super().compile(optimizer=optimizer, weighted_metrics=of_logits or None, **{"jit_compile": False, **kwargs})
        self.clip_norm, self.clip_value, self.accumulate = clip_norm, clip_value, accumulate
        self._metrics_of_logits = bool(of_logits)

    def get_compile_config(self):
        if not self.compiled:
            return None
        names = ("clip_norm", "clip_value", "accumulate", "steps_per_execution")
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, **{name: getattr(self, name) for name in names}}

    def compile_from_config(self, config):
        config = dict(config)
        self.compile(keras.saving.deserialize_keras_object(config.pop("optimizer")), **config)
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, shuffle=False, class_weight=None, **kwargs):
        """As `keras.Model.fit`, on a dataset that shuffles by itself.

        Args:
            class_weight: Weights of classes by number, {class: weight}; 1 for those left out.
        Raises:
            ValueError: If nothing can be trained, or a class or its weight is none.
        """
        if not self.trainable_variables:
            raise ValueError("A model must have a weight with trainable=True to be fitted. Received: none")
        self._weigh_classes(class_weight or {})
        return super().fit(x, *args, shuffle=shuffle, **kwargs)

    def _weigh_classes(self, weights):
        classes = self.network.head.classes
        for number, weight in weights.items():
            if number not in range(classes) or not 0 <= weight < math.inf:
                expected = f"class weights must be numbers of 0 or more, of the classes 0 to {classes - 1}"
                raise ValueError(f"{expected}. Received: {number!r}: {weight!r}")
        before = self.class_weights
        self.class_weights = np.array([weights.get(k, 1) for k in range(classes)], np.float32) if weights else None
        if not np.array_equal(before, self.class_weights):
            self.train_function = None  # the weights are constants of its graph

    def freeze(self, variables: Sequence[keras.Variable]) -> None:
        """Leaves variables as they are until it is called again, in the middle of a `fit` too.

        They stay trainable to Keras: an optimizer knows them from its start, and a checkpoint holds the same all along.
        A layer that is never to be trained takes `layer.trainable = False` before `compile`, as everywhere.
        """
        frozen = frozenset(map(id, variables))
        if frozen != self._frozen:
            self._frozen = frozen
            self.make_train_function(force=True)

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """The trainable variables that are not frozen: those that a training step changes."""
        return [variable for variable in self.trainable_variables if id(variable) not in self._frozen]

    @property
    def metrics(self):
        """The loss above instead of the one of Keras, then all others, but for those of an earlier `compile`."""
        own = [self.token_loss, *self.token_metrics]
        left_out = {metric.name for metric in own} | (set() if self._metrics_of_logits else {"compile_metrics"})
        rest = (metric for metric in super().metrics if metric.name not in left_out)
        return [*own, *rest, self._directions]

    @functools.cached_property
    def _directions(self):
        return Directions(self.directions())

    def directions(self) -> dict[str, str]:
        """Whether more of a score in the logs is better: "up" or "down" by name."""
        return {metric.name: metric._direction for metric in self.token_metrics}

    def compare(self, inputs: Any, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses and predictions for targets, without dropout: floats and integers of their shape."""
        return self._compare(self.network.body(inputs, training=False), targets)

    def _compare(self, hidden, targets, training=False):
        """Losses and predictions; of a target that is no class the loss is that of another one, and no weight."""
        head = self.network.head
        return head.compare(hidden, tf.minimum(targets, head.classes - 1), training=training)

    def loss_weights(self, targets: tf.Tensor, weights: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What each target counts in the loss, floats of the shape of targets and weights."""
        classes = self.network.head.classes
        weights = tf.where(targets < classes, weights, 0)
        if training and self.class_weights is not None:
            weights *= tf.gather(tf.constant(self.class_weights, weights.dtype), tf.minimum(targets, classes - 1))
        return weights

    def train_step(self, data):
        batch = _with_weights(data)
        with _waiting_for(batch):
            gradients = self._clip(self._gradients(batch))
            self.optimizer.apply_gradients(zip(gradients, self.trained_variables, strict=True))
            return self.get_metrics_result()

    def _gradients(self, batch):
        """The gradients of the loss of the global batch: this replica's summands."""
        tokens = _over_replicas(tf.reduce_sum(self.loss_weights(*batch[1:], training=True)))
        variables = [v.value for v in self.trained_variables]

        def gradients_of(rows):
            with tf.GradientTape() as tape:
                loss = tf.math.divide_no_nan(self._summed_loss(rows, training=True), tokens) + self._penalties()
                loss = self.optimizer.scale_loss(loss)
            return tape.gradient(loss, variables)

        return sum_over_parts(gradients_of, batch, self.accumulate, zeros=[tf.zeros_like(v) for v in variables])

    def test_step(self, data):
        batch = _with_weights(data)
        with _waiting_for(batch):
            self._summed_loss(batch, training=False)
            return {name: value for name, value in self.get_metrics_result().items() if name != "gradient_norm"}

    def get_metrics_result(self):
        """The logs; an evaluation has no `gradient_norm`."""
        logs = super().get_metrics_result()
        if tf.executing_eagerly() and not tf.convert_to_tensor(self.gradient_norm.count):
            del logs["gradient_norm"]
        return logs

    def _summed_loss(self, batch, training):
        """Σ_i w_i loss_i over the rows of a batch; the metrics take note of it."""
        inputs, targets, weights = batch
        hidden, penalties = self.read(inputs, training), 0.0
        if training:
            hidden, penalties = self.network.regularized(hidden)
        losses, predictions = self._compare(hidden, targets, training)
        losses, loss_weights = tf.cast(losses, weights.dtype), self.loss_weights(targets, weights, training)
        self.token_loss.update_state(losses, sample_weight=loss_weights)
        for metric in self.token_metrics:
            metric.update_state(targets, predictions, sample_weight=weights)
        if self._metrics_of_logits:
            self.compute_metrics(inputs, *self.flat(targets, self.network.head(hidden), weights))
        return tf.reduce_sum((losses + penalties) * loss_weights)

    def flat(self, targets: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What metrics of Keras are given: flat, for they take the mean over time first, so that a token of a short
        batch counts more."""
        return tf.reshape(targets, [-1]), tf.reshape(logits, [-1, logits.shape[-1]]), tf.reshape(weights, [-1])

    def read(self, inputs: Any, training: bool) -> tf.Tensor:
        """The last hidden states for a batch of `fit` or `evaluate`."""
        return self.network.body(inputs, training=training)

    def carried_variables(self) -> list[tf.Variable]:
        """What goes from one batch to the next beside the weights: a checkpoint of a training holds it."""
        return []

    def _penalties(self):
        """The penalties of regularizers: the share of one part of a replica's rows."""
        return sum(self.losses) / (_replicas() * self.accumulate) if self.losses else 0.0

    def _clip(self, gradients):
        """Sums of gradients over a replica's rows -> its share of those of the global batch, clipped."""
        # Dense, because the norm of sparse gradients counts a row that comes twice as two rows.
        gradients = _over_replicas([tf.convert_to_tensor(gradient) for gradient in gradients])
        scale = self.optimizer.scale_loss(1.0)  # the optimizer will divide by it
        norm = tf.linalg.global_norm(gradients)
        self._note_norm(norm / scale)
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm * scale, use_norm=norm)
        if self.clip_value is not None:
            limit = self.clip_value * scale
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        return [gradient / _replicas() for gradient in gradients]  # the optimizer sums over replicas

    def _note_norm(self, norm):
        taken = 1.0
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            taken = tf.cast(tf.math.is_finite(norm), tf.float32)
            norm = tf.math.multiply_no_nan(norm, taken)
        self.gradient_norm.update_state(norm, sample_weight=taken)

    def get_config(self):
        return {"name": self.name, "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


def _with_weights(data):
    """(inputs, targets, weights); where the data has no weights, all tokens count as 1."""
    inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
    return inputs, targets, tf.ones_like(targets, tf.float32) if weights is None else weights


def _waiting_for(batch):
    """Within it, what takes no data waits for it too: the step in which the data ends must not count as one."""
    return tf.control_dependencies(tf.nest.flatten(batch))


def sum_over_parts(function: Callable[[Any], Tensors], batch: Any, parts: int, zeros: Tensors) -> Tensors:
    """Σ function(rows) over parts of the rows of a batch, worked through one after the other.

    A part begins when the one before has been summed, so that there is memory for one part at a time.

    Args:
        function: From some rows of the batch to a list of tensors.
        batch: A nested structure of tensors (B, …).
        parts: Number of parts, the sizes of which differ by one row at most.
        zeros: The sum over no part, a list of tensors.
    Returns:
        A list of tensors. With one part they are what the function gives, sparse ones included.
    """
    if parts == 1:
        return function(batch)
    B = tf.shape(tf.nest.flatten(batch)[0])[0]

    def add(part, sums):
        rows = slice(B * part // parts, B * (part + 1) // parts)
        values = function(tf.nest.map_structure(lambda tensor: tensor[rows], batch))
        return part + 1, [total + tf.convert_to_tensor(value) for total, value in zip(sums, values, strict=True)]

    _, sums = tf.while_loop(lambda part, _: part < parts, add, (0, zeros), parallel_iterations=1)
    return sums


def _replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


def _over_replicas(values):
    """The sum over all replicas."""
    if _replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _check(clip_norm, clip_value, accumulate):
    for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be a positive number. Received: {name}={value!r}")
    if clip_norm is not None and clip_value is not None:
        received = f"clip_norm={clip_norm!r}, clip_value={clip_value!r}"
        raise ValueError(f"Gradients must be clipped by norm or by value, not by both. Received: {received}")
    positive(accumulate=accumulate)
