"""The forward pass of a model as a function of its weights: nothing of the model is changed by it."""

from typing import Any

import keras
import tensorflow as tf

from seq_models.training.token_training import TokenTraining


def trainable_values(model: keras.Model) -> list[tf.Tensor]:
    """The trainable weights as tensors, in the order of `model.trainable_variables`."""
    return [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables]


def examine(
    model: TokenTraining, inputs: Any, targets: tf.Tensor, values: list[tf.Tensor] | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """`model.compare`: no random state is drawn from, no carried state is moved on.

    Args:
        model: The model.
        inputs, targets: As for `compare`.
        values: Tensors to use as trainable weights; by default those that the model has.
    """
    values = trainable_values(model) if values is None else values
    others = [tf.convert_to_tensor(variable.value) for variable in model.non_trainable_variables]
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    with keras.StatelessScope(state_mapping=zip(variables, [*values, *others], strict=True)):
        return model.compare(inputs, targets)
