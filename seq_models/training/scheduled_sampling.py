"""Scheduled sampling: how often a decoder in training is told the truth about the tokens before."""

from typing import NamedTuple

import tensorflow as tf

# ε of step i by k, both floats.
DECAYS = {
    "linear": lambda i, k: 1 - i / k,
    "inverse_sigmoid": lambda i, k: 1 / (1 + tf.exp(i / k - tf.math.log(k))),  # k / (k + exp(i / k))
}


class ScheduledSampling(NamedTuple):
    """A token before is the target's with probability ε_i in step i of a training, else one that the model says [1].

        linear              ε_i = max(ε, 1 - i / k)
        inverse sigmoid     ε_i = max(ε, k / (k + exp(i / k)))

    Attributes:
        decay: A name in `DECAYS`.
        steps: k.
        floor: ε.
        seed: Of all draws; those of a step follow from it and from the number of the step.
    References:
        [1] Bengio, Vinyals, Jaitly and Shazeer 2015 (arXiv:1506.03099), sections 2.4 and 2.5.
    """

    decay: str
    steps: int
    floor: float = 0.0
    seed: int = 1

    def truth(self, step: tf.Tensor) -> tf.Tensor:
        """ε of a step, a scalar."""
        decayed = DECAYS[self.decay](tf.cast(step, tf.float32), tf.constant(float(self.steps)))
        return tf.maximum(self.floor, decayed)

    def uniform(self, shape: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Random numbers in [0, 1) for a step, others on every replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.experimental.stateless_fold_in(tf.constant([self.seed, 0], tf.int64), tf.cast(step, tf.int64))
        return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, replica))
