"""Names of the parts of a network that are the same in every process.

Keras numbers the layers without a name of their own over all models of a process; here `recurrent_1` is the first
recurrent layer of this network.
"""

import re

import keras

from seq_models.layers import Bidirectional
from seq_models.layers.recurrent import Recurrent
from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.networks import Network


def named_layers(network: Network) -> dict[str, keras.layers.Layer]:
    """The layers with weights by name."""
    layers, depth = {}, 0
    for layer in network.layers:
        if isinstance(layer, Recurrent | Bidirectional):
            depth += 1
            layers[f"recurrent_{depth}"] = layer
        elif layer.weights:
            layers[layer.name] = layer
    return layers


def named_cells(network: Network) -> dict[str, tuple[RecurrentCell, bool]]:
    """The cells of the recurrent layers, lowest first: name -> (cell, whether it reads from the start to the end)."""
    cells = {}
    for name, layer in named_layers(network).items():
        if isinstance(layer, Bidirectional):
            cells[f"{name}_forward"] = layer.forward_layer.cell, True
            cells[f"{name}_backward"] = layer.backward_layer.cell, False
        elif isinstance(layer, Recurrent):
            cells[name] = layer.cell, not layer.go_backwards
    return cells


def named_weights(network: Network) -> dict[str, keras.Variable]:
    """The trainable weights by LAYER/WEIGHT, or CELL/WEIGHT.

    A weight deeper in a layer, as of an attention, is named by its path in it.
    """
    names = {id(w): f"{name}/{w.name}" for name, (cell, _) in named_cells(network).items() for w in cell.weights}
    for name, layer in named_layers(network).items():
        for weight in layer.trainable_weights:
            inside = re.sub(r"_\d+(?=/)", "", weight.path.split("/", 1)[1])
            names.setdefault(id(weight), f"{name}/{inside}")
    return {names[id(weight)]: weight for weight in network.trainable_weights}
