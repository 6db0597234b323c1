"""States that go from the rows of one batch to those of the next."""

from typing import Any

import keras
import tensorflow as tf


class CarriedStates:
    """What a network has read so far in each row of the batches of a stream, as variables.

    Every replica keeps the states of all rows of the global batch, B of them, and reads those of its own rows; so a
    checkpoint holds them whatever the number of replicas and workers.

    Args:
        states: A nest of states of any number of rows, (B, H) each, floats or ids, for their shapes and types.
    Attributes:
        variables: A list of variables.
    """

    def __init__(self, states: Any):
        self.states = states
        self.variables = [
            tf.Variable(
                tf.zeros((0, *state.shape[1:]), state.dtype),
                shape=(None, *state.shape[1:]),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name=f"carried_state_{number}",
            )
            for number, state in enumerate(keras.tree.flatten(states))
        ]

    def before(self, fresh: tf.Tensor) -> Any:
        """The states before a batch, zeros in a row that is `fresh`, booleans (B,): of this replica's rows."""
        rows = tf.shape(fresh)[0]
        first = rows * _replica().replica_id_in_sync_group

        def carried(variable):
            kept = tf.where(fresh[:, None], tf.zeros_like(variable[:1]), variable[first : first + rows])
            return tf.ensure_shape(kept, variable.shape)

        def zeros(variable):
            return tf.zeros((rows, *variable.shape[1:]), variable.dtype)

        # Not `where` alone: before the first batch there are no rows to choose from.
        states = [tf.cond(tf.reduce_all(fresh), lambda v=v: zeros(v), lambda v=v: carried(v)) for v in self.variables]
        return keras.tree.pack_sequence_as(self.states, states)

    def keep(self, states: Any) -> None:
        """Keeps the states after a batch, a nest of (B, H) of this replica's rows."""
        for variable, state in zip(self.variables, keras.tree.flatten(states), strict=True):
            variable.assign(_replica().all_gather(state, axis=0) if _replica().num_replicas_in_sync > 1 else state)


def _replica():
    return tf.distribute.get_replica_context()
