"""What goes on in the recurrent layers, step by step, as they read one text."""

import contextlib

import tensorflow as tf
from keras import ops

from seq_models.layers import GRUCell, LSTMCell
from seq_models.training.watching.forward import logits_of, mean_loss, named_cells
from seq_models.training.watching.watcher import Watcher

# What a cell's `step` returns beside its states; what a GRU returns after these is no gate.
GATES = {LSTMCell: ("input", "forget", "candidate", "output"), GRUCell: ("update", "reset", "candidate")}


class ThroughTime(Watcher):
    """How much gradient arrives from how far, and how open the gates are, on one text that stays.

    `gradient_by_distance/CELL/d` is the norm of ∂loss/∂z at the step that is read d steps before the last one, for the
    loss of the text's last token and z = W x + U h + b, what enters the activations of a cell; d = 0, 1, 2, 4, 8, …
    It falls quickly where gradients vanish. `gates/CELL/GATE` is the distribution of a gate's activations over all
    steps and units. Both are of recurrent layers; the decoder of an encoder-decoder is none.

    Args:
        log, share, every: See `Watcher`.
        text: (inputs, targets, weights) of one text, without padding.
    """

    def __init__(self, log, share, every, text):
        super().__init__(log, share, every)
        self.text, self.through_time = text, tf.function(through_time)

    def prepare(self):
        self.through_time(self.model, *self.text)

    def look(self, step, epoch):
        norms, gates = self.through_time(self.model, *self.text)
        distances = {f"{name}/{d}": n[d] for name, n in norms.items() for d in range(len(n)) if d & (d - 1) == 0}
        self.log.numbers("gradient_by_distance", step, epoch, distances)
        for name, activations in gates.items():
            self.log.histogram(f"gates/{name}", step, activations.numpy())


def through_time(model, inputs, targets, weights):
    """Gradients and gates at each step of one text.

    Args:
        model: A task's model.
        inputs, targets, weights: A batch of one text, without padding.
    Returns:
        (norms, gates): of each cell that reads the text forward ‖∂loss/∂z‖₂, (T,), that of the last step first; and
        activations by CELL/GATE, (T, 1, H).
    """
    cells = named_cells(model)
    with tf.GradientTape() as tape, contextlib.ExitStack() as stack:
        projected = {name: stack.enter_context(_projected(cell, tape)) for name, (cell, _) in cells.items()}
        loss = mean_loss(targets, logits_of(model, inputs), _last_only(weights))
    gradients = tape.gradient(loss, {name: projected[name] for name, (_, forward) in cells.items() if forward})
    norms = {name: tf.norm(dz, axis=(1, 2))[::-1] for name, [dz] in gradients.items()}
    gates = {}
    for name, (cell, _) in cells.items():
        [z] = projected[name]
        gates |= {f"{name}/{gate}": g for gate, g in zip(GATES.get(type(cell), ()), _gates(cell, z), strict=False)}
    return norms, gates


@contextlib.contextmanager
def _projected(cell, tape):
    """A list; within this context a cell puts there W x + b, (T, B, G), watched by the tape.

    The gradient by it is that by all of z: the recurrence adds U h to it.
    """
    project, kept = cell.project, []

    def project_and_keep(inputs):
        kept.append(project(inputs))
        tape.watch(kept[-1])
        return kept[-1]

    cell.project = project_and_keep
    try:
        yield kept
    finally:
        del cell.project  # the method of the class is there again


def _gates(cell, projected):
    """What a cell's `step` returns beside its states, for all steps at once: a list of (T, B, H)."""
    weights, first = cell.recurrent_weights(), cell.get_initial_state(ops.shape(projected)[1])

    def step(states, x):
        after, _ = cell.step(x, states, weights)
        return after, after

    _, after = ops.scan(step, first, projected)
    before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
    return cell.step(projected, before, weights)[1]


def _last_only(weights):
    """Weights (B, T) of the last token that has one; those of a whole text, (B,), stay."""
    if weights.shape.rank == 1:
        return weights
    rest = tf.cumsum(weights, axis=1, reverse=True)
    return weights * tf.cast(rest == weights, weights.dtype)
