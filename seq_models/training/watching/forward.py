"""The network as a function: what it computes, nothing of it changed."""

import re

import tensorflow as tf

from seq_models.layers import Bidirectional
from seq_models.layers.recurrent import Recurrent
from seq_models.training.losses import cross_entropy


def trainable_values(model):
    """The trainable weights as tensors, in the order of `model.trainable_variables`."""
    return [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables]


def logits_of(model, inputs, values=None):
    """Logits of a model, without dropout: no random state is drawn from, no carried state is moved on.

    Args:
        model: A `keras.Model`.
        inputs: Its inputs.
        values: Tensors to use as trainable weights; those of the model by default.
    """
    values = trainable_values(model) if values is None else values
    others = [tf.convert_to_tensor(variable.value) for variable in model.non_trainable_variables]
    logits, _ = model.stateless_call(values, others, inputs, training=False)
    return tf.cast(logits, tf.float32)


def mean_loss(targets, logits, weights):
    """The loss of `TokenTraining`: the mean over all tokens, a scalar."""
    return tf.math.divide_no_nan(tf.reduce_sum(cross_entropy(targets, logits) * weights), tf.reduce_sum(weights))


def named_layers(model):
    """The layers with weights, by names that are the same in every process: a dictionary.

    Keras numbers the layers without a name of their own over all models of a process; here `recurrent_1` is the first
    recurrent layer of this model.
    """
    layers, depth = {}, 0
    for layer in model.layers:
        if isinstance(layer, Recurrent | Bidirectional):
            depth += 1
            layers[f"recurrent_{depth}"] = layer
        elif layer.weights:
            layers[layer.name] = layer
    return layers


def named_cells(model):
    """The cells of the recurrent layers, lowest first: name -> (cell, whether it reads from the start to the end)."""
    cells = {}
    for name, layer in named_layers(model).items():
        if isinstance(layer, Bidirectional):
            cells[f"{name}_forward"] = layer.forward_layer.cell, True
            cells[f"{name}_backward"] = layer.backward_layer.cell, False
        elif isinstance(layer, Recurrent):
            cells[name] = layer.cell, not layer.go_backwards
    return cells


def named_weights(model):
    """The trainable weights by names that are the same in every process: LAYER/WEIGHT, or CELL/WEIGHT.

    A weight deeper in a layer, as of an attention, is named by its path in it.
    """
    names = {id(w): f"{name}/{w.name}" for name, (cell, _) in named_cells(model).items() for w in cell.weights}
    for name, layer in named_layers(model).items():
        for weight in layer.trainable_weights:
            inside = re.sub(r"_\d+(?=/)", "", weight.path.split("/", 1)[1])
            names.setdefault(id(weight), f"{name}/{inside}")
    return {names[id(weight)]: weight for weight in model.trainable_weights}
